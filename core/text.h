/* Text that came from outside (names of files, captions, prompts, configurations) on its way to a terminal. What a
 * terminal would obey rather than show becomes visible: ESC is printed as \x1b, U+202E as \u202e. Letters of any
 * script stay.
 */
#ifndef LT_CORE_TEXT_H
#define LT_CORE_TEXT_H

#include "core/status.h"
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What lt_printable leaves as it is besides letters. */
typedef enum lt_layout {
    LT_ONE_LINE, /* nothing: a line break is \n, a tab \t */
    LT_LINES     /* line breaks and tabs */
} lt_layout;

/* Copies `text` to `out`, at most `size` bytes with the zero, with these escaped: C0 and C1 controls and DEL,
 * controls of writing direction, separators of lines, invisible marks, bytes that are not UTF-8. What does not fit is
 * left off at a character's end. Text that is printable already, escapes included, does not change. Returns `out`. */
char *lt_printable(char *out, size_t size, const char *text, lt_layout layout);

/* The same in exactly `columns` characters, with blanks at the end or cut: a cell of a table. Returns `out`. */
char *lt_table_cell(char *out, size_t size, const char *text, int columns);

/* The same whatever its length; the caller frees it. NULL when out of memory. */
char *lt_printable_copy(const char *text, lt_layout layout);

/* A text as a field of a CSV file (RFC 4180). One that a spreadsheet would take for a formula (it begins with =, +,
 * -, @, a tab or CR) gets an apostrophe in front. */
void lt_csv_text(FILE *to, const char *text);

/* Bytes of the UTF-8 sequence (RFC 3629) that starts `text`, of which `left` bytes are there; 0 when it is not one. */
size_t lt_utf8_length(const char *text, size_t left);

#ifdef __cplusplus
}
#endif
#endif
