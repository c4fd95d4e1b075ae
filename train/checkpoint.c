#include "train/checkpoint.h"

#include "core/json.h"
#include "core/output.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- optimizer.safetensors --------------------------------------------------------------------------------------- */

typedef struct moments {
    lt_st_entry *entries;
    char (*names)[LT_PARAM_NAME + 2];
    float *data;
    int count;
} moments;

static const struct {
    lt_param_copy copy;
    const char *prefix;
} copies[2] = {{LT_COPY_M, "m."}, {LT_COPY_V, "v."}};

static lt_status add_moment(moments *list, const lt_params *params, const lt_published *p, int which,
                            float *to) {
    double *values = malloc((size_t)p->count * sizeof *values);
    LT_CHECK(values, LT_FAILED, "%s: out of memory", p->name);
    lt_status status = lt_params_get(params, copies[which].copy, p, values);
    for (int64_t i = 0; i < p->count; i++) to[i] = (float)values[i];
    free(values);
    char *name = list->names[list->count];
    snprintf(name, sizeof *list->names, "%s%s", copies[which].prefix, p->name);
    list->entries[list->count++] = (lt_st_entry){name, lt_tensor_of(to, LT_F32, p->ndim, p->shape)};
    return status;
}

static lt_status gather(moments *list, const lt_params *params) {
    float *at = list->data;
    for (int which = 0; which < 2; which++)
        for (int i = 0; i < params->published_count; i++) {
            LT_TRY(add_moment(list, params, &params->published[i], which, at));
            at += params->published[i].count;
        }
    return LT_OK;
}

static lt_status save_moments(const lt_params *params, const char *path) {
    size_t count = 2 * (size_t)params->published_count;
    moments list = {.entries = calloc(count, sizeof *list.entries),
                    .names = calloc(count, sizeof *list.names),
                    .data = malloc(2 * (size_t)lt_params_numel(params) * sizeof(float))};
    lt_input_rows inputs;
    int rows = lt_params_input_rows(params, &inputs);
    lt_status status =
        list.entries && list.names && list.data ? LT_OK : lt_fail(LT_FAILED, "%s: out of memory", path);
    if (status == LT_OK) status = gather(&list, params);
    if (status == LT_OK)
        status =
            lt_st_write_hashed(path, list.entries, list.count, (const char *const(*)[2])inputs.row, rows);
    free(list.entries);
    free(list.names);
    free(list.data);
    return status;
}

/* Elements of the file's tensor, whose inputs may be other ones, as the program's. */
static lt_status moment_values(const lt_published *p, const lt_st_file *file, const lt_st_entry *entry,
                               double *values) {
    lt_input_map map;
    int64_t count = p->count;
    if (p->inputs) {
        LT_TRY(lt_inputs_map(p->inputs, file, &map));
        count = p->count / p->inputs->count * map.width;
    }
    LT_CHECK(entry->tensor.dtype == LT_F32 && lt_numel(&entry->tensor) == count, LT_INPUT,
             "%s has %lld elements of %s, expected %lld of f32", entry->name,
             (long long)lt_numel(&entry->tensor), lt_dtype_name(entry->tensor.dtype), (long long)count);
    for (int64_t i = 0; i < p->count; i++) {
        int64_t at = p->inputs ? lt_inputs_at(p, &map, i) : i;
        values[i] = at < 0 ? 0 : ((const float *)entry->tensor.data)[at];
    }
    return LT_OK;
}

static lt_status load_moment(lt_params *params, const lt_published *p, int which, const lt_st_file *file) {
    char name[LT_PARAM_NAME + 2];
    snprintf(name, sizeof name, "%s%s", copies[which].prefix, p->name);
    const lt_st_entry *entry = lt_st_find(file, name);
    LT_CHECK(entry, LT_INPUT, "the tensor %s is missing", name);
    double *values = malloc((size_t)p->count * sizeof *values);
    LT_CHECK(values, LT_FAILED, "%s: out of memory", name);
    lt_status status = moment_values(p, file, entry, values);
    if (status == LT_OK) status = lt_params_set(params, copies[which].copy, p, values);
    free(values);
    return status;
}

