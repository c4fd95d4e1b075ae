#include "core/io.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[TEST_FOLDER]; /* a folder of this test's own */

/* root/name, in one of a few buffers used in turn. */
static const char *in(const char *name) {
    static char paths[8][LT_PATH_MAX];
    static int next;
    char *path = paths[next++ % 8];
    CHECK_OK(lt_path_join(path, root, name));
    return path;
}

static void check_text(const char *path, const char *expected) {
    char *text = NULL;
    size_t size = 0;
    CHECK_OK(lt_read_file(path, &text, &size));
    CHECK(text && size == strlen(expected) && strcmp(text, expected) == 0);
    free(text);
}

static void join_puts_one_slash_between(void) {
    static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"},  {"a", "/b", "a/b"},
                                           {"/", "b", "/b"},  {"", "b", "b"},      {"", "/b", "/b"},
                                           {"a", "", "a/"},   {"a/", "//b", "a/b"}};
    char out[LT_PATH_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_OK(lt_path_join(out, cases[i][0], cases[i][1]));
        CHECK(strcmp(out, cases[i][2]) == 0);
    }
    char name[LT_PATH_MAX];
    memset(name, 'n', sizeof name);
    name[LT_PATH_MAX - 3] = '\0';
    CHECK_OK(lt_path_join(out, "d", name));
    CHECK(strlen(out) == LT_PATH_MAX - 1);
    CHECK_FAILS(lt_path_join(out, "dd", name), LT_USAGE, "too long");
}

static void base_is_what_follows_the_last_slash(void) {
    CHECK(strcmp(lt_path_base("a/b/c.mp4"), "c.mp4") == 0);
    CHECK(strcmp(lt_path_base("c.mp4"), "c.mp4") == 0);
    CHECK(strcmp(lt_path_base("a/"), "") == 0);
}

static void folders_are_made_with_their_parents(void) {
    CHECK_OK(lt_make_dirs(in("x/y//z/")));
    CHECK(lt_path_is_dir(in("x/y/z")) && lt_path_exists(in("x")));
    CHECK_OK(lt_make_dirs(in("x/y/z")));
    CHECK_OK(lt_make_dirs("/"));
    CHECK_OK(lt_write_file(in("x/file"), "1", 1));
    CHECK(lt_path_exists(in("x/file")) && !lt_path_is_dir(in("x/file")));
    CHECK_FAILS(lt_make_dirs(in("x/file")), LT_FAILED, "a file has that name");
    CHECK_FAILS(lt_make_dirs(in("x/file/below")), LT_FAILED, "x/file");
    CHECK_FAILS(lt_make_dirs(""), LT_USAGE, "empty");
    CHECK_FAILS(lt_make_dirs("/proc/nowhere/x"), LT_FAILED, "/proc/nowhere");
    CHECK(!lt_path_exists(in("nothing")) && !lt_path_is_dir(in("nothing")));
}

static void removing_a_tree_leaves_what_links_point_to(void) {
    CHECK_OK(lt_make_dirs(in("tree/a/b")));
    CHECK_OK(lt_make_dirs(in("outside")));
    CHECK_OK(lt_write_file(in("outside/kept"), "k", 1));
    CHECK_OK(lt_write_file(in("tree/a/b/file"), "f", 1));
    CHECK(symlink(in("outside"), in("tree/a/link")) == 0);
    CHECK(symlink("nowhere", in("tree/dangling")) == 0);
    CHECK(symlink(in("outside"), in("link")) == 0);
    CHECK_OK(lt_remove_tree(in("tree")));
    CHECK(!lt_path_exists(in("tree")));
    CHECK_OK(lt_remove_tree(in("link/")));
    CHECK(!lt_path_exists(in("link")) && lt_path_exists(in("outside/kept")));
    CHECK_OK(lt_remove_tree(in("outside/kept")));
    CHECK(!lt_path_exists(in("outside/kept")));
    CHECK_OK(lt_remove_tree(in("never/there")));
}

