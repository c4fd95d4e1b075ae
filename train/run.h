/* A training run and its folder (DESIGN section 8): opens everything, trains, validates, samples, writes checkpoints.
 * `longtake train` is this with options.
 */
#ifndef LT_TRAIN_RUN_H
#define LT_TRAIN_RUN_H

#include "core/comm.h"
#include "train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How far a run came. */
typedef struct lt_run_end {
    int64_t steps; /* taken in all */
    double seconds;
    int64_t best_step; /* of the lowest validation loss; 0: none was measured */
    double best_loss;
} lt_run_end;

typedef struct lt_run_options {
    const lt_config *config;
    const char *data, *out;
    const char *init;      /* run or folder whose weights and latent statistics it starts from; or NULL */
    const char *arguments; /* command line, for environment.json; or NULL */
    bool resume, force;
    bool writes_beside;   /* checkpoints are written beside the steps on the cpu too: tests */
    int64_t resume_from;  /* with resume: the step of an older checkpoint; 0: the latest */
    int64_t memory_limit; /* bytes on the device; 0: none, and train.recompute=auto uses what is free */
    lt_device *device;
    lt_comm *comm;   /* or NULL */
    lt_run_end *end; /* or NULL: not asked for */
} lt_run_options;

/* One process at a time writes into a run (core/folder.h): LT_INPUT where another one does. What a resumed run is gone
 * on with that it was not begun with (data, threads, program, device, configuration) is said, and kept in
 * environment.json. With resume_from, newer checkpoints, newer samples and metrics.jsonl as it was go to
 * RUN/set-aside/N first.
 *
 * LT_USAGE: configuration, more than memory_limit, or `out` exists and neither resume nor force is set. LT_INPUT: data
 * or weights; nothing was written then. LT_INTERRUPTED: a checkpoint was written; resume goes on from it. A resumed run
 * goes on from its latest complete checkpoint, or from the start where it has none, and gives the same bits as an
 * unbroken one. */
lt_status lt_run_train(const lt_run_options *options);

/* The configuration that a resumed run was started with: `out`/config.json with these overrides. */
lt_status lt_run_config(const char *out, const char *const *overrides, int override_count,
                        lt_config **config);

#ifdef __cplusplus
}
#endif
#endif
