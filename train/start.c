#include "train/start.h"

#include "core/json.h"
#include "model/model.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lt_status lt_start_find(const char *source, lt_start *out) {
    char folder[LT_PATH_MAX];
    *out = (lt_start){0};
    LT_TRY(lt_run_checkpoint(source, NULL, folder));
    char *whole = realpath(folder, NULL);
    snprintf(out->folder, sizeof out->folder, "%s", whole ? whole : folder);
    free(whole);
    return lt_weights_hash(out->folder, &out->weights);
}

lt_status lt_start_check(const lt_start *init) {
    const char *advice = "put them back, or start again with --force and --init";
    uint64_t hash;
    lt_status status = lt_weights_hash(init->folder, &hash);
    if (status != LT_OK) {
        char why[1024];
        snprintf(why, sizeof why, "%s", lt_error());
        return lt_fail(
            status,
            "--resume: the run has no checkpoint yet, and the weights that it started from are gone or "
            "damaged "
            "(%s); %s",
            why, advice);
    }
    LT_CHECK(
        hash == init->weights, LT_INPUT,
        "--resume: the run has no checkpoint yet, and the weights in %s are not those that it started from "
        "(hash %016" PRIx64 ", then %016" PRIx64 "); %s",
        init->folder, hash, init->weights, advice);
    return LT_OK;
}

static lt_status read_record(const cJSON *record, const char *path, lt_start *out) {
    const char *folder = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "folder"));
    const char *hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "weights_hash"));
    char *end = NULL;
    uint64_t value = hash ? strtoull(hash, &end, 16) : 0;
    LT_CHECK(folder && *folder && strlen(folder) < sizeof out->folder && end == hash + 16 && !*end, LT_INPUT,
             "%s: \"init\" does not name a folder and the hash of its weights; if an earlier version wrote "
             "it, start "
             "again with --force and --init",
             path);
    snprintf(out->folder, sizeof out->folder, "%s", folder);
    out->weights = value;
    return LT_OK;
}

lt_status lt_start_read(const char *path, lt_start *out) {
    char *text;
    size_t size;
    cJSON *root;
    *out = (lt_start){0};
    LT_TRY(lt_read_file(path, &text, &size));
    lt_status status = lt_json_parse(text, size, path, LT_INPUT, &root);
    free(text);
    LT_TRY(status);
    const cJSON *record = cJSON_GetObjectItemCaseSensitive(root, "init");
    if (!record) status = lt_fail(LT_INPUT, "%s: \"init\" is missing", path);
    else if (!cJSON_IsNull(record)) status = read_record(record, path, out);
    cJSON_Delete(root);
    return status;
}
