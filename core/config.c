/* Loading: defaults, then what is extended, then the file, then overrides, each checked under its own name.
 */
#include "core/config_impl.h"
#include "core/io.h"
#include "core/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 256 };

void lt_config_free(lt_config *config) {
    if (!config) return;
    for (int i = 0; i < config->count; i++) cJSON_Delete(config->slots[i].value);
    free(config);
}

static lt_status put_value(lt_config_slot *slot, const cJSON *value) {
    cJSON *copy = cJSON_Duplicate(value, true);
    LT_CHECK(copy, LT_FAILED, "%s: out of memory", slot->key->name);
    cJSON_Delete(slot->value);
    slot->value = copy;
    return LT_OK;
}

lt_status lt_config_new(lt_config **out) {
    const int count = lt_schema_count();
    lt_config *config = *out = calloc(1, sizeof *config + (size_t)count * sizeof config->slots[0]);
    LT_CHECK(config, LT_FAILED, "out of memory for a configuration");
    config->count = count;
    for (int i = 0; i < count; i++) config->slots[i].key = lt_schema_at(i);
    return LT_OK;
}

lt_status lt_config_lay(lt_config *config, const lt_config *layer) {
    for (int i = 0; i < layer->count; i++)
        if (layer->slots[i].value) LT_TRY(put_value(&config->slots[i], layer->slots[i].value));
    return LT_OK;
}

static lt_status fail_unknown(const char *origin, const char *name) {
    const char *nearest = lt_schema_suggest(name);
    if (nearest)
        return lt_fail(LT_USAGE, "%s: unknown key \"%s\"; did you mean \"%s\"?", origin, name, nearest);
    return lt_fail(LT_USAGE, "%s: unknown key \"%s\" (`longtake help config` lists the keys)", origin, name);
}

static lt_status set_value(lt_config *config, int index, const cJSON *value, const char *origin) {
    LT_TRY(lt_schema_check(config->slots[index].key, value, origin));
    return put_value(&config->slots[index], value);
}

static lt_status apply_object(lt_config *config, const cJSON *object, const char *prefix, const char *origin);

static lt_status apply_member(lt_config *config, const cJSON *value, const char *name, const char *origin) {
    const int index = lt_schema_find(name);
    if (index >= 0) return set_value(config, index, value, origin);
    if (!lt_schema_is_group(name)) return fail_unknown(origin, name);
    LT_CHECK(cJSON_IsObject(value), LT_USAGE, "%s: \"%s\" is a group of keys; expected an object {...}",
             origin, name);
    return apply_object(config, value, name, origin);
}

static lt_status apply_object(lt_config *config, const cJSON *object, const char *prefix,
                              const char *origin) {
    const cJSON *member;
    cJSON_ArrayForEach(member, object) {
        char name[NAME_MAX_LENGTH];
        if (!*prefix && !strcmp(member->string, "extends")) continue;
        LT_CHECK(!strchr(member->string, '.'), LT_USAGE, "%s: \"%s\": write dotted keys as nested objects",
                 origin, member->string);
        int length = snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", member->string);
        LT_CHECK(length < NAME_MAX_LENGTH, LT_USAGE, "%s: the name \"%.40s...\" is too long to be a key",
                 origin, name);
        LT_TRY(apply_member(config, member, name, origin));
    }
    return LT_OK;
}

static void drop_comments(cJSON *value) {
    for (cJSON *member = value->child, *next; member; member = next) {
        next = member->next;
        if (cJSON_IsObject(value) && !strcmp(member->string, "comment"))
            cJSON_Delete(cJSON_DetachItemViaPointer(value, member));
        else drop_comments(member);
    }
}

lt_status lt_config_apply_text(lt_config *config, const char *text, size_t size, const char *origin,
                               lt_config_files *files) {
    cJSON *root;
    LT_TRY(lt_json_parse(text, size, origin, LT_USAGE, &root));
    drop_comments(root);
    const cJSON *extends = cJSON_GetObjectItemCaseSensitive(root, "extends");
    lt_status status = LT_OK;
    if (!cJSON_IsObject(root)) status = lt_fail(LT_USAGE, "%s: expected one JSON object {...}", origin);
    else if (extends) status = lt_config_apply_extended(config, extends, origin, files);
    if (status == LT_OK) status = apply_object(config, root, "", origin);
    cJSON_Delete(root);
    return status;
}

