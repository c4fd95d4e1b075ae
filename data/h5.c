#include "data/h5.h"
#include "core/io.h"
#include "data/h5_driver.h"
#include "data/h5_type.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct h5_array {
    hid_t set, memory; /* memory: the element's type in memory; set < 0: unused */
    char name[64];
    int ndim;
    hsize_t dims[LT_H5_DIMS];
} h5_array;

struct lt_h5 {
    char path[LT_PATH_MAX];
    lt_jfile *journal;
    hid_t file;
    bool append;
    lt_status failed; /* of a write: what HDF5 holds in memory is not to be trusted any more */
    h5_array arrays[LT_H5_ARRAYS];
};

/* HDF5 is not thread-safe as most systems build it. */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

static void enter(void) {
    pthread_mutex_lock(&library);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* per thread in some builds */
    H5Eclear2(H5E_DEFAULT);
}

static lt_status leave(lt_status status) {
    pthread_mutex_unlock(&library);
    return status;
}

static herr_t innermost(unsigned depth, const H5E_error2_t *error, void *out) {
    if (depth == 0) *(const char **)out = error->desc;
    return 0;
}

/* An error with HDF5's own reason. Call it inside the lock. */
static lt_status h5_fail(lt_h5 *h5, lt_status code, const char *what, const char *object) {
    const char *reason = NULL;
    char text[256] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &reason);
    snprintf(text, sizeof text, "%s", reason ? reason : "unknown reason");
    H5Eclear2(H5E_DEFAULT);
    if (code == LT_FAILED) h5->failed = LT_FAILED;
    return lt_fail(code, "%s: cannot %s %s: %s", h5->path, what, object, text);
}

/* The outcome of an operation that writes: the journaled file knows of failures that HDF5 was not told about.
 */
static lt_status written(lt_h5 *h5, bool ok, const char *what, const char *object) {
    lt_status status = lt_jfile_failed(h5->journal);
    if (status != LT_OK) return h5->failed = status;
    return ok ? LT_OK : h5_fail(h5, LT_FAILED, what, object);
}

static lt_status writable(const lt_h5 *h5) {
    LT_CHECK(h5->append, LT_USAGE, "%s: open for reading only", h5->path);
    LT_CHECK(h5->failed == LT_OK, LT_FAILED,
             "%s: an earlier write failed; nothing since the last commit was kept", h5->path);
    return LT_OK;
}

static void release_arrays(lt_h5 *h5) {
    for (int i = 0; i < LT_H5_ARRAYS; i++) {
        h5_array *a = &h5->arrays[i];
        if (a->set < 0) continue;
        H5Tclose(a->memory);
        H5Dclose(a->set);
        a->set = H5I_INVALID_HID;
    }
}

/* Closes the HDF5 side; what it writes while it closes is forgotten. */
static void shut(lt_h5 *h5) {
    enter();
    if (h5->append && h5->journal) lt_jfile_discard(h5->journal);
    release_arrays(h5);
    if (h5->file >= 0) H5Fclose(h5->file);
    h5->file = H5I_INVALID_HID;
    lt_jfile_close(h5->journal);
    h5->journal = NULL;
    leave(LT_OK);
}

static lt_status open_existing(lt_h5 *h5) {
    LT_TRY(lt_jfile_open(h5->path, h5->append ? LT_JFILE_APPEND : LT_JFILE_READ, &h5->journal));
    enter();
    h5->file = lt_h5_driver_open(h5->journal, h5->path, h5->append ? H5F_ACC_RDWR : H5F_ACC_RDONLY);
    if (h5->file < 0) return leave(h5_fail(h5, LT_INPUT, "open as", "an HDF5 file"));
    if (h5->append) lt_jfile_set_committed(h5->journal, lt_h5_driver_end(h5->file));
    return leave(LT_OK);
}

static lt_status create_new(lt_h5 *h5) {
    LT_TRY(lt_jfile_open(h5->path, LT_JFILE_CREATE, &h5->journal));
    enter();
    h5->file = lt_h5_driver_open(h5->journal, h5->path, H5F_ACC_TRUNC);
    return leave(written(h5, h5->file >= 0, "create", "the file"));
}

static lt_status start(const char *path, bool append, lt_status (*open)(lt_h5 *), lt_h5 **out) {
    *out = NULL;
    lt_h5 *h5 = calloc(1, sizeof *h5);
    LT_CHECK(h5, LT_FAILED, "%s: out of memory", path);
    snprintf(h5->path, sizeof h5->path, "%s", path);
    h5->append = append;
    h5->file = H5I_INVALID_HID;
    for (int i = 0; i < LT_H5_ARRAYS; i++) h5->arrays[i].set = H5I_INVALID_HID;
    lt_status status = open(h5);
    if (status != LT_OK) {
        lt_h5_close(h5);
        return status;
    }
    *out = h5;
    return LT_OK;
}

