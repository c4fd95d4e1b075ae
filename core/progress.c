#include "core/cli.h"
#include "core/io.h"
#include "core/log.h"
#include "core/text.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    char what[64];
    bool active;
    int64_t first, last;      /* units done at the first and at the latest call */
    double started, shown_at; /* seconds */
    int width;                /* characters of the line on the terminal */
} progress = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void begin(const char what[64], int64_t done) {
    double now = lt_seconds();
    memcpy(progress.what, what, sizeof progress.what);
    progress.active = true;
    progress.first = done;
    progress.started = progress.shown_at = now;
    progress.width = 0;
}

static void format_time(double seconds, char text[32]) {
    long long s = (long long)(seconds + 0.5);
    if (s >= 3600) snprintf(text, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(text, 32, "%lld:%02lld", s / 60, s % 60);
}

static void format_line(char *line, size_t size, int64_t done, int64_t total, const char *unit) {
    double elapsed = lt_seconds() - progress.started;
    double rate = elapsed > 0 ? (double)(done - progress.first) / elapsed : 0;
    bool end = done == total;
    char amount[64], speed[96] = "", time[48] = "", clock[32];
    if (total > 0) snprintf(amount, sizeof amount, "%lld / %lld", (long long)done, (long long)total);
    else snprintf(amount, sizeof amount, "%lld", (long long)done);
    if (rate > 0) snprintf(speed, sizeof speed, ", %.3g %s/s", rate, unit);
    if (end || (total > 0 && rate > 0)) {
        format_time(end ? elapsed : (double)(total - done) / rate, clock);
        snprintf(time, sizeof time, ", %s%s", clock, end ? "" : " left");
    }
    snprintf(line, size, "%s: %s %s%s%s", progress.what, amount, unit, speed, time);
}

static void show_line(const char *line, bool end, bool terminal) {
    if (!terminal) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    int width = (int)strlen(line); /* blanks cover what a longer line left behind */
    int blanks = progress.width > width ? progress.width - width : 0;
    fprintf(stderr, "\r%s%*s%s", line, blanks, "", end ? "\n" : "");
    fflush(stderr);
    progress.width = width;
}

void lt_progress(const char *what, int64_t done, int64_t total, const char *unit) {
    if (!lt_log_shows(LT_LOG_INFO)) return;
    pthread_mutex_lock(&progress.lock);
    char shown[sizeof progress.what] = "";
    lt_printable(shown, sizeof shown, what, LT_ONE_LINE);
    bool same = progress.active && done >= progress.last && strcmp(shown, progress.what) == 0;
    if (!same) begin(shown, done);
    progress.last = done;
    bool terminal = isatty(STDERR_FILENO), end = done == total;
    double now = lt_seconds();
    if (end || now - progress.shown_at >= (terminal ? 0.1 : 10.0)) {
        char line[256];
        format_line(line, sizeof line, done, total, unit);
        show_line(line, end, terminal);
        progress.shown_at = now;
    }
    if (end) progress.active = false;
    pthread_mutex_unlock(&progress.lock);
}