/* "calm,dynamic" as an array of strings. */
static cJSON *split_strings(const char *text) {
    cJSON *array = cJSON_CreateArray();
    char *copy = strdup(text), *rest = NULL;
    for (char *part = copy ? strtok_r(copy, ",", &rest) : NULL; part; part = strtok_r(NULL, ",", &rest))
        cJSON_AddItemToArray(array, cJSON_CreateString(part));
    free(copy);
    return array;
}

/* The JSON value that the text of an override means to `key` (NULL: a group of keys). */
static cJSON *override_value(const lt_key *key, const char *text) {
    char bracketed[1024];
    cJSON *value = NULL;
    if (lt_json_parse(text, strlen(text), "value", LT_USAGE, &value) != LT_OK) value = NULL;
    if (key && lt_key_is_array(key->type) && !cJSON_IsArray(value)) {
        cJSON_Delete(value);
        value = NULL;
        snprintf(bracketed, sizeof bracketed, "[%.1000s]", text);
        if (key->type != LT_KEY_STRINGS || *text == '"')
            (void)lt_json_parse(bracketed, strlen(bracketed), "value", LT_USAGE, &value);
        else value = split_strings(text);
    } else if (key && key->type == LT_KEY_STRING && !cJSON_IsString(value)) {
        cJSON_Delete(value);
        value = NULL;
    }
    return value ? value : cJSON_CreateString(text);
}

static lt_status apply_override(lt_config *config, const char *text) {
    char name[NAME_MAX_LENGTH], origin[NAME_MAX_LENGTH + 64];
    const char *equals = strchr(text, '=');
    LT_CHECK(equals && equals > text && equals - text < NAME_MAX_LENGTH, LT_USAGE,
             "--set %s: expected key=value, such as train.lr=0.001", text);
    LT_CHECK(lt_utf8_valid(text, strlen(text)), LT_USAGE, "--set %.*s: the value is not UTF-8 text",
             (int)(equals - text), text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    snprintf(origin, sizeof origin, "--set %.60s", text);
    const int index = lt_schema_find(name);
    cJSON *value = override_value(index >= 0 ? lt_schema_at(index) : NULL, equals + 1);
    LT_CHECK(value, LT_FAILED, "%s: out of memory", origin);
    drop_comments(value);
    lt_status status = apply_member(config, value, name, origin);
    cJSON_Delete(value);
    return status;
}

static lt_status apply_default(lt_config *config, int index) {
    const lt_key *key = config->slots[index].key;
    cJSON *value;
    char origin[NAME_MAX_LENGTH];
    if (!key->preset) return LT_OK;
    snprintf(origin, sizeof origin, "the default of %.200s", key->name);
    LT_TRY(lt_json_parse(key->preset, strlen(key->preset), origin, LT_FAILED, &value));
    lt_status status = set_value(config, index, value, origin);
    cJSON_Delete(value);
    return status;
}

static lt_status resolve_extends(lt_config *config, const char *path, const char *text, const char *origin,
                                 const char *const *overrides, int override_count) {
    for (int i = 0; i < config->count; i++) LT_TRY(apply_default(config, i));
    lt_config_files files = {0};
    lt_status status = path ? lt_config_apply_file(config, path, &files)
                            : lt_config_apply_text(config, text, strlen(text), origin, &files);
    lt_config_files_free(&files);
    LT_TRY(status);
    for (int i = 0; i < override_count; i++) LT_TRY(apply_override(config, overrides[i]));
    for (int i = 0; i < config->count; i++)
        LT_CHECK(config->slots[i].value, LT_USAGE, "%s: %s is missing and has no default (%s)",
                 path ? path : origin, config->slots[i].key->name, config->slots[i].key->help);
    return LT_OK;
}

static lt_status load_text(const char *path, const char *text, const char *origin,
                           const char *const *overrides, int override_count, lt_config **out) {
    lt_config *config;
    *out = NULL;
    LT_TRY(lt_config_new(&config));
    lt_status status = resolve_extends(config, path, text, origin, overrides, override_count);
    if (status == LT_OK) *out = config;
    else lt_config_free(config);
    return status;
}

lt_status lt_config_load(const char *name, const char *const *overrides, int override_count,
                         lt_config **out) {
    char path[LT_PATH_MAX];
    *out = NULL;
    LT_TRY(lt_config_find(name, path, sizeof path));
    return load_text(path, NULL, NULL, overrides, override_count, out);
}

lt_status lt_config_parse(const char *text, const char *origin, const char *const *overrides,
                          int override_count, lt_config **out) {
    return load_text(NULL, text, origin, overrides, override_count, out);
}
