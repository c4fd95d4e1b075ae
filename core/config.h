/* Strict JSON configuration. The engine knows no keys: each room registers its own table (name, type, range,
 * default, help). Loading resolves "extends" (a path relative to the file, or a preset name under configs/),
 * applies --set overrides, checks every key and value, and yields one resolved document that holds every
 * registered key.
 *
 * Keys are dotted paths: "train.lr" is {"train": {"lr": ...}}. An unknown key, a wrong type and a value out
 * of range are LT_USAGE; the message names the file and the key and suggests the nearest known key.
 *
 * "extends" is a name or an array of names; later ones win over earlier ones, each with all that it extends, and the
 * file itself over all. A file is read once however many extend it, and at most 32 extend each other in a row. A
 * value replaces the extended one key by key; arrays and LT_KEY_JSON values are replaced whole. A member
 * called "comment" is dropped at any level. Integers are exact up to 2^53 - 1 in size; larger ones are
 * refused.
 */
#ifndef LT_CORE_CONFIG_H
#define LT_CORE_CONFIG_H

#include "core/io.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_key_type {
    LT_KEY_INT,   /* JSON number without fraction; min..max */
    LT_KEY_FLOAT, /* JSON number; min..max */
    LT_KEY_BOOL,
    LT_KEY_STRING, /* `choices`, when given, is a |-separated list of what is allowed */
    LT_KEY_INTS,   /* array of integers, each within min..max */
    LT_KEY_FLOATS,
    LT_KEY_STRINGS, /* array of strings, each among `choices` when given */
    LT_KEY_JSON     /* any value: the room that owns it checks it */
} lt_key_type;

typedef struct lt_key {
    const char *name; /* dotted path */
    lt_key_type type;
    const char *preset;  /* default, as JSON text ("0.9", "\"sum\"", "[1,2,2]"); NULL: required */
    double min, max;     /* of numbers; both 0: any */
    const char *choices; /* of strings; NULL: any */
    const char *help;    /* one sentence with the unit */
} lt_key;

/* A table ends with a row whose name is NULL. Registered tables are static and looked up by all later loads;
 * the same table may be registered again. Call it before threads start. */
void lt_config_register(const char *room, const lt_key *table);

typedef struct lt_config lt_config;

/* Loads a file. `name` is what lt_config_find takes. `overrides` are "key=value" texts; the value is JSON, or
 * a string when it is not JSON or the key holds a string. Array keys also take "1,2,2" and "calm,dynamic"
 * without brackets. */
lt_status lt_config_load(const char *name, const char *const *overrides, int override_count, lt_config **out);
/* The same from JSON text; `origin` names it in messages. */
lt_status lt_config_parse(const char *text, const char *origin, const char *const *overrides,
                          int override_count, lt_config **out);
void lt_config_free(lt_config *config);

/* Folders of presets, in the order in which they are looked through: $LONGTAKE_CONFIGS, then what is shipped
 * (core/share.h). Returns how many there are. */
enum { LT_CONFIG_ROOTS = 2 };
int lt_config_roots(char roots[LT_CONFIG_ROOTS][LT_PATH_MAX]);
/* The file that `name` means: a path, or a preset: "train/tiny" is train/tiny.json in one of these, and
 * "experiments/demo" a shipped experiment. LT_USAGE says where it looked and names the nearest preset. */
lt_status lt_config_find(const char *name, char *path, size_t size);

/* Values by key. The key must be registered and have the type asked for; otherwise it is a programming error
 * and the process's first such mistake is reported through lt_log and a zero value is returned (tests look
 * for it). */
int64_t lt_config_int(const lt_config *config, const char *key);
double lt_config_float(const lt_config *config, const char *key);
bool lt_config_bool(const lt_config *config, const char *key);
const char *lt_config_string(const lt_config *config, const char *key); /* owned by config */
int lt_config_count(const lt_config *config, const char *key);          /* elements of an array */
int64_t lt_config_int_at(const lt_config *config, const char *key, int index);
double lt_config_float_at(const lt_config *config, const char *key, int index);
const char *lt_config_string_at(const lt_config *config, const char *key, int index);
/* The cJSON node of a LT_KEY_JSON value, as const struct cJSON *; NULL when it is null. */
const void *lt_config_json(const lt_config *config, const char *key);

/* The resolved document, pretty-printed, keys in registration order. The caller frees it. */
char *lt_config_print(const lt_config *config);
lt_status lt_config_save(const lt_config *config, const char *path);
/* 64-bit hash of the resolved document. */
uint64_t lt_config_hash(const lt_config *config);

/* Calls `visit` for each registered key, by room: for `longtake help config` and the docs. */
void lt_config_each_key(void (*visit)(const char *room, const lt_key *key, void *user), void *user);

/* The registered or listed name nearest to `name` by edit distance, or NULL if none is near. */
const char *lt_nearest(const char *name, const char *const *names, int count);

#ifdef __cplusplus
}
#endif
#endif
