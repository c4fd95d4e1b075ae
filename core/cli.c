#include "core/cli_table.h"

#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const lt_globals lt_global_defaults = LT_GLOBALS;

#define AT(member) offsetof(lt_globals, member)
const lt_option lt_global_options[] = {
    {"device", LT_OPT_STRING, AT(device), "NAME", "where tensors live; see `longtake list devices`"},
    {"threads", LT_OPT_INT, AT(threads), "N", "processor threads; 0: all cores", .min = 0, .max = 4096},
    {"seed", LT_OPT_INT, AT(seed), "N", "seed of all randomness; -1: from the config, or 0", .min = -1,
     .max = INFINITY},
    {"precision", LT_OPT_STRING, AT(precision), "P",
     "precision of GEMM operands; auto: f32 on the CPU, bf16 on a GPU; "
     "fp8: to generate and evaluate, on GPUs that have it",
     .choices = "auto|f32|bf16|fp8"},
    {"kernels", LT_OPT_STRING, AT(kernels), "K",
     "of a GPU; generic: those without tensor cores, to compare with", .choices = "auto|generic"},
    {"json", LT_OPT_FLAG, AT(json), NULL, "machine-readable output on stdout"},
    {"verbose", LT_OPT_FLAG, AT(verbose), NULL, "log details"},
    {"quiet", LT_OPT_FLAG, AT(quiet), NULL, "no progress, warnings and errors only"},
    {"help", LT_OPT_FLAG, AT(help), NULL, "this page"},
    {NULL},
};

char lt_option_letter(const char *name) {
    static const char *const lettered[] = {"verbose", "quiet", "help"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, lettered[i]) == 0) return name[0];
    return 0;
}

char *lt_option_range(const lt_option *option, char text[96]) {
    if (option->min == 0 && option->max == 0) *text = '\0';
    else if (isinf(option->max)) snprintf(text, 96, "at least %.15g", option->min);
    else if (isinf(option->min)) snprintf(text, 96, "at most %.15g", option->max);
    else snprintf(text, 96, "%.15g to %.15g", option->min, option->max);
    return text;
}

static lt_status check_range(const lt_option *option, const char *text, double value) {
    char range[96];
    bool any = *lt_option_range(option, range) == '\0';
    LT_CHECK(any || (value >= option->min && value <= option->max), LT_USAGE, "--%s: %s is out of range: %s",
             option->name, text, range);
    return LT_OK;
}

enum { MAX_OPTIONS = 96 };

typedef struct parser {
    const lt_command *command;
    char *values;                          /* the struct of options */
    const lt_option *options[MAX_OPTIONS]; /* the command's, then the global ones */
    bool seen[MAX_OPTIONS];
    int count;
} parser;

static void collect_options(parser *p, const lt_option *table) {
    for (; table && table->name && p->count < MAX_OPTIONS; table++) p->options[p->count++] = table;
}

static lt_status parse_int(const lt_option *option, const char *text, void *value_at) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    LT_CHECK(end != text && *end == '\0' && errno == 0 && !isspace((unsigned char)*text), LT_USAGE,
             "--%s: expected a whole number, got \"%s\"", option->name, text);
    LT_TRY(check_range(option, text, (double)value));
    *(int64_t *)value_at = value;
    return LT_OK;
}

static lt_status parse_float(const lt_option *option, const char *text, void *value_at) {
    char *end;
    double value = strtod(text, &end);
    LT_CHECK(end != text && *end == '\0' && isfinite(value) && !isspace((unsigned char)*text), LT_USAGE,
             "--%s: expected a number, got \"%s\"", option->name, text);
    LT_TRY(check_range(option, text, value));
    *(double *)value_at = value;
    return LT_OK;
}

