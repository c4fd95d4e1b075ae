#include "train/start.h"

#include "core/json.h"
#include "core/rng.h"
#include "model/model.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lt_status hash_stream(FILE *file, const char *path, uint64_t *out) {
    enum { PART = 1 << 20 };
    char *part = malloc(PART);
    uint64_t hash = LT_HASH_SEED;
    LT_CHECK(part, LT_FAILED, "%s: out of memory", path);
    for (size_t size; (size = fread(part, 1, PART, file)) > 0;) hash = lt_hash(part, size, hash);
    free(part);
    LT_CHECK(!ferror(file), LT_INPUT, "%s: %s", path, strerror(errno));
    *out = hash;
    return LT_OK;
}

/* The file that a run's first values are read from: the average where there is one. */
static lt_status hash_weights(const char *folder, uint64_t *out) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, folder, "ema.safetensors"));
    if (!lt_path_exists(path)) LT_TRY(lt_path_join(path, folder, "model.safetensors"));
    FILE *file = fopen(path, "rbe");
    LT_CHECK(file, LT_INPUT, "%s: %s", path, strerror(errno));
    lt_status status = hash_stream(file, path, out);
    fclose(file);
    return status;
}

lt_status lt_start_find(const char *source, lt_start *out) {
    char folder[LT_PATH_MAX];
    *out = (lt_start){0};
    LT_TRY(lt_run_checkpoint(source, NULL, folder));
    char *whole = realpath(folder, NULL);
    snprintf(out->folder, sizeof out->folder, "%s", whole ? whole : folder);
    free(whole);
    return hash_weights(out->folder, &out->hash);
}

lt_status lt_start_check(const lt_start *init) {
    const char *advice = "put them back, or start again with --force and --init";
    uint64_t hash;
    lt_status status = hash_weights(init->folder, &hash);
    if (status != LT_OK) {
        char why[1024];
        snprintf(why, sizeof why, "%s", lt_error());
        return lt_fail(
            status,
            "--resume: the run has no checkpoint yet, and the weights that it started from are gone "
            "(%s); %s",
            why, advice);
    }
    LT_CHECK(
        hash == init->hash, LT_INPUT,
        "--resume: the run has no checkpoint yet, and the weights in %s are not those that it started from "
        "(hash %016" PRIx64 ", then %016" PRIx64 "); %s",
        init->folder, hash, init->hash, advice);
    return LT_OK;
}

static lt_status read_record(const cJSON *record, const char *path, lt_start *out) {
    const char *folder = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "folder"));
    const char *hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "hash"));
    char *end = NULL;
    uint64_t value = hash ? strtoull(hash, &end, 16) : 0;
    LT_CHECK(folder && *folder && strlen(folder) < sizeof out->folder && end == hash + 16 && !*end, LT_INPUT,
             "%s: \"init\" does not name a folder and a hash", path);
    snprintf(out->folder, sizeof out->folder, "%s", folder);
    out->hash = value;
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
