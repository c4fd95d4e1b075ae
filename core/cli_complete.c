/* Shell completion, from the tables that parse the options. */
#include "core/cli_man.h"
#include "core/cli_table.h"

#include <string.h>

/* What `longtake list` calls the names that such a value has. */
static const char *list_of(lt_value_kind kind) {
    switch (kind) {
    case LT_VALUE_PRESET: return "presets";
    case LT_VALUE_POLICY: return "policies";
    case LT_VALUE_KEY: return "keys";
    case LT_VALUE_DEVICE: return "devices";
    case LT_VALUE_OP: return "ops";
    default: return NULL;
    }
}

static void put_words(FILE *to, const char *choices) {
    for (; *choices; choices++) fputc(*choices == '|' ? ' ' : *choices, to);
}

/* ---- bash -------------------------------------------------------------------------------------------------------- */

static void bash_options(FILE *to, const lt_option *options) {
    for (; options && options->name; options++) fprintf(to, " --%s", options->name);
}

/* "    train--config) kind=presets ;;" for each option that takes a value. */
static void bash_values(FILE *to, const char *command, const lt_option *options) {
    for (; options && options->name; options++) {
        const lt_value_kind kind = lt_option_kind(options);
        if (kind == LT_VALUE_NONE) continue;
        fprintf(to, "    %s--%s) ", command, options->name);
        if (kind == LT_VALUE_CHOICE) fputs("words='", to), put_words(to, options->choices), fputs("'", to);
        else if (list_of(kind)) fprintf(to, "kind=%s", list_of(kind));
        else fputs(kind == LT_VALUE_FILE ? "kind=files" : "kind=none", to);
        fputs(" ;;\n", to);
    }
}

static void bash_command(FILE *to, const lt_command *command) {
    fprintf(to, "    %s) options='", command->name);
    bash_options(to, command->options);
    fputs("' positional='", to);
    if (lt_positional_is_words(command->positional)) put_words(to, command->positional);
    else if (command->positional) fputs("-", to); /* files */
    fputs("' ;;\n", to);
}

static const char bash_begin[] =
    "# bash completion for longtake, written by `longtake help bash-completion`. Source it, or put it into\n"
    "# share/bash-completion/completions/longtake.\n"
    "_longtake() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}\n"
    "    local options='' positional='' kind='' words=''\n"
    "    COMPREPLY=()\n"
    "    if [ \"$cur\" = = ]; then cur=''; elif [ \"$prev\" = = ]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; "
    "fi\n";

/* After the tables: `words`, or names of `kind`, or options, or files. */
static const char bash_end[] =
    "    if [ -z \"$kind$words\" ]; then\n"
    "        case $cur in\n"
    "        -*) words=\"$options $globals\" ;;\n"
    "        *) case $positional in -) kind=files ;; ?*) words=$positional ;; esac ;;\n"
    "        esac\n"
    "    fi\n"
    "    case $kind in\n"
    "    files | none | '') ;;\n"
    "    *) words=$(\"${COMP_WORDS[0]}\" list \"$kind\" --quiet 2>/dev/null) ;;\n"
    "    esac\n"
    "    if [ \"$kind\" = keys ]; then words=$(printf '%s= ' $words); compopt -o nospace 2>/dev/null; fi\n"
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
    "    case $kind in\n"
    "    files | presets)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        local IFS=$'\\n'\n"
    "        COMPREPLY+=($(compgen -f -- \"$cur\")) ;;\n"
    "    esac\n"
    "    return 0\n"
    "}\n"
    "complete -F _longtake longtake\n";

void lt_bash_completion(FILE *to, const lt_command *const *commands, int count) {
    fputs(bash_begin, to);
    fputs("    if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W '", to);
    for (int i = 0; i < count; i++) fprintf(to, "%s ", commands[i]->name);
    fputs("--help --version' -- \"$cur\")); return; fi\n    local globals='", to);
    bash_options(to, lt_global_options);
    fputs("'\n    case $command in\n", to);
    for (int i = 0; i < count; i++) bash_command(to, commands[i]);
    fputs("    esac\n    case $command$prev in\n", to);
    for (int i = 0; i < count; i++) bash_values(to, commands[i]->name, commands[i]->options);
    bash_values(to, "*", lt_global_options);
    fputs("    esac\n", to);
    fputs(bash_end, to);
}

/* ---- zsh --------------------------------------------------------------------------------------------------------- */

/* Text within a single-quoted specification of _arguments. */
static void zsh_text(FILE *to, const char *text) {
    for (; *text; text++) {
        if (*text == '\'') fputs("'\\''", to);
        else if (strchr("[]:\\", *text)) fprintf(to, "\\%c", *text);
        else fputc(*text, to);
    }
}

static void zsh_action(FILE *to, const lt_option *option) {
    const lt_value_kind kind = lt_option_kind(option);
    if (kind == LT_VALUE_CHOICE) fputc('(', to), put_words(to, option->choices), fputc(')', to);
    else if (kind == LT_VALUE_FILE) fputs("_files", to);
    else if (list_of(kind)) fprintf(to, "_longtake_names %s", list_of(kind));
    else fputc(' ', to);
}

static void zsh_options(FILE *to, const lt_option *options) {
    for (; options && options->name; options++) {
        const bool value = options->type != LT_OPT_FLAG;
        fprintf(to, " \\\n        '%s--%s%s[", options->type == LT_OPT_STRINGS ? "*" : "", options->name,
                value ? "=" : "");
        zsh_text(to, options->help);
        fputc(']', to);
        if (value) {
            fputc(':', to), zsh_text(to, options->hint ? options->hint : "value"), fputc(':', to);
            zsh_action(to, options);
        }
        fputc('\'', to);
    }
}

static void zsh_command(FILE *to, const lt_command *command) {
    fprintf(to, "    %s) _arguments -S", command->name);
    zsh_options(to, command->options);
    zsh_options(to, lt_global_options);
    if (lt_positional_is_words(command->positional))
        fputs(" \\\n        '1:name:(", to), put_words(to, command->positional), fputs(")'", to);
    else if (command->positional) fputs(" \\\n        '*:file:_files'", to);
    fputs(" ;;\n", to);
}

static const char zsh_begin[] = "#compdef longtake\n"
                                "# zsh completion for longtake, written by `longtake help zsh-completion`. "
                                "Put it as _longtake into a folder of $fpath.\n"
                                "_longtake_names() {\n"
                                "    local -a names\n"
                                "    names=(${(f)\"$(longtake list $1 --quiet 2>/dev/null)\"})\n"
                                "    case $1 in\n"
                                "    keys) compadd -S = -a names ;;\n"
                                "    presets) compadd -a names; _files ;;\n"
                                "    *) compadd -a names ;;\n"
                                "    esac\n"
                                "}\n"
                                "_longtake() {\n"
                                "    local -a commands\n"
                                "    commands=(\n";

void lt_zsh_completion(FILE *to, const lt_command *const *commands, int count) {
    fputs(zsh_begin, to);
    for (int i = 0; i < count; i++) {
        fprintf(to, "        '%s:", commands[i]->name);
        zsh_text(to, commands[i]->summary);
        fputs("'\n", to);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then _describe command commands; return; fi\n"
          "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n",
          to);
    for (int i = 0; i < count; i++) zsh_command(to, commands[i]);
    fputs("    esac\n}\n_longtake \"$@\"\n", to);
}
