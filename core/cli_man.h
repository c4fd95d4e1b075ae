/* The manual page's parts that come from the tables of options. */
#ifndef LT_CORE_CLI_MAN_H
#define LT_CORE_CLI_MAN_H

#include "core/cli.h"
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A section ".SS longtake NAME" with summary, usage, options and details. */
void lt_roff_command(FILE *to, const lt_command *command);
/* Options of every command. */
void lt_roff_globals(FILE *to);
/* Text that is filled, but for lines that begin with a space; and text within a line. */
void lt_roff_paragraphs(FILE *to, const char *text);
void lt_roff_text(FILE *to, const char *text, int length);

/* Scripts that complete commands, options and their values in a shell. What a value may be is asked of the
 * program when it is needed (`longtake list NAMES --quiet`), so presets of $LONGTAKE_CONFIGS are among it. */
void lt_bash_completion(FILE *to, const lt_command *const *commands, int count);
void lt_zsh_completion(FILE *to, const lt_command *const *commands, int count);

#ifdef __cplusplus
}
#endif
#endif
