#include "core/cli.h"
#include "core/cli_man.h"
#include "core/config.h"
#include "experiments/help.h"
#include "experiments/json_file.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 64 };
static const lt_command *const *commands;
static int command_count;

const lt_exit_code lt_exit_codes[] = {
    {LT_OK, "done", "done"},
    {LT_USAGE, "usage", "wrong command line or configuration"},
    {LT_INPUT, "input", "a file that is missing, unreadable or invalid"},
    {LT_FAILED, "failed", "failed while running: out of memory, full disk, device error"},
    {LT_UNAVAILABLE, "unavailable", "not in this build, or not on this machine"},
    {LT_INTERRUPTED, "interrupted",
     "interrupted; what was finished is on disk, and the same command with --resume goes on"},
    {0, NULL, NULL}};

const char *const lt_environment_names[][2] = {
    {"LONGTAKE_CONFIGS",
     "a folder of presets that is looked through first: model/NAME.json, train/NAME.json"},
    {"OMP_WAIT_POLICY",
     "passive: threads that wait give their core away; faster where other work shares the cores"},
    {NULL, NULL}};

void lt_help_about(const lt_command *const *table, int count) {
    commands = table;
    command_count = count;
}

const lt_command *lt_help_find(const char *name) {
    const char *names[MOST];
    for (int i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
        if (i < MOST) names[i] = commands[i]->name;
    }
    const char *near = lt_nearest(name, names, command_count < MOST ? command_count : MOST);
    lt_fail(LT_USAGE, "there is no command \"%s\"%s%s%s; `longtake help` lists them", name,
            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return NULL;
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

static void add_code(cJSON *list, const lt_exit_code *row) {
    cJSON *one = cJSON_CreateObject();
    cJSON_AddNumberToObject(one, "code", row->code);
    cJSON_AddStringToObject(one, "name", row->name);
    cJSON_AddStringToObject(one, "help", row->meaning);
    cJSON_AddItemToArray(list, one);
}

static cJSON *describe_codes(void) {
    cJSON *list = cJSON_CreateArray();
    for (const lt_exit_code *row = lt_exit_codes; row->name; row++) add_code(list, row);
    return list;
}

static void help_codes(bool json) {
    if (json) {
        cJSON *list = describe_codes();
        lt_json_print(list);
        cJSON_Delete(list);
        return;
    }
    printf("Exit codes:\n\n");
    for (const lt_exit_code *row = lt_exit_codes; row->name; row++)
        printf("  %d  %s\n", row->code, row->meaning);
    printf("\nAn error is one line of plain text on stderr, also with --json. Then stdout is\n"
           "empty, or (bench) ends where the error came.\n");
}

static void print_key(const char *room, const lt_key *key, void *user) {
    (void)room, (void)user;
    char range[96] = "";
    if (key->min != 0 || key->max != 0) snprintf(range, sizeof range, "; %.15g to %.15g", key->min, key->max);
    printf("  %s\n      %s%s%s%s (default %s)\n", key->name, key->help, range, key->choices ? "; " : "",
           key->choices ? key->choices : "", key->preset ? key->preset : "none: must be given");
}

static void add_key(const char *room, const lt_key *key, void *list) {
    static const char *const types[] = {"integer",  "number",  "boolean", "text",
                                        "integers", "numbers", "texts",   "json"};
    cJSON *one = cJSON_CreateObject(), *preset = key->preset ? cJSON_Parse(key->preset) : NULL;
    cJSON_AddStringToObject(one, "name", key->name);
    cJSON_AddStringToObject(one, "room", room);
    cJSON_AddStringToObject(one, "type", types[key->type]);
    cJSON_AddStringToObject(one, "help", key->help);
    cJSON_AddItemToObject(one, "default", preset ? preset : cJSON_CreateNull());
    if (key->min != 0 || key->max != 0) {
        cJSON_AddNumberToObject(one, "min", key->min);
        cJSON_AddNumberToObject(one, "max", key->max);
    }
    if (key->choices) cJSON_AddStringToObject(one, "choices", key->choices);
    cJSON_AddItemToArray(list, one);
}

static void help_config(bool json) {
    if (json) {
        cJSON *list = cJSON_CreateArray();
        lt_config_each_key(add_key, list);
        lt_json_print(list);
        cJSON_Delete(list);
        return;
    }
    printf("Keys of configurations (JSON; \"extends\" names others; --set KEY=VALUE overrides):\n\n");
    lt_config_each_key(print_key, NULL);
}

static void help_man(bool json) { (void)json, lt_man_page(stdout, commands, command_count); }
static void help_bash(bool json) { (void)json, lt_bash_completion(stdout, commands, command_count); }
static void help_zsh(bool json) { (void)json, lt_zsh_completion(stdout, commands, command_count); }

static const struct {
    const char *name, *help;
    void (*print)(bool json);
    bool text; /* of another language: never JSON */
} topics[] = {{"config", "the keys of configurations", help_config},
              {"exit-codes", "what the program's exit code means", help_codes},
              {"man", "the manual page, in roff: `longtake help man | man -l -`", help_man, true},
              {"bash-completion", "a script for bash", help_bash, true},
              {"zsh-completion", "a script for zsh", help_zsh, true}};
enum { TOPICS = sizeof topics / sizeof *topics };

/* ---- the list of commands ---------------------------------------------------------------------------------------- */

static void describe_all(void) {
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "commands");
    for (int i = 0; i < command_count; i++) cJSON_AddItemToArray(list, lt_cli_describe(commands[i]));
    cJSON_AddItemToObject(root, "options", lt_cli_describe_globals());
    cJSON_AddItemToObject(root, "exit_codes", describe_codes());
    lt_json_print(root);
    cJSON_Delete(root);
}

void lt_help_commands(void) {
    enum { COLUMN = 19 };
    printf("longtake <command> [options]\n\n");
    for (int i = 0; i < command_count; i++) {
        printf("  %-*s", COLUMN - 2, commands[i]->name);
        lt_print_wrapped(commands[i]->summary, COLUMN, COLUMN);
    }
    printf("\n`longtake help <command>` is its manual. `longtake help <topic>`:\n\n");
    for (int i = 0; i < TOPICS; i++) {
        printf("  %-*s", COLUMN - 2, topics[i].name);
        lt_print_wrapped(topics[i].help, COLUMN, COLUMN);
    }
    printf("\nExit codes: 0 done, 2 usage or configuration, 3 unreadable input, 4 failed while\n"
           "running, 5 not available here, 6 interrupted and resumable.\n");
}

static lt_status help_topic(const char *name, bool json) {
    for (int i = 0; i < TOPICS; i++) {
        if (strcmp(name, topics[i].name) != 0) continue;
        LT_CHECK(!topics[i].text || !json, LT_USAGE, "%s is no JSON; leave --json out", name);
        topics[i].print(json);
        return LT_OK;
    }
    const lt_command *command = lt_help_find(name);
    if (!command) return LT_USAGE;
    lt_cli_help(command, json);
    return LT_OK;
}

static lt_status run_help(const void *options, int count, const char *const *names) {
    const bool json = ((const lt_globals *)options)->json;
    if (count > 0) return help_topic(names[0], json);
    if (json) describe_all();
    else lt_help_commands();
    return LT_OK;
}

const lt_command lt_cmd_help = {
    .name = "help",
    .summary = "commands, the manual of one, and topics",
    .details = "Topics are config (the keys of configurations), exit-codes, man (the manual page),\n"
               "bash-completion and zsh-completion. With --json, commands, their options and the keys come\n"
               "as JSON.\n"
               "\n"
               "  longtake help train\n"
               "  . <(longtake help bash-completion)\n",
    .positional = "[COMMAND|TOPIC]",
    .max_positional = 1,
    .run = run_help};
