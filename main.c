/* longtake: the table of subcommands. Each lives in the room that does its work. */
#include "core/cli.h"
#include "core/io.h"
#include "core/log.h"
#include "core/parallel.h"
#include "data/cmd_ingest.h"
#include "data/cmd_scenes.h"
#include "experiments/cmd_ablate.h"
#include "experiments/cmd_compare.h"
#include "experiments/cmd_help.h"
#include "experiments/cmd_info.h"
#include "experiments/cmd_list.h"
#include "experiments/cmd_report.h"
#include "experiments/experiment.h"
#include "infer/cmd_evaluate.h"
#include "infer/cmd_generate.h"
#include "infer/cmd_held.h"
#include "model/model.h"
#include "train/cmd_bench.h"
#include "train/cmd_plan.h"
#include "train/cmd_train.h"
#include "train/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lt_command *const commands[] = {
    &lt_cmd_ingest, &lt_cmd_scenes,   &lt_cmd_info,     &lt_cmd_list, &lt_cmd_plan,
    &lt_cmd_train,  &lt_cmd_generate, &lt_cmd_evaluate, &lt_cmd_held, &lt_cmd_ablate,
    &lt_cmd_report, &lt_cmd_compare,  &lt_cmd_bench,    &lt_cmd_help, &lt_cmd_version};
enum { COMMANDS = sizeof commands / sizeof *commands, POSITIONALS = 256 };

static void to_stderr(lt_log_level level, const char *line, void *user) {
    (void)user;
    static const char *const marks[] = {"error: ", "warning: ", "", ""};
    fprintf(stderr, "%s%s\n", marks[level], line);
}

static lt_status run(const lt_command *command, int argc, char **argv) {
    const char *positional[POSITIONALS];
    int count;
    bool done;
    LT_TRY(lt_cli_parse(command, argc, argv, positional, &count, &done));
    if (done) return LT_OK;
    if (lt_global.threads != 1) lt_wait_briefly(argv);
    lt_log_init(to_stderr, NULL,
                lt_global.verbose ? LT_LOG_DEBUG
                : lt_global.quiet ? LT_LOG_WARN
                                  : LT_LOG_INFO);
    lt_set_threads((int)lt_global.threads);
    return command->run(count, positional);
}

/* "--help" is a command too. */
static const char *command_name(const char *given) {
    if (strcmp(given, "--help") == 0 || strcmp(given, "-h") == 0) return lt_cmd_help.name;
    return strcmp(given, "--version") == 0 ? lt_cmd_version.name : given;
}

static lt_status answer(int argc, char **argv) {
    lt_help_about(commands, COMMANDS);
    if (argc < 2) return lt_cmd_help.run(0, NULL), LT_USAGE;
    const lt_command *command = lt_help_find(command_name(argv[1]));
    lt_status status = command ? run(command, argc, argv) : LT_USAGE;
    if (status != LT_OK)
        fprintf(stderr, "longtake%s%s: %s\n", command ? " " : "", command ? command->name : "", lt_error());
    return status;
}

int main(int argc, char **argv) {
    lt_hold_standard();
    lt_model_register_keys();
    lt_train_register_keys();
    lt_experiment_register_keys();
    lt_catch_signals();
    lt_status status = answer(argc, argv), printed = lt_end_standard();
    if (printed != LT_OK) fprintf(stderr, "longtake: %s\n", lt_error());
    return status != LT_OK ? status : printed;
}
