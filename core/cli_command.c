/* The command line, for records. */
#include "core/cli_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quoted(FILE *to, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+:,./@%";
    if (*text && text[strspn(text, plain)] == '\0') {
        fputs(text, to);
        return;
    }
    fputc('\'', to);
    for (; *text; text++)
        if (*text == '\'') fputs("'\\''", to);
        else fputc(*text, to);
    fputc('\'', to);
}

char *lt_cli_line(int argc, char **argv) {
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (!to) return NULL;
    fputs("longtake", to);
    for (int i = 1; i < argc; i++) {
        fputc(' ', to);
        quoted(to, argv[i]);
    }
    fclose(to);
    return text;
}
