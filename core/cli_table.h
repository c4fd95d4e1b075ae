/* What parsing and help share. Not for other rooms. */
#ifndef LT_CORE_CLI_TABLE_H
#define LT_CORE_CLI_TABLE_H

#include "core/cli.h"

/* Options that every command takes; ends with {NULL}. Their values are the fields of lt_global. */
extern const lt_option lt_global_options[];
/* The letter that stands for an option ('v' for "verbose"), or 0. */
char lt_option_letter(const char *name);
/* "1 to 1000", "at least 1" or, for numbers without limits, "" into `text`; returns `text`. */
char *lt_option_range(const lt_option *option, char text[96]);
/* What lt_cli_command returns from now on. */
void lt_cli_keep_command(int argc, char **argv);

#endif
