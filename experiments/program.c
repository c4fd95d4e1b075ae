#include "experiments/program.h"

#include "core/io.h"
#include "core/log.h"
#include "core/parallel.h"
#include "experiments/experiment.h"
#include "experiments/help.h"
#include "model/model.h"
#include "train/config.h"

#include <stdio.h>
#include <string.h>

static void log_to_stderr(lt_log_level level, const char *line, void *user) {
    (void)user;
    static const char *const marks[] = {"error: ", "warning: ", "", ""};
    fprintf(stderr, "%s%s\n", marks[level], line);
}

/* What the process does as its options say, before the command runs. */
static void set_up_process(const lt_globals *global, char **argv) {
    if (global->threads != 1) lt_wait_briefly(argv);
    lt_log_init(log_to_stderr, NULL,
                global->verbose ? LT_LOG_DEBUG
                : global->quiet ? LT_LOG_WARN
                                : LT_LOG_INFO);
    lt_set_threads((int)global->threads);
}

static lt_status run_command(const lt_command *command, int argc, char **argv) {
    const char *positional[LT_CLI_POSITIONALS];
    void *options;
    int count;
    LT_TRY(lt_cli_parse(command, argc, argv, &options, positional, &count));
    if (!options) return LT_OK; /* help was wanted */
    set_up_process(options, argv);
    lt_status status = command->run(options, count, positional);
    lt_cli_free(options);
    return status;
}

static const char *command_name(const char *given) {
    if (strcmp(given, "--help") == 0 || strcmp(given, "-h") == 0) return "help";
    return strcmp(given, "--version") == 0 ? "version" : given;
}

static lt_status answer(int argc, char **argv) {
    if (argc < 2) return lt_help_commands(), LT_USAGE;
    const lt_command *command = lt_help_find(command_name(argv[1]));
    lt_status status = command ? run_command(command, argc, argv) : LT_USAGE;
    if (status != LT_OK)
        fprintf(stderr, "longtake%s%s: %s\n", command ? " " : "", command ? command->name : "", lt_error());
    return status;
}

int lt_program(const lt_command *const *commands, int count, int argc, char **argv) {
    lt_hold_standard();
    lt_model_register_keys();
    lt_train_register_keys();
    lt_experiment_register_keys();
    lt_catch_signals();
    lt_help_about(commands, count);
    lt_status status = answer(argc, argv), printed = lt_end_standard();
    if (printed != LT_OK) fprintf(stderr, "longtake: %s\n", lt_error());
    return status != LT_OK ? status : printed;
}
