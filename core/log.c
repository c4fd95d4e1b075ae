#include "core/log.h"

#include "core/text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct log_output {
    lt_log_sink sink;
    void *user;
} log_output;

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static log_output log_outputs[2]; /* the program's, and a run's log file */
static lt_log_level log_highest = LT_LOG_INFO;

void lt_log_init(lt_log_sink sink, void *user, lt_log_level level) {
    pthread_mutex_lock(&log_lock);
    log_outputs[0] = (log_output){sink, user};
    log_highest = level;
    pthread_mutex_unlock(&log_lock);
}

bool lt_log_shows(lt_log_level level) {
    pthread_mutex_lock(&log_lock);
    const bool shows = log_outputs[0].sink && level <= log_highest;
    pthread_mutex_unlock(&log_lock);
    return shows;
}

void lt_log_tee(lt_log_sink sink, void *user) {
    pthread_mutex_lock(&log_lock);
    log_outputs[1] = (log_output){sink, user};
    pthread_mutex_unlock(&log_lock);
}

/* Sinks receive single lines, so a message with line breaks becomes several. */
static void emit_lines(lt_log_level level, char *text) {
    char *line = text;
    while (line) {
        char *end = strchr(line, '\n');
        if (end) *end = '\0';
        if (*line || !end)
            for (int i = 0; i < 2; i++)
                if (log_outputs[i].sink) log_outputs[i].sink(level, line, log_outputs[i].user);
        line = end && end[1] ? end + 1 : NULL;
    }
}

void lt_log(lt_log_level level, const char *fmt, ...) {
    if (level > log_highest || (!log_outputs[0].sink && !log_outputs[1].sink)) return;
    char small[1024], *large = NULL;
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (length < 0) return;
    if ((size_t)length >= sizeof small) large = malloc((size_t)length + 1);
    if (large) {
        va_start(args, fmt);
        vsnprintf(large, (size_t)length + 1, fmt, args);
        va_end(args);
    }
    /* out of memory: the beginning is better than nothing */
    const lt_layout layout = strchr(fmt, '\n') ? LT_LINES : LT_ONE_LINE;
    char shown[1024], *copy = lt_printable_copy(large ? large : small, layout);
    if (!copy) lt_printable(shown, sizeof shown, small, layout);
    pthread_mutex_lock(&log_lock);
    emit_lines(level, copy ? copy : shown);
    pthread_mutex_unlock(&log_lock);
    free(copy);
    free(large);
}
