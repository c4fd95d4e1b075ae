/* Training steps: batch -> latents -> clip pass (infer/clip_pass.h) -> gradients -> update.
 *
 *     lt_trainer_spec spec = {.config = &config, .model = model, .set = set, .comm = comm};
 *     LT_TRY(lt_trainer_open(&spec, first_step, &trainer));
 *     LT_TRY(lt_trainer_step(trainer, &result));        as often as needed
 *     lt_trainer_close(trainer);
 *
 * A step is a pure function of the model with its optimizer state, the data, the configuration and the step's number:
 * nothing else needs saving. All memory is taken when the trainer is opened.
 */
#ifndef LT_TRAIN_TRAINER_H
#define LT_TRAIN_TRAINER_H

#include "core/comm.h"
#include "data/loader.h"
#include "infer/clip_pass.h"
#include "infer/memory.h"
#include "train/objective/objective.h"
#include "train/optimizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_trainer_spec {
    const lt_train_config *config;
    lt_model *model;                       /* with LT_MODEL_TRAINING, trainable parts marked */
    lt_dataset *set;                       /* NULL: only to rehearse; latents are normals then */
    lt_comm *comm;                         /* NULL: one rank */
    const lt_objective *const *objectives; /* NULL: the program's table; else rows to choose from */
    int objective_count;
} lt_trainer_spec;

typedef struct lt_trainer lt_trainer;

/* One step's figures, the same on every rank. */
typedef struct lt_step_result {
    int64_t step; /* from 1: the number of steps taken, this one included */
    double loss, lr, grad_norm;
    bool finite;                          /* false: nothing was updated */
    double tokens;                        /* that went through the transformer, all streams and ranks */
    double figures[LT_OBJECTIVE_FIGURES]; /* of the objectives: lt_objectives_report names them */
} lt_step_result;

/* `done`: steps taken so far. LT_USAGE when the batch does not divide among the ranks, or the dataset's frames are not
 * the model's; LT_INPUT when no clip qualifies. */
lt_status lt_trainer_open(const lt_trainer_spec *spec, int64_t done, lt_trainer **out);
void lt_trainer_close(lt_trainer *trainer);
/* Takes the next step. All ranks call it. */
lt_status lt_trainer_step(lt_trainer *trainer, lt_step_result *out);

/* The next update waits on the device until `event` is reached: somebody reads the values before. NULL: it need not. */
void lt_trainer_update_after(lt_trainer *trainer, lt_event *event);

/* LT_FAILED, on all ranks, when a rank's values or their EMA are not rank 0's: all have taken the same steps. It reads
 * all values: for checkpoints. All ranks must call. */
lt_status lt_trainer_check_ranks(lt_trainer *trainer);

/* Clips the loader shuffles; seconds the steps have waited for frames. */
int64_t lt_trainer_clips(const lt_trainer *trainer);
double lt_trainer_wait_seconds(const lt_trainer *trainer);
/* Tokens of one optimizer step, all streams and ranks. */
double lt_trainer_tokens(const lt_trainer *trainer);
/* Where the clips' latents and captions come from: never LT_LATENTS_AUTO. */
typedef struct lt_trainer_sources {
    lt_latents_mode latents, captions;
} lt_trainer_sources;
lt_trainer_sources lt_trainer_get_sources(const lt_trainer *trainer);
/* What its steps minimise. */
const lt_objectives *lt_trainer_objectives(const lt_trainer *trainer);
/* What its steps run in: context, tape and arenas. */
lt_session *lt_trainer_session(const lt_trainer *trainer);

/* For benchmarks: a step on the latents that lie in host memory, under the next row of the mix, at learning rate 0. */
lt_status lt_trainer_rehearse(lt_trainer *trainer);

/* What a training step of this rank takes, measured on a null device; no dataset needed. */
lt_status lt_trainer_measure(const lt_trainer_spec *spec, const char *target, lt_session_plan *plan);

/* The same by role, with the streams of rollouts and samples where the model lies on a null device. */
lt_status lt_trainer_memory(const lt_trainer_spec *spec, lt_session_plan *plan, lt_memory *out);
/* Where config->recompute is automatic: chooses what is kept within `limit` bytes (0: everything), all roles counted,
 * and puts it there; spec->config is `config`. Otherwise *out has the peak alone. lt_trainer_fit: LT_USAGE where that
 * exceeds the limit, with the largest role and what would fit. */
lt_status lt_trainer_choose(const lt_trainer_spec *spec, lt_train_config *config, int64_t limit,
                            lt_recompute_choice *out);
lt_status lt_trainer_fit(const lt_trainer_spec *spec, lt_train_config *config, int64_t limit,
                         lt_recompute_choice *out);

/* Validation loss of the values in force (swap the EMA in before) on fixed clips, noise and times: `clips` clips of
 * role val, each at five times, one in each fifth of [0, 1]. by_time: mean loss in each fifth. *found is false, and
 * nothing is measured, where the dataset has no such clips. All ranks must call. */
enum { LT_TIME_BINS = 5 };
typedef struct lt_validation {
    bool found;
    int64_t clips;
    double loss, by_time[LT_TIME_BINS];
} lt_validation;
lt_status lt_trainer_validate(lt_trainer *trainer, lt_validation *out);

#ifdef __cplusplus
}
#endif
#endif
