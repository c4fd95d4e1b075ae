/* The manual page longtake(1): the same tables as `longtake help`, in roff. */
#include "core/cli_man.h"
#include "core/config.h"
#include "core/source.h"
#include "experiments/help.h"

#include <string.h>

static void put_roff(FILE *to, const char *text) { lt_roff_text(to, text, (int)strlen(text)); }

static void put_key(const char *room, const lt_key *key, void *user) {
    FILE *to = user;
    (void)room;
    fputs(".TP\n\\fB", to);
    put_roff(to, key->name);
    fputs("\\fR (", to);
    for (const char *at = key->preset ? key->preset : "must be given";
         *at;) { /* may end a line after each comma */
        const int part = (int)strcspn(at, ",") + (at[strcspn(at, ",")] == ',');
        lt_roff_text(to, at, part);
        if (at[part - 1] == ',') fputs("\\:", to);
        at += part;
    }
    fputs(")\n", to);
    put_roff(to, key->help);
    if (key->choices) fputs("; ", to), put_roff(to, key->choices);
    fputc('\n', to);
}

static void put_codes(FILE *to) {
    fputs(".SH EXIT STATUS\n", to);
    for (const lt_exit_code *row = lt_exit_codes; row->name; row++) {
        fprintf(to, ".TP\n\\fB%d\\fR\n", row->code);
        put_roff(to, row->meaning);
        fputc('\n', to);
    }
}

static void put_environment(FILE *to) {
    fputs(".SH ENVIRONMENT\n", to);
    for (int i = 0; lt_environment_names[i][0]; i++) {
        fprintf(to, ".TP\n\\fB%s\\fR\n", lt_environment_names[i][0]);
        put_roff(to, lt_environment_names[i][1]);
        fputc('\n', to);
    }
}

static const char about[] = "longtake trains a block-linear-attention video diffusion transformer and the "
                            "learned importance scorer of its\n"
                            "constant-memory cache from an HDF5 video dataset, generates long videos with "
                            "it, and compares eviction policies on\n"
                            "paired clips.\n"
                            "\n"
                            "`longtake help COMMAND` prints a command's part of this page. `longtake list "
                            "policies` explains how a policy is written.\n";

void lt_man_page(FILE *to, const lt_command *const *commands, int count) {
    fprintf(to, ".TH LONGTAKE 1 \"\" \"longtake %s\" \"User Commands\"\n.ad l\n.nh\n", lt_version());
    fputs(".SH NAME\nlongtake \\- train, run and compare video diffusion models with a constant\\-memory "
          "cache\n"
          ".SH SYNOPSIS\n\\fBlongtake\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n",
          to);
    lt_roff_paragraphs(to, about);
    fputs(".SH COMMANDS\n", to);
    for (int i = 0; i < count; i++) lt_roff_command(to, commands[i]);
    fputs(".SH OPTIONS OF EVERY COMMAND\n", to);
    lt_roff_globals(to);
    fputs(".SH CONFIGURATION KEYS\nConfigurations are JSON; \\(dqextends\\(dq names others, and\n"
          "\\fB\\-\\-set\\fR \\fIKEY=VALUE\\fR overrides a key. Defaults are in parentheses.\n",
          to);
    lt_config_each_key(put_key, to);
    put_codes(to);
    put_environment(to);
    fputs(".SH FILES\n.TP\n\\fIPREFIX/share/longtake/configs\\fR\npresets; the installed program finds them "
          "wherever PREFIX was\n"
          "moved to\n.TP\n\\fIPREFIX/share/longtake/experiments\\fR\nshipped experiments, and a small "
          "trained model:\n"
          "\\fBexperiments/tiny\\fR\n",
          to);
}
