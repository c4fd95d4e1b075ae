/* Runs: configuration, losses, checkpoints. */
#include "experiments/info.h"

#include "core/rng.h"
#include "core/safetensors.h"
#include "core/share.h"
#include "model/model.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CURVE_POINTS = 200, RECENT_STEPS = 100 };

typedef struct figures {
    lt_losses loss, val;
    double step, seconds, tokens_per_s;
} figures;

static lt_status push(lt_losses *list, double step, double value) {
    if (list->count == list->room) {
        int64_t more = list->room ? 2 * list->room : 1024;
        void *grown = realloc(list->at, (size_t)more * sizeof *list->at);
        LT_CHECK(grown, LT_FAILED, "out of memory for metrics");
        list->at = grown, list->room = more;
    }
    list->at[list->count][0] = step, list->at[list->count][1] = value;
    ++list->count;
    return LT_OK;
}

static lt_status take_line(figures *f, const cJSON *row) {
    double step = lt_json_number(row, "step"), loss = lt_json_number(row, "loss"),
           val = lt_json_number(row, "val_loss"), seconds = lt_json_number(row, "seconds");
    if (!isfinite(step)) return LT_OK;
    f->step = fmax(f->step, step);
    if (isfinite(seconds)) f->seconds = seconds;
    if (isfinite(lt_json_number(row, "tokens_per_s"))) f->tokens_per_s = lt_json_number(row, "tokens_per_s");
    if (isfinite(loss)) LT_TRY(push(&f->loss, step, loss));
    if (isfinite(val)) LT_TRY(push(&f->val, step, val));
    return LT_OK;
}

/* A line that a kill cut short ends the file. */
static lt_status read_metrics(const char *path, figures *f) {
    char *text;
    size_t size;
    if (!lt_path_exists(path)) return LT_OK;
    LT_TRY(lt_read_file(path, &text, &size));
    lt_status status = LT_OK;
    char *line = text;
    for (char *end; status == LT_OK && (end = strchr(line, '\n')); line = end + 1) {
        cJSON *row;
        status = lt_json_parse(line, (size_t)(end - line), path, LT_INPUT, &row);
        if (status != LT_OK) break;
        status = take_line(f, row);
        cJSON_Delete(row);
    }
    free(text);
    return status;
}

static double mean_of(double (*list)[2], int64_t first, int64_t end) {
    double sum = 0;
    for (int64_t i = first; i < end; i++) sum += list[i][1];
    return sum / (double)(end - first);
}

/* At most CURVE_POINTS points, each the last step and the mean loss of its stretch. */
static void add_curve(cJSON *info, const char *name, double (*list)[2], int64_t count) {
    cJSON *curve = cJSON_AddArrayToObject(info, name);
    int64_t points = count < CURVE_POINTS ? count : CURVE_POINTS;
    for (int64_t p = 0; p < points; p++) {
        int64_t first = p * count / points, end = (p + 1) * count / points;
        double point[2] = {list[end - 1][0], mean_of(list, first, end)};
        cJSON_AddItemToArray(curve, cJSON_CreateDoubleArray(point, 2));
    }
}

static void add_figures(cJSON *info, const figures *f) {
    int64_t n = f->loss.count, recent = n > RECENT_STEPS ? n - RECENT_STEPS : 0, best = 0;
    lt_json_add_number(info, "step", n || f->val.count ? f->step : NAN);
    lt_json_add_number(info, "seconds", f->seconds > 0 ? f->seconds : NAN);
    lt_json_add_number(info, "tokens_per_s", f->tokens_per_s > 0 ? f->tokens_per_s : NAN);
    lt_json_add_number(info, "first_loss", n ? f->loss.at[0][1] : NAN);
    lt_json_add_number(info, "loss", n ? mean_of(f->loss.at, recent, n) : NAN);
    for (int64_t i = 1; i < f->val.count; i++)
        if (f->val.at[i][1] < f->val.at[best][1]) best = i;
    lt_json_add_number(info, "loss_step", n ? f->loss.at[n - 1][0] : NAN);
    lt_json_add_number(info, "val_loss", f->val.count ? f->val.at[f->val.count - 1][1] : NAN);
    lt_json_add_number(info, "val_step", f->val.count ? f->val.at[f->val.count - 1][0] : NAN);
    lt_json_add_number(info, "best_val_loss", f->val.count ? f->val.at[best][1] : NAN);
    lt_json_add_number(info, "best_val_step", f->val.count ? f->val.at[best][0] : NAN);
    add_curve(info, "curve", f->loss.at, f->loss.count);
    add_curve(info, "val_curve", f->val.at, f->val.count);
}