lt_status lt_h5_create(const char *path, lt_h5 **out) { return start(path, true, create_new, out); }

lt_status lt_h5_open(const char *path, bool append, lt_h5 **out) {
    return start(path, append, open_existing, out);
}

void lt_h5_close(lt_h5 *h5) {
    if (!h5) return;
    shut(h5);
    free(h5);
}

lt_status lt_h5_commit(lt_h5 *h5) {
    LT_TRY(writable(h5));
    enter();
    lt_status status = written(h5, H5Fflush(h5->file, H5F_SCOPE_LOCAL) >= 0, "flush", "the file");
    if (status == LT_OK) status = h5->failed = lt_jfile_commit(h5->journal, lt_h5_driver_end(h5->file));
    return leave(status);
}

lt_status lt_h5_rollback(lt_h5 *h5) {
    shut(h5);
    h5->failed = LT_OK;
    return open_existing(h5);
}

const char *lt_h5_path(const lt_h5 *h5) { return h5->path; }

static lt_status set_attribute(lt_h5 *h5, const char *object, const char *name, hid_t type,
                               const void *value) {
    LT_TRY(writable(h5));
    enter();
    H5Adelete_by_name(h5->file, object, name, H5P_DEFAULT);
    H5Eclear2(H5E_DEFAULT);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute =
        H5Acreate_by_name(h5->file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    lt_status status = written(h5, ok, "write the attribute", name);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    return leave(status);
}

lt_status lt_h5_set_int(lt_h5 *h5, const char *object, const char *name, int64_t value) {
    return set_attribute(h5, object, name, H5T_NATIVE_INT64, &value);
}

lt_status lt_h5_set_float(lt_h5 *h5, const char *object, const char *name, double value) {
    return set_attribute(h5, object, name, H5T_NATIVE_DOUBLE, &value);
}

lt_status lt_h5_set_text(lt_h5 *h5, const char *object, const char *name, const char *value) {
    enter();
    hid_t type = lt_h5_text_type(strlen(value) + 1);
    leave(LT_OK);
    lt_status status = set_attribute(h5, object, name, type, value);
    enter();
    H5Tclose(type);
    return leave(status);
}

/* Reads an attribute as `type`, which must be of its class and, for a text, large enough. */
static lt_status get_attribute(lt_h5 *h5, const char *object, const char *name, hid_t type, void *out) {
    hid_t attribute = H5Aopen_by_name(h5->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0) return h5_fail(h5, LT_INPUT, "find the attribute", name);
    hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute);
    bool fits = H5Tget_class(stored) == H5Tget_class(type) && H5Sget_simple_extent_npoints(space) == 1 &&
                H5Tis_variable_str(stored) <= 0;
    lt_status status = LT_OK;
    if (!fits) status = lt_fail(LT_INPUT, "%s: the attribute %s is of another type", h5->path, name);
    else if (H5Aread(attribute, type, out) < 0) status = h5_fail(h5, LT_INPUT, "read the attribute", name);
    H5Sclose(space);
    H5Tclose(stored);
    H5Aclose(attribute);
    return status;
}

lt_status lt_h5_get_int(lt_h5 *h5, const char *object, const char *name, int64_t *out) {
    enter();
    return leave(get_attribute(h5, object, name, H5T_NATIVE_INT64, out));
}

lt_status lt_h5_get_float(lt_h5 *h5, const char *object, const char *name, double *out) {
    enter();
    return leave(get_attribute(h5, object, name, H5T_NATIVE_DOUBLE, out));
}

lt_status lt_h5_get_text(lt_h5 *h5, const char *object, const char *name, char *out, size_t size) {
    enter();
    hid_t type = lt_h5_text_type(size);
    lt_status status = get_attribute(h5, object, name, type, out);
    H5Tclose(type);
    return leave(status);
}

bool lt_h5_has(lt_h5 *h5, const char *array) {
    enter();
    bool has = H5Lexists(h5->file, array, H5P_DEFAULT) > 0;
    leave(LT_OK);
    return has;
}

static int unused_array(const lt_h5 *h5) {
    for (int i = 0; i < LT_H5_ARRAYS; i++)
        if (h5->arrays[i].set < 0) return i;
    return -1;
}

