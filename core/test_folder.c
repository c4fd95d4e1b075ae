/* Folders that one process at a time writes into, files that are written aside, and what a command may write to. */
#include "core/folder.h"
#include "core/output.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[TEST_FOLDER];

static const char *in(const char *name) {
    static char paths[8][LT_PATH_MAX];
    static int next;
    char *path = paths[next++ % 8];
    CHECK_OK(lt_path_join(path, root, name));
    return path;
}

static bool holds(const char *path, const char *text) {
    char *found = NULL;
    bool same = lt_read_file(path, &found, NULL) == LT_OK && strcmp(found, text) == 0;
    free(found);
    return same;
}

/* Whether a process of its own gets the folder. */
static bool another_gets(const char *folder, const char *kind) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        lt_folder_lock *lock;
        _exit(lt_folder_lock_take(folder, kind, &lock));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == LT_OK;
}

static void one_process_holds_a_folder(void) {
    lt_folder_lock *lock = NULL, *second = NULL;
    const char *folder = in("deep/run");
    CHECK_OK(lt_folder_lock_take(folder, "run", &lock));
    CHECK(lt_folder_is(folder, "run") && !lt_folder_is(folder, "results") && lt_folder_is_empty(folder));
    CHECK(!another_gets(folder, "run"));
    CHECK_FAILS(lt_folder_lock_take(folder, "run", &second), LT_INPUT, "in use by another process (process ");
    lt_folder_lock_release(lock);
    CHECK(another_gets(folder, "run")); /* and its death lets go of it */
    CHECK_OK(lt_folder_lock_take(folder, "run", &lock));
    lt_folder_lock_release(lock);
    CHECK_FAILS(lt_folder_lock_take(folder, "results", &lock), LT_INPUT, "longtake run");
}

/* The mark that is held is not the one that has its name now. */
static void a_folder_that_was_made_anew_is_free(void) {
    lt_folder_lock *lock = NULL, *other = NULL;
    const char *folder = in("anew");
    CHECK_OK(lt_folder_lock_take(folder, "run", &lock));
    CHECK_OK(lt_remove_tree(folder));
    CHECK_OK(lt_folder_lock_take(folder, "run", &other));
    lt_folder_lock_release(lock);
    CHECK(!another_gets(folder, "run"));
    lt_folder_lock_release(other);
}

/* What a kill between creating the mark and writing it leaves. */
static void an_empty_mark_is_a_mark(void) {
    lt_folder_lock *lock = NULL;
    CHECK_OK(lt_make_dirs(in("cut")));
    CHECK_OK(lt_write_file(in("cut/" LT_FOLDER_MARK), "", 0));
    CHECK(lt_folder_is(in("cut"), "run"));
    CHECK_OK(lt_folder_lock_take(in("cut"), "run", &lock));
    lt_folder_lock_release(lock);
    CHECK(!lt_folder_is(in("cut"), "results"));
    CHECK_OK(lt_write_file(in("cut/" LT_FOLDER_MARK), "someone's\n", 10));
    CHECK(!lt_folder_is(in("cut"), "run"));
}

static void with_file_limit(rlim_t bytes, void (*call)(void)) {
    struct rlimit old, small;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){bytes, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    call();
    setrlimit(RLIMIT_FSIZE, &old);
}

static void overfill_output(void) {
    lt_output *output = NULL;
    CHECK_OK(lt_output_open(in("out"), &output));
    for (int i = 0; i < 4000; i++) fputs("0123456789abcdef", lt_output_file(output));
    CHECK_FAILS(lt_output_close(output, true), LT_FAILED, "out: cannot write");
}

static lt_rows *rows;
static void overfill_rows(void) {
    static char large[3000];
    memset(large, 'x', sizeof large);
    CHECK_OK(lt_rows_add(rows, "first\n", 6));
    CHECK_FAILS(lt_rows_add(rows, large, sizeof large), LT_FAILED, "rows: cannot write");
    CHECK_OK(lt_rows_add(rows, "second\n", 7));
}