static double folder_bytes(const char *folder) {
    char **names, path[LT_PATH_MAX];
    int count;
    double bytes = 0;
    if (lt_list_dir(folder, &names, &count) != LT_OK) return 0;
    for (int i = 0; i < count; i++) {
        struct stat info;
        if (lt_path_join(path, folder, names[i]) == LT_OK && stat(path, &info) == 0 && S_ISREG(info.st_mode))
            bytes += (double)info.st_size;
    }
    lt_list_free(names, count);
    return bytes;
}

static lt_status add_checkpoints(cJSON *info, const char *run) {
    char folder[LT_PATH_MAX], path[LT_PATH_MAX], done[LT_PATH_MAX], **names;
    int count;
    cJSON *list = cJSON_AddArrayToObject(info, "checkpoints");
    LT_TRY(lt_path_join(folder, run, "checkpoints"));
    if (!lt_path_is_dir(folder)) return LT_OK;
    LT_TRY(lt_list_dir(folder, &names, &count));
    for (int i = 0; i < count; i++) {
        if (lt_path_join(path, folder, names[i]) != LT_OK || lt_path_join(done, path, "DONE") != LT_OK)
            continue;
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", names[i]);
        cJSON_AddNumberToObject(one, "bytes", folder_bytes(path));
        cJSON_AddBoolToObject(one, "done", lt_path_exists(done));
        cJSON_AddItemToArray(list, one);
    }
    lt_list_free(names, count);
    return LT_OK;
}

/* The checkpoint that would be used, and the hash of its weights; null where a run has none yet. */
static lt_status add_weights(cJSON *info, const char *run) {
    char folder[LT_PATH_MAX], text[LT_HASH_TEXT];
    uint64_t hash;
    const bool any = lt_run_checkpoint(run, NULL, folder) == LT_OK;
    if (any) LT_TRY(lt_weights_hash(folder, &hash));
    cJSON_AddItemToObject(info, "checkpoint",
                          any ? cJSON_CreateString(lt_path_base(folder)) : cJSON_CreateNull());
    cJSON_AddItemToObject(info, "weights_hash",
                          any ? cJSON_CreateString(lt_hash_text(hash, text)) : cJSON_CreateNull());
    return LT_OK;
}

/* Elements of the weights file of the checkpoint that would be used. */
static double count_parameters(const char *run) {
    static const char *const files[] = {"ema.safetensors", "model.safetensors"};
    char folder[LT_PATH_MAX], path[LT_PATH_MAX];
    if (lt_run_checkpoint(run, NULL, folder) != LT_OK) return NAN;
    for (int i = 0; i < 2; i++) {
        lt_st_file *file;
        if (lt_path_join(path, folder, files[i]) != LT_OK || !lt_path_exists(path)) continue;
        if (lt_st_open(path, &file) != LT_OK) return NAN;
        double elements = 0;
        for (int k = 0; k < lt_st_count(file); k++) elements += (double)lt_numel(&lt_st_at(file, k)->tensor);
        lt_st_close(file);
        return elements;
    }
    return NAN;
}

static lt_status fill_run(cJSON *info, const char *path) {
    char file[LT_PATH_MAX];
    figures f = {0};
    cJSON *config;
    LT_TRY(lt_path_join(file, path, "config.json"));
    LT_TRY(lt_json_load(file, &config));
    cJSON_AddItemToObject(info, "config", config);
    lt_json_add_number(info, "parameters", count_parameters(path));
    LT_TRY(add_weights(info, path));
    LT_TRY(lt_path_join(file, path, "metrics.jsonl"));
    lt_status status = read_metrics(file, &f);
    if (status == LT_OK) add_figures(info, &f);
    free(f.loss.at);
    free(f.val.at);
    LT_TRY(status);
    return add_checkpoints(info, path);
}

lt_status lt_info_run(const char *name, cJSON **out) {
    char shared[LT_PATH_MAX];
    const char *path = lt_share_find(name, shared);
    cJSON *info = cJSON_CreateObject();
    cJSON_AddStringToObject(info, "path", path);
    cJSON_AddStringToObject(info, "kind", "run");
    lt_status status = fill_run(info, path);
    *out = status == LT_OK ? info : NULL;
    if (status != LT_OK) cJSON_Delete(info);
    return status;
}

lt_status lt_info_losses(const char *name, lt_losses *loss, lt_losses *val) {
    char file[LT_PATH_MAX], shared[LT_PATH_MAX];
    const char *path = lt_share_find(name, shared);
    figures f = {0};
    LT_TRY(lt_path_join(file, path, "metrics.jsonl"));
    lt_status status = read_metrics(file, &f);
    *loss = f.loss, *val = f.val;
    return status;
}
