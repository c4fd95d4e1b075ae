/* longtake: the table of subcommands. Each lives in the room that does its work (commands.def). */
#include "experiments/program.h"

#define LT_COMMAND(name, room) extern const lt_command lt_cmd_##name;
#include "commands.def"
#undef LT_COMMAND

static const lt_command *const commands[] = {
#define LT_COMMAND(name, room) &lt_cmd_##name,
#include "commands.def"
#undef LT_COMMAND
};

int main(int argc, char **argv) {
    return lt_program(commands, sizeof commands / sizeof *commands, argc, argv);
}
