#include "train/differences.h"

#include "core/json.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <string.h>

/* "dataset.hash" within nested objects. */
static const cJSON *at(const cJSON *object, const char *path) {
    char part[64];
    for (const char *dot; object && (dot = strchr(path, '.')); path = dot + 1) {
        snprintf(part, sizeof part, "%.*s", (int)(dot - path), path);
        object = cJSON_GetObjectItemCaseSensitive(object, part);
    }
    return object ? cJSON_GetObjectItemCaseSensitive(object, path) : NULL;
}

static void put_value(FILE *to, const cJSON *value) {
    if (cJSON_IsString(value)) fputs(value->valuestring, to);
    else lt_json_write(to, value, 0);
}

static int differ(const char *name, const cJSON *before, const cJSON *now, FILE *to) {
    if (!before || !now || cJSON_Compare(before, now, true)) return 0;
    fprintf(to, "%s: ", name), put_value(to, now);
    fputs(", before ", to), put_value(to, before);
    fputc('\n', to);
    return 1;
}

int lt_environment_differences(const cJSON *before, const cJSON *now, FILE *to) {
    static const char *const things[][2] = {{"dataset.hash", "hash of the dataset"},
                                            {"threads", "threads"},
                                            {"processes", "processes"},
                                            {"collectives", "collectives"},
                                            {"device", "device"},
                                            {"target", "target"},
                                            {"processor", "processor"},
                                            {"precision", "precision"},
                                            {"kernels", "kernels"},
                                            {"libraries.openblas", "OpenBLAS"},
                                            {"commit", "commit"},
                                            {"program", "hash of the program"}};
    int count = 0;
    for (size_t i = 0; i < sizeof things / sizeof *things; i++)
        count += differ(things[i][1], at(before, things[i][0]), at(now, things[i][0]), to);
    return count;
}

/* Without effect on any step. */
static bool is_cadence(const char *name) {
    static const char *const names[] = {
        "train.steps",          "train.checkpoint_every", "train.keep",
        "train.validate_every", "train.validate_clips",   "train.sample_every",
        "train.sample_blocks",  "train.sample_steps",     "train.max_bad_steps"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

static int compare_keys(const char *prefix, const cJSON *before, const cJSON *now, FILE *to) {
    int count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, now) {
        char name[128];
        const cJSON *old = cJSON_GetObjectItemCaseSensitive(before, item->string);
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", item->string);
        if (cJSON_IsObject(item)) count += compare_keys(name, old, item, to);
        else if (!is_cadence(name)) count += differ(name, old, item, to);
    }
    return count;
}

int lt_config_differences(const cJSON *before, const cJSON *now, FILE *to) {
    return compare_keys("", before, now, to);
}

bool lt_config_curve_differs(const cJSON *before, const cJSON *now) {
    const char *schedule = cJSON_GetStringValue(at(now, "train.schedule"));
    const cJSON *was = at(before, "train.steps"), *is = at(now, "train.steps");
    return was && is && !cJSON_Compare(was, is, true) && schedule && strcmp(schedule, "constant") != 0;
}
