/* Every call that a dataset makes of the system fails once, in each of the ways in which it can: what was committed
 * stays, the next opening goes on. The linker puts the functions below in the place of the system's
 * (cmake/rooms.cmake). A sample of the calls is tried; LT_TEST_FAULTS=all tries each. */
#include "core/io.h"
#include "core/log.h"
#include "data/dataset.h"
#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { W = 8, H = 8, FRAMES = 20, CLIPS = 3 };

static char folder[TEST_FOLDER], path[LT_PATH_MAX];

/* HDF5 itself loses some bytes when a read fails; leaks of our own still count. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

/* ---- the system, which fails when it is told to ---------------------------------------------------------- */

typedef enum fault { NONE, IO_ERROR, NO_SPACE, INTERRUPTED, SHORT, ALWAYS, KILLED, FAULTS } fault;
static const char *const fault_names[] = {"none",           "EIO",   "ENOSPC", "EINTR", "short",
                                          "EIO from there", "killed"};
static fault armed;
static long calls, failing;
static enum { WELL, CRASHES, LOOPS } library;

/* Whether this call is to fail, with errno set. */
static bool fails(void) {
    if (armed == NONE) return false;
    calls++;
    if (calls != failing && (armed != ALWAYS || calls < failing || failing == 0)) return false;
    if (armed == KILLED) kill(getpid(), SIGKILL);
    errno = armed == NO_SPACE ? ENOSPC : armed == INTERRUPTED ? EINTR : EIO;
    return true;
}

#define REPLACE(type, name, parameters, arguments)                                                           \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters { return armed != SHORT && fails() ? (type)-1 : __real_##name arguments; }

/* Half of it, if it is to fall short. */
#define REPLACE_TRANSFER(name, buffer)                                                                       \
    ssize_t __real_##name(int fd, buffer p, size_t bytes, off_t at);                                         \
    ssize_t __wrap_##name(int fd, buffer p, size_t bytes, off_t at);                                         \
    ssize_t __wrap_##name(int fd, buffer p, size_t bytes, off_t at) {                                        \
        if (fails()) {                                                                                       \
            if (armed != SHORT) return -1;                                                                   \
            bytes = bytes > 1 ? bytes / 2 : bytes;                                                           \
        }                                                                                                    \
        return __real_##name(fd, p, bytes, at);                                                              \
    }

REPLACE_TRANSFER(pread, void *)
REPLACE_TRANSFER(pwrite, const void *)
REPLACE(int, fsync, (int fd), (fd))
REPLACE(int, fdatasync, (int fd), (fd))
REPLACE(int, ftruncate, (int fd, off_t size), (fd, size))
REPLACE(int, unlink, (const char *name), (name))
REPLACE(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
        (from_fd, from, to_fd, to, flags))

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return armed != SHORT && fails() ? -1 : __real_open(name, flags, mode);
}

static const char *replacement; /* takes the file's place before it is locked, once */
static bool no_locks;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation) {
    if (replacement) rename(replacement, path), replacement = NULL;
    if (no_locks) return errno = ENOLCK, -1;
    return armed != SHORT && fails() ? -1 : __real_flock(fd, operation);
}

/* The last call of the trial process before it lets the library loose. */
int __real_dup2(int from, int to);
int __wrap_dup2(int from, int to);
int __wrap_dup2(int from, int to) {
    int fd = __real_dup2(from, to);
    if (library == CRASHES) raise(SIGSEGV);
    if (library == LOOPS) raise(SIGXCPU); /* what the limit of time sends */
    return fd;
}

/* ---- what is done meanwhile ------------------------------------------------------------------------------ */

static uint8_t pixels[FRAMES * H * W * 3], got[FRAMES * H * W * 3];

static void paint(int clip) {
    for (int i = 0; i < FRAMES * H * W * 3; i++) pixels[i] = (uint8_t)(clip * 41 + i * 7 + (i >> 6));
}

static lt_status add(lt_dataset *set, int index) {
    lt_clip clip = {.fps = 8, .content_hash = (uint64_t)index + 1};
    strcpy(clip.domain, "calm"), strcpy(clip.role, "train");
    snprintf(clip.group, sizeof clip.group, "group %d", index);
    paint(index);
    LT_TRY(lt_dataset_append_frames(set, pixels, NULL, FRAMES));
    return lt_dataset_add_clip(set, &clip);
}

