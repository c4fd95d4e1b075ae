/* The run folder: config.json, environment.json, algorithms.json, metrics.jsonl, TensorBoard events, log.txt,
 * checkpoints, samples. */
#include "train/run_impl.h"

#include "core/log.h"
#include "kernels/choices.h"
#include "train/environment.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool has(const char *folder, const char *name) {
    char path[LT_PATH_MAX];
    return lt_path_join(path, folder, name) == LT_OK && lt_path_exists(path);
}

/* `file`, or what a kill leaves of one that lt_write_file was writing: `file`.tmp and digits. */
static bool is_or_becomes(const char *name, const char *file) {
    size_t length = strlen(file);
    if (strncmp(name, file, length) != 0) return false;
    if (!name[length]) return true;
    if (strncmp(name + length, ".tmp", 4) != 0) return false;
    const char *digits = name + length + 4;
    return *digits && digits[strspn(digits, "0123456789")] == '\0';
}

static const char kind[] = "run";

/* A start that was cut short before config.json: nothing of it is worth keeping, so the next start needs no --force.
 * --force that was cut short while it removed the old run leaves more, and is given again. */
static bool never_began(const char *out) {
    static const char *const results[] = {"config.json", "metrics.jsonl", "checkpoints", "samples"};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (has(out, results[i])) return false;
    return lt_folder_is(out, kind);
}

/* What --resume takes. */
static lt_status check_run(const char *out) {
    bool run = has(out, "config.json");
    LT_CHECK(run || !never_began(out), LT_INPUT,
             "--resume: %s is a run that was stopped before it began; start it again without --resume", out);
    LT_CHECK(run || !lt_folder_is(out, kind), LT_INPUT,
             "--resume: %s is what was left of a run while it was replaced; start it again with --force",
             out);
    LT_CHECK(run, LT_INPUT, "--resume: %s is no run (it has no config.json)", out);
    return LT_OK;
}

/* Where a new run may go. The mark is the first that a start writes. */
static lt_status check_new(const lt_run_options *o) {
    if (!lt_path_exists(o->out) || lt_folder_is_empty(o->out) || never_began(o->out)) return LT_OK;
    bool run = has(o->out, "config.json"), ours = lt_folder_is(o->out, kind);
    if (o->force && ours) return LT_OK;
    LT_CHECK(!o->force || !run, LT_USAGE,
             "--force: %s has no file " LT_FOLDER_MARK
             " that marks it as a run that longtake made, so it is not replaced; --resume marks a run of an "
             "earlier version; or remove the folder, or choose another --out",
             o->out);
    LT_CHECK(!o->force, LT_USAGE,
             "--force: %s is neither empty nor a run, so it is not replaced; choose another --out", o->out);
    LT_CHECK(!run, LT_USAGE,
             "%s exists; go on with --resume, replace it with --force, or choose another --out", o->out);
    LT_CHECK(
        !ours, LT_USAGE,
        "%s is what was left of a run while it was replaced; go on with --force, or choose another --out",
        o->out);
    return lt_fail(LT_USAGE, "%s is neither empty nor a run; choose another --out", o->out);
}

lt_status lt_run_folder_claim(training *run) {
    const lt_run_options *o = &run->options;
    LT_TRY(o->resume ? check_run(o->out) : check_new(o));
    if (!o->resume && !has(o->out, LT_FOLDER_MARK)) return LT_OK; /* made when everything else stands */
    LT_TRY(lt_folder_lock_take(o->out, kind, &run->lock));
    return o->resume ? check_run(o->out) : check_new(o); /* the one that held it may have changed it */
}

/* ---- replacing an old run ---------------------------------------------------------------------------------------- */

static bool is_of_run(const char *name) {
    static const char *const files[] = {"metrics.jsonl", "log.txt", LT_CHOICES_NAME, "environment.json",
                                        "config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (is_or_becomes(name, files[i])) return true;
    return strncmp(name, "events.out.tfevents.", 20) == 0 || strcmp(name, "set-aside") == 0;
}

static bool is_checkpoint(const char *name) {
    static const char *const links[] = {"latest", "best", "latest.link", "best.link"};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (strcmp(name, links[i]) == 0) return true;
    return strncmp(name, "step-", 5) == 0;
}

static bool is_sample(const char *name) {
    size_t length = strlen(name);
    return strncmp(name, "step-", 5) == 0 && length > 4 && strcmp(name + length - 4, ".mp4") == 0;
}

/* config.json goes first, so that --resume does not take what is left if a kill comes then. */
static lt_status remove_old(const char *out) {
    char path[LT_PATH_MAX];
    if (!lt_path_exists(out)) return LT_OK;
    LT_TRY(lt_path_join(path, out, "config.json"));
    LT_TRY(lt_remove_tree(path));
    LT_TRY(lt_folder_remove_own(out, "checkpoints", is_checkpoint));
    LT_TRY(lt_folder_remove_own(out, "samples", is_sample));
    return lt_folder_remove_own(out, "", is_of_run);
}

/* What kills have left of files that were being written. */
static bool is_remains(const char *name) { return is_of_run(name) && strstr(name, ".tmp"); }

/* ---- log.txt ----------------------------------------------------------------------------------------------------- */

/* The log must not fail what logs, which may be anywhere; the next step does. */
static void to_log(lt_log_level level, const char *line, void *user) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    training *run = user;
    char when[32], *text = NULL;
    time_t now = time(NULL);
    struct tm parts;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &parts));
    char *error = strdup(lt_error()); /* stays what it was */
    int size = asprintf(&text, "%s %s: %s\n", when, names[level], line);
    if (size < 0 || lt_rows_add(run->log, text, (size_t)size) != LT_OK) {
        run->log_failed = true;
        lt_fail(LT_FAILED, "%s", error ? error : "");
    }
    if (size >= 0) free(text);
    free(error);
}

