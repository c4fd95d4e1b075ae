/* JSON in files and on stdout, for what this room reads and writes besides configurations. */
#ifndef LT_EXPERIMENTS_JSON_FILE_H
#define LT_EXPERIMENTS_JSON_FILE_H

#include "core/json.h"

#ifdef __cplusplus
extern "C" {
#endif

/* LT_INPUT when the file cannot be read or is not JSON. Free with cJSON_Delete. */
lt_status lt_json_load(const char *path, struct cJSON **out);
/* Pretty-printed; the file appears complete or not at all. */
lt_status lt_json_save(const char *path, const struct cJSON *value);
/* To stdout, with a newline. */
void lt_json_print(const struct cJSON *value);

/* All texts and names in a value as a terminal shows them (core/text.h): before it is printed as a table. */
void lt_json_make_printable(struct cJSON *value);

/* Member of an object: NaN, "" or NULL where it is missing, null or of another type. The text belongs to the object. */
double lt_json_number(const struct cJSON *object, const char *name);
const char *lt_json_string(const struct cJSON *object, const char *name);
const struct cJSON *lt_json_member(const struct cJSON *object, const char *name);
/* Adds a number, or null where it is not finite. */
void lt_json_add_number(struct cJSON *object, const char *name, double value);

#ifdef __cplusplus
}
#endif
#endif