/* Adds a clip and commits; after a failure it goes back and tries once more. *known counts what was reported as
 * committed. */
static lt_status add_and_commit(lt_dataset *set, int *known) {
    for (int tries = 0;; tries++) {
        int index = (int)lt_dataset_clip_count(set);
        lt_status status = add(set, index);
        if (status == LT_OK) status = lt_dataset_commit(set);
        if (status == LT_OK) *known = index + 1;
        if (status == LT_OK || tries) return status;
        LT_TRY(lt_dataset_rollback(set));
        CHECK(lt_dataset_clip_count(set) == *known || lt_dataset_clip_count(set) == *known + 1);
        *known = (int)lt_dataset_clip_count(set);
        if (*known == index + 1) return LT_OK; /* the journal was complete */
    }
}

/* A new file, one clip; opened again, two more. */
static lt_status work(int *known) {
    lt_dataset *set;
    lt_dataset_spec spec = {W, H, 8, false};
    *known = 0;
    LT_TRY(lt_dataset_create(path, &spec, &set));
    lt_status status = add_and_commit(set, known);
    lt_dataset_close(set);
    LT_TRY(status);
    LT_TRY(lt_dataset_open_append(path, &set));
    for (int i = 1; i < CLIPS && status == LT_OK; i++) status = add_and_commit(set, known);
    lt_dataset_close(set);
    return status;
}

static bool is_whole(lt_dataset *set) {
    for (int i = 0; i < lt_dataset_clip_count(set); i++) {
        paint(i);
        if (lt_dataset_read_frames(set, i, 0, FRAMES, got) != LT_OK) return false;
        if (memcmp(got, pixels, sizeof got) != 0) return false;
    }
    return lt_dataset_check(set, NULL, NULL, NULL) == LT_OK;
}

static void remove_file(void) {
    static const char *const ends[] = {"", ".new", ".journal"};
    for (int i = 0; i < 3; i++) {
        char name[LT_PATH_MAX + 16];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

/* What was committed is there, and can be added to. */
static void look_after(int known, int most) {
    lt_dataset *set = NULL;
    if (!lt_path_exists(path)) {
        CHECK(known == 0);
        CHECK_OK(work(&known));
        return;
    }
    CHECK_OK(lt_dataset_open(path, &set));
    if (!set) return;
    int64_t count = lt_dataset_clip_count(set);
    CHECK(count >= known && count <= most && is_whole(set));
    lt_dataset_close(set);
    CHECK_OK(lt_dataset_open_append(path, &set));
    if (!set) return;
    CHECK_OK(add(set, (int)count));
    CHECK_OK(lt_dataset_commit(set));
    CHECK(is_whole(set));
    lt_dataset_close(set);
}

static long count_calls(void) {
    int known;
    remove_file();
    calls = failing = 0, armed = IO_ERROR;
    CHECK_OK(work(&known));
    armed = NONE;
    CHECK(known == CLIPS);
    return calls;
}

/* In this process; what was reported is known. */
static void fail_once(fault kind, long at) {
    int known;
    calls = 0, failing = at, armed = kind;
    lt_status status = work(&known);
    armed = NONE;
    bool told = status == LT_OK || status == LT_FAILED || status == LT_INPUT;
    CHECK(told && (status == LT_OK || lt_error()[0]));
    /* These are no failures: the call is repeated. (Only removing and renaming do not wait.) */
    if (kind == SHORT) CHECK(status == LT_OK && known == CLIPS);
    look_after(known, known + 1);
}

static void die_once(long at) {
    int state, *known = mmap(NULL, sizeof *known, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        calls = 0, failing = at, armed = KILLED;
        work(known);
        _exit(0);
    }
    waitpid(child, &state, 0);
    look_after(*known, *known + 1);
    munmap(known, sizeof *known);
}

static void a_call_that_fails_loses_nothing_that_was_committed(void) {
    bool all = getenv("LT_TEST_FAULTS") && strcmp(getenv("LT_TEST_FAULTS"), "all") == 0;
    long count = count_calls(), step = all ? 1 : 11, tried = 0;
    CHECK(count > 60); /* else nothing is in the system's place */
    for (fault kind = IO_ERROR; kind < FAULTS; kind++)
        for (long at = 1 + (all ? 0 : kind); at <= count && !test_bad; at += step, tried++) {
            remove_file();
            if (kind == KILLED) die_once(at);
            else fail_once(kind, at);
            if (test_bad) printf("  call %ld of %ld: %s\n", at, count, fault_names[kind]);
        }
    printf("  %ld faults in %ld calls\n", tried, count);
}

static void a_call_that_a_signal_interrupts_is_made_again(void) {
    int known, lost = 0;
    long count = count_calls();
    for (long at = 3; at <= count; at += 7) {
        remove_file();
        calls = 0, failing = at, armed = INTERRUPTED;
        lt_status status = work(&known);
        armed = NONE;
        lost += status != LT_OK || known != CLIPS;
    }
    CHECK(lost <= 2); /* renaming and removing, which no local file system interrupts */
}

static void a_file_over_which_the_library_crashes_is_called_damaged(void) {
    int known;
    lt_dataset *set;
    remove_file();
    CHECK_OK(work(&known));
    library = CRASHES;
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "damaged: the HDF5 library crashes");
    CHECK_FAILS(lt_dataset_open_append(path, &set), LT_INPUT, "damaged");
    library = LOOPS;
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "does not come to an end");
    library = WELL;
    CHECK_OK(lt_dataset_open(path, &set));
    lt_dataset_close(set);
}