/* Takes over `set`. */
static lt_status bind(lt_h5 *h5, const char *name, hid_t set, const lt_h5_layout *layout, int *id) {
    int at = unused_array(h5);
    if (at < 0) {
        H5Dclose(set);
        return lt_fail(LT_FAILED, "%s: more than %d arrays in use", h5->path, LT_H5_ARRAYS);
    }
    h5_array *a = &h5->arrays[at];
    a->set = set;
    a->memory = lt_h5_element_type(layout);
    a->ndim = layout->ndim;
    for (int d = 0; d < layout->ndim; d++) a->dims[d] = (hsize_t)layout->dims[d];
    snprintf(a->name, sizeof a->name, "%s", name);
    *id = at;
    return LT_OK;
}

/* Room for a few chunks, so that appending in small pieces or reading windows in order touches each chunk
 * once. */
static hid_t chunk_cache(size_t chunk_bytes) {
    size_t bytes = 4 * chunk_bytes, least = 1 << 20, most = 64 << 20;
    bytes = bytes < least ? least : bytes < most ? bytes : chunk_bytes > most ? chunk_bytes : most;
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 521, bytes, 0.75);
    return access;
}

lt_status lt_h5_add(lt_h5 *h5, const char *array, const lt_h5_layout *layout, int *id) {
    LT_TRY(writable(h5));
    hsize_t dims[LT_H5_DIMS], most[LT_H5_DIMS], chunk[LT_H5_DIMS];
    for (int d = 0; d < layout->ndim; d++) dims[d] = most[d] = chunk[d] = (hsize_t)layout->dims[d];
    most[0] = H5S_UNLIMITED;
    chunk[0] = (hsize_t)layout->chunk_rows;
    enter();
    hid_t type = lt_h5_element_type(layout);
    size_t chunk_bytes = H5Tget_size(type);
    for (int d = 0; d < layout->ndim; d++) chunk_bytes *= chunk[d];
    hid_t space = H5Screate_simple(layout->ndim, dims, most), create = H5Pcreate(H5P_DATASET_CREATE);
    hid_t access = chunk_cache(chunk_bytes), set = H5I_INVALID_HID;
    if (H5Pset_chunk(create, layout->ndim, chunk) >= 0 && H5Pset_fletcher32(create) >= 0)
        set = H5Dcreate2(h5->file, array, type, space, H5P_DEFAULT, create, access);
    lt_status status = written(h5, set >= 0, "create", array);
    if (status == LT_OK) status = bind(h5, array, set, layout, id);
    H5Pclose(access);
    H5Pclose(create);
    H5Sclose(space);
    H5Tclose(type);
    return leave(status);
}

/* Compares what the file has with `layout` and fills in the open dimensions. */
static lt_status check_layout(lt_h5 *h5, const char *array, hid_t set, lt_h5_layout *layout) {
    hid_t space = H5Dget_space(set), stored = H5Dget_type(set), wanted = lt_h5_element_type(layout);
    hsize_t dims[LT_H5_DIMS] = {0};
    lt_status status = LT_OK;
    char why[160];
    int ndim = H5Sget_simple_extent_ndims(space);
    if (ndim != layout->ndim)
        status =
            lt_fail(LT_INPUT, "%s: %s has %d dimensions instead of %d", h5->path, array, ndim, layout->ndim);
    else if (!lt_h5_type_serves(stored, wanted, why, sizeof why))
        status = lt_fail(LT_INPUT, "%s: %s: %s", h5->path, array, why);
    else H5Sget_simple_extent_dims(space, dims, NULL);
    for (int d = 0; d < layout->ndim && status == LT_OK; d++) {
        if (d > 0 && layout->dims[d] != 0 && layout->dims[d] != (int64_t)dims[d])
            status = lt_fail(LT_INPUT, "%s: dimension %d of %s is %lld instead of %lld", h5->path, d, array,
                             (long long)dims[d], (long long)layout->dims[d]);
        layout->dims[d] = (int64_t)dims[d];
    }
    H5Tclose(wanted);
    H5Tclose(stored);
    H5Sclose(space);
    return status;
}

static size_t stored_chunk_bytes(hid_t set) {
    hsize_t chunk[LT_H5_DIMS] = {0};
    hid_t create = H5Dget_create_plist(set), type = H5Dget_type(set);
    size_t bytes = H5Tget_size(type);
    int ndim = H5Pget_layout(create) == H5D_CHUNKED ? H5Pget_chunk(create, LT_H5_DIMS, chunk) : 0;
    for (int d = 0; d < ndim && d < LT_H5_DIMS; d++) bytes *= chunk[d];
    H5Tclose(type);
    H5Pclose(create);
    return bytes;
}

