/* What would fit: the largest batch, clip, frame and cache within a limit, each with everything else as it is
 * configured. */
#ifndef LT_TRAIN_PLAN_FIT_H
#define LT_TRAIN_PLAN_FIT_H

#include "train/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Clips are looked for up to so many times as long as configured. */
enum { LT_PLAN_CLIPS = 8 };

/* The most that fits; 0: not even the least. */
typedef struct lt_plan_fit {
    int64_t budget;        /* slots of the streamed video */
    int64_t batch, blocks; /* train.batch, train.blocks; where train.recompute is auto, all recomputed */
    bool recompute_all;    /* train.recompute=all, and nothing else changed, fits */
    int64_t batch_all;     /* train.batch with train.recompute=all */
    int64_t frame_size[2]; /* model.frame_size, with train.batch=1 and train.recompute=all */
} lt_plan_fit;

/* As lt_plan_make; `limit` is more than 0, as in the plan that it made. */
lt_status lt_plan_fit_find(const lt_config *config, const char *target, const char *policy, int64_t limit,
                           lt_plan_fit *out);

#ifdef __cplusplus
}
#endif
#endif
