/* The policy mix: how the cache of each training clip is drawn. */
#ifndef LT_TRAIN_MIX_H
#define LT_TRAIN_MIX_H

#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the array at `json` (a const cJSON *) into out->mix; each row is {"policy": TEXT, "budget": B, "weight": W}
 * where B is a number, "25%", "60MiB" or an array of these, which share the weight. LT_USAGE names the row, and refuses
 * a mix whose share of the empty cache is below min_empty where the denoiser learns, mixed granularities, and a scorer
 * stage in which no head would learn. */
lt_status lt_mix_read(const void *json, const lt_model *model, lt_train_config *out, double min_empty);

#ifdef __cplusplus
}
#endif
#endif
