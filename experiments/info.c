/* What a path is, and what results hold. */
#include "experiments/info.h"

#include "core/share.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static bool has_file(const char *folder, const char *name) {
    char path[LT_PATH_MAX];
    return lt_path_join(path, folder, name) == LT_OK && lt_path_exists(path);
}

lt_status lt_info_kind_of(const char *name, lt_info_kind *out) {
    char shared[LT_PATH_MAX];
    const char *path = lt_share_find(name, shared);
    LT_CHECK(lt_path_exists(path), LT_INPUT, "%s: there is no such file or folder", path);
    if (!lt_path_is_dir(path)) *out = LT_INFO_DATASET;
    else if (has_file(path, "cells")) *out = LT_INFO_RESULTS;
    else if (has_file(path, "config.json")) *out = LT_INFO_RUN;
    else
        return lt_fail(LT_INPUT,
                       "%s: neither a run (config.json) nor results (cells), expected a dataset, a "
                       "run or results",
                       path);
    return LT_OK;
}

static lt_status count_cells(const char *path, double *count) {
    char folder[LT_PATH_MAX], **names;
    int files;
    LT_TRY(lt_path_join(folder, path, "cells"));
    LT_TRY(lt_list_dir(folder, &names, &files));
    for (int i = 0; i < files; i++) {
        size_t length = strlen(names[i]);
        *count += length > 3 && strcmp(names[i] + length - 3, ".h5") == 0;
    }
    lt_list_free(names, files);
    return LT_OK;
}

/* The member "results", or null while the ablation is not done. */
static lt_status add_results(const char *path, cJSON *info) {
    char file[LT_PATH_MAX];
    cJSON *results = NULL;
    LT_TRY(lt_path_join(file, path, "results.json"));
    if (lt_path_exists(file)) LT_TRY(lt_json_load(file, &results));
    cJSON_AddItemToObject(info, "results", results ? results : cJSON_CreateNull());
    return LT_OK;
}

lt_status lt_info_results(const char *path, cJSON **out) {
    double cells = 0;
    *out = NULL;
    LT_TRY(count_cells(path, &cells));
    cJSON *info = cJSON_CreateObject();
    cJSON_AddStringToObject(info, "path", path);
    cJSON_AddStringToObject(info, "kind", "results");
    cJSON_AddNumberToObject(info, "cells", cells);
    lt_status status = add_results(path, info);
    if (status == LT_OK) *out = info;
    else cJSON_Delete(info);
    return status;
}
