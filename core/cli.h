/* Command-line options as table rows, so that parsing and help cannot disagree. A row names a member of
 * the command's own struct of options, which begins with those that all commands share. Each call gets a
 * struct of its own, a copy of the defaults: a command can be parsed and run any number of times, in
 * several threads at once.
 *
 *     typedef struct make_options {
 *         lt_globals global;
 *         const char *out;
 *         int64_t steps;
 *         bool resume;
 *     } make_options;
 *     static const make_options defaults = {.global = LT_GLOBALS, .steps = 20};
 *     static const lt_option options[] = {
 *         {"out", LT_OPT_STRING, offsetof(make_options, out), "DIR", "where the run goes", .required = true},
 *         {"steps", LT_OPT_INT, offsetof(make_options, steps), "N", "sampler steps per block", .min = 1, .max = 1000},
 *         {"resume", LT_OPT_FLAG, offsetof(make_options, resume), NULL, "go on from the latest checkpoint"},
 *         {NULL}};
 *     static lt_status run_make(const void *options, int count, const char *const *positional);
 *     const lt_command make = {.name = "make", ..., .options = options, .defaults = &defaults,
 *                                     .options_size = sizeof defaults, .run = run_make};
 *
 * "--name value" and "--name=value" are both accepted; a value that starts with a dash and is no number
 * needs the second form. Only LT_OPT_STRINGS may be repeated. A number without an upper end has max =
 * INFINITY. What follows a bare "--" is positional. Unknown options are LT_USAGE with the nearest known
 * one. */
#ifndef LT_CORE_CLI_H
#define LT_CORE_CLI_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_option_type {
    LT_OPT_FLAG,
    LT_OPT_INT,
    LT_OPT_FLOAT,
    LT_OPT_STRING,
    LT_OPT_STRINGS
} lt_option_type;

/* Values of a repeatable option, in the order given. */
typedef struct lt_strings {
    const char *items[256];
    int count;
} lt_strings;

typedef struct lt_option {
    const char *name; /* without the dashes */
    lt_option_type type;
    size_t at;        /* of the bool, int64_t, double, const char * or lt_strings in the struct of options */
    const char *hint; /* what to call the value in the help: "DIR", "N" */
    const char *help;
    bool required;
    double min, max;     /* of numbers; both 0: any */
    const char *choices; /* "a|b|c" for strings; NULL: any */
} lt_option;

/* What all commands share: --device --threads --seed --precision --kernels --json -v -q -h. First member
 * of every struct of options. */
typedef struct lt_globals {
    const char *device;    /* "cpu" */
    int64_t threads;       /* 0: all cores */
    int64_t seed;          /* -1: from the config, or 0 */
    const char *precision; /* "auto" */
    const char *kernels;   /* "auto" */
    bool json, verbose, quiet, help;
    const char *line; /* the command line, quoted for a shell: for records */
} lt_globals;
/* Their defaults. */
#define LT_GLOBALS                                                                                           \
    { .device = "cpu", .seed = -1, .precision = "auto", .kernels = "auto" }

enum { LT_CLI_POSITIONALS = 256 }; /* a command takes no more */

/* One subcommand: a row of the table in main.c. */
typedef struct lt_command {
    const char *name;
    const char *summary;      /* one line for `longtake help` */
    const char *usage;        /* what follows the name: "--out D.h5 --size WxH ..." */
    const char *details;      /* paragraphs for `longtake help NAME`; examples included */
    const lt_option *options; /* ends with {NULL}; NULL: only those that all commands share */
    /* the struct of options before parsing; NULL: lt_globals alone, with its own defaults */
    const void *defaults;
    size_t options_size; /* of that struct */
    /* Options that are looked for here and are none, and what to do instead; {NULL} ends. */
    const char *const (*elsewhere)[2];
    const char *positional; /* "RUN [RUN]" or NULL when it takes none */
    int min_positional, max_positional;
    /* `options`: the struct, filled in. What it points to lasts as long as argv and the struct. */
    lt_status (*run)(const void *options, int positional_count, const char *const *positional);
} lt_command;

/* Parses argv[2..] for `command` into a struct of options that lt_cli_free frees, checks ranges, choices
 * and required options. `positional` has room for max_positional. With `-h` it prints the help to stdout,
 * and *options is NULL. */
lt_status lt_cli_parse(const lt_command *command, int argc, char **argv, void **options,
                       const char **positional, int *count);
void lt_cli_free(void *options); /* NULL is fine */
/* Parses and runs: what a program that has found its command does, and a test. */
lt_status lt_cli_run(const lt_command *command, int argc, char **argv);
/* The help of one command, to stdout: text, or as JSON what lt_cli_describe says. */
void lt_cli_help(const lt_command *command, bool json);
/* Words of `text` from `column` on, in lines of at most LT_HELP_WIDTH that continue at `indent`, to
 * stdout; ends the line. */
enum { LT_HELP_WIDTH = 80 };
void lt_print_wrapped(const char *text, int column, int indent);
/* {name, summary, usage, positional, options: [{name, type, hint, help, default, choices, min, max,
 * required, repeatable}]}, and such a list of the options of every command. Free with cJSON_Delete. */
struct cJSON *lt_cli_describe(const lt_command *command);
struct cJSON *lt_cli_describe_globals(void);

/* A progress line on stderr: rewritten in place on a terminal, one plain line every 10 s otherwise; silent
 * where the log shows no information (core/log.h): with -q, and in a library that nobody listens to.
 * `done` of `total` units; shows rate and time left. Call with done == total to end it. */
void lt_progress(const char *what, int64_t done, int64_t total, const char *unit);

/* "16GiB", "60MiB", "1024B" -> bytes. LT_USAGE otherwise, also without a unit: 16 is as likely to mean
 * GiB. */
lt_status lt_parse_bytes(const char *text, int64_t *out);
/* The value of --memory-limit: more than nothing. 0 where `text` is NULL, which limits nothing. */
lt_status lt_parse_memory_limit(const char *text, int64_t *out);
/* "24.3 GiB" into `text`; returns `text`. */
char *lt_format_bytes(int64_t bytes, char text[32]);

#ifdef __cplusplus
}
#endif
#endif
