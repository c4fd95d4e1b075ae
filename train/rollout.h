/* Context `self`: what commits in training is the model's own rollout, so that it meets its own errors (Self Forcing,
 * arXiv 2506.08009, has the idea; here the loss stays the flow loss on the clip). The first block is the clip's; the
 * others are generated from it, under the clip's policy and prompt.
 */
#ifndef LT_TRAIN_ROLLOUT_H
#define LT_TRAIN_ROLLOUT_H

#include "infer/stream.h"
#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_rollout lt_rollout;

/* One stream per row of the mix, with all its memory. */
lt_status lt_rollout_open(const lt_train_config *config, lt_model *model, lt_rollout **out);
void lt_rollout_close(lt_rollout *rollout);

/* latents, context: host [blocks, F, H, W, C]; `row` of the mix; `sequence` numbers the noise. */
lt_status lt_rollout_run(lt_rollout *rollout, int row, uint64_t sequence, const char *prompt,
                         const float *latents, float *context);

#ifdef __cplusplus
}
#endif
#endif
