/* The transformer of SANA-Video (arXiv 2509.24695; executable reference: SanaVideoTransformer3DModel of the Python
 * package diffusers), at any size, block-causal: one forward serves training, evaluation and streaming.
 *
 * A call carries `blocks` consecutive blocks of `batch` sequences, each in `streams` versions (say, clean and noisy).
 * At most one stream commits: its keys and values become cache entries, its last frame the tail of the temporal
 * convolution. Every stream of block i reads what was committed before block i. Groups are ordered block, stream,
 * sequence:
 *
 *     g = (block * streams + stream) * batch + sequence          latent [G, F, H, W, C]
 *
 *     training, evaluation   blocks = all of the clip, stream 0 clean at t = 0 and committing, others noisy
 *     streaming, denoise     blocks = 1, streams = 1, no commit
 *     streaming, commit      blocks = 1, streams = 1 at t = 0, committing
 */
#ifndef LT_MODEL_DIT_DIT_H
#define LT_MODEL_DIT_DIT_H

#include "model/cache/cache.h"
#include "model/linear.h"
#include "model/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_dit_config {
    int in_channels; /* latent channels, in and out */
    int layers, heads, head_dim;
    int cross_heads, cross_head_dim;
    int caption_channels; /* width of the text embeddings */
    double ffn_ratio;     /* hidden channels of the Mix-FFN = (int)(ratio * width) */
    int patch[3];         /* pt, ph, pw */
    int block_frames;     /* latent frames per block */
    double rope_theta, norm_eps, qk_eps;
    double time_scale; /* the model sees t * time_scale; 1000 as published */
} lt_dit_config;

static inline int lt_dit_width(const lt_dit_config *c) { return c->heads * c->head_dim; }

/* Published names are those of the diffusers checkpoint. Fused parameters: qkv (self), kv (cross). */
typedef struct lt_dit_layer {
    lt_var *table;            /* [6, C]: shift, scale, gate of attention, then of the FFN */
    lt_linear_layer qkv, out; /* [3C, C], [C, C] */
    lt_var *q_norm, *k_norm;  /* [C] */
    lt_linear_layer cross_q, cross_kv, cross_out;
    lt_var *cross_q_norm, *cross_k_norm;
    lt_linear_layer expand, project;
    lt_var *depth_w, *depth_b, *temporal_w;
} lt_dit_layer;

typedef struct lt_dit {
    lt_dit_config config;
    lt_dit_layer *layers;
    lt_linear_layer patch;
    lt_linear_layer time1, time2, time; /* 256 -> C -> C; SiLU -> 6C */
    lt_linear_layer text1, text2;
    lt_var *text_norm;
    lt_var *final_table;
    lt_linear_layer out;
    /* No-grad: the most bytes of a Mix-FFN's expansion at once, at least a frame. Declaring sets LT_DIT_WIDE_BYTES,
     * from where on larger groups of frames make GEMMs no faster. */
    int64_t wide_bytes;
} lt_dit;
enum { LT_DIT_WIDE_BYTES = 288 << 20 };

/* Checks the configuration (LT_USAGE names the field) and declares all parameters in `params`, which keeps them. */
lt_status lt_dit_declare(lt_dit *dit, const lt_dit_config *config, lt_params *params);

/* The values of a layer that its backward pass reads and that grow with the tokens, in the order in which they are
 * computed. States, sums of states, tails, and keys and values of the text are small beside them and always kept. */
typedef enum lt_dit_value {
    LT_DIT_NORM_ATTN,
    LT_DIT_QKV,
    LT_DIT_QK, /* after the RMS norm */
    LT_DIT_ATTN,
    LT_DIT_ATTN_OUT,
    LT_DIT_ATTN_SUM, /* the residual stream after attention */
    LT_DIT_CROSS_Q,
    LT_DIT_CROSS_Q_NORM,
    LT_DIT_CROSS,
    LT_DIT_CROSS_SUM, /* the stream after cross-attention, with its projection */
    LT_DIT_NORM_FFN,
    LT_DIT_EXPAND,
    LT_DIT_GLU,
    LT_DIT_PROJECT,
    LT_DIT_TEMPORAL,
    LT_DIT_VALUES
} lt_dit_value;
extern const char *const lt_dit_value_names[LT_DIT_VALUES];

/* Activation checkpointing: how many layers, the first ones, keep each value for the backward pass; the others
 * recompute it. The gradients are the same bits whatever is kept. All zero: every layer is recomputed. */
typedef struct lt_dit_keep {
    int layers[LT_DIT_VALUES];
} lt_dit_keep;

/* For forwards that differ in t and the latent's values alone and commit nothing, as the steps of a sampler do: what
 * comes after the embeddings of time and text is captured as a graph (core/device.h) by the first of them and replayed
 * by the others, with the same bits. It starts zeroed; `ready` becomes false by the caller's hand when anything else
 * has changed: cache, positions, prompts. Passed over where the device has no graphs, an observer listens, or the reads
 * have weights, which the host computes from t. */
typedef struct lt_dit_replay {
    bool ready, failed; /* failed: the driver refused; no further attempts are made */
    lt_graph *graph;
    size_t mark, far;   /* of the step arena when it was captured */
    lt_tensor velocity; /* where it leaves its result */
} lt_dit_replay;
void lt_dit_replay_free(lt_dit_replay *replay, lt_device *device);

/* Called after each sub-layer with its output: "patch", "time", "text", "LAYER.attn", "LAYER.cross", "LAYER.ffn",
 * "final", "output". A forward that is watched is not captured or replayed as a graph. */
typedef void (*lt_dit_probe)(const char *name, const lt_tensor *value, void *user);

typedef struct lt_dit_input {
    int batch, streams, blocks;
    lt_var *latent;             /* [G, F, H, W, C], compute dtype; F = block_frames (any with blocks = 1) */
    const double *t;            /* host [G], in [0, 1] */
    lt_var *text;               /* [batch, L, caption_channels] */
    lt_tensor mask;             /* [batch, L]: 1 = visible; compute dtype */
    const int64_t *first_frame; /* host [blocks]: latent position of each block's first frame; NULL: 0 */
    const float *motion;        /* host [blocks * batch]: lt_latent_motion, a feature of entries; NULL: 0 */
    int commit_stream;          /* -1: none */
    lt_cache *cache;            /* NULL: every block reads itself only, the first tail is zero */
    lt_dit_replay *replay;      /* or NULL */
    const lt_dit_keep *keep;    /* where the tape records; NULL: everything is kept. Copied */
    lt_dit_probe probe;         /* or NULL */
    void *probe_user;
} lt_dit_input;

/* The velocity [G, F, H, W, C]. With velocity NULL only the commit happens. Host arrays may be released after return
 * unless the tape records: then lt_tape_mark gets the number of each layer before the layer. */
lt_status lt_dit_forward(const lt_dit *dit, lt_tape *tape, const lt_dit_input *input, lt_var **velocity);

/* What one entry covers of a block whose tokens are `grid` (frames, rows, columns). */
lt_segment_box lt_dit_segment_box(const int64_t grid[3], lt_granularity granularity);

#ifdef __cplusplus
}
#endif
#endif