static void dangerous_removals_are_refused(void) {
    static const char *const names[] = {"", "/", "//", ".", "./", "..", "../", "/.", "/.."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_FAILS(lt_remove_tree(names[i]), LT_USAGE, "refusing");
    CHECK_OK(lt_make_dirs(in("d/e")));
    CHECK_FAILS(lt_remove_tree(in("d/e/..")), LT_USAGE, "refusing");
    CHECK_FAILS(lt_remove_tree(in("d/e/./")), LT_USAGE, "refusing");
    CHECK(lt_path_is_dir(in("d/e")));
}

static void names_are_sorted_by_bytes(void) {
    static const char *const expected[] = {".hidden", "10", "9", "A", "Z", "a", "b c"};
    enum { COUNT = sizeof expected / sizeof *expected };
    CHECK_OK(lt_make_dirs(in("list")));
    for (int i = COUNT - 1; i >= 0; i--) {
        char name[64];
        snprintf(name, sizeof name, "list/%s", expected[i]);
        if (i % 2) CHECK_OK(lt_make_dirs(in(name)));
        else CHECK_OK(lt_write_file(in(name), "", 0));
    }
    char **names;
    int count;
    CHECK_OK(lt_list_dir(in("list"), &names, &count));
    CHECK(count == COUNT);
    for (int i = 0; i < count && i < COUNT; i++) CHECK(strcmp(names[i], expected[i]) == 0);
    lt_list_free(names, count);
    CHECK_OK(lt_make_dirs(in("empty")));
    CHECK_OK(lt_list_dir(in("empty"), &names, &count));
    CHECK(count == 0);
    lt_list_free(names, count);
    CHECK_FAILS(lt_list_dir(in("list/9"), &names, &count), LT_INPUT, "list/9");
    CHECK(names == NULL && count == 0);
    CHECK_FAILS(lt_list_dir(in("missing"), &names, &count), LT_INPUT, "No such file");
    lt_list_free(names, count);
}

static void files_read_back_whole(void) {
    enum { SIZE = 300001 };
    char *bytes = malloc(SIZE), *back = NULL;
    for (int i = 0; i < SIZE; i++) bytes[i] = (char)(i * 31 >> 3);
    size_t size;
    CHECK_OK(lt_write_file(in("big"), bytes, SIZE));
    CHECK_OK(lt_read_file(in("big"), &back, &size));
    CHECK(back && size == SIZE && memcmp(back, bytes, SIZE) == 0 && back[SIZE] == '\0');
    free(back);
    free(bytes);
    CHECK_OK(lt_write_file(in("none"), NULL, 0));
    check_text(in("none"), "");
    CHECK_OK(lt_read_file("/proc/self/status", &back, NULL)); /* says its size is 0 */
    CHECK(back && strstr(back, "VmRSS"));
    free(back);
}

static void unreadable_files_are_bad_input(void) {
    char *text = root;
    size_t size = 1;
    CHECK_FAILS(lt_read_file(in("missing"), &text, &size), LT_INPUT, "missing: cannot open: No such file");
    CHECK(text == NULL && size == 0);
    CHECK_FAILS(lt_read_file(root, &text, &size), LT_INPUT, "found a folder");
    CHECK_FAILS(lt_read_file("/proc/self/mem", &text, &size), LT_INPUT, "cannot read");
}

static void texts_are_utf8_and_lose_their_byte_order_mark(void) {
    char *text;
    size_t size;
    CHECK_OK(lt_write_file(in("marked"),
                           "\xef\xbb\xbf"
                           "caf\xc3\xa9\n",
                           9));
    CHECK_OK(lt_read_text(in("marked"), &text, &size));
    CHECK(size == 6 && strcmp(text, "caf\xc3\xa9\n") == 0);
    free(text);
    CHECK_OK(lt_write_file(in("mark"), "\xef\xbb\xbf", 3));
    CHECK_OK(lt_read_text(in("mark"), &text, &size));
    CHECK(size == 0 && !*text);
    free(text);
    CHECK_OK(lt_write_file(in("utf16"),
                           "\xff\xfe"
                           "a\0",
                           4));
    CHECK_FAILS(lt_read_text(in("utf16"), &text, &size), LT_INPUT, "UTF-8");
    CHECK_OK(lt_write_file(in("zero"), "a\0b", 3));
    CHECK_FAILS(lt_read_text(in("zero"), &text, &size), LT_INPUT, "UTF-8");
}

/* A child waits for a pipe that nobody writes to; one signal ends the wait. Another has a writer that takes its
 * time. */
static void a_pipe_is_read_to_its_end_and_waiting_for_it_can_be_ended(void) {
    CHECK(mkfifo(in("pipe"), 0600) == 0);
    pid_t child = fork();
    if (child == 0) {
        char *text;
        lt_catch_signals();
        alarm(30);
        _exit(lt_read_file(in("pipe"), &text, NULL));
    }
    usleep(100000);
    kill(child, SIGTERM);
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == LT_INTERRUPTED);
    child = fork();
    if (child == 0) {
        usleep(50000);
        int file = open(in("pipe"), O_WRONLY);
        bool wrote = write(file, "to be ", 6) == 6 && usleep(50000) == 0 && write(file, "continued", 9) == 9;
        _exit(!wrote);
    }
    check_text(in("pipe"), "to be continued");
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void writing_replaces_the_file_and_leaves_nothing_beside_it(void) {
    CHECK_OK(lt_make_dirs(in("w")));
    CHECK_OK(lt_write_file(in("w/f"), "old and long", 12));
    CHECK_OK(lt_write_file(in("w/f"), "new", 3));
    check_text(in("w/f"), "new");
    char **names;
    int count;
    CHECK_OK(lt_list_dir(in("w"), &names, &count));
    CHECK(count == 1);
    lt_list_free(names, count);
    CHECK_OK(lt_sync_path(in("w/f")));
    CHECK_OK(lt_sync_path(in("w")));
    CHECK_FAILS(lt_sync_path(in("w/none")), LT_FAILED, "w/none");
}

static void failed_writes_keep_the_old_file(void) {
    CHECK_FAILS(lt_write_file(in("nowhere/f"), "x", 1), LT_FAILED, "nowhere/f: cannot write");
    CHECK_OK(lt_make_dirs(in("v/folder/full")));
    CHECK_FAILS(lt_write_file(in("v/folder"), "x", 1), LT_FAILED, "cannot write 1 bytes");
    CHECK(lt_path_is_dir(in("v/folder/full")));
    char **names;
    int count;
    CHECK_OK(lt_list_dir(in("v"), &names, &count));
    CHECK(count == 1); /* what was written aside is gone */
    lt_list_free(names, count);
    CHECK_FAILS(lt_write_file("/dev/full/x", "x", 1), LT_FAILED, "/dev/full/x");
}

static void bare_names_are_written_in_the_current_folder(void) {
    char before[LT_PATH_MAX];
    CHECK(getcwd(before, sizeof before) && chdir(root) == 0);
    CHECK_OK(lt_write_file("bare", "b", 1));
    CHECK_OK(lt_make_dirs("relative/folder"));
    CHECK_OK(lt_require_space("not/there/yet", 1));
    CHECK(chdir(before) == 0);
    check_text(in("bare"), "b");
    CHECK(lt_path_is_dir(in("relative/folder")));
}

static void free_space_is_asked_of_the_nearest_parent(void) {
    CHECK_OK(lt_require_space(root, 1));
    CHECK_OK(lt_require_space(in("not/there/yet"), 1));
    CHECK_OK(lt_require_space("/", 0));
    CHECK_OK(lt_require_space("", 1));
    CHECK_FAILS(lt_require_space(in("not/there"), INT64_MAX), LT_FAILED, "needs 8.0 EiB");
    CHECK(strstr(lt_error(), "free"));
}

static void clock_and_memory_move_forward(void) {
    double start = lt_seconds();
    int64_t before = lt_rss_now();
    enum { SIZE = 64 << 20 };
    volatile char *block = malloc(SIZE);
    for (int i = 0; i < SIZE; i += 512) block[i] = 1;
    int64_t now = lt_rss_now(); /* asked before the peak: asking takes memory too */
    CHECK(before > 0 && now > before + SIZE / 2 && lt_rss_peak() >= now);
    free((char *)block);
    CHECK(lt_seconds() >= start);
}

/* In a child: the first signal sets the flag, the second one ends the process. */
static int status_after_signals(int first, int second) {
    pid_t child = fork();
    if (child == 0) {
        lt_catch_signals();
        if (lt_interrupted()) _exit(10);
        raise(first);
        if (!lt_interrupted()) _exit(11);
        if (second) raise(second);
        _exit(second ? 12 : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

static void first_signal_sets_a_flag_and_second_ends(void) {
    CHECK(status_after_signals(SIGINT, 0) == 0);
    CHECK(status_after_signals(SIGTERM, 0) == 0);
    int twice = status_after_signals(SIGINT, SIGINT), mixed = status_after_signals(SIGINT, SIGTERM);
    CHECK(WIFSIGNALED(twice) && WTERMSIG(twice) == SIGINT);
    CHECK(WIFSIGNALED(mixed) && WTERMSIG(mixed) == SIGTERM);
    CHECK(!lt_interrupted());
}

int main(int argc, char **argv) {
    test_make_folder("lt_io", root);
    RUN(join_puts_one_slash_between);
    RUN(base_is_what_follows_the_last_slash);
    RUN(folders_are_made_with_their_parents);
    RUN(removing_a_tree_leaves_what_links_point_to);
    RUN(dangerous_removals_are_refused);
    RUN(names_are_sorted_by_bytes);
    RUN(files_read_back_whole);
    RUN(unreadable_files_are_bad_input);
    RUN(texts_are_utf8_and_lose_their_byte_order_mark);
    RUN(a_pipe_is_read_to_its_end_and_waiting_for_it_can_be_ended);
    RUN(writing_replaces_the_file_and_leaves_nothing_beside_it);
    RUN(failed_writes_keep_the_old_file);
    RUN(bare_names_are_written_in_the_current_folder);
    RUN(free_space_is_asked_of_the_nearest_parent);
    RUN(clock_and_memory_move_forward);
    RUN(first_signal_sets_a_flag_and_second_ends);
    if (lt_remove_tree(root) != LT_OK || lt_path_exists(root)) return printf("%s\n", lt_error()), 1;
    return test_end();
}
