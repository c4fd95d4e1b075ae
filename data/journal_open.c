/* Finding the file that a name leads to, locking it, and letting go of it. */
#include "core/log.h"
#include "data/journal_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINKS = 40, MOST_TRIES = 100, LOCK_TRIES = 10, LOCK_WAIT_US = 10000 };

/* Where `path` leads if it is a symbolic link, even to a file that is still to be made: the journal is beside that. */
static lt_status follow_links(const char *path, char out[LT_PATH_MAX]) {
    char target[LT_PATH_MAX], joined[LT_PATH_MAX];
    LT_CHECK(strlen(path) < LT_PATH_MAX, LT_USAGE, "%.60s...: longer than %d bytes", path, LT_PATH_MAX);
    snprintf(out, LT_PATH_MAX, "%s", path);
    for (int links = 0; links < MOST_LINKS; links++) {
        ssize_t length = readlink(out, target, sizeof target - 1);
        if (length < 0) return LT_OK; /* no link, or nothing: opening it says what is wrong */
        target[length] = '\0';
        const char *base = lt_path_base(out);
        if (target[0] == '/' || base == out) snprintf(joined, sizeof joined, "%s", target);
        else {
            char folder[LT_PATH_MAX];
            snprintf(folder, sizeof folder, "%.*s", (int)(base - out), out);
            LT_TRY(lt_path_join(joined, folder, target));
        }
        memcpy(out, joined, sizeof joined);
    }
    return lt_fail(LT_INPUT, "%s: more than %d symbolic links in a row", path, MOST_LINKS);
}

static bool same_file(int fd, const char *path) {
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

/* A process that has just ended may still be letting go of it: a tenth of a second is waited. */
static lt_status lock(const lt_jfile *file) {
    int operation = (file->mode == LT_JFILE_READ ? LOCK_SH : LOCK_EX) | LOCK_NB;
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        if (TEMP_FAILURE_RETRY(flock(file->fd, operation)) == 0) return LT_OK;
        if (errno != EWOULDBLOCK) break;
        usleep(LOCK_WAIT_US);
        errno = EWOULDBLOCK;
    }
    LT_CHECK(errno != EWOULDBLOCK, LT_INPUT, "%s: in use by another process; wait until it has finished",
             file->path);
    if (file->mode != LT_JFILE_READ)
        lt_warn("%s: this file system has no locks (%s); see to it that nothing else writes this file",
                file->path, strerror(errno));
    return LT_OK;
}

/* Opens `name` and locks it; *again when the name went to another file in between. */
static lt_status open_locked(lt_jfile *file, const char *name, bool *again) {
    bool create = file->mode == LT_JFILE_CREATE;
    int flags = create ? O_RDWR | O_CREAT : file->mode == LT_JFILE_APPEND ? O_RDWR : O_RDONLY;
    /* Not blocking: a pipe would wait for its other end. */
    file->fd = TEMP_FAILURE_RETRY(open(name, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666));
    if (file->fd < 0)
        return lt_fail(create ? LT_FAILED : LT_INPUT, "%s: cannot %s: %s", file->path,
                       create ? "create" : "open", strerror(errno));
    LT_TRY(lock(file));
    *again = !same_file(file->fd, name);
    if (!*again) return LT_OK;
    close(file->fd);
    file->fd = -1;
    return LT_OK;
}

static lt_status check_kind(lt_jfile *file) {
    struct stat info;
    LT_CHECK(fstat(file->fd, &info) == 0 && S_ISREG(info.st_mode), LT_INPUT, "%s: not a regular file",
             file->path);
    if (file->mode == LT_JFILE_APPEND && info.st_nlink > 1) {
        lt_warn("%s: this file has %lu names (hard links), and all of them change; after a crash, open it "
                "by this one first",
                file->path, (unsigned long)info.st_nlink);
    }
    return LT_OK;
}

/* Only a complete journal is of use to a file that somebody has moved away. */
static lt_status refuse_orphan(lt_jfile *file) {
    char *text = NULL;
    size_t bytes = 0;
    LT_CHECK(!lt_path_exists(file->path), LT_USAGE, "%s: exists already", file->path);
    if (lt_read_file(file->journal, &text, &bytes) != LT_OK) return LT_OK;
    bool complete = lt_journal_complete(text, bytes);
    free(text);
    LT_CHECK(
        !complete, LT_USAGE,
        "%s is left of a file that is not here any more: move it to that file, which is not whole without "
        "it, or remove it",
        file->journal);
    unlink(file->journal);
    return LT_OK;
}

static lt_status open_file(lt_jfile *file) {
    bool create = file->mode == LT_JFILE_CREATE, again = true;
    if (create && lt_path_exists(file->path)) return lt_fail(LT_USAGE, "%s: exists already", file->path);
    for (int tries = 0; again; tries++) {
        LT_CHECK(tries < MOST_TRIES, LT_INPUT, "%s: is being replaced again and again", file->path);
        LT_TRY(open_locked(file, create ? file->fresh : file->path, &again));
    }
    file->owned = true;
    LT_TRY(check_kind(file));
    if (create) {
        LT_TRY(refuse_orphan(file)); /* now that no other creator is left */
        if (TEMP_FAILURE_RETRY(ftruncate(file->fd, 0)) != 0)
            return lt_jfile_break(file, "cannot empty", file->fresh);
    } else LT_TRY(lt_journal_recover(file));
    file->ready = true;
    return LT_OK;
}

lt_status lt_jfile_open(const char *path, lt_jfile_mode mode, lt_jfile **out) {
    *out = NULL;
    lt_jfile *file = calloc(1, sizeof *file);
    LT_CHECK(file, LT_FAILED, "%s: out of memory", path);
    file->mode = mode;
    file->fd = -1;
    file->named = mode != LT_JFILE_CREATE;
    lt_status status = follow_links(path, file->path);
    snprintf(file->journal, sizeof file->journal, "%s.journal", file->path);
    snprintf(file->fresh, sizeof file->fresh, "%s.new", file->path);
    if (status == LT_OK) status = open_file(file);
    if (status != LT_OK) {
        lt_jfile_close(file);
        return status;
    }
    *out = file;
    return LT_OK;
}

void lt_jfile_close(lt_jfile *file) {
    if (!file) return;
    if (file->fd >= 0) {
        /* Only tidies: bytes above the base mean nothing, except to a journal that is still to be applied. */
        bool tidy = file->mode != LT_JFILE_READ && file->ready && !file->journaled;
        if (tidy && TEMP_FAILURE_RETRY(ftruncate(file->fd, file->base)) != 0)
            lt_debug("%s: cannot tidy: %s", file->path, strerror(errno));
        if (!file->named && file->owned) unlink(file->fresh);
        close(file->fd);
    }
    lt_jpages_drop(file);
    free(file->pages);
    free(file);
}

void lt_jfile_remove(lt_jfile *file) {
    if (!file) return;
    bool writer = file->mode != LT_JFILE_READ && file->owned && file->named;
    if (writer && same_file(file->fd, file->path) && unlink(file->path) != 0)
        lt_debug("%s: cannot remove: %s", file->path, strerror(errno));
    if (writer) unlink(file->journal);
    lt_jfile_close(file);
}

void lt_jfile_forked(lt_jfile *file) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file->fd);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    close(file->fd);
    file->fd = fd;
}
