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

/* `file`, or what a kill leaves of one that lt_write_file was writing: `file`.tmp and digits. */
static bool is_or_becomes(const char *name, const char *file) {
    size_t length = strlen(file);
    if (strncmp(name, file, length) != 0) return false;
    if (!name[length]) return true;
    if (strncmp(name + length, ".tmp", 4) != 0) return false;
    const char *digits = name + length + 4;
    return *digits && digits[strspn(digits, "0123456789")] == '\0';
}

/* A run whose start was cut short: environment.json is the first that a start writes, and the last that --force removes. */
static bool is_start(const char *folder) {
    char **names;
    int count;
    if (has(folder, "environment.json")) return true;
    if (lt_list_dir(folder, &names, &count) != LT_OK) return false;
    bool ours = count > 0;
    for (int i = 0; i < count; i++) ours = ours && is_or_becomes(names[i], "environment.json");
    lt_list_free(names, count);
    return ours;
}

static bool is_empty(const char *folder) {
    char **names;
    int count;
    if (lt_list_dir(folder, &names, &count) != LT_OK) return false;
    lt_list_free(names, count);
    return count == 0;
}

/* What --resume takes. */
static lt_status check_run(const char *out) {
    bool run = has(out, "config.json");
    LT_CHECK(run || !is_start(out), LT_INPUT,
             "--resume: %s is a run that was stopped before it began; start it again with --force", out);
    LT_CHECK(run, LT_INPUT, "--resume: %s is no run (it has no config.json)", out);
    return LT_OK;
}

lt_status lt_run_folder_check(const lt_run_options *o) {
    if (o->resume) return check_run(o->out);
    if (!lt_path_exists(o->out) || is_empty(o->out)) return LT_OK;
    bool run = has(o->out, "config.json"), start = is_start(o->out);
    if (o->force && (run || start)) return LT_OK;
    LT_CHECK(!o->force, LT_USAGE,
             "--force: %s is neither empty nor a run, so it is not replaced; choose another --out", o->out);
    LT_CHECK(!run, LT_USAGE,
             "%s exists; go on with --resume, replace it with --force, or choose another --out", o->out);
    LT_CHECK(!start, LT_USAGE,
             "%s is a run that was stopped before it began; replace it with --force, or choose another --out",
             o->out);
    return lt_fail(LT_USAGE, "%s is neither empty nor a run; choose another --out", o->out);
}

/* What a run writes, and what is left of it; nothing else in the folder is touched. */
static bool is_of_run(const char *name) {
    static const char *const files[] = {"checkpoints",   "samples",          "metrics.jsonl", "log.txt",
                                        LT_CHOICES_NAME, "environment.json", "config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (is_or_becomes(name, files[i])) return true;
    return strncmp(name, "events.out.tfevents.", 20) == 0;
}

static lt_status remove_file(const char *out, const char *name) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, out, name));
    return lt_remove_tree(path);
}

/* config.json goes first, so that --resume does not take what is left if a kill comes then, and environment.json last: until it is
 * gone, --force takes the folder again. */
static lt_status remove_old(const char *out) {
    char **names;
    int count;
    if (!lt_path_exists(out)) return LT_OK;
    LT_TRY(remove_file(out, "config.json"));
    LT_TRY(lt_list_dir(out, &names, &count));
    lt_status status = LT_OK;
    for (int i = 0; i < count && status == LT_OK; i++)
        if (is_of_run(names[i]) && strcmp(names[i], "environment.json") != 0)
            status = remove_file(out, names[i]);
    lt_list_free(names, count);
    LT_TRY(status);
    return remove_file(out, "environment.json");
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
    LT_TRY(check_run(out));
    return lt_config_load(path, overrides, override_count, config);
}
