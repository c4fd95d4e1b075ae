/* The pass that training and evaluation share: whole clips through the transformer, block after block in one forward.
 * Stream 0 is clean and commits; the other streams are noisy versions that read what was committed before them. Its
 * loss is the flow loss per block.
 */
#ifndef LT_INFER_CLIP_PASS_H
#define LT_INFER_CLIP_PASS_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_clip_batch {
    int clips, blocks, draws; /* draws: noisy streams per clip */
    const float *latents;     /* host [clips, blocks, F, H, W, C], normalised; may be NULL on a null device */
    const float *context;     /* the same shape: what commits instead (rollouts); NULL: the latents */
    const char *const *prompts; /* [clips], entries may be NULL; NULL: no prompts */
    bool encoded;        /* prompts are those of the last lt_clip_pass_prompts, which are not encoded again */
    const uint64_t *ids; /* [clips]: the Philox clip number of noise; pairing survives any policy */
    const double *t;     /* [blocks, draws, clips], in [0, 1] */
    uint64_t seed;
    lt_purpose purpose; /* LT_RNG_NOISE */
    /* training step or evaluation round; draw d of it uses step * draws + d. Noise of the clip's block i is
     * LT_RNG_NOISE (seed; id, i, that) whatever first_frame is */
    uint32_t step;
    const lt_cache_spec *specs; /* [clips]: who is kept, how it is read; one granularity for all */
    int64_t first_frame;        /* latent position of the first block */
    const double *read_scale;   /* [clips] or NULL: lt_cache.read_scale */
} lt_clip_batch;

/* Memory of the pass that lives in session->run. The owner may set the cache's observer, ghosts and bptt_blocks. */
typedef struct lt_clip_pass {
    lt_session *session;
    int max_clips, max_blocks, max_draws;
    lt_cache cache;         /* without slots */
    lt_tensor input;        /* [max G, N]: what the transformer sees, N = F * H * W * C */
    lt_tensor target;       /* [max noisy groups, N] */
    lt_tensor alpha, one;   /* [max noisy groups] */
    lt_text_embedding text; /* of lt_clip_pass_prompts */
    float *host;            /* staging of one block; NULL on a null device */
} lt_clip_pass;

/* Reserves for at most these sizes, from session->run; free what an earlier call reserved first. */
lt_status lt_clip_pass_init(lt_clip_pass *pass, lt_session *session, int clips, int blocks, int draws);
void lt_clip_pass_free(lt_clip_pass *pass);

/* Encodes the prompts of `clips` clips (NULL: none) with the weights as they are now, under no-grad, for any number
 * of batches with `encoded`. A training step instead has its prompts encoded within its graph. */
lt_status lt_clip_pass_prompts(lt_clip_pass *pass, int clips, const char *const *prompts);

/* Runs the forward on the session's tape (recording or not is the tape's state, set by the caller after
 * lt_tape_reset). loss: var [blocks * draws * clips], mean squared velocity error of each noisy block, in the order of
 * batch->t. `keep` as in lt_dit_input. */
lt_status lt_clip_pass_run(lt_clip_pass *pass, const lt_clip_batch *batch, const lt_dit_keep *keep,
                           lt_var **loss);

#ifdef __cplusplus
}
#endif
#endif
