#include "core/io.h"
#include "core/rng.h"
#include "data/journal.h"
#include "tests/harness.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 40000 /* 64-bit words of the file: 79 pages, the last one in part */
#define BYTES (WORDS * 8)

static char folder[TEST_FOLDER], path[LT_PATH_MAX], journal[LT_PATH_MAX], new_path[LT_PATH_MAX],
    link_path[LT_PATH_MAX];

static void fresh(void) {
    lt_remove_tree(path);
    lt_remove_tree(journal);
    lt_remove_tree(new_path);
}

static lt_status write_all(lt_jfile *file, int64_t value) {
    static int64_t words[WORDS];
    for (int i = 0; i < WORDS; i++) words[i] = value;
    /* In pieces that straddle pages. */
    for (int64_t at = 0; at < BYTES; at += 5000)
        LT_TRY(lt_jfile_write(file, at, (size_t)(BYTES - at < 5000 ? BYTES - at : 5000), (char *)words + at));
    return LT_OK;
}

/* The value that every word of the file has; -1 when they differ. */
static int64_t read_all(lt_jfile *file) {
    static int64_t words[WORDS];
    CHECK_OK(lt_jfile_read(file, 0, BYTES, words));
    for (int i = 1; i < WORDS; i++)
        if (words[i] != words[0]) return -1;
    return words[0];
}

static lt_status create(int64_t value) {
    lt_jfile *file;
    LT_TRY(lt_jfile_open(path, LT_JFILE_CREATE, &file));
    lt_status status = write_all(file, value);
    if (status == LT_OK) status = lt_jfile_commit(file, BYTES);
    lt_jfile_close(file);
    return status;
}

static int64_t value_now(void) {
    lt_jfile *file;
    if (lt_jfile_open(path, LT_JFILE_READ, &file) != LT_OK) return -2;
    int64_t value = read_all(file);
    lt_jfile_close(file);
    return value;
}

static void a_new_file_appears_at_its_first_commit(void) {
    lt_jfile *file;
    fresh();
    CHECK_OK(lt_jfile_open(path, LT_JFILE_CREATE, &file));
    CHECK_OK(write_all(file, 5));
    CHECK(!lt_path_exists(path));
    lt_jfile_close(file);
    CHECK(!lt_path_exists(path));
    CHECK_OK(create(5));
    CHECK(value_now() == 5);
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_CREATE, &file), LT_USAGE, "exists");
}

static void writes_are_seen_at_once_and_kept_by_a_commit(void) {
    lt_jfile *file;
    fresh();
    CHECK_OK(create(1));
    CHECK_OK(lt_jfile_open(path, LT_JFILE_APPEND, &file));
    CHECK_OK(write_all(file, 2));
    CHECK(read_all(file) == 2);
    lt_jfile_close(file);
    CHECK(value_now() == 1);
    CHECK_OK(lt_jfile_open(path, LT_JFILE_APPEND, &file));
    CHECK_OK(write_all(file, 3));
    int64_t more = 77;
    CHECK_OK(lt_jfile_write(file, BYTES - 4, 8, &more)); /* across the end of what is committed */
    CHECK(lt_jfile_size(file) == BYTES + 4);
    CHECK_OK(lt_jfile_commit(file, BYTES + 4));
    more = 0;
    CHECK_OK(lt_jfile_read(file, BYTES - 4, 8, &more));
    CHECK(more == 77);
    int64_t three = 3;
    CHECK_OK(lt_jfile_write(file, BYTES - 8, 8, &three));
    CHECK_OK(lt_jfile_commit(file, BYTES)); /* shorter again */
    lt_jfile_close(file);
    CHECK(value_now() == 3 && !lt_path_exists(journal));
}

static void an_incomplete_or_foreign_journal_is_not_applied(void) {
    lt_jfile *file;
    fresh();
    CHECK_OK(create(4));
    CHECK_OK(lt_write_file(journal, "LTJRNL01 and then nothing of use", 32));
    CHECK(value_now() == 4);
    CHECK_OK(lt_jfile_open(path, LT_JFILE_APPEND, &file));
    CHECK(read_all(file) == 4 && !lt_path_exists(journal));
    lt_jfile_close(file);
}

