/* What help, the manual page and completion say of an option, in one place. */
#include "core/cli_table.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void append(char *text, size_t size, const char *separator, const char *more) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used ? separator : "", more);
}

const void *lt_command_defaults(const lt_command *command) {
    return command->defaults ? command->defaults : &lt_global_defaults;
}

void lt_option_default(const lt_option *option, const void *defaults, char *text, size_t size) {
    const void *value = (const char *)defaults + option->at;
    *text = '\0';
    if (option->type == LT_OPT_INT) snprintf(text, size, "%" PRId64, *(const int64_t *)value);
    else if (option->type == LT_OPT_FLOAT) snprintf(text, size, "%g", *(const double *)value);
    else if (option->type == LT_OPT_STRING && *(const char *const *)value)
        snprintf(text, size, "%s", *(const char *const *)value);
}

char *lt_option_text(const lt_option *option, const void *defaults, char *text, size_t size) {
    char notes[1024] = "", preset[256], range[96], what[300];
    if (option->choices) append(notes, sizeof notes, "; ", option->choices);
    if (*lt_option_range(option, range)) append(notes, sizeof notes, "; ", range);
    lt_option_default(option, defaults, preset, sizeof preset);
    snprintf(what, sizeof what, "default %s", preset);
    if (option->required) append(notes, sizeof notes, "; ", "required");
    else if (*preset) append(notes, sizeof notes, "; ", what);
    if (option->type == LT_OPT_STRINGS) append(notes, sizeof notes, "; ", "repeatable");
    snprintf(text, size, "%s%s%s%s", option->help, *notes ? " (" : "", notes, *notes ? ")" : "");
    return text;
}

lt_value_kind lt_option_kind(const lt_option *option) {
    static const struct {
        const char *name;
        lt_value_kind kind;
    } named[] = {{"config", LT_VALUE_PRESET}, {"model", LT_VALUE_PRESET},  {"policy", LT_VALUE_POLICY},
                 {"set", LT_VALUE_KEY},       {"device", LT_VALUE_DEVICE}, {"target", LT_VALUE_DEVICE},
                 {"op", LT_VALUE_OP}};
    static const char *const files[] = {"FILE", "DIR", "RUN", "RUN|DIR", "NAME=PATH", "CLIP", "PROGRAM"};
    if (option->type == LT_OPT_FLAG) return LT_VALUE_NONE;
    if (option->choices) return LT_VALUE_CHOICE;
    if (option->type == LT_OPT_INT || option->type == LT_OPT_FLOAT) return LT_VALUE_FREE;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(option->name, named[i].name) == 0) return named[i].kind;
    for (size_t i = 0; i < sizeof files / sizeof *files && option->hint; i++)
        if (strcmp(option->hint, files[i]) == 0) return LT_VALUE_FILE;
    return LT_VALUE_FREE;
}

bool lt_positional_is_words(const char *positional) {
    const char *at = positional;
    while (at && (islower((unsigned char)*at) || *at == '|' || *at == '-')) at++;
    return positional && *positional && *at == '\0';
}
