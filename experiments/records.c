/* config.json and environment.json of a results folder. */
#include "experiments/ablate_impl.h"
#include "experiments/json_file.h"
#include "train/environment.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_hash(cJSON *object, const char *name, uint64_t hash) {
    char text[LT_HASH_TEXT];
    cJSON_AddStringToObject(object, name, lt_hash_text(hash, text));
}

static void add_sources(const lt_ablation *a, cJSON *root) {
    const lt_ablate_options *o = &a->options;
    cJSON *run = cJSON_AddObjectToObject(root, "run");
    cJSON_AddStringToObject(run, "folder", o->run);
    cJSON_AddStringToObject(run, "checkpoint", a->checkpoint);
    add_hash(run, "weights_hash", a->weights);
    cJSON *data = cJSON_AddArrayToObject(root, "data");
    for (int i = 0; i < o->data_count; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "path", o->data[i]);
        add_hash(one, "hash", lt_dataset_hash(a->data[i]));
        cJSON_AddNumberToObject(one, "clips", (double)lt_dataset_clip_count(a->data[i]));
        cJSON_AddItemToArray(data, one);
    }
}

/* Of the resolved document only the experiment: other rooms' keys hold defaults that nothing here used. */
static lt_status write_config(const lt_ablation *a) {
    char path[LT_PATH_MAX], *text = lt_config_print(a->options.config);
    cJSON *whole = NULL, *root = cJSON_CreateObject();
    LT_CHECK(text && root, LT_FAILED, "out of memory for the configuration");
    lt_status status = lt_json_parse(text, strlen(text), "configuration", LT_FAILED, &whole);
    free(text);
    if (status == LT_OK) {
        cJSON *experiment = cJSON_DetachItemFromObjectCaseSensitive(whole, "experiment");
        if (experiment) cJSON_AddItemToObject(root, "experiment", experiment);
        add_sources(a, root);
        status = lt_path_join(path, a->options.out, "config.json");
    }
    if (status == LT_OK) status = lt_json_save(path, root);
    cJSON_Delete(whole);
    cJSON_Delete(root);
    return status;
}

lt_status lt_ablation_write_records(const lt_ablation *a) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, a->options.out, "environment.json"));
    lt_environment now = {.device = a->device,
                          .set = a->data[0],
                          .arguments = a->options.arguments,
                          .consequence = a->options.resume ? "cells that were finished before stay" : NULL};
    LT_TRY(lt_environment_write(path, &now));
    return write_config(a);
}
