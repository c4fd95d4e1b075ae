/* Reading a resolved configuration, value by value and as a document. */
#include "core/config_impl.h"
#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "core/rng.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void report_once(const char *key, const char *problem) {
    static atomic_flag reported = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&reported))
        lt_log(LT_LOG_ERROR, "config: the program asked for \"%s\", %s", key, problem);
}

static const lt_config_slot *slot_of(const lt_config *config, const char *key) {
    for (int i = 0; i < config->count; i++)
        if (!strcmp(config->slots[i].key->name, key)) return &config->slots[i];
    return NULL;
}

/* The value of `key` if it has that type, else NULL. */
static const cJSON *value_of(const lt_config *config, const char *key, lt_key_type type) {
    const lt_config_slot *slot = slot_of(config, key);
    if (slot && slot->key->type == type) return slot->value;
    report_once(key, slot ? "which has another type" : "which is not registered");
    return NULL;
}

static const cJSON *element_of(const lt_config *config, const char *key, lt_key_type type, int index) {
    const cJSON *array = value_of(config, key, type);
    const cJSON *element = array ? cJSON_GetArrayItem(array, index) : NULL;
    if (array && !element) report_once(key, "at an index that it does not have");
    return element;
}

int64_t lt_config_int(const lt_config *config, const char *key) {
    const cJSON *value = value_of(config, key, LT_KEY_INT);
    return value ? (int64_t)value->valuedouble : 0;
}

double lt_config_float(const lt_config *config, const char *key) {
    const cJSON *value = value_of(config, key, LT_KEY_FLOAT);
    return value ? value->valuedouble : 0;
}

bool lt_config_bool(const lt_config *config, const char *key) {
    const cJSON *value = value_of(config, key, LT_KEY_BOOL);
    return value && cJSON_IsTrue(value);
}

const char *lt_config_string(const lt_config *config, const char *key) {
    const cJSON *value = value_of(config, key, LT_KEY_STRING);
    return value ? value->valuestring : "";
}

int lt_config_count(const lt_config *config, const char *key) {
    const lt_config_slot *slot = slot_of(config, key);
    if (slot && lt_key_is_array(slot->key->type)) return cJSON_GetArraySize(slot->value);
    report_once(key, slot ? "which is not an array" : "which is not registered");
    return 0;
}

int64_t lt_config_int_at(const lt_config *config, const char *key, int index) {
    const cJSON *value = element_of(config, key, LT_KEY_INTS, index);
    return value ? (int64_t)value->valuedouble : 0;
}

double lt_config_float_at(const lt_config *config, const char *key, int index) {
    const cJSON *value = element_of(config, key, LT_KEY_FLOATS, index);
    return value ? value->valuedouble : 0;
}

const char *lt_config_string_at(const lt_config *config, const char *key, int index) {
    const cJSON *value = element_of(config, key, LT_KEY_STRINGS, index);
    return value ? value->valuestring : "";
}

const void *lt_config_json(const lt_config *config, const char *key) {
    const cJSON *value = value_of(config, key, LT_KEY_JSON);
    return value && !cJSON_IsNull(value) ? value : NULL;
}

/* The object that holds the last part of a dotted name; *name moves to that part. */
static cJSON *group_of(cJSON *root, const char **name) {
    for (const char *dot; (dot = strchr(*name, '.')); *name = dot + 1) {
        char part[256];
        snprintf(part, sizeof part, "%.*s", (int)(dot - *name), *name);
        cJSON *group = cJSON_GetObjectItemCaseSensitive(root, part);
        root = group ? group : cJSON_AddObjectToObject(root, part);
    }
    return root;
}

char *lt_config_print(const lt_config *config) {
    char *text = NULL;
    size_t size;
    cJSON *root = cJSON_CreateObject();
    for (int i = 0; i < config->count; i++) {
        const char *name = config->slots[i].key->name;
        cJSON *group = group_of(root, &name);
        cJSON_AddItemToObject(group, name, cJSON_Duplicate(config->slots[i].value, true));
    }
    FILE *to = open_memstream(&text, &size);
    if (to) {
        lt_json_write(to, root, 0);
        fputc('\n', to);
        fclose(to);
    }
    cJSON_Delete(root);
    return text;
}

lt_status lt_config_save(const lt_config *config, const char *path) {
    char *text = lt_config_print(config);
    LT_CHECK(text, LT_FAILED, "%s: out of memory", path);
    lt_status status = lt_write_file(path, text, strlen(text));
    free(text);
    return status;
}

uint64_t lt_config_hash(const lt_config *config) {
    char *text = lt_config_print(config);
    uint64_t hash = lt_hash(text, text ? strlen(text) : 0, LT_HASH_SEED);
    free(text);
    return hash;
}
