/* What a configuration takes, from graphs that run on a null device: nothing is allocated, no value is computed. */
#ifndef LT_TRAIN_PLAN_H
#define LT_TRAIN_PLAN_H

#include "infer/memory.h"
#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_PLAN_NAME = 32, LT_PLAN_SHAPE = 64 };

/* One part of the transformer, for one block of one sequence. */
typedef struct lt_plan_row {
    char name[LT_PLAN_NAME];
    char shape[LT_PLAN_SHAPE]; /* of its output; "" where it has none in the forward */
    int64_t parameters;
    double flops; /* of one forward */
} lt_plan_row;

typedef struct lt_plan {
    char target[64];
    /* bytes that must suffice: those given, else what a run on the empty target may take; 0: unknown */
    int64_t limit;
    int row_count;
    lt_plan_row *rows;
    int64_t parameters;
    double forward_flops; /* one block without cache */
    double train_flops;   /* one optimizer step */
    double train_tokens;  /* of it, all streams */
    lt_memory inference;  /* streaming one video */
    lt_memory training;
    lt_recompute_choice recompute; /* of training: with train.recompute=auto what fits the limit */
    int layers;
} lt_plan;

/* `target` is "null" or "null:NAME" (lt_target_at). `policy` and `budget` are those of the streamed video. `limit`:
 * bytes that train.recompute=auto may use; 0: what `train` takes there without a limit (lt_memory_room). */
lt_status lt_plan_make(const lt_config *config, const char *target, const char *policy, const char *budget,
                       int64_t limit, lt_plan *out);
void lt_plan_free(lt_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
