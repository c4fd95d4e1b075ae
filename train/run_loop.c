/* Steps, and what happens between them. */
#include "train/run_impl.h"

#include "core/cli.h"
#include "core/io.h"
#include "core/log.h"
#include "train/samples.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The worst status for all; most often the lead's. */
static lt_status agree(const training *run, lt_status mine) {
    return run->options.comm ? lt_comm_agree(run->options.comm, mine) : mine;
}

static bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

static lt_status board_step(training *run, const lt_step_result *r, double rate) {
    lt_tensorboard *board = run->board;
    LT_TRY(lt_tensorboard_scalar(board, "train/loss", r->step, r->loss));
    LT_TRY(lt_tensorboard_scalar(board, "train/lr", r->step, r->lr));
    LT_TRY(lt_tensorboard_scalar(board, "train/grad_norm", r->step, r->grad_norm));
    return lt_tensorboard_scalar(board, "train/tokens_per_s", r->step, rate);
}

static lt_status write_step(training *run, const lt_step_result *r, double seconds) {
    double rate = seconds > 0 ? r->tokens / seconds : 0;
    lt_metrics_step row = {.result = r,
                           .objectives = lt_trainer_objectives(run->trainer),
                           .tokens_per_s = rate,
                           .seconds = run->state.seconds,
                           .peak_bytes = run->options.device->peak_bytes};
    LT_TRY(lt_metrics_write_step(run->metrics, &row));
    return board_step(run, r, rate);
}

/* A line now and then: loss, rate, time left. */
static void show(training *run, const lt_step_result *r) {
    double now = lt_seconds(), elapsed = now - run->shown_at;
    bool last = r->step == run->config.steps;
    if (elapsed < 5 && !last) return;
    double rate = (double)(r->step - run->shown_step) / (elapsed > 0 ? elapsed : 1);
    int64_t left = rate > 0 ? (int64_t)((double)(run->config.steps - r->step) / rate) : 0;
    lt_info("step %" PRId64 " / %" PRId64 ": loss %.4f, gradient %.3g, %.3g steps/s, %" PRId64
            ":%02d:%02d left",
            r->step, run->config.steps, r->loss, r->grad_norm, rate, left / 3600, (int)(left / 60 % 60),
            (int)(left % 60));
    run->shown_at = now;
    run->shown_step = r->step;
}

/* A rank that fails alone ends the job, and with it what this one has not written yet: with others, files do not
 * wait. */
static lt_status go_on_writing(training *run) {
    bool alone = !run->options.comm || lt_comm_size(run->options.comm) == 1;
    return alone ? lt_checkpoint_writer_step(run->writer) : lt_checkpoint_writer_finish(run->writer);
}

static lt_status one_step(training *run) {
    lt_step_result r;
    double start = lt_seconds();
    LT_TRY(lt_trainer_step(run->trainer, &r));
    double seconds = lt_seconds() - start;
    run->state.step = r.step;
    run->state.seconds += seconds;
    run->state.bad_steps = r.finite ? 0 : run->state.bad_steps + 1;
    lt_status status = LT_OK;
    if (run->lead) {
        status = write_step(run, &r, seconds);
        if (!r.finite) lt_warn("step %" PRId64 ": the gradient is not finite; nothing was updated", r.step);
        show(run, &r);
        if (status == LT_OK) status = lt_run_folder_check_log(run);
        if (status == LT_OK) status = go_on_writing(run);
    }
    if (status == LT_OK && run->state.bad_steps >= run->config.max_bad_steps) status = lt_run_diverged(run);
    return agree(run, status);
}

static lt_status write_validation(training *run, const lt_validation *v) {
    lt_info("step %" PRId64 ": validation loss %.5f over %" PRId64 " clips", run->state.step, v->loss,
            v->clips);
    LT_TRY(lt_metrics_write_validation(run->metrics, run->state.step, v, run->state.seconds));
    return lt_tensorboard_scalar(run->board, "val/loss", run->state.step, v->loss);
}

static lt_status swap_ema(training *run) {
    return lt_params_swap_ema(&run->model->params, &lt_trainer_session(run->trainer)->ctx);
}

/* On the EMA weights; *best when no earlier one was lower. */
static lt_status validate(training *run, bool *best) {
    lt_validation v;
    double start = lt_seconds();
    LT_TRY(swap_ema(run));
    lt_status status = lt_trainer_validate(run->trainer, &v);
    LT_TRY(swap_ema(run));
    run->state.seconds += lt_seconds() - start;
    if (status != LT_OK || !v.found) return status;
    lt_train_state *state = &run->state;
    *best = state->bad_steps == 0 && isfinite(v.loss) && (state->best_step == 0 || v.loss < state->best_loss);
    if (*best) state->best_step = state->step, state->best_loss = v.loss;
    return agree(run, run->lead ? write_validation(run, &v) : LT_OK);
}

