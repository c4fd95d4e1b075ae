/* The run folder: config.json, environment.json, algorithms.json, metrics.jsonl, TensorBoard events, log.txt, checkpoints, samples. */
#include "train/run_impl.h"

#include "core/io.h"
#include "core/log.h"
#include "kernels/choices.h"
#include "train/environment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool has(const char *folder, const char *name) {
    char path[LT_PATH_MAX];
    return lt_path_join(path, folder, name) == LT_OK && lt_path_exists(path);
}

static bool is_empty(const char *folder) {
    char **names;
    int count;
    if (lt_list_dir(folder, &names, &count) != LT_OK) return false;
    lt_list_free(names, count);
    return count == 0;
}

lt_status lt_run_folder_check(const lt_run_options *o) {
    bool exists = lt_path_exists(o->out), run = exists && has(o->out, "config.json");
    if (o->resume) LT_CHECK(run, LT_INPUT, "--resume: %s is no run (it has no config.json)", o->out);
    else if (o->force)
        LT_CHECK(!exists || run || has(o->out, "environment.json") || is_empty(o->out), LT_USAGE,
                 "--force: %s is neither empty nor a run, so it is not replaced; choose another --out",
                 o->out);
    else
        LT_CHECK(!exists || is_empty(o->out), LT_USAGE,
                 "%s exists; go on with --resume, replace it with --force, or choose another --out", o->out);
    return LT_OK;
}

/* What a run writes; nothing else in the folder is touched. */
static lt_status remove_old(const char *out) {
    static const char *const names[] = {"checkpoints", "samples",     "metrics.jsonl",
                                        "log.txt",     "config.json", LT_CHOICES_NAME};
    char path[LT_PATH_MAX], **files;
    int count;
    if (!lt_path_exists(out)) return LT_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        LT_TRY(lt_path_join(path, out, names[i]));
        LT_TRY(lt_remove_tree(path));
    }
    LT_TRY(lt_list_dir(out, &files, &count));
    lt_status status = LT_OK;
    for (int i = 0; i < count && status == LT_OK; i++) {
        if (strncmp(files[i], "events.out.tfevents.", 20) != 0) continue;
        status = lt_path_join(path, out, files[i]);
        if (status == LT_OK) status = lt_remove_tree(path);
    }
    lt_list_free(files, count);
    LT_TRY(status);
    LT_TRY(lt_path_join(path, out,
                        "environment.json")); /* last: until it is gone, --force takes the folder again */
    return lt_remove_tree(path);
}

static void to_log(lt_log_level level, const char *line, void *user) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char when[32];
    time_t now = time(NULL);
    struct tm parts;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &parts));
    fprintf(user, "%s %s: %s\n", when, names[level], line);
    fflush(user);
}

static lt_status open_log(training *run) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, run->options.out, "log.txt"));
    run->log = fopen(path, "ae");
    LT_CHECK(run->log, LT_FAILED, "%s: %s", path, strerror(errno));
    lt_log_tee(to_log, run->log);
    return LT_OK;
}

/* config.json goes last: it makes the folder a run, which --resume takes if a kill comes then, and environment.json says what such a
 * run started from. --force takes a folder with either. */
static lt_status write_records(training *run) {
    const lt_run_options *o = &run->options;
    char path[LT_PATH_MAX];
    char keep[LT_RECOMPUTE_TEXT];
    lt_recompute_text(&run->recompute.keep, run->model->config.layers, keep);
    LT_TRY(lt_path_join(path, o->out, "environment.json"));
    LT_TRY(lt_environment_write(path, o->device, run->set, o->comm, o->arguments, keep, &run->init));
    LT_TRY(lt_path_join(path, o->out, "config.json"));
    return lt_config_save(o->config, path);
}

lt_status lt_run_folder_open(training *run) {
    const lt_run_options *o = &run->options;
    char path[LT_PATH_MAX];
    if (!o->resume) LT_TRY(remove_old(o->out));
    LT_TRY(lt_make_dirs(o->out));
    LT_TRY(write_records(run));
    LT_TRY(open_log(run));
    LT_TRY(lt_path_join(path, o->out, "metrics.jsonl"));
    LT_TRY(lt_metrics_open(path, run->state.step, &run->metrics));
    return lt_tensorboard_open(o->out, run->state.step, &run->board);
}

void lt_run_folder_close(training *run, lt_status status) {
    lt_metrics_close(run->metrics);
    lt_tensorboard_close(run->board);
    if (!run->log) return;
    lt_log_tee(NULL, NULL);
    if (status != LT_OK) to_log(status == LT_INTERRUPTED ? LT_LOG_INFO : LT_LOG_ERROR, lt_error(), run->log);
    fclose(run->log);
}

lt_status lt_run_config(const char *out, const char *const *overrides, int override_count,
                        lt_config **config) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, out, "config.json"));
    LT_CHECK(lt_path_exists(path), LT_INPUT, "--resume: %s is no run (it has no config.json)", out);
    return lt_config_load(path, overrides, override_count, config);
}
