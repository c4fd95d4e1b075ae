/* The program `longtake`, given its table of subcommands (main.c). */
#ifndef LT_EXPERIMENTS_PROGRAM_H
#define LT_EXPERIMENTS_PROGRAM_H

#include "core/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the command that argv names and returns the program's exit code, which is its lt_status: what went
 * wrong is one line on stderr. This is where the process is the program's own: it takes signals, the log's
 * sink, the number of threads and the standard streams. "--help" and "--version" are commands too. */
int lt_program(const lt_command *const *commands, int count, int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
