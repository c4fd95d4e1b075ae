/* Reading, writing, committing; data/journal_open.c has the names and the lock, data/journal_pages.c the pages and
 * their journal. */
#include "data/journal_impl.h"

#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

lt_status lt_jfile_failed(const lt_jfile *file) {
    return file->failed == LT_OK ? LT_OK : lt_fail(file->failed, "%s", file->error);
}

lt_status lt_jfile_break(lt_jfile *file, const char *what, const char *path) {
    int reason = errno;
    LT_TRY(lt_jfile_failed(file));
    file->failed = lt_fail(LT_FAILED, "%s: %s: %s; nothing since the last commit was kept", path, what,
                           reason ? strerror(reason) : "it ends too early");
    snprintf(file->error, sizeof file->error, "%s", lt_error());
    return file->failed;
}

bool lt_jwrite_all(int fd, const void *data, size_t bytes, int64_t offset) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t done = TEMP_FAILURE_RETRY(pwrite(fd, p, bytes, offset));
        if (done == 0) errno = EIO; /* which no file does */
        if (done <= 0) return false;
        p += done, offset += done, bytes -= (size_t)done;
    }
    return true;
}

bool lt_jread_all(int fd, void *data, size_t bytes, int64_t offset) {
    char *p = data;
    while (bytes > 0) {
        ssize_t done = TEMP_FAILURE_RETRY(pread(fd, p, bytes, offset));
        if (done == 0) errno = 0;
        if (done <= 0) return false;
        p += done, offset += done, bytes -= (size_t)done;
    }
    return true;
}

/* Bytes from `offset` to the end of its page, the base or the request. */
static size_t page_span(const lt_jfile *file, int64_t offset, size_t bytes) {
    int64_t span = LT_JPAGE - offset % LT_JPAGE;
    if (span > file->base - offset) span = file->base - offset;
    return (size_t)span < bytes ? (size_t)span : bytes;
}

static lt_status read_break(const lt_jfile *file, int64_t offset, size_t bytes) {
    long long from = offset, to = offset + (int64_t)bytes, size = file->size;
    LT_CHECK(errno == 0, LT_INPUT, "%s: cannot read bytes %lld to %lld: %s", file->path, from, to,
             strerror(errno));
    return lt_fail(
        LT_INPUT,
        "%s is cut short: bytes %lld to %lld are asked for, of %lld that it had when it was opened; "
        "was it changed since?",
        file->path, from, to, size);
}

void lt_jfile_set_read_failed(lt_jfile *file, lt_status status) {
    file->read_failed = status;
    snprintf(file->read_error, sizeof file->read_error, "%s", lt_error());
}

lt_status lt_jfile_read_failed(lt_jfile *file) {
    lt_status status = file->read_failed;
    file->read_failed = LT_OK;
    return status == LT_OK ? LT_OK : lt_fail(status, "%s", file->read_error);
}

lt_status lt_jfile_read(lt_jfile *file, int64_t offset, size_t bytes, void *out) {
    int64_t there = file->size > offset ? file->size - offset : 0;
    size_t within = (int64_t)bytes < there ? bytes : (size_t)there;
    errno = 0;
    if (within < bytes && file->mode == LT_JFILE_READ) return read_break(file, offset, bytes);
    if (!lt_jread_all(file->fd, out, within, offset)) return read_break(file, offset, within);
    memset((char *)out + within, 0, bytes - within);
    char *p = out;
    while (file->page_count > 0 && bytes > 0 && offset < file->base) {
        size_t span = page_span(file, offset, bytes);
        const uint8_t *changed = lt_jpage_find(file, offset / LT_JPAGE);
        if (changed) memcpy(p, changed + offset % LT_JPAGE, span);
        p += span, offset += (int64_t)span, bytes -= span;
    }
    return LT_OK;
}

lt_status lt_jfile_write(lt_jfile *file, int64_t offset, size_t bytes, const void *data) {
    if (file->discard) return LT_OK;
    LT_TRY(lt_jfile_failed(file));
    const char *p = data;
    while (bytes > 0 && offset < file->base) {
        size_t span = page_span(file, offset, bytes);
        uint8_t *changed;
        LT_TRY(lt_jpage_take(file, offset / LT_JPAGE, &changed));
        memcpy(changed + offset % LT_JPAGE, p, span);
        p += span, offset += (int64_t)span, bytes -= span;
    }
    if (!lt_jwrite_all(file->fd, p, bytes, offset)) return lt_jfile_break(file, "cannot write", file->path);
    if (offset + (int64_t)bytes > file->size) file->size = offset + (int64_t)bytes;
    return LT_OK;
}

int64_t lt_jfile_size(const lt_jfile *file) { return file->size; }

/* Another program's file of that name is never replaced. File systems that cannot promise it (EINVAL) have only the
 * check. */
static bool take_name(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return false;
    if (lt_path_exists(to)) {
        errno = EEXIST;
        return false;
    }
    return rename(from, to) == 0;
}

static lt_status give_name(lt_jfile *file) {
    if (!take_name(file->fresh, file->path)) return lt_jfile_break(file, "cannot create", file->path);
    file->named = true;
    if (lt_sync_parent(file->path) == LT_OK) return LT_OK;
    lt_status status = lt_jfile_break(file, "cannot flush the folder of", file->path);
    unlink(file->path); /* it may not last, so it is not there */
    file->named = false;
    return status;
}

lt_status lt_jfile_commit(lt_jfile *file, int64_t size) {
    LT_TRY(lt_jfile_failed(file));
    if (file->mode == LT_JFILE_READ || file->discard)
        return lt_fail(LT_USAGE, "%s: not open for writing", file->path);
    int64_t least =
        size > file->base ? size : file->base; /* a shorter file loses its end only after the commit */
    if (TEMP_FAILURE_RETRY(ftruncate(file->fd, least)) != 0)
        return lt_jfile_break(file, "cannot set the size", file->path);
    if (TEMP_FAILURE_RETRY(fdatasync(file->fd)) != 0) return lt_jfile_break(file, "cannot flush", file->path);
    file->size = least;
    if (file->page_count > 0) {
        LT_TRY(lt_journal_write(file, size));
        LT_TRY(lt_journal_apply(file));
    }
    if (!file->named) LT_TRY(give_name(file));
    file->base = file->size = size;
    /* It is committed: what lies above means nothing. */
    if (size < least && TEMP_FAILURE_RETRY(ftruncate(file->fd, size)) != 0)
        lt_debug("%s: cannot set the size: %s", file->path, strerror(errno));
    return LT_OK;
}

void lt_jfile_discard(lt_jfile *file) { file->discard = true; }

void lt_jfile_set_committed(lt_jfile *file, int64_t size) {
    if (size < file->base) file->base = file->size = size;
}

lt_status lt_jfile_rollback(lt_jfile *file) {
    lt_jpages_drop(file);
    file->discard = false;
    file->failed = LT_OK;
    if (file->mode == LT_JFILE_READ) return LT_OK;
    if (file->journaled) return lt_journal_recover(file);
    if (TEMP_FAILURE_RETRY(ftruncate(file->fd, file->base)) != 0)
        return lt_jfile_break(file, "cannot set the size", file->path);
    file->size = file->base;
    return LT_OK;
}