static lt_status check_choice(const lt_option *option, const char *text) {
    if (!option->choices) return LT_OK;
    char copy[512], *rest = copy;
    const char *names[64];
    int count = 0;
    snprintf(copy, sizeof copy, "%s", option->choices);
    for (char *name; count < 64 && (name = strsep(&rest, "|"));) names[count++] = name;
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0) return LT_OK;
    const char *near = lt_nearest(text, names, count);
    return lt_fail(LT_USAGE, "--%s: \"%s\" is not one of %s%s%s%s", option->name, text, option->choices,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static lt_status store_option(parser *p, int index, const char *text) {
    const lt_option *option = p->options[index];
    bool again = p->seen[index];
    p->seen[index] = true;
    LT_CHECK(!again || option->type == LT_OPT_STRINGS, LT_USAGE,
             "--%s is given more than once; it takes one value", option->name);
    void *value = p->values + option->at;
    if (option->type == LT_OPT_INT) return parse_int(option, text, value);
    if (option->type == LT_OPT_FLOAT) return parse_float(option, text, value);
    LT_TRY(check_choice(option, text));
    if (option->type == LT_OPT_STRING) {
        *(const char **)value = text;
        return LT_OK;
    }
    lt_strings *strings = value;
    if (!again) strings->count = 0; /* what is given replaces the default */
    const int limit = sizeof strings->items / sizeof *strings->items;
    LT_CHECK(strings->count < limit, LT_USAGE, "--%s is given more than %d times", option->name, limit);
    strings->items[strings->count++] = text;
    return LT_OK;
}

static lt_status unknown_option(const parser *p, const char *given, const char *name) {
    for (int i = 0; p->command->elsewhere && p->command->elsewhere[i][0]; i++)
        LT_CHECK(strcmp(name, p->command->elsewhere[i][0]) != 0, LT_USAGE, "%s: not an option here; %s",
                 given, p->command->elsewhere[i][1]);
    const char *names[MAX_OPTIONS];
    int count = 0;
    for (int i = 0; i < p->count; i++) names[count++] = p->options[i]->name;
    const char *near = lt_nearest(name, names, count);
    return near ? lt_fail(LT_USAGE, "unknown option %s; did you mean --%s?", given, near)
                : lt_fail(LT_USAGE, "unknown option %s", given);
}

/* "--name", "--name=value" or "-v": the option's index, or -1. */
static int find_option(const parser *p, const char *given, char name[64], const char **value) {
    bool letter = given[1] != '-';
    const char *text = given + (letter ? 1 : 2), *equals = letter ? NULL : strchr(text, '=');
    snprintf(name, 64, "%.*s", equals ? (int)(equals - text) : (int)strlen(text), text);
    *value = equals ? equals + 1 : NULL;
    for (int i = 0; i < p->count; i++) {
        const char *known = p->options[i]->name;
        if (letter ? name[1] == '\0' && name[0] && lt_option_letter(known) == name[0]
                   : strcmp(known, name) == 0)
            return i;
    }
    return -1;
}

/* "-", negative numbers and everything else that cannot be an option. */
static bool is_value(const char *text) {
    if (text[0] != '-' || text[1] == '\0') return true;
    char *end;
    strtod(text, &end);
    return *end == '\0';
}

/* Takes the option at argv[*i], and the next argument when that is its value. */
static lt_status parse_option(parser *p, int argc, char **argv, int *i) {
    char name[64];
    const char *value, *given = argv[*i];
    int index = find_option(p, given, name, &value);
    if (index < 0) return unknown_option(p, given, name);
    const lt_option *option = p->options[index];
    if (option->type == LT_OPT_FLAG) {
        LT_CHECK(!value, LT_USAGE, "--%s takes no value, got \"%s\"", name, value);
        *(bool *)(p->values + option->at) = p->seen[index] = true;
        return LT_OK;
    }
    if (!value) {
        LT_CHECK(*i + 1 < argc && is_value(argv[*i + 1]), LT_USAGE, "--%s needs a value: --%s %s", name, name,
                 option->hint ? option->hint : "VALUE");
        value = argv[++*i];
    }
    return store_option(p, index, value);
}

static lt_status check_complete(const parser *p, int positional_count) {
    const lt_command *command = p->command;
    for (int i = 0; i < p->count; i++)
        LT_CHECK(!p->options[i]->required || p->seen[i], LT_USAGE, "--%s %s is required", p->options[i]->name,
                 p->options[i]->hint ? p->options[i]->hint : "");
    LT_CHECK(positional_count >= command->min_positional, LT_USAGE, "expected %s, got %d argument%s",
             command->positional ? command->positional : "more arguments", positional_count,
             positional_count == 1 ? "" : "s");
    const lt_globals *global = (const lt_globals *)p->values;
    LT_CHECK(!(global->verbose && global->quiet), LT_USAGE, "--verbose and --quiet exclude each other");
    return LT_OK;
}

static lt_status parse_all(parser *p, int argc, char **argv, const char **positional, int *count) {
    bool options_end = false;
    for (int i = 2; i < argc; i++) {
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && !is_value(argv[i])) {
            LT_TRY(parse_option(p, argc, argv, &i));
        } else {
            LT_CHECK(*count < p->command->max_positional, LT_USAGE, "unexpected argument \"%s\"%s%s", argv[i],
                     p->command->positional ? ": expected " : "; options start with --",
                     p->command->positional ? p->command->positional : "");
            positional[(*count)++] = argv[i];
        }
    }
    return check_complete(p, *count);
}

static bool is_among(const char *option, int argc, char **argv) {
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], option) == 0) return true;
    return false;
}

/* Values may be in use when the next parse begins, so each has a struct of its own. */
static lt_status new_options(const lt_command *command, int argc, char **argv, lt_globals **out) {
    const size_t size = command->defaults ? command->options_size : sizeof(lt_globals);
    lt_globals *options = *out = malloc(size);
    LT_CHECK(options, LT_FAILED, "out of memory for the options");
    memcpy(options, command->defaults ? command->defaults : &lt_global_defaults, size);
    options->line = lt_cli_line(argc, argv);
    return LT_OK;
}

void lt_cli_free(void *options) {
    if (options) free((char *)((lt_globals *)options)->line);
    free(options);
}

lt_status lt_cli_parse(const lt_command *command, int argc, char **argv, void **options,
                       const char **positional, int *count) {
    lt_globals *made;
    *count = 0;
    *options = NULL;
    if (is_among("-h", argc, argv) || is_among("--help", argc, argv)) {
        lt_cli_help(command, is_among("--json", argc, argv));
        return LT_OK;
    }
    LT_TRY(new_options(command, argc, argv, &made));
    parser p = {.command = command, .values = (char *)made};
    collect_options(&p, command->options);
    collect_options(&p, lt_global_options);
    lt_status status = parse_all(&p, argc, argv, positional, count);
    if (status == LT_OK) {
        *options = made;
        return LT_OK;
    }
    lt_cli_free(made);
    char problem[1024];
    snprintf(problem, sizeof problem, "%s", lt_error());
    return lt_fail(status, "%s (see `longtake help %s`)", problem, command->name);
}

lt_status lt_cli_run(const lt_command *command, int argc, char **argv) {
    const char *positional[LT_CLI_POSITIONALS];
    void *options;
    int count;
    LT_TRY(lt_cli_parse(command, argc, argv, &options, positional, &count));
    lt_status status = options ? command->run(options, count, positional) : LT_OK;
    lt_cli_free(options);
    return status;
}
