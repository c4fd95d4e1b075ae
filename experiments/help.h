/* What the files of `longtake help` share. */
#ifndef LT_EXPERIMENTS_HELP_H
#define LT_EXPERIMENTS_HELP_H

#include "core/cli.h"

#include <stdio.h>

/* What an exit code means; ends with a row whose name is NULL. */
typedef struct lt_exit_code {
    int code;
    const char *name, *meaning;
} lt_exit_code;
extern const lt_exit_code lt_exit_codes[];

/* Environment variables that the program looks at, with what they do; ends with NULL. */
extern const char *const lt_environment_names[][2];

/* The table of commands that help is about; it stays the caller's. */
void lt_help_about(const lt_command *const *commands, int count);
/* The row of that name, or NULL with a message that names the nearest. */
const lt_command *lt_help_find(const char *name);
/* What `longtake` says without a command: the list of them, to stdout. */
void lt_help_commands(void);

/* longtake.1 */
void lt_man_page(FILE *to, const lt_command *const *commands, int count);

#endif
