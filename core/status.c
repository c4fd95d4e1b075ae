#include "core/status.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 2048 };

static _Thread_local char message[MESSAGE_SIZE];

static void record(const char *text) {
    size_t length = strnlen(text, MESSAGE_SIZE - 1);
    memcpy(message, text, length);
    message[length] = '\0';
}

/* Messages are formatted aside first: the arguments may well include lt_error() itself. */
lt_status lt_fail(lt_status code, const char *fmt, ...) {
    char text[MESSAGE_SIZE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    record(text);
    return code;
}

lt_status lt_fail_in(lt_status code, const char *fmt, ...) {
    char context[MESSAGE_SIZE], text[2 * MESSAGE_SIZE + 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(context, sizeof context, fmt, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", context, message);
    record(text);
    return code;
}

const char *lt_error(void) { return message; }