lt_status lt_run_folder_check_log(training *run) {
    bool failed = run->log_failed;
    run->log_failed = false;
    LT_CHECK(!failed, LT_FAILED, "%s/log.txt: cannot write; is the disk full?", run->options.out);
    return LT_OK;
}

static lt_status open_log(training *run) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, run->options.out, "log.txt"));
    LT_TRY(lt_rows_open(path, false, &run->log));
    lt_log_tee(to_log, run);
    return LT_OK;
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

/* config.json goes last: it makes the folder a run, which --resume takes if a kill comes then, and environment.json
 * says what such a run started from. --force takes a folder with either. */
static lt_status write_records(training *run) {
    const lt_run_options *o = &run->options;
    char path[LT_PATH_MAX], keep[LT_RECOMPUTE_TEXT];
    lt_trainer_sources sources = lt_trainer_get_sources(run->trainer);
    lt_environment now = {
        .device = o->device,
        .set = run->set,
        .comm = o->comm,
        .arguments = o->arguments,
        .recompute = lt_recompute_text(&run->recompute.keep, run->model->config.layers, keep),
        .latents = lt_latents_mode_name(sources.latents),
        .captions = lt_latents_mode_name(sources.captions),
        .init = &run->init,
        .config = o->config,
        .step = run->state.step,
        .consequence = run->state.step > 0 ? "its bits are no longer those of an unbroken run" : NULL};
    LT_TRY(lt_path_join(path, o->out, "environment.json"));
    LT_TRY(lt_environment_write(path, &now));
    LT_TRY(lt_path_join(path, o->out, "config.json"));
    return lt_config_save(o->config, path);
}

static lt_status go_back(training *run) {
    char aside[LT_PATH_MAX];
    LT_TRY(lt_checkpoint_go_back(run->options.out, &run->state, aside));
    lt_info("gone back to step %" PRId64 "; what came after it is in %s", run->state.step, aside);
    return LT_OK;
}

static lt_status tidy(const training *run) {
    const lt_checkpoint c = {.run = run->options.out, .state = &run->state, .keep = run->config.keep};
    return lt_checkpoint_tidy(&c);
}

/* Another start may have taken the folder since it was looked at. */
static lt_status make_folder(training *run) {
    const lt_run_options *o = &run->options;
    if (!run->lock) {
        LT_TRY(lt_folder_lock_take(o->out, kind, &run->lock));
        LT_TRY(check_new(o));
    }
    return o->resume ? lt_folder_remove_own(o->out, "", is_remains) : remove_old(o->out);
}

lt_status lt_run_folder_open(training *run) {
    const lt_run_options *o = &run->options;
    char path[LT_PATH_MAX];
    LT_TRY(make_folder(run));
    LT_TRY(open_log(run));
    if (o->resume_from > 0) LT_TRY(go_back(run));
    if (run->state.step > 0) LT_TRY(tidy(run));
    LT_TRY(write_records(run));
    LT_TRY(lt_path_join(path, o->out, "metrics.jsonl"));
    LT_TRY(lt_metrics_open(path, run->state.step, &run->metrics));
    return lt_tensorboard_open(o->out, run->state.step, &run->board);
}

lt_status lt_run_folder_sync(training *run) {
    LT_TRY(lt_metrics_sync(run->metrics));
    return lt_tensorboard_sync(run->board);
}

void lt_run_folder_close(training *run, lt_status status) {
    lt_metrics_close(run->metrics);
    lt_tensorboard_close(run->board);
    if (!run->log) return;
    lt_log_tee(NULL, NULL);
    if (status != LT_OK) to_log(status == LT_INTERRUPTED ? LT_LOG_INFO : LT_LOG_ERROR, lt_error(), run);
    lt_rows_close(run->log);
}

lt_status lt_run_config(const char *out, const char *const *overrides, int override_count,
                        lt_config **config) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, out, "config.json"));
    LT_TRY(check_run(out));
    return lt_config_load(path, overrides, override_count, config);
}
