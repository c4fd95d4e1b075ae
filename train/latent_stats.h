/* Mean and deviation of each latent channel over training clips: what latents are normalised with. */
#ifndef LT_TRAIN_LATENT_STATS_H
#define LT_TRAIN_LATENT_STATS_H

#include "data/dataset.h"
#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Measures over the first window of up to 256 clips of role train of the configured domains, evenly chosen, and stores
 * the result in the model. The same on every rank. A channel that hardly varies gets a thousandth of the largest
 * deviation. LT_INPUT when no clip qualifies. */
lt_status lt_latent_stats_measure(lt_dataset *set, const lt_train_config *config, lt_model *model);

#ifdef __cplusplus
}
#endif
#endif
