/* Runs another program on a text. */
#include "experiments/report_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The program's exit code; -1 when it could not be started. */
static int run(const char *program, const char *argument, int input, int output, const char **why) {
    posix_spawn_file_actions_t actions;
    char *arguments[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)argument, NULL};
    pid_t pid;
    int state;
    if (posix_spawn_file_actions_init(&actions) != 0) return -1;
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawnp(&pid, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) {
        *why = strerror(failed);
        return -1;
    }
    while (waitpid(pid, &state, 0) < 0)
        if (errno != EINTR) return -1;
    if (!WIFEXITED(state)) return 1;
    return WEXITSTATUS(state) == 127 ? -1 : WEXITSTATUS(state);
}

static lt_status read_all(FILE *from, char **out) {
    long size;
    LT_CHECK(fseek(from, 0, SEEK_END) == 0 && (size = ftell(from)) >= 0 && fseek(from, 0, SEEK_SET) == 0,
             LT_FAILED, P_tmpdir ": a temporary file: %s", strerror(errno));
    char *text = malloc((size_t)size + 1);
    LT_CHECK(text, LT_FAILED, "out of memory for %ld bytes", size);
    size_t got = fread(text, 1, (size_t)size, from);
    text[got] = '\0';
    if (got == (size_t)size) *out = text;
    else free(text);
    return *out ? LT_OK : lt_fail(LT_FAILED, P_tmpdir ": a temporary file: %s", strerror(errno));
}

lt_status lt_run_filter(const char *program, const char *argument, const char *script, char **out) {
    const char *why = "not found";
    *out = NULL;
    FILE *input = tmpfile(), *output = tmpfile();
    lt_status status = LT_OK;
    if (!input || !output || fputs(script, input) < 0 || fflush(input) != 0 || fseek(input, 0, SEEK_SET) != 0)
        status = lt_fail(LT_FAILED, P_tmpdir ": a temporary file: %s", strerror(errno));
    if (status == LT_OK) {
        int code = run(program, argument, fileno(input), fileno(output), &why);
        if (code < 0) status = lt_fail(LT_UNAVAILABLE, "%s: %s", program, why);
        else if (code > 0) status = lt_fail(LT_FAILED, "%s: exit code %d", program, code);
    }
    if (status == LT_OK) status = read_all(output, out);
    if (input) fclose(input);
    if (output) fclose(output);
    return status;
}