static lt_status sample_path(const training *run, char path[LT_PATH_MAX]) {
    char name[64];
    snprintf(name, sizeof name, "samples/step-%" PRId64 ".mp4", run->state.step);
    return lt_path_join(path, run->options.out, name);
}

/* On the EMA weights, which a stream of its own reads: it must not overtake the step's update, or the swap. */
static lt_status write_sample(training *run) {
    lt_device *device = run->options.device;
    char folder[LT_PATH_MAX], path[LT_PATH_MAX];
    LT_TRY(lt_path_join(folder, run->options.out, "samples"));
    LT_TRY(lt_make_dirs(folder));
    LT_TRY(sample_path(run, path));
    LT_TRY(swap_ema(run));
    lt_status status = lt_device_synchronize(device, lt_trainer_session(run->trainer)->ctx.stream);
    if (status == LT_OK)
        status = lt_sample_write(run->model, &run->config, lt_dataset_get_spec(run->set)->fps,
                                 run->state.step, path);
    LT_TRY(swap_ema(run));
    if (status != LT_UNAVAILABLE) return status;
    lt_warn("no sample videos: %s", lt_error());
    run->samples_off = true;
    return LT_OK;
}

/* The rows before it are on the disk first. Beside the next step, or where there is none (`ends`) before it returns. */
static lt_status write_checkpoint(training *run, bool ends) {
    lt_checkpoint checkpoint = {.run = run->options.out,
                                .config = run->options.config,
                                .model = run->model,
                                .state = &run->state,
                                .keep = run->config.keep};
    LT_TRY(lt_run_folder_sync(run));
    LT_TRY(
        lt_checkpoint_writer_begin(run->writer, &checkpoint, lt_trainer_session(run->trainer)->ctx.stream));
    if (ends) return lt_checkpoint_writer_finish(run->writer);
    lt_trainer_update_after(run->trainer, lt_checkpoint_writer_copied(run->writer));
    return LT_OK;
}

/* What is due after a step. The best weights are always a checkpoint. A stop waits for a validation that is due:
 * resuming begins after it, and would not have its row. */
static lt_status between_steps(training *run, bool last, bool stop) {
    const lt_train_config *c = &run->config;
    int64_t step = run->state.step;
    bool best = false;
    if (c->validate_every > 0 && (last || due(step, c->validate_every))) LT_TRY(validate(run, &best));
    bool saves = run->state.bad_steps == 0 && (last || stop || best || due(step, c->checkpoint_every));
    if (saves) LT_TRY(lt_trainer_check_ranks(run->trainer));
    lt_status status = LT_OK;
    if (run->lead && !stop && due(step, c->sample_every) && !run->samples_off) status = write_sample(run);
    LT_TRY(agree(run, status));
    status = lt_run_keep_choices(run); /* those of the sample too */
    if (run->lead && status == LT_OK && saves) status = write_checkpoint(run, last || stop);
    return agree(run, status);
}

/* A sample that was due where the run was stopped is made when it goes on. */
static lt_status catch_up(training *run) {
    char path[LT_PATH_MAX];
    lt_status status = LT_OK;
    if (run->lead && run->state.step > 0 && due(run->state.step, run->config.sample_every)) {
        status = sample_path(run, path);
        if (status == LT_OK && !lt_path_exists(path)) status = write_sample(run);
    }
    return agree(run, status);
}

static lt_status stopped(const training *run) {
    return lt_fail(LT_INTERRUPTED, "stopped at step %" PRId64 " of %" PRId64 "; go on with --resume%s",
                   run->state.step, run->config.steps,
                   run->state.bad_steps > 0
                       ? ", which begins before the latest steps: they were skipped and have no checkpoint"
                       : "");
}

lt_status lt_run_loop(training *run) {
    run->started = run->shown_at = lt_seconds();
    run->shown_step = run->state.step;
    if (run->lead && run->state.step >= run->config.steps)
        lt_info("the run is at step %" PRId64 " already; ask for more with --steps", run->state.step);
    LT_TRY(catch_up(run));
    while (run->state.step < run->config.steps) {
        LT_TRY(one_step(run));
        lt_status stop = agree(run, lt_interrupted() ? LT_INTERRUPTED : LT_OK);
        LT_TRY(between_steps(run, run->state.step == run->config.steps, stop == LT_INTERRUPTED));
        if (stop != LT_OK) return agree(run, stopped(run));
    }
    return agree(run, run->state.bad_steps > 0 ? lt_run_diverged(run) : LT_OK);
}
