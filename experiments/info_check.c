/* --check: reads everything and says what is wrong. */
#include "experiments/cell.h"
#include "experiments/info.h"

#include "core/io.h"
#include "core/safetensors.h"
#include "core/share.h"
#include "data/dataset.h"
#include "model/model.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct faults {
    lt_info_report report;
    void *user;
    int count;
} faults;

static void add_fault(const char *line, void *user) {
    faults *f = user;
    f->count++;
    if (f->report) f->report(line, f->user);
}

static lt_status check_dataset(const char *path, faults *f) {
    lt_dataset *data;
    LT_TRY(lt_dataset_open(path, &data));
    lt_status status = lt_dataset_check(data, add_fault, NULL, f);
    lt_dataset_close(data);
    return status == LT_INPUT && f->count > 0 ? LT_OK : status;
}

static void check_values(const char *path, const lt_st_entry *entry, faults *f) {
    char line[LT_PATH_MAX + 256];
    int64_t bad = 0, count = lt_numel(&entry->tensor);
    const lt_tensor *t = &entry->tensor;
    for (int64_t i = 0; i < count; i++)
        if (t->dtype == LT_F32) bad += !isfinite(((const float *)t->data)[i]);
        else if (t->dtype == LT_F64) bad += !isfinite(((const double *)t->data)[i]);
    if (!bad) return;
    snprintf(line, sizeof line, "%s: %s: %lld of %lld elements are not finite", path, entry->name,
             (long long)bad, (long long)count);
    add_fault(line, f);
}

static void check_weights(const char *path, faults *f) {
    lt_st_file *file;
    if (!lt_path_exists(path)) return;
    if (lt_st_open(path, &file) != LT_OK) {
        add_fault(lt_error(), f);
        return;
    }
    for (int i = 0; i < lt_st_count(file); i++) check_values(path, lt_st_at(file, i), f);
    if (lt_st_verify(file) != LT_OK) {
        char line[LT_PATH_MAX + 512];
        snprintf(line, sizeof line, "%s: %s", path, lt_error());
        add_fault(line, f);
    }
    lt_st_close(file);
}

static void check_checkpoint(const char *run, const char *folder, faults *f) {
    static const char *const files[] = {"model.safetensors", "ema.safetensors", "optimizer.safetensors"};
    char path[LT_PATH_MAX];
    lt_device *device;
    lt_model *model;
    for (int i = 0; i < 3; i++)
        if (lt_path_join(path, folder, files[i]) == LT_OK) check_weights(path, f);
    if (lt_device_open("cpu", &device) != LT_OK) return;
    if (lt_run_open(folder, NULL, device, &model, NULL, NULL) == LT_OK) lt_model_close(model);
    else {
        char line[2048 + LT_PATH_MAX];
        snprintf(line, sizeof line, "%s: its model cannot be opened: %s", run, lt_error());
        add_fault(line, f);
    }
    lt_device_close(device);
}

/* Each complete step-N. One without DONE is what a kill left; readers pass it by. */
static lt_status check_run(const char *run, faults *f) {
    char folder[LT_PATH_MAX], path[LT_PATH_MAX], done[LT_PATH_MAX], **names;
    int count, complete = 0;
    LT_TRY(lt_path_join(folder, run, "checkpoints"));
    if (!lt_path_is_dir(folder)) {
        check_checkpoint(run, run, f);
        return LT_OK;
    }
    LT_TRY(lt_list_dir(folder, &names, &count));
    for (int i = 0; i < count; i++) {
        if (strncmp(names[i], "step-", 5) != 0 || lt_path_join(path, folder, names[i]) != LT_OK ||
            lt_path_join(done, path, "DONE") != LT_OK || !lt_path_exists(done))
            continue;
        complete++;
        check_checkpoint(run, path, f);
    }
    lt_list_free(names, count);
    if (!complete) add_fault("no checkpoint is complete", f);
    return LT_OK;
}

/* A damaged cell is evaluated again by `ablate --resume`. */
static lt_status check_results(const char *path, faults *f) {
    char folder[LT_PATH_MAX], file[LT_PATH_MAX], **names;
    int count;
    LT_TRY(lt_path_join(folder, path, "cells"));
    LT_TRY(lt_list_dir(folder, &names, &count));
    for (int i = 0; i < count; i++) {
        lt_cell cell;
        size_t length = strlen(names[i]);
        if (length < 4 || strcmp(names[i] + length - 3, ".h5") != 0) continue;
        if (lt_path_join(file, folder, names[i]) != LT_OK) continue;
        if (lt_cell_load(file, &cell) == LT_OK) lt_cell_free(&cell);
        else add_fault(lt_error(), f);
    }
    lt_list_free(names, count);
    return LT_OK;
}

typedef lt_status (*check_fn)(const char *path, faults *found);

lt_status lt_info_check(const char *name, lt_info_report report, void *user) {
    char shared[LT_PATH_MAX];
    const char *path = lt_share_find(name, shared);
    faults f = {report, user, 0};
    lt_info_kind kind;
    LT_TRY(lt_info_kind_of(path, &kind));
    static const check_fn checks[] = {check_dataset, check_run, check_results};
    LT_TRY(checks[kind](path, &f));
    LT_CHECK(f.count == 0, LT_INPUT, "%s: %d fault%s found", path, f.count, f.count == 1 ? "" : "s");
    return LT_OK;
}
