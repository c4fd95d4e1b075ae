/* longtake: the table of subcommands. Each lives in the room that does its work. */
#include "core/cli.h"
#include "core/config.h"
#include "core/io.h"
#include "core/log.h"
#include "core/parallel.h"
#include "data/cmd_ingest.h"
#include "data/cmd_scenes.h"
#include "experiments/cmd_ablate.h"
#include "experiments/cmd_compare.h"
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
    &lt_cmd_report, &lt_cmd_compare,  &lt_cmd_bench};
enum { COMMANDS = sizeof commands / sizeof *commands, POSITIONALS = 256 };

static void to_stderr(lt_log_level level, const char *line, void *user) {
    (void)user;
    static const char *const marks[] = {"error: ", "warning: ", "", ""};
    fprintf(stderr, "%s%s\n", marks[level], line);
}

static const lt_command *find(const char *name) {
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) names[i] = commands[i]->name;
    const char *near = lt_nearest(name, names, COMMANDS);
    lt_fail(LT_USAGE, "there is no command \"%s\"%s%s%s; `longtake help` lists them", name,
            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return NULL;
}

static void print_key(const char *room, const lt_key *key, void *user) {
    (void)room, (void)user;
    char range[96] = "";
    if (key->min != 0 || key->max != 0) snprintf(range, sizeof range, "; %.15g to %.15g", key->min, key->max);
    printf("  %s\n      %s%s%s%s (default %s)\n", key->name, key->help, range, key->choices ? "; " : "",
           key->choices ? key->choices : "", key->preset ? key->preset : "none: must be given");
}

static int help(const char *name) {
    const lt_command *command = name && strcmp(name, "config") != 0 ? find(name) : NULL;
    if (command) {
        lt_cli_help(command);
    } else if (name && strcmp(name, "config") == 0) {
        printf("Keys of configurations (JSON; \"extends\" names others; --set KEY=VALUE overrides):\n\n");
        lt_config_each_key(print_key, NULL);
    } else if (name) {
        fprintf(stderr, "longtake: %s\n", lt_error());
        return LT_USAGE;
    } else {
        printf("longtake <command> [options]\n\n");
        for (int i = 0; i < COMMANDS; i++) printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
        printf("\n`longtake help <command>` is its manual, `longtake help config` lists the configuration "
               "keys.\n");
    }
    return LT_OK;
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

int main(int argc, char **argv) {
    lt_model_register_keys();
    lt_train_register_keys();
    lt_experiment_register_keys();
    lt_catch_signals();
    if (argc < 2) return help(NULL), LT_USAGE;
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    const lt_command *command = find(argv[1]);
    lt_status status = command ? run(command, argc, argv) : LT_USAGE;
    if (status != LT_OK)
        fprintf(stderr, "longtake%s%s: %s\n", command ? " " : "", command ? command->name : "", lt_error());
    return status;
}
