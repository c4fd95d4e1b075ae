/* Strict JSON on top of cJSON, for configs and safetensors headers. cJSON accepts more than JSON (any control
 * byte as a space, 01, 1., names twice, "\u0000" that ends a C string); what is read here has been checked
 * against RFC 8259: UTF-8, no zero bytes, numbers that fit a double, every name once per object.
 *
 * The printer is our own because cJSON's compares doubles with a tolerance and so may lose the last digit.
 */
#ifndef LT_CORE_JSON_H
#define LT_CORE_JSON_H

#include "core/status.h"
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cJSON;

/* Integers up to this survive the way through a double. */
#define LT_JSON_MAX_INT 9007199254740991

/* Parses `size` bytes of text, which must be one JSON value (after a byte order mark). Fails with `code`; the message
 * starts with `origin` and names line and column. Free *out with cJSON_Delete. */
lt_status lt_json_parse(const char *text, size_t size, const char *origin, lt_status code,
                        struct cJSON **out);

/* The value as text, indented by two spaces per level from `depth` on, short arrays of scalars on one line;
 * doubles as the shortest of 15 to 17 digits that reads back equal, integral ones without a fraction. */
void lt_json_write(FILE *to, const struct cJSON *value, int depth);
/* A quoted, escaped string. */
void lt_json_write_string(FILE *to, const char *text);
/* Valid UTF-8, as RFC 3629 has it: no surrogates, no overlong forms. */
bool lt_utf8_valid(const char *text, size_t size);
/* Bytes of the byte order mark that a text begins with, which is not part of it; 0: there is none. */
size_t lt_utf8_mark(const char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
