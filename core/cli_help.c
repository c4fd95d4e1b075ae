#include "core/cli_table.h"
#include "core/json.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

enum { WIDEST_NAME = 26 };

/* The length of the next word; a [bracketed group] of a usage line counts as one. */
static int word_length(const char *text) {
    int depth = 0, length = 0;
    for (; text[length] && (depth > 0 || text[length] != ' '); length++)
        depth += (text[length] == '[') - (text[length] == ']');
    return length;
}

void lt_print_wrapped(const char *text, int column, int indent) {
    bool first = true;
    while (*(text += strspn(text, " "))) {
        int length = word_length(text);
        if (!first && column + 1 + length > LT_HELP_WIDTH) {
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

static void print_option_help(const lt_option *option, const void *defaults, int column, int at) {
    char line[2048];
    if (at + 2 > column) {
        printf("\n");
        at = 0;
    }
    printf("%*s", column - at, "");
    lt_print_wrapped(lt_option_text(option, defaults, line, sizeof line), column, column);
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

static void print_options(const char *title, const lt_option *options, const void *defaults, int column) {
    if (!options || !options->name) return;
    printf("\n%s\n", title);
    for (; options->name; options++) {
        char label[128];
        int width = option_label(options, label, sizeof label);
        printf("%s", label);
        print_option_help(options, defaults, column, width);
    }
}

/* A command that is too long for a line is broken before its options, as a shell would read it. */
static void print_example(const char *line, int length) {
    const int indent = 6;
    int column = 0, start = 0;
    for (int i = 1; i <= length; i++) {
        if (i < length && strncmp(line + i, " --", 3) != 0) continue;
        if (column > 0 && column + i - start + 2 > LT_HELP_WIDTH) {
            printf(" \\\n%*s", indent, "");
            column = indent;
            start++; /* the space */
        }
        printf("%.*s", i - start, line + start);
        column += i - start;
        start = i;
    }
    printf("\n");
}

/* Paragraphs are filled; lines that begin with a space (examples, tables) stay as they are. */
static void print_details(const char *details) {
    char paragraph[4096] = "";
    printf("\n");
    for (const char *line = details; *line;) {
        const int length = (int)strcspn(line, "\n");
        const bool text = length > 0 && *line != ' ';
        size_t used = strlen(paragraph);
        if (text)
            snprintf(paragraph + used, sizeof paragraph - used, "%s%.*s", used ? " " : "", length, line);
        line += length + (line[length] == '\n');
        const bool ends = !text || !*line || *line == '\n' || *line == ' ';
        if (ends && *paragraph) lt_print_wrapped(paragraph, 0, 0), *paragraph = '\0';
        if (!text) print_example(line - length - (line[-1] == '\n'), length);
    }
}

static void print_json(const lt_command *command) {
    cJSON *described = lt_cli_describe(command);
    lt_json_write(stdout, described, 0);
    printf("\n");
    cJSON_Delete(described);
}

void lt_cli_help(const lt_command *command, bool json) {
    if (json) {
        print_json(command);
        return;
    }
    char usage[2048];
    snprintf(usage, sizeof usage, "%s%s%s", command->usage ? command->usage : "",
             command->usage && command->positional ? " " : "",
             command->positional ? command->positional : "");
    int start = printf("usage: longtake %s%s", command->name, *usage ? " " : "");
    lt_print_wrapped(usage, start, start);
    printf("\n");
    lt_print_wrapped(command->summary, 0, 0);
    int column = label_width(lt_global_options, label_width(command->options, 0)) + 2;
    print_options("options:", command->options, lt_command_defaults(command), column);
    print_options("options of every command:", lt_global_options, &lt_global_defaults, column);
    if (command->details) print_details(command->details);
}