/* Another program replaces the file between its opening and its locking: what the name leads to is what is locked. */
static void the_lock_is_on_the_file_that_has_the_name(void) {
    char other[LT_PATH_MAX];
    int known;
    lt_dataset *set, *again;
    lt_dataset_spec spec = {W, H, 8, false};
    snprintf(other, sizeof other, "%s/other.h5", folder);
    remove_file();
    CHECK_OK(work(&known));
    CHECK_OK(lt_dataset_create(other, &spec, &set));
    CHECK_OK(add(set, 0));
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
    replacement = other;
    CHECK_OK(lt_dataset_open_append(path, &set));
    CHECK(replacement == NULL && lt_dataset_clip_count(set) == 1);
    CHECK_FAILS(lt_dataset_open(path, &again), LT_INPUT, "in use");
    CHECK_OK(add(set, 1));
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
    look_after(2, 2);
    /* The same of a new file: the name that was opened went to a creator that has finished since. */
    remove_file();
    snprintf(other, sizeof other, "%s/set.h5.new", folder);
    replacement = other;
    CHECK_FAILS(lt_dataset_create(path, &spec, &set), LT_USAGE, "exists");
}

static char warning[256];
static void keep_warning(lt_log_level level, const char *line, void *user) {
    (void)user;
    if (level == LT_LOG_WARN) snprintf(warning, sizeof warning, "%s", line);
}

static void where_there_are_no_locks_a_writer_says_so(void) {
    int known;
    lt_dataset *set;
    remove_file();
    lt_log_init(keep_warning, NULL, LT_LOG_WARN);
    no_locks = true;
    CHECK_OK(work(&known));
    CHECK(known == CLIPS && strstr(warning, "has no locks"));
    warning[0] = 0;
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK(!warning[0] && is_whole(set));
    lt_dataset_close(set);
    no_locks = false;
    lt_log_init(NULL, NULL, LT_LOG_WARN);
}

int main(int argc, char **argv) {
    /* In memory if it can be: thousands of flushes are not what is tested. */
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    test_make_folder_in(base, "lt_faults", folder);
    snprintf(path, sizeof path, "%s/set.h5", folder);
    RUN(a_call_that_fails_loses_nothing_that_was_committed);
    RUN(a_call_that_a_signal_interrupts_is_made_again);
    RUN(the_lock_is_on_the_file_that_has_the_name);
    RUN(where_there_are_no_locks_a_writer_says_so);
    RUN(a_file_over_which_the_library_crashes_is_called_damaged);
    lt_remove_tree(folder);
    return test_end();
}
