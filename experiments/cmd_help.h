/* longtake help, longtake version: what the program says of itself. */
#ifndef LT_EXPERIMENTS_CMD_HELP_H
#define LT_EXPERIMENTS_CMD_HELP_H

#include "core/cli.h"

/* The table of commands that help is about; it stays the caller's. */
void lt_help_about(const lt_command *const *commands, int count);
/* The row of that name, or NULL with a message that names the nearest. */
const lt_command *lt_help_find(const char *name);

extern const lt_command lt_cmd_help, lt_cmd_version;

#endif
