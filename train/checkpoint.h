/* Checkpoints of a run: RUN/checkpoints/step-N with
 *
 *     model.safetensors       ema.safetensors     optimizer.safetensors ("m.NAME" and "v.NAME")
 *     state.json              config.json         DONE
 *
 * A checkpoint is written as step-N.tmp, flushed, renamed, and then marked DONE; readers take only what has DONE. So a
 * kill at any moment leaves the previous ones as they were. `latest` and `best` are links that are replaced atomically.
 */
#ifndef LT_TRAIN_CHECKPOINT_H
#define LT_TRAIN_CHECKPOINT_H

#include "core/config.h"
#include "core/io.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a run is besides its parameters. The loader's position follows from the step. */
typedef struct lt_train_state {
    int64_t step;      /* steps taken */
    int bad_steps;     /* the latest ones in a row that were skipped */
    int64_t best_step; /* 0: none yet */
    double best_loss;
    double seconds; /* of training */
} lt_train_state;

typedef struct lt_checkpoint {
    const char *run; /* folder */
    const lt_config *config;
    const lt_model *model; /* with EMA and moments */
    const lt_train_state *state;
    int64_t keep; /* newest that stay; the best stays besides */
} lt_checkpoint;

/* Writes step-N of state->step unless it is there already, moves the links (`best` to that of state->best_step), and
 * then removes what need not stay. LT_FAILED when the disk has not enough space; nothing is written then. */
lt_status lt_checkpoint_write(const lt_checkpoint *checkpoint);

/* The end of that, for a checkpoint that is written: links and removals that a kill or a failure may have kept from
 * being done. */
lt_status lt_checkpoint_tidy(const lt_checkpoint *checkpoint);

/* Steps of the whole checkpoints of `run`, ascending, at most `most`; the number of them, 0 where the folder cannot be
 * read. */
int lt_checkpoint_steps(const char *run, int64_t *steps, int most);

/* Back to the checkpoint of state->step: newer ones, newer samples and metrics.jsonl as it is go to a new folder
 * RUN/set-aside/N, and the links point to what is left. *aside gets that folder. */
lt_status lt_checkpoint_go_back(const char *run, const lt_train_state *state, char aside[LT_PATH_MAX]);

/* Restores values, EMA, moments and state from a folder that lt_run_checkpoint found. LT_INPUT names what is wrong. */
lt_status lt_checkpoint_read(const char *folder, lt_model *model, lt_train_state *state);

#ifdef __cplusplus
}
#endif
#endif
