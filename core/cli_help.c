#include "core/cli_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 100, WIDEST_NAME = 30 };

/* The length of the next word; a [bracketed group] of a usage line counts as one. */
static int word_length(const char *text) {
    int depth = 0, length = 0;
    for (; text[length] && (depth > 0 || text[length] != ' '); length++)
        depth += (text[length] == '[') - (text[length] == ']');
    return length;
}

/* Prints words from `column` on, in lines of at most WIDTH that continue at `indent`; ends the line. */
static void print_wrapped(const char *text, int column, int indent) {
    bool first = true;
    while (*(text += strspn(text, " "))) {
        int length = word_length(text);
        if (!first && column + 1 + length > WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
            first = true;
        }
        printf("%s%.*s", first ? "" : " ", length, text);
        column += length + !first;
        first = false;
        text += length;
    }
    printf("\n");
}

static void append(char *text, size_t size, const char *separator, const char *more) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used ? separator : "", more);
}

static void describe_default(const lt_option *option, char *notes, size_t size) {
    char preset[256] = "";
    if (option->type == LT_OPT_INT)
        snprintf(preset, sizeof preset, "default %" PRId64, *(const int64_t *)option->value);
    else if (option->type == LT_OPT_FLOAT)
        snprintf(preset, sizeof preset, "default %g", *(const double *)option->value);
    else if (option->type == LT_OPT_STRING && *(const char *const *)option->value)
        snprintf(preset, sizeof preset, "default %s", *(const char *const *)option->value);
    if (*preset) append(notes, size, "; ", preset);
}

static void print_option_help(const lt_option *option, int column, int at) {
    char notes[1024] = "", line[2048], range[96];
    if (option->choices) append(notes, sizeof notes, "; ", option->choices);
    if (*lt_option_range(option, range)) append(notes, sizeof notes, "; ", range);
    if (option->required) append(notes, sizeof notes, "; ", "required");
    else describe_default(option, notes, sizeof notes);
    if (option->type == LT_OPT_STRINGS) append(notes, sizeof notes, "; ", "repeatable");
    snprintf(line, sizeof line, "%s%s%s%s", option->help, *notes ? " (" : "", notes, *notes ? ")" : "");
    if (at + 2 > column) {
        printf("\n");
        at = 0;
    }
    printf("%*s", column - at, "");
    print_wrapped(line, column, column);
}

/* "  -v, --verbose", "      --out DIR" */
static int option_label(const lt_option *option, char *text, size_t size) {
    char letter = lt_option_letter(option->name), prefix[8] = "    ";
    if (letter) snprintf(prefix, sizeof prefix, "-%c, ", letter);
    return snprintf(text, size, "  %s--%s%s%s", prefix, option->name, option->hint ? " " : "",
                    option->hint ? option->hint : "");
}

static int label_width(const lt_option *options, int widest) {
    char label[128];
    for (; options && options->name; options++) {
        int width = option_label(options, label, sizeof label);
        if (width > widest && width <= WIDEST_NAME) widest = width;
    }
    return widest;
}

static void print_options(const char *title, const lt_option *options, int column) {
    if (!options || !options->name) return;
    printf("\n%s\n", title);
    for (; options->name; options++) {
        char label[128];
        int width = option_label(options, label, sizeof label);
        printf("%s", label);
        print_option_help(options, column, width);
    }
}

void lt_cli_help(const lt_command *command) {
    char usage[2048];
    snprintf(usage, sizeof usage, "%s%s%s", command->usage ? command->usage : "",
             command->usage && command->positional ? " " : "",
             command->positional ? command->positional : "");
    int start = printf("usage: longtake %s%s", command->name, *usage ? " " : "");
    print_wrapped(usage, start, start);
    printf("\n%s\n", command->summary);
    int column = label_width(lt_global_options, label_width(command->options, 0)) + 2;
    print_options("options:", command->options, column);
    print_options("options of every command:", lt_global_options, column);
    if (command->details) printf("\n%s\n", command->details);
}