static lt_status load_moments(lt_params *params, const char *path) {
    lt_st_file *file;
    LT_TRY(lt_st_open(path, &file));
    lt_status status = lt_st_verify(file);
    for (int which = 0; which < 2; which++)
        for (int i = 0; i < params->published_count && status == LT_OK; i++)
            status = load_moment(params, &params->published[i], which, file);
    lt_st_close(file);
    return status == LT_OK ? LT_OK : lt_fail_in(status, "%s", path);
}

/* ---- state.json -------------------------------------------------------------------------------------------------- */

static lt_status save_state(const lt_train_state *state, const char *path) {
    char text[512];
    int size = snprintf(text, sizeof text,
                        "{\n  \"step\": %" PRId64 ",\n  \"bad_steps\": %d,\n  \"best_step\": %" PRId64
                        ",\n  \"best_loss\": %.17g,\n  \"seconds\": %.6f\n}\n",
                        state->step, state->bad_steps, state->best_step,
                        state->best_step ? state->best_loss : 0, state->seconds);
    return lt_write_file(path, text, (size_t)size);
}

static lt_status field(const cJSON *root, const char *path, const char *name, double *out) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, name);
    LT_CHECK(cJSON_IsNumber(value), LT_INPUT, "%s: \"%s\" is missing or no number", path, name);
    *out = value->valuedouble;
    return LT_OK;
}

static lt_status count_field(const cJSON *root, const char *path, const char *name, double most,
                             int64_t *out) {
    double value = 0;
    LT_TRY(field(root, path, name, &value));
    LT_CHECK(value >= 0 && value <= most && value == floor(value), LT_INPUT,
             "%s: \"%s\" is %.15g, expected a whole number from 0 to %.15g", path, name, value, most);
    *out = (int64_t)value;
    return LT_OK;
}

static lt_status load_state(const char *path, lt_train_state *state) {
    char *text;
    size_t size;
    cJSON *root;
    int64_t bad = 0;
    LT_TRY(lt_read_file(path, &text, &size));
    lt_status status = lt_json_parse(text, size, path, LT_INPUT, &root);
    free(text);
    LT_TRY(status);
    status = count_field(root, path, "step", 1e12, &state->step);
    if (status == LT_OK) status = count_field(root, path, "bad_steps", 1e6, &bad);
    if (status == LT_OK)
        status = count_field(root, path, "best_step", (double)state->step, &state->best_step);
    if (status == LT_OK) status = field(root, path, "best_loss", &state->best_loss);
    if (status == LT_OK) status = field(root, path, "seconds", &state->seconds);
    cJSON_Delete(root);
    state->bad_steps = (int)bad;
    return status;
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

static lt_status write_files(const lt_checkpoint *c, const char *folder) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_make_dirs(folder));
    LT_TRY(lt_model_save(c->model, folder));
    LT_TRY(lt_path_join(path, folder, "optimizer.safetensors"));
    LT_TRY(save_moments(&c->model->params, path));
    LT_TRY(lt_path_join(path, folder, "config.json"));
    LT_TRY(lt_config_save(c->config, path));
    LT_TRY(lt_path_join(path, folder, "state.json"));
    LT_TRY(save_state(c->state, path));
    return lt_sync_path(folder);
}

/* checkpoints/`name` -> step-N: a new link beside it, renamed over it. */
static lt_status point(const char *checkpoints, const char *name, int64_t step) {
    char link[LT_PATH_MAX], aside[LT_PATH_MAX], target[64], temporary[64];
    snprintf(target, sizeof target, "step-%" PRId64, step);
    snprintf(temporary, sizeof temporary, "%s.link", name);
    LT_TRY(lt_path_join(link, checkpoints, name));
    LT_TRY(lt_path_join(aside, checkpoints, temporary));
    (void)unlink(aside);
    LT_CHECK(symlink(target, aside) == 0, LT_FAILED, "%s: %s", aside, strerror(errno));
    lt_status status = lt_rename(aside, link);
    if (status != LT_OK) (void)unlink(aside);
    return status;
}

static int64_t step_of(const char *name) {
    char *end;
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return -1;
    int64_t step = strtoll(name + 5, &end, 10);
    return *end && strcmp(end, ".tmp") != 0 ? -1 : step;
}

