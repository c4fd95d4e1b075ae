/* What parsing and help share. Not for other rooms. */
#ifndef LT_CORE_CLI_TABLE_H
#define LT_CORE_CLI_TABLE_H

#include "core/cli.h"

/* Options that every command takes; ends with {NULL}. Their values are the members of lt_globals. */
extern const lt_option lt_global_options[];
extern const lt_globals lt_global_defaults;
/* The letter that stands for an option ('v' for "verbose"), or 0. */
char lt_option_letter(const char *name);
/* "1 to 1000", "at least 1" or, for numbers without limits, "" into `text`; returns `text`. */
char *lt_option_range(const lt_option *option, char text[96]);
/* A command's struct of options before parsing. */
const void *lt_command_defaults(const lt_command *command);
/* Its default, in such a struct, as text, or "". */
void lt_option_default(const lt_option *option, const void *defaults, char *text, size_t size);
/* Help, choices, range and default in one line. Returns `text`. */
char *lt_option_text(const lt_option *option, const void *defaults, char *text, size_t size);

/* What a shell offers for its value. */
typedef enum lt_value_kind {
    LT_VALUE_NONE, /* a flag */
    LT_VALUE_FREE, /* a number, or text that nobody else knows */
    LT_VALUE_CHOICE,
    LT_VALUE_FILE,
    LT_VALUE_PRESET, /* or a file */
    LT_VALUE_POLICY,
    LT_VALUE_KEY, /* of configurations, with its '=' */
    LT_VALUE_DEVICE,
    LT_VALUE_OP
} lt_value_kind;
lt_value_kind lt_option_kind(const lt_option *option);
/* "policies|ops|metrics", not "FILE|RUN". */
bool lt_positional_is_words(const char *positional);

/* The command line, quoted for a shell; the caller frees it. NULL without memory for it. */
char *lt_cli_line(int argc, char **argv);

#endif