/* A limit of file size stands for a full disk. */
static void a_full_disk_leaves_old_files_and_whole_rows(void) {
    char **names;
    int count;
    CHECK_OK(lt_make_dirs(in("full")));
    snprintf(root + strlen(root), sizeof root - strlen(root), "/full");
    CHECK_OK(lt_write_file(in("out"), "old", 3));
    with_file_limit(1000, overfill_output);
    CHECK(holds(in("out"), "old"));
    CHECK_OK(lt_rows_open(in("rows"), true, &rows));
    with_file_limit(1000, overfill_rows);
    lt_rows_close(rows);
    CHECK(holds(in("rows"), "first\nsecond\n"));
    CHECK_FAILS(lt_rows_open(in("rows"), true, &rows), LT_USAGE, "rows");
    CHECK_OK(lt_list_dir(root, &names, &count));
    CHECK(count == 2); /* nothing aside */
    lt_list_free(names, count);
    root[strlen(root) - strlen("/full")] = '\0';
}

static void an_output_is_there_when_it_is_complete(void) {
    lt_output *output = NULL;
    CHECK_OK(lt_write_file(in("o.json"), "old", 3));
    CHECK_OK(lt_output_open(in("o.json"), &output));
    fputs("new", lt_output_file(output));
    fflush(lt_output_file(output));
    CHECK(holds(in("o.json"), "old"));
    CHECK_OK(lt_output_leave(output));
    CHECK(holds(in("o.json"), "old") && holds(in("o.part.json"), "new"));
    CHECK_OK(lt_output_open(in("o.json"), &output));
    fputs("newer", lt_output_file(output));
    CHECK_OK(lt_output_close(output, true));
    CHECK(holds(in("o.json"), "newer"));
    CHECK_FAILS(lt_output_open(in("nowhere/o"), &output), LT_FAILED, "nowhere/o");
}

static lt_status check_two(const char *a, bool input, const char *b, bool force) {
    const lt_file_use uses[] = {{"--a", a, .input = input}, {"--b", b}};
    return lt_check_files(uses, 2, force);
}

static void what_is_written_is_checked_before(void) {
    CHECK_OK(lt_write_file(in("there"), "x", 1));
    CHECK_OK(lt_make_dirs(in("folder")));
    CHECK(symlink("there", in("link")) == 0 && symlink("nothing", in("dangling")) == 0);
    CHECK(link(in("there"), in("hard")) == 0 && symlink("folder", in("way")) == 0);
    CHECK(mkfifo(in("pipe"), 0600) == 0);
    CHECK_OK(check_two(in("new"), false, in("other"), false));
    CHECK_OK(check_two(in("there"), true, NULL, false));
    CHECK_OK(check_two(in("there"), true, in("new"), false));
    CHECK_FAILS(check_two(in("new"), false, in("new"), true), LT_USAGE, "--a and --b name the same file");
    CHECK_FAILS(check_two(in("folder/new"), false, in("way/new"), true), LT_USAGE, "the same file");
    CHECK_FAILS(check_two(in("there"), true, in("link"), true), LT_USAGE, "the same file");
    CHECK_FAILS(check_two(in("there"), true, in("hard"), true), LT_USAGE, "the same file");
    CHECK_FAILS(check_two(NULL, false, in("there"), false), LT_USAGE, "--force replaces it");
    CHECK_OK(check_two(NULL, false, in("there"), true));
    CHECK_FAILS(check_two(NULL, false, in("dangling"), false), LT_USAGE, "exists");
    CHECK_FAILS(check_two(NULL, false, in("pipe"), true), LT_USAGE, "no regular file");
    CHECK_FAILS(check_two(NULL, false, "/dev/full", true), LT_USAGE, "no regular file");
    CHECK_FAILS(check_two(NULL, false, in("folder"), true), LT_USAGE, "is a folder");
    CHECK_FAILS(check_two(NULL, false, in("nowhere/f"), true), LT_USAGE, "there is no folder");
}

int main(int argc, char **argv) {
    test_make_folder("lt_folder", root);
    RUN(one_process_holds_a_folder);
    RUN(a_folder_that_was_made_anew_is_free);
    RUN(an_empty_mark_is_a_mark);
    RUN(a_full_disk_leaves_old_files_and_whole_rows);
    RUN(an_output_is_there_when_it_is_complete);
    RUN(what_is_written_is_checked_before);
    CHECK_OK(lt_remove_tree(root));
    return test_end();
}