/* DONE goes first, so that a removal that is cut short leaves no checkpoint that looks whole. */
static lt_status remove_checkpoint(const char *folder) {
    char done[LT_PATH_MAX];
    LT_TRY(lt_path_join(done, folder, "DONE"));
    LT_CHECK(unlink(done) == 0 || errno == ENOENT, LT_FAILED, "%s: cannot be removed: %s", done,
             strerror(errno));
    return lt_remove_tree(folder);
}

static bool is_whole(const char *folder) {
    char done[LT_PATH_MAX];
    return lt_path_join(done, folder, "DONE") == LT_OK && lt_path_exists(done);
}

/* Of the whole checkpoints before this one, the newest `keep` - 1 stay, and the best; remains of interrupted writes
 * go. */
static lt_status prune(const lt_checkpoint *c, const char *checkpoints) {
    char **names, path[LT_PATH_MAX];
    int count;
    LT_TRY(lt_list_dir(checkpoints, &names, &count));
    lt_status status = LT_OK;
    for (int i = 0; i < count && status == LT_OK; i++) {
        int64_t step = step_of(names[i]), newer = 0;
        if (step < 0 || (status = lt_path_join(path, checkpoints, names[i])) != LT_OK) continue;
        bool whole = is_whole(path);
        for (int j = 0; j < count && whole; j++)
            newer += !strstr(names[j], ".tmp") && step_of(names[j]) > step;
        if (whole && (step == c->state->best_step || newer < c->keep)) continue;
        status = remove_checkpoint(path);
    }
    lt_list_free(names, count);
    return status;
}

static lt_status write_new(const lt_checkpoint *c, const char *checkpoints, const char *folder) {
    char aside[LT_PATH_MAX], done[LT_PATH_MAX], name[64];
    int64_t bytes = 4 * lt_params_numel(&c->model->params) * (int64_t)sizeof(float) + (1 << 20);
    snprintf(name, sizeof name, "step-%" PRId64 ".tmp", c->state->step);
    LT_TRY(lt_path_join(aside, checkpoints, name));
    LT_TRY(lt_path_join(done, folder, "DONE"));
    LT_TRY(lt_require_space(checkpoints, bytes));
    LT_TRY(lt_remove_tree(aside));
    LT_TRY(lt_remove_tree(folder));
    lt_status status = write_files(c, aside);
    if (status != LT_OK) {
        char message[1024];
        snprintf(message, sizeof message, "%s", lt_error());
        (void)lt_remove_tree(aside); /* a half-written one would only fill the disk further */
        return lt_fail(status, "%s", message);
    }
    LT_TRY(lt_rename(aside, folder));
    return lt_write_file(done, "", 0);
}

/* Also where the best is an earlier one: a kill before this link, after which the run went on, left it at the one
 * before. */
static lt_status point_to_best(const lt_checkpoint *c, const char *checkpoints) {
    char best[LT_PATH_MAX], name[64];
    snprintf(name, sizeof name, "step-%" PRId64, c->state->best_step);
    LT_TRY(lt_path_join(best, checkpoints, name));
    return c->state->best_step > 0 && is_whole(best) ? point(checkpoints, "best", c->state->best_step)
                                                     : LT_OK;
}

lt_status lt_checkpoint_write(const lt_checkpoint *c) {
    char checkpoints[LT_PATH_MAX], folder[LT_PATH_MAX], name[64];
    snprintf(name, sizeof name, "step-%" PRId64, c->state->step);
    LT_TRY(lt_path_join(checkpoints, c->run, "checkpoints"));
    LT_TRY(lt_path_join(folder, checkpoints, name));
    LT_TRY(lt_make_dirs(checkpoints));
    if (!is_whole(folder)) LT_TRY(write_new(c, checkpoints, folder));
    return lt_checkpoint_tidy(c);
}

lt_status lt_checkpoint_tidy(const lt_checkpoint *c) {
    char checkpoints[LT_PATH_MAX];
    LT_TRY(lt_path_join(checkpoints, c->run, "checkpoints"));
    LT_TRY(point(checkpoints, "latest", c->state->step));
    LT_TRY(point_to_best(c, checkpoints));
    return prune(c, checkpoints);
}

