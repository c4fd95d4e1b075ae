#include "experiments/json_file.h"

#include "core/io.h"
#include "core/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lt_status lt_json_load(const char *path, cJSON **out) {
    char *text;
    size_t size;
    *out = NULL;
    LT_TRY(lt_read_file(path, &text, &size));
    lt_status status = lt_json_parse(text, size, path, LT_INPUT, out);
    free(text);
    return status;
}

lt_status lt_json_save(const char *path, const cJSON *value) {
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    LT_CHECK(memory, LT_FAILED, "%s: out of memory", path);
    lt_json_write(memory, value, 0);
    fputc('\n', memory);
    bool written = fclose(memory) == 0;
    lt_status status =
        written ? lt_write_file(path, text, size) : lt_fail(LT_FAILED, "%s: out of memory", path);
    free(text);
    return status;
}

void lt_json_print(const cJSON *value) {
    lt_json_write(stdout, value, 0);
    putchar('\n');
}

/* Escapes are longer than what they stand for; a text that is printable already stays where it is. */
static void make_printable(char **text) {
    char *shown = lt_printable_copy(*text, LT_ONE_LINE), *copy = NULL;
    if (shown && strcmp(shown, *text) != 0) copy = cJSON_malloc(strlen(shown) + 1);
    if (copy) {
        memcpy(copy, shown, strlen(shown) + 1);
        cJSON_free(*text);
        *text = copy;
    }
    free(shown);
}

void lt_json_make_printable(cJSON *value) {
    if (cJSON_IsString(value)) make_printable(&value->valuestring);
    for (cJSON *child = value->child; child; child = child->next) {
        if (child->string) make_printable(&child->string);
        lt_json_make_printable(child);
    }
}

const cJSON *lt_json_member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

double lt_json_number(const cJSON *object, const char *name) {
    const cJSON *value = lt_json_member(object, name);
    return cJSON_IsNumber(value) ? value->valuedouble : NAN;
}

const char *lt_json_string(const cJSON *object, const char *name) {
    const cJSON *value = lt_json_member(object, name);
    return cJSON_IsString(value) ? value->valuestring : "";
}

void lt_json_add_number(cJSON *object, const char *name, double value) {
    if (isfinite(value)) cJSON_AddNumberToObject(object, name, value);
    else cJSON_AddNullToObject(object, name);
}
