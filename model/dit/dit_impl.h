/* What the parts of the forward pass share. Private to model/dit/.
 *
 * block.c, attention.c and ffn.c describe a transformer block once, in mathematical order. How its operations are
 * carried out is the business of an executor: executor_train.c (every value recorded, with activation checkpointing) or
 * executor_infer.c (no-grad: the residual stream in place, norms fused into the sums before them, FP8 operands). The
 * description asks neither.
 */
#ifndef LT_MODEL_DIT_DIT_IMPL_H
#define LT_MODEL_DIT_DIT_IMPL_H

#include "autograd/ops.h"
#include "model/dit/dit.h"

typedef struct lt_dit_executor lt_dit_executor;

/* One forward call. */
typedef struct lt_dit_pass {
    const lt_dit *dit;
    const lt_dit_executor *run;
    lt_dit_input in;
    int groups, width;
    int64_t grid[3], tokens; /* tokens of one block: frames, rows, columns; and all of them */
    lt_rope rope;
    lt_var *time;       /* [G, 1, C]: for the final modulation */
    lt_var *modulation; /* [G, 6, C]: every layer adds its table */
    lt_var *text;       /* [batch, L, C] */
    lt_dit_keep keep;
    /* Of executor_infer.c alone, [G, T, C]: what the next branch reads. It is e4m3, with a scale for each row, where
     * the GEMMs that read it are. `ready`: the sum before has written it. */
    lt_var *operand;
    bool ready;
} lt_dit_pass;

/* The three residual branches of a layer, and the vectors of its modulation. */
typedef enum lt_dit_branch {
    LT_DIT_BRANCH_ATTN,
    LT_DIT_BRANCH_CROSS,
    LT_DIT_BRANCH_FFN,
    LT_DIT_BRANCHES
} lt_dit_branch;
enum {
    LT_DIT_SHIFT_ATTN,
    LT_DIT_SCALE_ATTN,
    LT_DIT_GATE_ATTN,
    LT_DIT_SHIFT_FFN,
    LT_DIT_SCALE_FFN,
    LT_DIT_GATE_FFN,
    LT_DIT_MODS
};

/* One layer of it: the user data of its segment and of those within. */
typedef struct lt_dit_step {
    lt_dit_pass *pass;
    const lt_dit_layer *weights;
    int layer;
    lt_var *x[LT_DIT_BRANCHES + 1]; /* the residual stream before each branch, and after the last */
    lt_var *mod[LT_DIT_MODS];
    lt_var *inputs[3], *branch_inputs[LT_DIT_BRANCHES][2];
} lt_dit_step;

/* q, k, v [G, T, H, D] of linear attention, and what q and k lack of their RMS norms where attention applies it as it
 * loads them: q its weights, as no output depends on how long a token's q is; k its weights and factors. */
typedef struct lt_dit_qkv {
    lt_var *q, *k, *v;
    lt_tensor q_gain;
    lt_ag_norm k_norm;
} lt_dit_qkv;

/* q [G, T, H, D] of cross-attention with k, v [B, L, H, D] of the text, and the factors [G, T] of the norm that q
 * lacks, or empty. */
typedef struct lt_dit_cross {
    lt_var *q, *k, *v;
    lt_tensor q_scale;
} lt_dit_cross;

struct lt_dit_executor {
    /* Before the first layer, whose residual stream is `x`: memory that all layers share. */
    lt_status (*begin)(lt_tape *tape, lt_dit_pass *pass, const lt_tensor *x);
    /* Where the residual stream goes when a branch is added to `x`. */
    lt_status (*stream)(lt_tape *tape, lt_var *x, lt_var **out);
    /* What a branch reads of the stream: its modulated norm (attention, FFN), the stream itself (cross-attention). */
    lt_status (*enter)(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch, lt_var **h);
    /* x[branch + 1] = x[branch] + gate * projection(h); the projection and the gate may be none. */
    lt_status (*leave)(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch,
                       const lt_linear_layer *projection, lt_var *h);
    /* The RMS norms of q and k, which come as projected, [G, T, C]. */
    lt_status (*norm_qk)(lt_tape *tape, const lt_dit_step *step, lt_var *q, lt_var *k, lt_dit_qkv *out);
    /* The same of cross-attention: k [B, L, X] of the text, then q [G, T, X]. */
    lt_status (*norm_text_k)(lt_tape *tape, const lt_dit_step *step, lt_var *k, lt_dit_cross *out);
    lt_status (*norm_cross_q)(lt_tape *tape, const lt_dit_step *step, lt_var *q, lt_dit_cross *out);
    /* -> [G, T, X], as the projection behind it reads it. */
    lt_status (*attend_text)(lt_tape *tape, const lt_dit_step *step, const lt_dit_cross *in, lt_var **out);
    /* The part of the Mix-FFN within frames, [frames, pixels, C] -> the same. */
    lt_status (*mix_frames)(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out);
    /* The committing stream's last frame becomes the tail that the next block reads. h [G, F, pixels, C]. */
    lt_status (*commit_tail)(lt_tape *tape, const lt_dit_step *step, const lt_var *h);
};
extern const lt_dit_executor lt_dit_train, lt_dit_infer;

/* What is left of a forward once time and text are embedded. */
lt_status lt_dit_body(lt_tape *tape, lt_dit_pass *pass, lt_var **velocity);
/* The same by way of pass->in.replay. */
lt_status lt_dit_replay_body(lt_tape *tape, lt_dit_pass *pass, lt_var **velocity);

/* The operations to come compute `value`: its fate under activation checkpointing, as the pass's lt_dit_keep says.
 * lt_dit_small: values that are always kept. */
void lt_dit_begin(lt_tape *tape, const lt_dit_step *step, lt_dit_value value);
void lt_dit_small(lt_tape *tape);

/* One layer, `step` an lt_dit_step; an lt_segment_fn. */
lt_status lt_dit_layer_run(lt_tape *tape, void *step);
/* The six vectors of a layer's AdaLN modulation. */
lt_status lt_dit_modulation(lt_tape *tape, const lt_dit_pass *pass, int layer, lt_var **mod);
/* Block linear attention with cache up to its projection, h [G, T, C] -> [G, T, C]. */
lt_status lt_dit_attention(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out);
/* Mix-FFN with temporal convolution, h [G, T, C] -> [G, T, C]. */
lt_status lt_dit_ffn(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out);
/* Its expansion, depthwise convolution and gate, whole frames: [frames, pixels, C] -> [frames, pixels, R]. */
lt_status lt_dit_expand(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out);

/* Shows a value to the probe, if there is one, as "LAYER.what", or "what" where layer < 0. */
void lt_dit_report(const lt_dit_pass *pass, const char *what, int layer, const lt_var *value);

#endif
