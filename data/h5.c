/* Opening, committing, closing. */
#include "data/h5_impl.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t h5_lock = PTHREAD_MUTEX_INITIALIZER;

void lt_h5_enter(void) {
    pthread_mutex_lock(&h5_lock);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* per thread in some builds */
    H5Eclear2(H5E_DEFAULT);
}

lt_status lt_h5_leave(lt_status status) {
    pthread_mutex_unlock(&h5_lock);
    return status;
}

static herr_t innermost(unsigned depth, const H5E_error2_t *error, void *out) {
    if (depth == 0) *(const char **)out = error->desc;
    return 0;
}

lt_status lt_h5_fail(lt_h5 *h5, lt_status code, const char *what, const char *object) {
    const char *reason = NULL;
    char text[512] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &reason);
    snprintf(text, sizeof text, "%s", reason ? reason : "unknown reason");
    H5Eclear2(H5E_DEFAULT);
    if (code == LT_FAILED) h5->failed = LT_FAILED;
    if (h5->journal && lt_jfile_read_failed(h5->journal) != LT_OK)
        snprintf(text, sizeof text, "%s", lt_error());
    bool newer = strstr(text, "superblock version") || strstr(text, "version number");
    return lt_fail(
        code, "%s: cannot %s %s: %s%s", h5->path, what, object, text,
        newer ? "; if it is not damaged, it was written for newer HDF5 libraries (libver='latest' in "
                "h5py): write it with h5py's default"
              : "");
}

lt_status lt_h5_written(lt_h5 *h5, bool ok, const char *what, const char *object) {
    lt_status status = lt_jfile_failed(h5->journal);
    if (status != LT_OK) return h5->failed = status;
    return ok ? LT_OK : lt_h5_fail(h5, LT_FAILED, what, object);
}

lt_status lt_h5_writable(const lt_h5 *h5) {
    LT_CHECK(h5->append, LT_USAGE, "%s: open for reading only", h5->path);
    LT_CHECK(h5->failed == LT_OK, LT_FAILED,
             "%s: an earlier write failed; nothing since the last commit was kept", h5->path);
    return LT_OK;
}

static void release_arrays(lt_h5 *h5) {
    for (int i = 0; i < LT_H5_ARRAYS; i++) {
        lt_h5_array *a = &h5->arrays[i];
        if (a->set < 0) continue;
        H5Tclose(a->memory);
        H5Dclose(a->set);
        if (a->sums >= 0) H5Dclose(a->sums);
        a->set = a->sums = H5I_INVALID_HID;
    }
}

/* Closes the HDF5 side; what it writes while it closes is forgotten. Inside the lock. */
static void shut(lt_h5 *h5) {
    if (h5->append && h5->journal) lt_jfile_discard(h5->journal);
    release_arrays(h5);
    if (h5->file >= 0) H5Fclose(h5->file);
    h5->file = H5I_INVALID_HID;
}

static lt_status open_library(lt_h5 *h5) {
    h5->file = lt_h5_driver_open(h5->journal, h5->path, h5->append ? H5F_ACC_RDWR : H5F_ACC_RDONLY);
    if (h5->file < 0) return lt_h5_fail(h5, LT_INPUT, "open as", "an HDF5 file");
    if (h5->append) lt_jfile_set_committed(h5->journal, lt_h5_driver_end(h5->file));
    return LT_OK;
}

static lt_status open_existing(lt_h5 *h5) {
    LT_TRY(lt_jfile_open(h5->path, h5->append ? LT_JFILE_APPEND : LT_JFILE_READ, &h5->journal));
    lt_h5_enter();
    lt_status status = lt_h5_probe(h5);
    if (status == LT_OK) status = open_library(h5);
    return lt_h5_leave(status);
}

static lt_status create_new(lt_h5 *h5) {
    LT_TRY(lt_jfile_open(h5->path, LT_JFILE_CREATE, &h5->journal));
    lt_h5_enter();
    h5->file = lt_h5_driver_open(h5->journal, h5->path, H5F_ACC_TRUNC);
    return lt_h5_leave(lt_h5_written(h5, h5->file >= 0, "create", "the file"));
}

static lt_status start_file(const char *path, bool append, lt_status (*open)(lt_h5 *), lt_h5 **out) {
    *out = NULL;
    lt_h5 *h5 = calloc(1, sizeof *h5);
    LT_CHECK(h5, LT_FAILED, "%s: out of memory", path);
    snprintf(h5->path, sizeof h5->path, "%s", path);
    h5->append = append;
    h5->file = H5I_INVALID_HID;
    for (int i = 0; i < LT_H5_ARRAYS; i++) h5->arrays[i].set = h5->arrays[i].sums = H5I_INVALID_HID;
    lt_status status = open(h5);
    if (status != LT_OK) {
        lt_h5_close(h5);
        return status;
    }
    *out = h5;
    return LT_OK;
}

lt_status lt_h5_create(const char *path, lt_h5 **out) { return start_file(path, true, create_new, out); }

lt_status lt_h5_open(const char *path, bool append, lt_h5 **out) {
    return start_file(path, append, open_existing, out);
}

static void end(lt_h5 *h5, void (*let_go)(lt_jfile *)) {
    if (!h5) return;
    lt_h5_enter();
    shut(h5);
    let_go(h5->journal);
    lt_h5_leave(LT_OK);
    free(h5);
}

void lt_h5_close(lt_h5 *h5) { end(h5, lt_jfile_close); }
void lt_h5_close_and_remove(lt_h5 *h5) { end(h5, lt_jfile_remove); }

lt_status lt_h5_commit(lt_h5 *h5) {
    LT_TRY(lt_h5_writable(h5));
    lt_h5_enter();
    lt_status status = lt_h5_written(h5, H5Fflush(h5->file, H5F_SCOPE_LOCAL) >= 0, "flush", "the file");
    if (status == LT_OK) status = h5->failed = lt_jfile_commit(h5->journal, lt_h5_driver_end(h5->file));
    return lt_h5_leave(status);
}

lt_status lt_h5_rollback(lt_h5 *h5) {
    if (!h5->append) return LT_OK;
    lt_h5_enter();
    shut(h5);
    lt_status status = lt_jfile_rollback(h5->journal);
    if (status == LT_OK) status = open_library(h5);
    h5->failed = status;
    return lt_h5_leave(status);
}

void lt_h5_set_thorough(lt_h5 *h5, bool thorough) { h5->thorough = thorough; }

const char *lt_h5_path(const lt_h5 *h5) { return h5->path; }
