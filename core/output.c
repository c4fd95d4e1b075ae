#include "core/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

static int open_file(const char *path, int flags) {
    int file;
    do file = open(path, flags | O_CLOEXEC, 0666);
    while (file < 0 && errno == EINTR);
    return file;
}

static bool write_all(int file, const char *data, size_t size) {
    enum { MOST = 1 << 30 };
    while (size) {
        ssize_t put = write(file, data, size < MOST ? size : MOST);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        data += put;
        size -= (size_t)put;
    }
    return true;
}

static bool flush(int file) {
    int result;
    do result = fsync(file);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

/* An interrupted close has closed. */
static bool close_file(int file) { return close(file) == 0 || errno == EINTR; }

lt_status lt_rename(const char *from, const char *to) {
    LT_CHECK(rename(from, to) == 0, LT_FAILED, "%s: cannot be renamed to %s: %s", from, to, strerror(errno));
    return lt_sync_parent(to);
}

lt_status lt_part_path(const char *path, char part[LT_PATH_MAX]) {
    const char *base = lt_path_base(path), *dot = strrchr(base, '.');
    if (!dot || dot == base) dot = base + strlen(base);
    int length = snprintf(part, LT_PATH_MAX, "%.*s.part%s", (int)(dot - path), path, dot);
    LT_CHECK(length < LT_PATH_MAX, LT_USAGE, "%.60s...: path too long", path);
    return LT_OK;
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

struct lt_output {
    char path[LT_PATH_MAX], aside[LT_PATH_MAX];
    int descriptor, reason; /* of the first failure; 0: none */
    int64_t size;
    FILE *file;
};

static ssize_t cookie_write(void *cookie, const char *data, size_t size) {
    lt_output *o = cookie;
    if (o->reason || !write_all(o->descriptor, data, size)) {
        if (!o->reason) o->reason = errno ? errno : EIO;
        return 0; /* an error, to stdio */
    }
    o->size += (int64_t)size;
    return (ssize_t)size;
}

static lt_status start_output(lt_output *o) {
    static const cookie_io_functions_t functions = {.write = cookie_write};
    int length = snprintf(o->aside, sizeof o->aside, "%s.tmp%ld", o->path, (long)getpid());
    LT_CHECK(length > 0 && length < LT_PATH_MAX, LT_USAGE, "%.60s...: path too long", o->path);
    o->descriptor = open_file(o->aside, O_WRONLY | O_CREAT | O_TRUNC);
    LT_CHECK(o->descriptor >= 0, LT_FAILED, "%s: cannot write: %s", o->path, strerror(errno));
    o->file = fopencookie(o, "w", functions);
    LT_CHECK(o->file, LT_FAILED, "%s: out of memory", o->path);
    return LT_OK;
}

lt_status lt_output_open(const char *path, lt_output **out) {
    lt_output *o = calloc(1, sizeof *o);
    *out = NULL;
    LT_CHECK(o, LT_FAILED, "%s: out of memory", path);
    o->descriptor = -1;
    snprintf(o->path, sizeof o->path, "%s", path);
    lt_status status = start_output(o);
    if (status == LT_OK) *out = o;
    else lt_output_close(o, false);
    return status;
}

FILE *lt_output_file(const lt_output *output) { return output->file; }

/* Everything is on the disk, under the name aside. */
static lt_status complete(lt_output *o, bool keep) {
    if (o->file && fclose(o->file) != 0 && !o->reason) o->reason = errno;
    if (keep && !o->reason && !flush(o->descriptor)) o->reason = errno;
    if (o->descriptor >= 0 && !close_file(o->descriptor) && !o->reason) o->reason = errno;
    LT_CHECK(!keep || !o->reason, LT_FAILED, "%s: cannot write %lld bytes: %s", o->path, (long long)o->size,
             strerror(o->reason));
    return LT_OK;
}

/* `name` NULL: it is removed. */
static lt_status end_output(lt_output *o, const char *name) {
    bool made = o->descriptor >= 0;
    lt_status status = complete(o, name != NULL);
    if (name && status == LT_OK && rename(o->aside, name) != 0)
        status =
            lt_fail(LT_FAILED, "%s: cannot write %lld bytes: %s", name, (long long)o->size, strerror(errno));
    if (made && (!name || status != LT_OK)) (void)unlink(o->aside);
    else if (name && status == LT_OK) status = lt_sync_parent(name);
    free(o);
    return status;
}

lt_status lt_output_close(lt_output *o, bool keep) {
    return o ? end_output(o, keep ? o->path : NULL) : LT_OK;
}

lt_status lt_output_leave(lt_output *o) {
    char part[LT_PATH_MAX];
    lt_status status = o ? lt_part_path(o->path, part) : LT_OK;
    if (o && status != LT_OK) end_output(o, NULL);
    return o && status == LT_OK ? end_output(o, part) : status;
}

lt_status lt_lock_file(const char *path, int *descriptor) {
    *descriptor = open_file(path, O_RDWR | O_CREAT);
    LT_CHECK(*descriptor >= 0, LT_FAILED, "%s: cannot write: %s", path, strerror(errno));
    int result;
    do result = flock(*descriptor, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0 || errno != EWOULDBLOCK) return LT_OK; /* a file system without locks */
    close(*descriptor);
    *descriptor = -1;
    return lt_fail(LT_INPUT, "%s: in use by another process; wait until it has finished", path);
}

lt_status lt_write_file(const char *path, const void *data, size_t size) {
    lt_output *output;
    LT_TRY(lt_output_open(path, &output));
    if (size) fwrite(data, 1, size, output->file); /* no bytes may have no address */
    return lt_output_close(output, true);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

struct lt_rows {
    char path[LT_PATH_MAX];
    int descriptor;
};

lt_status lt_rows_open(const char *path, bool fresh, lt_rows **out) {
    *out = NULL;
    bool known = lt_path_exists(path);
    int file = open_file(path, O_WRONLY | O_CREAT | O_APPEND | (fresh ? O_EXCL : 0));
    LT_CHECK(file >= 0, errno == EEXIST ? LT_USAGE : LT_FAILED, "%s: cannot write: %s", path,
             strerror(errno));
    lt_rows *rows = calloc(1, sizeof *rows);
    if (!rows) close(file);
    LT_CHECK(rows, LT_FAILED, "%s: out of memory", path);
    snprintf(rows->path, sizeof rows->path, "%s", path);
    rows->descriptor = file;
    lt_status status = known ? LT_OK : lt_sync_parent(path);
    if (status == LT_OK) *out = rows;
    else lt_rows_close(rows);
    return status;
}

lt_status lt_rows_add(lt_rows *rows, const void *data, size_t size) {
    struct stat before;
    LT_CHECK(fstat(rows->descriptor, &before) == 0, LT_FAILED, "%s: %s", rows->path, strerror(errno));
    if (write_all(rows->descriptor, data, size)) return LT_OK;
    int reason = errno;
    (void)!ftruncate(rows->descriptor, before.st_size); /* half a row is worse than none */
    return lt_fail(LT_FAILED, "%s: cannot write: %s", rows->path, strerror(reason));
}

lt_status lt_rows_sync(lt_rows *rows) {
    LT_CHECK(flush(rows->descriptor), LT_FAILED, "%s: cannot flush to disk: %s", rows->path, strerror(errno));
    return LT_OK;
}

void lt_rows_close(lt_rows *rows) {
    if (!rows) return;
    (void)close(rows->descriptor);
    free(rows);
}