static void a_refused_writer_changes_nothing(void) {
    lt_jfile *reader, *writer, *other;
    fresh();
    CHECK_OK(create(6));
    CHECK_OK(lt_jfile_open(path, LT_JFILE_READ, &reader));
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_APPEND, &writer), LT_INPUT, "in use");
    CHECK(read_all(reader) == 6);
    lt_jfile_close(reader);
    CHECK(value_now() == 6);
    CHECK_OK(lt_jfile_open(path, LT_JFILE_APPEND, &writer));
    CHECK_OK(write_all(writer, 7));
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_APPEND, &other), LT_INPUT, "in use");
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_READ, &other), LT_INPUT, "in use");
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_CREATE, &other), LT_USAGE, "exists");
    CHECK_OK(lt_jfile_rollback(writer)); /* which keeps the lock */
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_APPEND, &other), LT_INPUT, "in use");
    CHECK(read_all(writer) == 6);
    CHECK_OK(write_all(writer, 8));
    CHECK_OK(lt_jfile_commit(writer, BYTES));
    lt_jfile_close(writer);
    CHECK(value_now() == 8);
}

static void of_two_creators_one_wins(void) {
    lt_jfile *first, *second;
    fresh();
    CHECK_OK(lt_write_file(new_path, "of a creator that died", 22));
    CHECK_OK(lt_jfile_open(path, LT_JFILE_CREATE, &first));
    CHECK_OK(write_all(first, 1));
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_CREATE, &second), LT_INPUT, "in use");
    CHECK_OK(lt_jfile_commit(first, BYTES));
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_CREATE, &second), LT_USAGE, "exists");
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_APPEND, &second), LT_INPUT, "in use");
    lt_jfile_close(first);
    CHECK(value_now() == 1 && !lt_path_exists(new_path));
    /* A file that another program puts there meanwhile stays as it is. */
    fresh();
    CHECK_OK(lt_jfile_open(path, LT_JFILE_CREATE, &first));
    CHECK_OK(write_all(first, 1));
    CHECK_OK(lt_write_file(path, "not ours", 8));
    CHECK_FAILS(lt_jfile_commit(first, BYTES), LT_FAILED, "exists");
    lt_jfile_close(first);
    char *text = NULL;
    size_t size = 0;
    CHECK_OK(lt_read_file(path, &text, &size));
    CHECK(size == 8 && !lt_path_exists(new_path));
    free(text);
}

static void names_that_lead_to_one_file_share_its_lock(void) {
    lt_jfile *file, *other;
    struct stat info;
    fresh();
    unlink(link_path);
    CHECK(symlink("file", link_path) == 0); /* to a file that is still to be made */
    CHECK_OK(lt_jfile_open(link_path, LT_JFILE_CREATE, &file));
    CHECK(lt_path_exists(new_path));
    CHECK_OK(write_all(file, 3));
    CHECK_OK(lt_jfile_commit(file, BYTES));
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_APPEND, &other), LT_INPUT, "in use");
    lt_jfile_close(file);
    CHECK(value_now() == 3 && lstat(link_path, &info) == 0 && S_ISLNK(info.st_mode));
    CHECK_OK(lt_jfile_open(path, LT_JFILE_APPEND, &file));
    CHECK_FAILS(lt_jfile_open(link_path, LT_JFILE_READ, &other), LT_INPUT, "in use");
    lt_jfile_close(file);
    unlink(link_path);
    CHECK(symlink("link", link_path) == 0);
    CHECK_FAILS(lt_jfile_open(link_path, LT_JFILE_READ, &file), LT_INPUT, "links");
    unlink(link_path);
    CHECK(symlink("file", link_path) == 0);
}

static void what_the_file_has_lost_is_not_read_as_zeros(void) {
    lt_jfile *file;
    int64_t word;
    fresh();
    CHECK_OK(create(5));
    CHECK_OK(lt_jfile_open(path, LT_JFILE_READ, &file));
    CHECK_FAILS(lt_jfile_read(file, BYTES - 4, 8, &word), LT_INPUT, "cut short");
    CHECK(truncate(path, BYTES / 2) == 0);
    CHECK_OK(lt_jfile_read(file, BYTES / 2 - 8, 8, &word));
    CHECK_FAILS(lt_jfile_read(file, BYTES / 2 - 4, 8, &word), LT_INPUT, "cut short");
    lt_jfile_close(file);
}

static void a_pipe_is_no_file(void) {
    lt_jfile *file;
    fresh();
    CHECK(mkfifo(path, 0600) == 0);
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_READ, &file), LT_INPUT, "not a regular file");
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_APPEND, &file), LT_INPUT, "not a regular file");
}

/* The file says one number all over; each commit changes every page of it. */
static void commit_until_killed(int report) {
    lt_jfile *file;
    if (lt_jfile_open(link_path, LT_JFILE_APPEND, &file) != LT_OK) _exit(9);
    for (int64_t value = read_all(file) + 1;; value++) {
        if (write_all(file, value) != LT_OK || lt_jfile_commit(file, BYTES) != LT_OK) _exit(8);
        if (write(report, &value, sizeof value) != sizeof value) _exit(7);
    }
}

