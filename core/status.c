#include "core/status.h"

#include "core/text.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 2048 };

static _Thread_local char message[MESSAGE_SIZE];

/* Names of files are in most messages, and what is in them is not for the terminal to obey. A line break is kept
 * where the message was written with some. */
static lt_layout layout_of(const char *fmt) { return strchr(fmt, '\n') ? LT_LINES : LT_ONE_LINE; }

/* Messages are formatted aside first: the arguments may well include lt_error() itself. */
lt_status lt_fail(lt_status code, const char *fmt, ...) {
    char text[MESSAGE_SIZE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    lt_printable(message, sizeof message, text, layout_of(fmt));
    return code;
}

lt_status lt_fail_in(lt_status code, const char *fmt, ...) {
    char context[MESSAGE_SIZE], shown[MESSAGE_SIZE], text[2 * MESSAGE_SIZE + 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(context, sizeof context, fmt, args);
    va_end(args);
    lt_printable(shown, sizeof shown, context, layout_of(fmt));
    snprintf(text, sizeof text, "%s: %s", shown, message);
    lt_printable(message, sizeof message, text, LT_LINES);
    return code;
}

const char *lt_error(void) { return message; }
