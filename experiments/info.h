/* What a dataset, a run or a results folder holds, as JSON: the content of `longtake info` and parts of the report. */
#ifndef LT_EXPERIMENTS_INFO_H
#define LT_EXPERIMENTS_INFO_H

#include "experiments/json_file.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_info_kind { LT_INFO_DATASET, LT_INFO_RUN, LT_INFO_RESULTS } lt_info_kind;

/* LT_INPUT when `path` is none of these. A folder is a results folder if it has cells/, else a run. */
lt_status lt_info_kind_of(const char *path, lt_info_kind *out);

/* {path, kind: "dataset", width, height, fps, clips, frames, hash, flow, latents, text, sets: [{domain, role, groups,
 * clips, frames, seconds, luma_diff, flow_px_per_s, cuts, returns}]}; sets are sorted by domain and role, motion is the
 * mean over frames. Free *out with cJSON_Delete, here and below. */
lt_status lt_info_dataset(const char *path, struct cJSON **out);

/* {path, kind: "run", config: the run's, parameters, checkpoint and weights_hash: of what would be used, step,
 * seconds, loss: mean of the last 100 steps up to loss_step, val_loss at val_step, best_val_loss at best_val_step,
 * checkpoints: [{name, bytes, done}], curve: [[step, loss]...] (at most 200 points, each the mean of its steps),
 * val_curve}. Figures that a run does not have are null. */
lt_status lt_info_run(const char *path, struct cJSON **out);

/* Every training loss and validation loss of a run, [step, value] as its metrics have them; free `at` of both,
 * whatever comes back. */
typedef struct lt_losses {
    double (*at)[2];
    int64_t count, room;
} lt_losses;
lt_status lt_info_losses(const char *path, lt_losses *loss, lt_losses *val);

/* {path, kind: "results", cells: finished ones, results: results.json, or null until the ablation is done} */
lt_status lt_info_results(const char *path, struct cJSON **out);

/* Verifies: a dataset's checksums and groups (lt_dataset_check); a run's checkpoints (DONE, every tensor finite, the
 * model of config.json takes them); the cells of results. One line per fault through `report`; LT_INPUT when there was
 * any. */
typedef void (*lt_info_report)(const char *line, void *user);
lt_status lt_info_check(const char *path, lt_info_report report, void *user);

#ifdef __cplusplus
}
#endif
#endif
