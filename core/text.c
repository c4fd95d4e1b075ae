#include "core/text.h"

#include <stdlib.h>
#include <string.h>

static uint32_t code_of(const unsigned char *at, size_t length) {
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = at[0] & first[length];
    for (size_t i = 1; i < length; i++) code = code << 6 | (at[i] & 0x3fu);
    return code;
}

/* Code points that move, hide or reorder what is beside them. Joiners stay: words of several scripts need them. */
static bool is_control(uint32_t code) {
    static const uint32_t ranges[][2] = {{0, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},
                                         {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200b},
                                         {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
                                         {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1]) return true;
    return false;
}

/* One character of the text as it is shown; *at moves on. `shown` holds at least 12 bytes. */
static void next_character(const char **at, const char *end, lt_layout layout, char shown[12]) {
    const unsigned char *text = (const unsigned char *)*at;
    size_t length = lt_utf8_length(*at, (size_t)(end - *at));
    uint32_t code = length ? code_of(text, length) : *text;
    bool kept = length && (!is_control(code) || (layout == LT_LINES && (code == '\n' || code == '\t')));
    if (kept) snprintf(shown, 12, "%.*s", (int)length, *at);
    else if (code == '\n' || code == '\t' || code == '\r')
        snprintf(shown, 12, "\\%c", code == '\n' ? 'n' : code == '\t' ? 't' : 'r');
    else if (code < 0x80 || !length) snprintf(shown, 12, "\\x%02x", (unsigned)code);
    else snprintf(shown, 12, "\\u%04x", (unsigned)code);
    *at += length ? length : 1;
}

char *lt_printable(char *out, size_t size, const char *text, lt_layout layout) {
    const char *end = text + strlen(text);
    size_t used = 0;
    char shown[12];
    while (text < end) {
        next_character(&text, end, layout, shown);
        size_t length = strlen(shown);
        if (used + length >= size) break;
        memcpy(out + used, shown, length);
        used += length;
    }
    if (size) out[used] = '\0';
    return out;
}

char *lt_table_cell(char *out, size_t size, const char *text, int columns) {
    const char *end = text + strlen(text);
    size_t used = 0;
    int filled = 0;
    char shown[12];
    while (text < end) {
        next_character(&text, end, LT_ONE_LINE, shown);
        size_t length = strlen(shown);
        int wide = shown[0] == '\\' ? (int)length : 1; /* a backslash of the text itself is one byte long */
        if (filled + wide > columns || used + length >= size) break;
        memcpy(out + used, shown, length);
        used += length, filled += wide;
    }
    while (filled++ < columns && used + 1 < size) out[used++] = ' ';
    if (size) out[used] = '\0';
    return out;
}

char *lt_printable_copy(const char *text, lt_layout layout) {
    enum { WORST = 6 }; /* "\ufeff" for 3 bytes, "\x1b" for one, "\ue0000" for 4 */
    size_t size = WORST * strlen(text) + 1;
    char *out = malloc(size);
    return out ? lt_printable(out, size, text, layout) : NULL;
}

void lt_csv_text(FILE *to, const char *text) {
    const bool formula = *text && strchr("=+-@\t\r", *text);
    if (!formula && !strpbrk(text, ",\"\r\n")) {
        fputs(text, to);
        return;
    }
    fputs(formula ? "\"'" : "\"", to);
    for (; *text; text++) {
        if (*text == '"') fputc('"', to);
        fputc(*text, to);
    }
    fputc('"', to);
}
