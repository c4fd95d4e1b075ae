/* A run's metrics.jsonl: one JSON object per line, written line by line. Rows of a step have step, loss, lr, grad_norm,
 * tokens_per_s, peak_bytes, seconds; rows of a validation have step, val_loss, val_by_time, seconds. Numbers that are
 * not finite are null.
 */
#ifndef LT_TRAIN_METRICS_H
#define LT_TRAIN_METRICS_H

#include "train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_metrics lt_metrics;

/* Opens for appending. Rows with a step above `step` (those that followed the checkpoint that a run resumes from), and
 * a line that a kill cut short, are removed first. */
lt_status lt_metrics_open(const char *path, int64_t step, lt_metrics **out);
void lt_metrics_close(lt_metrics *metrics);
/* The rows so far survive a power cut: before a checkpoint that follows them. */
lt_status lt_metrics_sync(lt_metrics *metrics);

typedef struct lt_metrics_step {
    const lt_step_result *result;
    const lt_objectives *objectives; /* whose figures are written too; or NULL */
    double tokens_per_s, seconds;    /* seconds of training so far, earlier sessions included */
    int64_t peak_bytes;
} lt_metrics_step;
/* A row of a step, and one of a validation. */
lt_status lt_metrics_write_step(lt_metrics *metrics, const lt_metrics_step *row);
lt_status lt_metrics_write_validation(lt_metrics *metrics, int64_t step, const lt_validation *validation,
                                      double seconds);

#ifdef __cplusplus
}
#endif
#endif
