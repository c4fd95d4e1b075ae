/* A command as JSON, for programs that drive this one. */
#include "core/cli_table.h"

#include <cjson/cJSON.h>
#include <math.h>

static void add_limit(cJSON *to, const char *name, double value) {
    if (isfinite(value)) cJSON_AddNumberToObject(to, name, value);
}

static cJSON *describe_option(const lt_option *option, const void *defaults) {
    static const char *const types[] = {"flag", "integer", "number", "text", "text"};
    char preset[256];
    cJSON *to = cJSON_CreateObject();
    cJSON_AddStringToObject(to, "name", option->name);
    cJSON_AddStringToObject(to, "type", types[option->type]);
    if (option->hint) cJSON_AddStringToObject(to, "hint", option->hint);
    cJSON_AddStringToObject(to, "help", option->help);
    lt_option_default(option, defaults, preset, sizeof preset);
    if (*preset) cJSON_AddStringToObject(to, "default", preset);
    if (option->choices) cJSON_AddStringToObject(to, "choices", option->choices);
    if (option->min != 0 || option->max != 0)
        add_limit(to, "min", option->min), add_limit(to, "max", option->max);
    cJSON_AddBoolToObject(to, "required", option->required);
    cJSON_AddBoolToObject(to, "repeatable", option->type == LT_OPT_STRINGS);
    return to;
}

cJSON *lt_cli_describe(const lt_command *command) {
    cJSON *to = cJSON_CreateObject();
    cJSON_AddStringToObject(to, "name", command->name);
    cJSON_AddStringToObject(to, "summary", command->summary);
    cJSON_AddStringToObject(to, "usage", command->usage ? command->usage : "");
    cJSON_AddStringToObject(to, "positional", command->positional ? command->positional : "");
    cJSON *options = cJSON_AddArrayToObject(to, "options");
    for (const lt_option *option = command->options; option && option->name; option++)
        cJSON_AddItemToArray(options, describe_option(option, lt_command_defaults(command)));
    return to;
}

cJSON *lt_cli_describe_globals(void) {
    cJSON *options = cJSON_CreateArray();
    for (const lt_option *option = lt_global_options; option->name; option++)
        cJSON_AddItemToArray(options, describe_option(option, &lt_global_defaults));
    return options;
}
