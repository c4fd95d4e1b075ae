/* Runs a program as a child: what it printed, how it ended, how long it took and how much memory it had.
 *
 *     process p = process_start(&(process_spec){.argv = argv, .timeout = 60});
 *     process_result r = process_wait(&p);
 *     ... r.code, r.out, r.err ...
 *     process_free(&r);
 *
 * Output goes to files without a name, so a child never waits for its reader.
 */
#ifndef LT_TESTS_PROCESS_H
#define LT_TESTS_PROCESS_H

#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct process_spec {
    const char *const *argv; /* ends with NULL; argv[0] is looked up in PATH unless it has a '/' */
    double timeout;          /* seconds until it is killed; 0: 120 */
    int64_t file_limit;      /* largest file it may write, as a disk that fills up; 0: none */
} process_spec;

typedef struct process {
    pid_t pid;
    FILE *out, *err;
    double started, timeout;
} process;

typedef struct process_result {
    int code;        /* exit code; -signal when one ended it */
    bool timed_out;  /* and was killed */
    char *out, *err; /* what it printed, with a terminating zero */
    size_t out_size;
    double seconds;
    int64_t peak_rss; /* bytes */
} process_result;

static inline _Noreturn void process_become(const process_spec *spec, const process *p) {
    if (spec->file_limit > 0) {
        struct rlimit limit = {(rlim_t)spec->file_limit, (rlim_t)spec->file_limit};
        signal(SIGXFSZ, SIG_IGN); /* writes fail with EFBIG, as they do with ENOSPC on a full disk */
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0) dup2(null, STDIN_FILENO);
    dup2(fileno(p->out), STDOUT_FILENO);
    dup2(fileno(p->err), STDERR_FILENO);
    execvp(spec->argv[0], (char *const *)spec->argv);
    fprintf(stderr, "%s: %s\n", spec->argv[0], strerror(errno));
    _exit(127);
}

/* Does not return where the machine has no more files or processes: no test means anything then. */
static inline process process_start(const process_spec *spec) {
    process p = {.out = tmpfile(), .err = tmpfile(), .started = lt_seconds()};
    p.timeout = spec->timeout > 0 ? spec->timeout : 120;
    fflush(NULL);
    p.pid = p.out && p.err ? fork() : -1;
    if (p.pid < 0) perror("cannot start a process"), exit(1);
    if (p.pid == 0) process_become(spec, &p);
    return p;
}

static inline char *process_output(FILE *file, size_t *size) {
    long length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : 0;
    char *text = calloc(1, (size_t)length + 1);
    rewind(file);
    *size = text ? fread(text, 1, (size_t)length, file) : 0;
    fclose(file);
    return text;
}

/* Waits until it ends, or ends it when its time is over. */
static inline process_result process_wait(process *p) {
    process_result r = {0};
    struct rusage used;
    int status = 0;
    size_t size;
    while (wait4(p->pid, &status, WNOHANG, &used) == 0) {
        if (!r.timed_out && lt_seconds() - p->started > p->timeout) {
            r.timed_out = true;
            kill(p->pid, SIGKILL);
        }
        usleep(1000);
    }
    r.seconds = lt_seconds() - p->started;
    r.code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    r.peak_rss = used.ru_maxrss * 1024;
    r.out = process_output(p->out, &r.out_size);
    r.err = process_output(p->err, &size);
    return r;
}

static inline void process_free(process_result *r) {
    free(r->out);
    free(r->err);
    *r = (process_result){0};
}

#endif
