#include "core/json.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

void lt_json_write_string(FILE *to, const char *text) {
    fputc('"', to);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') fprintf(to, "\\%c", *c);
        else if (*c == '\n') fputs("\\n", to);
        else if (*c < 0x20 || *c == 0x7f) fprintf(to, "\\u%04x", *c);
        else fputc(*c, to);
    }
    fputc('"', to);
}

static void write_number(FILE *to, double value) {
    char text[40];
    if (value == floor(value) && fabs(value) <= (double)LT_JSON_MAX_INT) {
        fprintf(to, "%lld", (long long)value);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, to);
}

static void new_line(FILE *to, int depth) { fprintf(to, "\n%*s", 2 * depth, ""); }

static bool on_one_line(const cJSON *array) {
    const cJSON *element;
    cJSON_ArrayForEach(element, array) if (cJSON_IsObject(element) || cJSON_IsArray(element)) return false;
    return true;
}

static void write_members(FILE *to, const cJSON *value, int depth) {
    const bool object = cJSON_IsObject(value), flat = !object && on_one_line(value);
    const cJSON *member;
    fputc(object ? '{' : '[', to);
    cJSON_ArrayForEach(member, value) {
        if (member != value->child) fputs(flat ? ", " : ",", to);
        if (!flat) new_line(to, depth + 1);
        if (object) lt_json_write_string(to, member->string), fputs(": ", to);
        lt_json_write(to, member, depth + 1);
    }
    if (value->child && !flat) new_line(to, depth);
    fputc(object ? '}' : ']', to);
}

void lt_json_write(FILE *to, const cJSON *value, int depth) {
    if (cJSON_IsObject(value) || cJSON_IsArray(value)) write_members(to, value, depth);
    else if (cJSON_IsString(value)) lt_json_write_string(to, value->valuestring);
    else if (cJSON_IsNumber(value)) write_number(to, value->valuedouble);
    else if (cJSON_IsBool(value)) fputs(cJSON_IsTrue(value) ? "true" : "false", to);
    else fputs("null", to);
}
