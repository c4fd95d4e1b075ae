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

/* longtake.1 */
void lt_man_page(FILE *to, const lt_command *const *commands, int count);

#endif