lt_status lt_checkpoint_read(const char *folder, lt_model *model, lt_train_state *state) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, folder, "state.json"));
    LT_TRY(load_state(path, state));
    LT_TRY(lt_model_load(model, folder, false));
    LT_CHECK(!*model->params.missing, LT_INPUT, "%s", model->params.missing);
    LT_TRY(lt_path_join(path, folder, "optimizer.safetensors"));
    return load_moments(&model->params, path);
}

/* ---- going back -------------------------------------------------------------------------------------------------- */

static int compare_steps(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int lt_checkpoint_steps(const char *run, int64_t *steps, int most) {
    char checkpoints[LT_PATH_MAX], path[LT_PATH_MAX], **names;
    int count, found = 0;
    if (lt_path_join(checkpoints, run, "checkpoints") != LT_OK || !lt_path_is_dir(checkpoints)) return 0;
    if (lt_list_dir(checkpoints, &names, &count) != LT_OK) return 0;
    for (int i = 0; i < count && found < most; i++) {
        int64_t step = strstr(names[i], ".tmp") ? -1 : step_of(names[i]);
        if (step >= 0 && lt_path_join(path, checkpoints, names[i]) == LT_OK && is_whole(path))
            steps[found++] = step;
    }
    lt_list_free(names, count);
    qsort(steps, (size_t)found, sizeof *steps, compare_steps);
    return found;
}

/* The first RUN/set-aside/N that is free. */
static lt_status make_aside(const char *run, char folder[LT_PATH_MAX]) {
    char all[LT_PATH_MAX], name[32];
    LT_TRY(lt_path_join(all, run, "set-aside"));
    for (int i = 1; i < 1000000; i++) {
        snprintf(name, sizeof name, "%d", i);
        LT_TRY(lt_path_join(folder, all, name));
        if (!lt_path_exists(folder)) return lt_make_dirs(folder);
    }
    return lt_fail(LT_FAILED, "%s: full", all);
}

/* "step-N" and "step-N.mp4" of later steps, from one folder to another. */
static lt_status move_newer(const char *from, const char *to, int64_t step) {
    char **names, source[LT_PATH_MAX], target[LT_PATH_MAX];
    int count;
    if (!lt_path_is_dir(from)) return LT_OK;
    LT_TRY(lt_list_dir(from, &names, &count));
    lt_status status = LT_OK;
    for (int i = 0; i < count && status == LT_OK; i++) {
        if (strncmp(names[i], "step-", 5) != 0 || strtoll(names[i] + 5, NULL, 10) <= step) continue;
        status = lt_path_join(source, from, names[i]);
        if (status == LT_OK) status = lt_path_join(target, to, names[i]);
        if (status == LT_OK) status = lt_rename(source, target);
    }
    lt_list_free(names, count);
    return status == LT_OK ? lt_sync_path(from) : status;
}

static lt_status copy_file(const char *from, const char *to) {
    char *text;
    size_t size;
    if (!lt_path_exists(from)) return LT_OK;
    LT_TRY(lt_read_file(from, &text, &size));
    lt_status status = lt_write_file(to, text, size);
    free(text);
    return status;
}

lt_status lt_checkpoint_go_back(const char *run, const lt_train_state *state, char aside[LT_PATH_MAX]) {
    char checkpoints[LT_PATH_MAX], path[LT_PATH_MAX], other[LT_PATH_MAX];
    lt_checkpoint c = {.run = run, .state = state};
    LT_TRY(make_aside(run, aside));
    LT_TRY(lt_path_join(path, run, "metrics.jsonl"));
    LT_TRY(lt_path_join(other, aside, "metrics.jsonl"));
    LT_TRY(copy_file(path, other));
    LT_TRY(lt_path_join(checkpoints, run, "checkpoints"));
    LT_TRY(point(checkpoints, "latest", state->step));
    LT_TRY(lt_path_join(path, checkpoints, "best"));
    LT_CHECK(unlink(path) == 0 || errno == ENOENT, LT_FAILED, "%s: cannot be removed: %s", path,
             strerror(errno));
    LT_TRY(point_to_best(&c, checkpoints));
    LT_TRY(move_newer(checkpoints, aside, state->step));
    LT_TRY(lt_path_join(path, run, "samples"));
    return move_newer(path, aside, state->step);
}
