/* What the operating system knows: free space, time, memory in use, signals. */
#include "core/cli.h"
#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

lt_status lt_require_space(const char *path, int64_t bytes) {
    char parent[LT_PATH_MAX];
    int length = snprintf(parent, sizeof parent, "%s", *path ? path : ".");
    LT_CHECK(length < LT_PATH_MAX, LT_USAGE, "%.60s...: path too long", path);
    struct statvfs info;
    while (statvfs(parent, &info) != 0) {
        LT_CHECK(errno == ENOENT || errno == ENOTDIR, LT_FAILED, "%s: cannot ask for free space: %s", parent,
                 strerror(errno));
        char *slash = strrchr(parent, '/');
        if (!slash) snprintf(parent, sizeof parent, ".");
        else slash[slash == parent] = '\0';
    }
    int64_t available = (int64_t)info.f_bavail * (int64_t)info.f_frsize;
    char need[32], have[32];
    LT_CHECK(available >= bytes, LT_FAILED, "%s: needs %s (%lld bytes), the disk has %s (%lld bytes) free",
             path, lt_format_bytes(bytes, need), (long long)bytes, lt_format_bytes(available, have),
             (long long)available);
    return LT_OK;
}

double lt_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A "Name:   123 kB" line of /proc/self/status; 0 where there is none. */
static int64_t proc_status_bytes(const char *name) {
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) return 0;
    char line[256];
    long long kib = 0;
    size_t length = strlen(name);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, length) == 0 && sscanf(line + length, ": %lld", &kib) == 1) break;
    fclose(file);
    return kib * 1024;
}

int64_t lt_rss_peak(void) { return proc_status_bytes("VmHWM"); }
int64_t lt_rss_now(void) { return proc_status_bytes("VmRSS"); }

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    if (interrupted) {
        signal(number, SIG_DFL);
        raise(number);
    }
    interrupted = 1;
}

/* SA_RESTART: file access in libraries must not see EINTR because somebody pressed ^C. */
void lt_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool lt_interrupted(void) { return interrupted != 0; }

/* Opened for reading: what is printed to a closed stdout fails, and lt_end_standard says so. */
void lt_hold_standard(void) {
    int file;
    do {
        file = open("/dev/null", O_RDONLY);
        if (file < 0) file = open("/", O_RDONLY);
    } while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0) close(file);
    signal(SIGPIPE, SIG_IGN);
}

lt_status lt_end_standard(void) {
    errno = 0;
    bool whole = fflush(stdout) == 0, earlier = ferror(stdout) != 0;
    LT_CHECK(whole && !earlier, LT_FAILED, "standard output: cannot write: %s",
             !whole && errno ? strerror(errno) : "an earlier part was not taken");
    return LT_OK;
}
