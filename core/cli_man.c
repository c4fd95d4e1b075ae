/* A command's part of the manual page, in roff (man macros), from the table that parses its options. */
#include "core/cli_man.h"

#include "core/cli_table.h"

#include <string.h>

/* Backslashes and dashes as themselves; no line begins with a request. */
void lt_roff_text(FILE *to, const char *text, int length) {
    for (int i = 0; i < length; i++) {
        const bool start = i == 0 || text[i - 1] == '\n'; /* of a line, or perhaps of one */
        if (start && (text[i] == '.' || text[i] == '\'')) fputs("\\&", to);
        if (text[i] == '\\') fputs("\\e", to);
        else if (text[i] == '-') fputs("\\-", to);
        else fputc(text[i], to);
    }
}

static void put_string(FILE *to, const char *text) { lt_roff_text(to, text, (int)strlen(text)); }

static void put_option(FILE *to, const lt_option *option, const void *defaults) {
    char line[2048];
    const char letter = lt_option_letter(option->name);
    fputs(".TP\n", to);
    if (letter) fprintf(to, "\\fB\\-%c\\fR, ", letter);
    fputs("\\fB\\-\\-", to);
    put_string(to, option->name);
    fputs("\\fR", to);
    if (option->hint) fputs(" \\fI", to), put_string(to, option->hint), fputs("\\fR", to);
    fputc('\n', to);
    put_string(to, lt_option_text(option, defaults, line, sizeof line));
    fputc('\n', to);
}

/* Lines that begin with a space stay as they are; others are filled. */
void lt_roff_paragraphs(FILE *to, const char *text) {
    bool verbatim = false;
    for (int length; *text; text += length + (text[length] == '\n')) {
        length = (int)strcspn(text, "\n");
        const bool as_is = *text == ' ';
        if (as_is != verbatim) fputs(as_is ? ".PP\n.nf\n" : ".fi\n", to);
        verbatim = as_is;
        if (length == 0) fputs(text[1] && text[1] != ' ' ? ".PP\n" : "", to);
        else lt_roff_text(to, text, length), fputc('\n', to);
    }
    if (verbatim) fputs(".fi\n", to);
}

void lt_roff_command(FILE *to, const lt_command *command) {
    fprintf(to, ".SS longtake %s\n", command->name);
    put_string(to, command->summary);
    fprintf(to, ".\n.PP\n\\fBlongtake %s\\fR", command->name);
    const char *const parts[] = {command->usage, command->positional};
    for (int i = 0; i < 2; i++)
        if (parts[i]) fputc(' ', to), put_string(to, parts[i]);
    fputc('\n', to);
    for (const lt_option *option = command->options; option && option->name; option++)
        put_option(to, option, lt_command_defaults(command));
    if (!command->details) return;
    fputs(".PP\n", to);
    lt_roff_paragraphs(to, command->details);
}

void lt_roff_globals(FILE *to) {
    for (const lt_option *option = lt_global_options; option->name; option++)
        put_option(to, option, &lt_global_defaults);
}
