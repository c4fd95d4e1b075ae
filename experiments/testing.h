/* For tests of pages: whether what was written is well formed. */
#ifndef LT_EXPERIMENTS_TESTING_H
#define LT_EXPERIMENTS_TESTING_H

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LT_MARKUP_DEPTH = 64 };

/* The end of a text that may hold entities but no bare '&', up to one of `stops`; NULL where it is wrong. */
static inline const char *lt_markup_text(const char *at, const char *stops) {
    for (; *at && !strchr(stops, *at); at++) {
        size_t length = strspn(at + 1, "#abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        if (*at == '&' && (length == 0 || at[1 + length] != ';')) return NULL;
        if (*at == '>' && !strchr(stops, '<')) return NULL;
    }
    return at;
}

/* Behind the attributes of a tag, at its '>' or "/>". In SVG each has a value in quotes and none comes twice. */
static inline const char *lt_markup_attributes(const char *at, bool strict) {
    const char *names[32];
    size_t lengths[32], count = 0;
    while (at && isspace((unsigned char)*at)) {
        at += strspn(at, " \n");
        if (*at == '>' || *at == '/') break;
        size_t length = strcspn(at, " \n=>\"'<");
        for (size_t i = 0; i < count; i++)
            if (lengths[i] == length && memcmp(names[i], at, length) == 0) return NULL;
        if (length == 0 || count == 32) return NULL;
        names[count] = at, lengths[count++] = length;
        at += length;
        if (*at == '=' && at[1] == '"') {
            const char *end = lt_markup_text(at + 2, "\"<");
            at = end && *end == '"' ? end + 1 : NULL;
        } else if (*at == '=' || strict) return NULL;
    }
    return at;
}

/* Whether all elements of a page or of a single SVG element are closed in order, attributes are quoted and '&' begins
 * an entity. Elements of HTML without content need not be closed, and a style is not read; in SVG the rules of XML
 * hold. */
static inline bool lt_well_formed(const char *text) {
    static const char *const empty[] = {"meta", "br", "img", "hr"};
    char open[LT_MARKUP_DEPTH][24];
    int depth = 0, svg = 0;
    const char *at = text;
    if (strncmp(at, "<!doctype html>", 15) == 0) at += 15;
    for (;;) {
        char name[24] = "";
        at = lt_markup_text(at, "<");
        if (!at) return false;
        if (!*at) return depth == 0;
        bool closing = at[1] == '/';
        at += 1 + closing;
        size_t length = strcspn(at, " \n/>");
        if (length == 0 || length >= sizeof name) return false;
        memcpy(name, at, length);
        at = lt_markup_attributes(at + length, svg > 0);
        if (!at) return false;
        if (closing) {
            if (depth == 0 || strcmp(open[--depth], name) != 0 || *at++ != '>') return false;
            svg -= strcmp(name, "svg") == 0;
            continue;
        }
        bool closed = *at == '/';
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
            closed = closed || (svg == 0 && strcmp(name, empty[i]) == 0);
        at += *at == '/';
        if (*at++ != '>' || depth == LT_MARKUP_DEPTH) return false;
        if (closed) continue;
        snprintf(open[depth++], sizeof open[0], "%s", name);
        svg += strcmp(name, "svg") == 0;
        if (strcmp(name, "style") == 0 && !(at = strstr(at, "</style>"))) return false;
    }
}

#endif
