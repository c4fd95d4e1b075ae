/* The registered keys, and whether a value suits its key. */
#include "core/config_impl.h"
#include "core/json.h"
#include "core/log.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TABLES = 64, MAX_KEYS = 1024 };

static struct {
    const char *room;
    const lt_key *rows;
} key_tables[MAX_TABLES];
static int table_count, key_count;

/* The table is taken whole or, when it is wrong, not at all: the first load then names its keys as unknown.
 */
static bool table_fits(const char *room, const lt_key *rows) {
    int count = 0;
    for (; rows[count].name; count++)
        if (lt_schema_find(rows[count].name) >= 0 || lt_schema_is_group(rows[count].name)) {
            lt_log(LT_LOG_ERROR, "config: %s registers \"%s\", which exists already", room, rows[count].name);
            return false;
        }
    if (table_count < MAX_TABLES && key_count + count <= MAX_KEYS) return true;
    lt_log(LT_LOG_ERROR, "config: no space for the keys of %s; raise MAX_TABLES or MAX_KEYS", room);
    return false;
}

void lt_config_register(const char *room, const lt_key *rows) {
    for (int i = 0; i < table_count; i++)
        if (key_tables[i].rows == rows) return;
    if (!table_fits(room, rows)) return;
    key_tables[table_count].room = room;
    key_tables[table_count++].rows = rows;
    while ((rows++)->name) key_count++;
}

void lt_config_each_key(void (*visit)(const char *room, const lt_key *key, void *user), void *user) {
    for (int i = 0; i < table_count; i++)
        for (const lt_key *key = key_tables[i].rows; key->name; key++) visit(key_tables[i].room, key, user);
}

int lt_schema_count(void) { return key_count; }

const lt_key *lt_schema_at(int index) {
    for (int i = 0; i < table_count; i++)
        for (const lt_key *key = key_tables[i].rows; key->name; key++)
            if (index-- == 0) return key;
    return NULL;
}

int lt_schema_find(const char *name) {
    int index = 0;
    for (int i = 0; i < table_count; i++)
        for (const lt_key *key = key_tables[i].rows; key->name; key++, index++)
            if (!strcmp(key->name, name)) return index;
    return -1;
}

bool lt_schema_is_group(const char *name) {
    const size_t length = strlen(name);
    for (int i = 0; i < table_count; i++)
        for (const lt_key *key = key_tables[i].rows; key->name; key++)
            if (!strncmp(key->name, name, length) && key->name[length] == '.') return true;
    return false;
}

static const char *last_part(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

const char *lt_schema_suggest(const char *name) {
    const char *names[MAX_KEYS], *parts[MAX_KEYS];
    for (int i = 0; i < key_count; i++) {
        names[i] = lt_schema_at(i)->name;
        parts[i] = last_part(names[i]);
    }
    const char *nearest = lt_nearest(name, names, key_count);
    if (nearest) return nearest;
    /* The right name in the wrong group. */
    const char *part = lt_nearest(last_part(name), parts, key_count);
    for (int i = 0; part && i < key_count; i++)
        if (parts[i] == part) return names[i];
    return NULL;
}

bool lt_key_is_array(lt_key_type type) {
    return type == LT_KEY_INTS || type == LT_KEY_FLOATS || type == LT_KEY_STRINGS;
}

static const char *describe_value(const cJSON *value, char text[64]) {
    if (cJSON_IsString(value)) snprintf(text, 64, "\"%.50s\"", value->valuestring);
    else if (cJSON_IsNumber(value)) snprintf(text, 64, "%.17g", value->valuedouble);
    else
        snprintf(text, 64, "%s",
                 cJSON_IsObject(value)  ? "an object"
                 : cJSON_IsArray(value) ? "an array"
                 : cJSON_IsNull(value)  ? "null"
                 : cJSON_IsTrue(value)  ? "true"
                                        : "false");
    return text;
}

static lt_status check_number(const lt_key *key, const cJSON *value, const char *origin, bool integer) {
    char found[64];
    const double number = value->valuedouble;
    const char *kind = integer ? "an integer" : "a number";
    LT_CHECK(cJSON_IsNumber(value), LT_USAGE, "%s: %s is %s; expected %s (%s)", origin, key->name,
             describe_value(value, found), kind, key->help);
    LT_CHECK(!integer || number == floor(number), LT_USAGE, "%s: %s is %.17g; expected an integer (%s)",
             origin, key->name, number, key->help);
    LT_CHECK(!integer || fabs(number) <= (double)LT_JSON_MAX_INT, LT_USAGE,
             "%s: %s is %.17g; integers beyond 2^53 - 1 lose digits in JSON", origin, key->name, number);
    if (key->min == 0 && key->max == 0) return LT_OK;
    LT_CHECK(number >= key->min && number <= key->max, LT_USAGE,
             "%s: %s is %.15g; expected %.15g to %.15g (%s)", origin, key->name, number, key->min, key->max,
             key->help);
    return LT_OK;
}

/* Splits "a|b|c" into `copy`, which `names` points into. */
static int split_choices(const char *choices, char copy[1024], const char *names[64]) {
    int count = 0;
    char *rest;
    snprintf(copy, 1024, "%s", choices);
    for (char *name = strtok_r(copy, "|", &rest); name && count < 64; name = strtok_r(NULL, "|", &rest))
        names[count++] = name;
    return count;
}

static lt_status check_string(const lt_key *key, const cJSON *value, const char *origin) {
    char found[64], copy[1024];
    const char *names[64];
    LT_CHECK(cJSON_IsString(value), LT_USAGE, "%s: %s is %s; expected a string (%s)", origin, key->name,
             describe_value(value, found), key->help);
    if (!key->choices) return LT_OK;
    const int count = split_choices(key->choices, copy, names);
    for (int i = 0; i < count; i++)
        if (!strcmp(value->valuestring, names[i])) return LT_OK;
    const char *nearest = lt_nearest(value->valuestring, names, count);
    return lt_fail(LT_USAGE, "%s: %s is %s; expected one of %s%s%s%s", origin, key->name,
                   describe_value(value, found), key->choices, nearest ? "; did you mean \"" : "",
                   nearest ? nearest : "", nearest ? "\"?" : "");
}

static lt_status check_scalar(const lt_key *key, const cJSON *value, const char *origin) {
    char found[64];
    switch (key->type) {
    case LT_KEY_INT:
    case LT_KEY_INTS: return check_number(key, value, origin, true);
    case LT_KEY_FLOAT:
    case LT_KEY_FLOATS: return check_number(key, value, origin, false);
    case LT_KEY_STRING:
    case LT_KEY_STRINGS: return check_string(key, value, origin);
    case LT_KEY_BOOL:
        LT_CHECK(cJSON_IsBool(value), LT_USAGE, "%s: %s is %s; expected true or false (%s)", origin,
                 key->name, describe_value(value, found), key->help);
        return LT_OK;
    case LT_KEY_JSON: break;
    }
    return LT_OK;
}

lt_status lt_schema_check(const lt_key *key, const cJSON *value, const char *origin) {
    char found[64];
    const cJSON *element;
    if (!lt_key_is_array(key->type)) return check_scalar(key, value, origin);
    LT_CHECK(cJSON_IsArray(value), LT_USAGE, "%s: %s is %s; expected an array (%s)", origin, key->name,
             describe_value(value, found), key->help);
    cJSON_ArrayForEach(element, value) LT_TRY(check_scalar(key, element, origin));
    return LT_OK;
}