lt_status lt_h5_bind(lt_h5 *h5, const char *array, lt_h5_layout *layout, int *id) {
    enter();
    hid_t set = H5Dopen2(h5->file, array, H5P_DEFAULT);
    if (set < 0) return leave(h5_fail(h5, LT_INPUT, "open", array));
    hid_t access = chunk_cache(stored_chunk_bytes(set));
    H5Dclose(set);
    set = H5Dopen2(h5->file, array, access);
    H5Pclose(access);
    if (set < 0) return leave(h5_fail(h5, LT_INPUT, "open", array));
    lt_status status = check_layout(h5, array, set, layout);
    if (status == LT_OK) status = bind(h5, array, set, layout, id);
    else H5Dclose(set);
    return leave(status);
}

lt_status lt_h5_remove(lt_h5 *h5, const char *array) {
    LT_TRY(writable(h5));
    enter();
    for (int i = 0; i < LT_H5_ARRAYS; i++) {
        h5_array *a = &h5->arrays[i];
        if (a->set < 0 || strcmp(a->name, array) != 0) continue;
        H5Tclose(a->memory);
        H5Dclose(a->set);
        a->set = H5I_INVALID_HID;
    }
    return leave(written(h5, H5Ldelete(h5->file, array, H5P_DEFAULT) >= 0, "remove", array));
}

int64_t lt_h5_rows(const lt_h5 *h5, int id) { return (int64_t)h5->arrays[id].dims[0]; }

static lt_status resize(lt_h5 *h5, h5_array *a, hsize_t rows) {
    hsize_t dims[LT_H5_DIMS];
    memcpy(dims, a->dims, sizeof dims);
    dims[0] = rows;
    LT_TRY(written(h5, H5Dset_extent(a->set, dims) >= 0, "resize", a->name));
    a->dims[0] = rows;
    return LT_OK;
}

lt_status lt_h5_resize(lt_h5 *h5, int id, int64_t rows) {
    LT_TRY(writable(h5));
    enter();
    return leave(resize(h5, &h5->arrays[id], (hsize_t)rows));
}

/* The rows as a selection of the file's space, and the memory space that goes with it. */
static void select_rows(const h5_array *a, int64_t first, int64_t count, hid_t *file, hid_t *memory) {
    hsize_t start[LT_H5_DIMS] = {(hsize_t)first}, extent[LT_H5_DIMS];
    memcpy(extent, a->dims, sizeof extent);
    extent[0] = (hsize_t)count;
    *file = H5Screate_simple(a->ndim, a->dims, NULL);
    *memory = H5Screate_simple(a->ndim, extent, NULL);
    H5Sselect_hyperslab(*file, H5S_SELECT_SET, start, NULL, extent, NULL);
}

lt_status lt_h5_write(lt_h5 *h5, int id, int64_t first, int64_t count, const void *data) {
    LT_TRY(writable(h5));
    h5_array *a = &h5->arrays[id];
    enter();
    if (first + count > (int64_t)a->dims[0]) {
        lt_status status = resize(h5, a, (hsize_t)(first + count));
        if (status != LT_OK) return leave(status);
    }
    hid_t file, memory;
    select_rows(a, first, count, &file, &memory);
    bool ok = H5Dwrite(a->set, a->memory, memory, file, H5P_DEFAULT, data) >= 0;
    lt_status status = written(h5, ok, "write", a->name);
    H5Sclose(memory);
    H5Sclose(file);
    return leave(status);
}

lt_status lt_h5_read(lt_h5 *h5, int id, int64_t first, int64_t count, void *out) {
    h5_array *a = &h5->arrays[id];
    LT_CHECK(first >= 0 && count >= 0 && first + count <= (int64_t)a->dims[0], LT_USAGE,
             "%s: rows %lld to %lld of %s, which has %lld", h5->path, (long long)first,
             (long long)(first + count), a->name, (long long)a->dims[0]);
    enter();
    hid_t file, memory;
    select_rows(a, first, count, &file, &memory);
    herr_t done = H5Dread(a->set, a->memory, memory, file, H5P_DEFAULT, out);
    lt_status status = LT_OK;
    if (done < 0) {
        char what[160];
        snprintf(what, sizeof what, "read rows %lld to %lld of", (long long)first,
                 (long long)(first + count - 1));
        status = h5_fail(h5, LT_INPUT, what, a->name);
    }
    H5Sclose(memory);
    H5Sclose(file);
    return leave(status);
}
