/* Rollouts: from the first blocks of a clip the model goes on alone, policy by policy with the same noise, and the
 * video is held against the clip as the codec reconstructs it (infer/metrics.h). Two baselines need no model: the last
 * frame standing still, and the context blocks copied in turn from the oldest on.
 */
#ifndef LT_INFER_EVALUATE_ROLLOUT_H
#define LT_INFER_EVALUATE_ROLLOUT_H

#include "infer/evaluate.h"
#include "infer/metrics.h"
#include "infer/paired.h"
#include "infer/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_rollout_options {
    lt_eval_options clips;    /* which clips; its blocks and draws are not used */
    int context, blocks;      /* given, then generated; clips hold both */
    lt_stream_options stream; /* steps, sampler, shift, guidance; the rest is set per policy and clip */
} lt_rollout_options;

/* 2 blocks of context, 8 generated in 20 Euler steps, no shift, no guidance. */
lt_rollout_options lt_rollout_default(void);

/* A table's rows: the specs, then the baselines. */
enum { LT_BASELINE_FREEZE, LT_BASELINE_COPY, LT_BASELINE_COUNT };
extern const char *const lt_baseline_names[LT_BASELINE_COUNT]; /* "freeze-last-frame", "copy-oldest" */

typedef struct lt_rollout_sample {
    int row;             /* index into specs, or count + LT_BASELINE_... */
    int64_t clip, order; /* index in the dataset; number among those evaluated */
    const lt_clip *clip_row;
    double values[LT_METRIC_COUNT]; /* NAN where a metric says nothing */
    /* The generated video and its source, [frames, height, width, 3]; the first frame is the last of the context. Valid
     * during the call. */
    const uint8_t *made, *real;
    int64_t frames;
} lt_rollout_sample;

typedef lt_status (*lt_rollout_sink)(const lt_rollout_sample *sample, void *user);

/* LT_USAGE, LT_INPUT and LT_INTERRUPTED as lt_evaluate; every policy can be streamed. `count` may be 0: baselines
 * only. */
lt_status lt_evaluate_rollout(lt_model *model, lt_dataset *set, const lt_rollout_options *options,
                              const lt_cache_spec *specs, int count, lt_rollout_sink sink, void *user);

/* Keeps the values of rollouts. */
typedef struct lt_rollout_table lt_rollout_table;
lt_status lt_rollout_table_open(int specs, lt_rollout_table **out);
void lt_rollout_table_close(lt_rollout_table *table);                         /* NULL is fine */
lt_status lt_rollout_table_add(const lt_rollout_sample *sample, void *table); /* an lt_rollout_sink */
/* Mean of one metric over the clips of a domain (NULL: all) on which it says something, in `count` tables (one per
 * training seed); with `against` >= 0, of its difference from that row. samples is 0 when there are none. */
lt_status lt_rollout_tables_figure(lt_rollout_table *const *tables, int count, const char *domain, int row,
                                   int against, lt_metric metric, lt_paired *out);

#ifdef __cplusplus
}
#endif
#endif
