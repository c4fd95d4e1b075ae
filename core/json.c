#include "core/json.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Levels of arrays and objects: more than any document of ours has, and few enough for recursion. */
enum { MAX_NESTING = 256 };

/* What is wrong and where, while a text is looked at. */
typedef struct scan {
    const char *at, *end; /* *end is 0 */
    const char *wrong;
    int nesting;
} scan;

/* The rest of a string after its opening quote. */
static bool scan_string(scan *s) {
    for (; s->at < s->end && *s->at != '"'; s->at++) {
        if ((unsigned char)*s->at < 0x20)
            return s->wrong = "a control character inside a string (escape it)", false;
        if (*s->at != '\\') continue;
        if (!strncmp(s->at, "\\u0000", 6)) return s->wrong = "\\u0000 inside a string", false;
        s->at++;
    }
    if (s->at >= s->end) return s->at = s->end, s->wrong = "a string without its closing quote", false;
    s->at++;
    return true;
}

static int scan_digits(scan *s) {
    const char *from = s->at;
    while (*s->at >= '0' && *s->at <= '9') s->at++;
    return (int)(s->at - from);
}

/* Moves on only if all of it is right. */
static bool scan_number(scan *all) {
    scan number = *all, *s = &number;
    all->wrong = "not a JSON number";
    if (*s->at == '-') s->at++;
    bool zero = *s->at == '0';
    int digits = scan_digits(s);
    if (digits == 0 || (zero && digits > 1)) return false;
    if (*s->at == '.' && (s->at++, scan_digits(s) == 0)) return false;
    if (*s->at == 'e' || *s->at == 'E') {
        s->at++;
        if (*s->at == '+' || *s->at == '-') s->at++;
        if (scan_digits(s) == 0) return false;
    }
    *all = number;
    return true;
}

/* What cJSON would let through, token by token; the order of tokens is left to cJSON. */
static bool scan_text(scan *s) {
    while (s->at < s->end) {
        char c = *s->at;
        if (c == '"') {
            s->at++;
            if (!scan_string(s)) return false;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            if (!scan_number(s)) return false;
        } else if ((unsigned char)c <= 0x20 && !strchr(" \t\r\n", c ? c : '?')) {
            return s->wrong = "a control character", false;
        } else {
            s->nesting += (c == '[' || c == '{') - (c == ']' || c == '}');
            if (s->nesting > MAX_NESTING) return s->wrong = "more than 256 levels of [ and {", false;
            s->at++;
        }
    }
    return true;
}

static lt_status fail_at(const char *text, const char *at, const char *origin, lt_status code,
                         const char *wrong) {
    int line = 1, column = 1;
    for (const char *c = text; c < at; c++) {
        column++;
        if (*c == '\n') line++, column = 1;
    }
    char near[24] = "the end";
    const int shown = (int)strcspn(at, "\r\n");
    if (*at) snprintf(near, sizeof near, "\"%.*s\"", shown < 16 ? shown : 16, at);
    if (!lt_utf8_valid(near, strlen(near))) strcpy(near, "that byte");
    return lt_fail(code, "%s:%d:%d: %s at %s; expected JSON", origin, line, column, wrong, near);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(cJSON *const *)a)->string, (*(cJSON *const *)b)->string);
}

static lt_status check_names(const cJSON *object, const char *origin, lt_status code) {
    int count = cJSON_GetArraySize(object), n = 0;
    if (count < 2) return LT_OK;
    const cJSON **members = malloc((size_t)count * sizeof *members), *member, *twice = NULL;
    LT_CHECK(members, LT_FAILED, "%s: out of memory", origin);
    cJSON_ArrayForEach(member, object) members[n++] = member;
    qsort(members, (size_t)n, sizeof *members, by_name);
    for (int i = 1; i < n && !twice; i++) /* Comments are the one thing that may be said twice. */
        if (!by_name(&members[i - 1], &members[i]) && strcmp(members[i]->string, "comment"))
            twice = members[i];
    free(members);
    return twice ? lt_fail(code, "%s: \"%s\" appears twice in one object; keep one of them", origin,
                           twice->string)
                 : LT_OK;
}

static lt_status check_tree(const cJSON *value, const char *origin, lt_status code) {
    const cJSON *member;
    if (cJSON_IsNumber(value) && !isfinite(value->valuedouble))
        return lt_fail(code, "%s: the number%s%s is too large for a double", origin,
                       value->string ? " of " : "", value->string ? value->string : "");
    if (cJSON_IsObject(value)) LT_TRY(check_names(value, origin, code));
    if (cJSON_IsObject(value) || cJSON_IsArray(value))
        cJSON_ArrayForEach(member, value) LT_TRY(check_tree(member, origin, code));
    return LT_OK;
}

static lt_status parse_copy(const char *text, size_t size, const char *origin, lt_status code, cJSON **out) {
    const char *stop = text;
    LT_CHECK(lt_utf8_valid(text, size), code, "%s: not UTF-8 text", origin);
    scan s = {text, text + size, NULL, 0};
    if (!scan_text(&s)) return fail_at(text, s.at, origin, code, s.wrong);
    cJSON *value = cJSON_ParseWithLengthOpts(text, size + 1, &stop, true);
    if (!value) return fail_at(text, stop, origin, code, "syntax error");
    lt_status status = check_tree(value, origin, code);
    if (status == LT_OK) *out = value;
    else cJSON_Delete(value);
    return status;
}

lt_status lt_json_parse(const char *text, size_t size, const char *origin, lt_status code, cJSON **out) {
    *out = NULL;
    char *copy = malloc(size + 1); /* cJSON wants a terminating zero within the length it is given */
    LT_CHECK(copy, LT_FAILED, "%s: out of memory for %zu bytes of JSON", origin, size);
    memcpy(copy, text, size);
    copy[size] = 0;
    lt_status status = parse_copy(copy, size, origin, code, out);
    free(copy);
    return status;
}