static void a_commit_is_whole_or_absent_after_a_kill(void) {
    int kills = getenv("LT_TEST_KILLS") ? atoi(getenv("LT_TEST_KILLS")) : 60, pending = 0;
    int64_t known = 1;
    fresh();
    CHECK_OK(create(1));
    lt_rng_key key = {.seed = 5, .purpose = LT_RNG_TEST};
    for (int k = 0; k < kills && !test_bad; k++) {
        int pipes[2], state;
        if (pipe(pipes) != 0) return;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) commit_until_killed(pipes[1]);
        close(pipes[1]);
        usleep((useconds_t)(1000 + lt_rng_below(&key, (uint64_t)k, 40000)));
        kill(child, SIGKILL);
        waitpid(child, &state, 0);
        CHECK(WIFSIGNALED(state));
        for (int64_t last; read(pipes[0], &last, sizeof last) == sizeof last;) known = last;
        close(pipes[0]);
        pending += lt_path_exists(journal);
        int64_t value = value_now();                 /* a reader, which leaves the journal alone */
        CHECK(value == known || value == known + 1); /* it may die between the commit and the report */
        known = value;
        if (k % 2) continue; /* the next writer finds the journal itself */
        lt_jfile *file;
        CHECK_OK(lt_jfile_open(path, LT_JFILE_APPEND, &file));
        CHECK(file && read_all(file) == value && !lt_path_exists(journal));
        lt_jfile_close(file);
    }
    printf("  %d kills, %d of them left a journal, %lld commits\n", kills, pending, (long long)known);
}

/* Kills a writer until one leaves a journal. */
static bool leave_journal(void) {
    for (int k = 0; k < 500; k++) {
        int pipes[2];
        if (pipe(pipes) != 0) return false;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) commit_until_killed(pipes[1]);
        usleep((useconds_t)(3000 + 977 * k % 20000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(pipes[0]), close(pipes[1]);
        char *text = NULL;
        size_t size = 0;
        bool complete = lt_path_exists(journal) && lt_read_file(journal, &text, &size) == LT_OK && size > 8 &&
                        memcmp(text, "LTJRNL02", 8) == 0;
        free(text);
        if (complete) return true;
        value_now();
    }
    return false;
}

/* It is of the file that it was written for, and not of another that has the name now. */
static void a_journal_stays_with_its_file(void) {
    lt_jfile *file;
    char *other = calloc(1, BYTES + 4096), *text = NULL;
    size_t size = 0;
    fresh();
    CHECK_OK(create(1));
    CHECK(leave_journal());
    CHECK_OK(lt_write_file(path, other, BYTES + 4096)); /* large enough for it */
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_APPEND, &file), LT_INPUT, "belongs to another file");
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_READ, &file), LT_INPUT, "belongs to another file");
    CHECK_OK(lt_read_file(path, &text, &size));
    CHECK(size == BYTES + 4096 && memcmp(text, other, size) == 0 && lt_path_exists(journal));
    CHECK(unlink(path) == 0);
    CHECK_FAILS(lt_jfile_open(path, LT_JFILE_CREATE, &file), LT_USAGE, "is left of a file");
    CHECK(lt_path_exists(journal) && !lt_path_exists(new_path));
    CHECK_OK(lt_write_file(journal, "LTJRNL02 and no more", 20));
    CHECK_OK(create(2));
    CHECK(!lt_path_exists(journal) && value_now() == 2);
    free(text), free(other);
}

int main(int argc, char **argv) {
    test_make_folder("lt_journal", folder);
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(journal, sizeof journal, "%s/file.journal", folder);
    snprintf(new_path, sizeof new_path, "%s/file.new", folder);
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    RUN(a_new_file_appears_at_its_first_commit);
    RUN(writes_are_seen_at_once_and_kept_by_a_commit);
    RUN(an_incomplete_or_foreign_journal_is_not_applied);
    RUN(a_refused_writer_changes_nothing);
    RUN(of_two_creators_one_wins);
    RUN(names_that_lead_to_one_file_share_its_lock);
    RUN(what_the_file_has_lost_is_not_read_as_zeros);
    RUN(a_pipe_is_no_file);
    if (symlink("file", link_path) != 0 && errno != EEXIST) return 1;
    RUN(a_commit_is_whole_or_absent_after_a_kill);
    RUN(a_journal_stays_with_its_file);
    lt_remove_tree(folder);
    return test_end();
}
