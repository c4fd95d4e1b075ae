/* Arrays: made, bound, resized, written, read. */
#include "data/h5_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool lt_h5_has(lt_h5 *h5, const char *array) {
    lt_h5_enter();
    bool has = H5Lexists(h5->file, array, H5P_DEFAULT) > 0;
    lt_h5_leave(LT_OK);
    return has;
}

static int unused_array(const lt_h5 *h5) {
    for (int i = 0; i < LT_H5_ARRAYS; i++)
        if (h5->arrays[i].set < 0) return i;
    return -1;
}

/* Takes over `set`, and `memory`, the type of its elements in memory. */
static lt_status bind(lt_h5 *h5, const char *name, hid_t set, hid_t memory, const lt_h5_layout *layout,
                      int *id) {
    int at = unused_array(h5);
    if (at < 0) {
        H5Tclose(memory);
        H5Dclose(set);
        return lt_fail(LT_FAILED, "%s: more than %d arrays in use", h5->path, LT_H5_ARRAYS);
    }
    lt_h5_array *a = &h5->arrays[at];
    *a = (lt_h5_array){.set = set,
                       .sums = H5I_INVALID_HID,
                       .memory = memory,
                       .ndim = layout->ndim,
                       .row_bytes = H5Tget_size(memory)};
    for (int d = 0; d < layout->ndim; d++) a->dims[d] = (hsize_t)layout->dims[d];
    for (int d = 1; d < layout->ndim; d++) a->row_bytes *= a->dims[d];
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
    LT_TRY(lt_h5_writable(h5));
    hsize_t dims[LT_H5_DIMS], most[LT_H5_DIMS], chunk[LT_H5_DIMS];
    for (int d = 0; d < layout->ndim; d++) dims[d] = most[d] = chunk[d] = (hsize_t)layout->dims[d];
    most[0] = H5S_UNLIMITED;
    chunk[0] = (hsize_t)layout->chunk_rows;
    lt_h5_enter();
    hid_t type = lt_h5_element_type(layout, H5I_INVALID_HID);
    size_t chunk_bytes = H5Tget_size(type);
    for (int d = 0; d < layout->ndim; d++) chunk_bytes *= chunk[d];
    hid_t space = H5Screate_simple(layout->ndim, dims, most), create = H5Pcreate(H5P_DATASET_CREATE);
    hid_t access = chunk_cache(chunk_bytes), set = H5I_INVALID_HID;
    /* Descriptions stay in the header, which has a checksum. */
    if (H5Pset_chunk(create, layout->ndim, chunk) >= 0 && H5Pset_fletcher32(create) >= 0 &&
        H5Pset_attr_phase_change(create, 64, 48) >= 0)
        set = H5Dcreate2(h5->file, array, type, space, H5P_DEFAULT, create, access);
    lt_status status = lt_h5_written(h5, set >= 0, "create", array);
    if (status == LT_OK) status = bind(h5, array, set, type, layout, id);
    else H5Tclose(type);
    if (status == LT_OK && layout->sums) status = lt_h5_sums_add(h5, &h5->arrays[*id]);
    H5Pclose(access);
    H5Pclose(create);
    H5Sclose(space);
    lt_h5_leave(status);
    return status == LT_OK ? lt_h5_describe(h5, array, layout) : status;
}

/* Compares what the file has with `layout` and fills in the open dimensions. */
static lt_status check_layout(lt_h5 *h5, const char *array, hid_t set, lt_h5_layout *layout) {
    hid_t space = H5Dget_space(set), stored = H5Dget_type(set), wanted = lt_h5_element_type(layout, stored);
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
        if (dims[d] > INT64_MAX)
            status = lt_fail(LT_INPUT, "%s: dimension %d of %s is too large", h5->path, d, array);
        else if (d > 0 && layout->dims[d] != 0 && layout->dims[d] != (int64_t)dims[d])
            status = lt_fail(LT_INPUT, "%s: dimension %d of %s is %lld instead of %lld", h5->path, d, array,
                             (long long)dims[d], (long long)layout->dims[d]);
        layout->dims[d] = (int64_t)dims[d];
    }
    H5Tclose(wanted);
    H5Tclose(stored);
    H5Sclose(space);
    return status == LT_OK ? lt_h5_check_extent(h5, array, set, layout->sparse) : status;
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

/* A link could lead out of this file. */
static bool plain_link(const lt_h5 *h5, const char *array) {
    H5L_info_t info;
    return H5Lget_info(h5->file, array, &info, H5P_DEFAULT) >= 0 && info.type == H5L_TYPE_HARD;
}

static lt_status open_checked(lt_h5 *h5, const char *array, lt_h5_layout *layout, hid_t *set) {
    *set = H5I_INVALID_HID;
    LT_CHECK(plain_link(h5, array), LT_INPUT, "%s: %s is missing, or a link and not an array", h5->path,
             array);
    *set = H5Dopen2(h5->file, array, H5P_DEFAULT);
    if (*set < 0) return lt_h5_fail(h5, LT_INPUT, "open", array);
    lt_status status = check_layout(h5, array, *set, layout);
    hid_t access = status == LT_OK ? chunk_cache(stored_chunk_bytes(*set)) : H5I_INVALID_HID;
    H5Dclose(*set);
    LT_TRY(status);
    *set = H5Dopen2(h5->file, array, access);
    H5Pclose(access);
    return *set < 0 ? lt_h5_fail(h5, LT_INPUT, "open", array) : LT_OK;
}

lt_status lt_h5_bind(lt_h5 *h5, const char *array, lt_h5_layout *layout, int *id) {
    hid_t set;
    lt_h5_enter();
    lt_status status = open_checked(h5, array, layout, &set);
    if (status != LT_OK) return lt_h5_leave(status);
    hid_t stored = H5Dget_type(set), memory = lt_h5_element_type(layout, stored);
    H5Tclose(stored);
    status = bind(h5, array, set, memory, layout, id);
    if (status == LT_OK && layout->sums) status = lt_h5_sums_bind(h5, &h5->arrays[*id]);
    return lt_h5_leave(status);
}

static void unbind(lt_h5 *h5, const char *array) {
    for (int i = 0; i < LT_H5_ARRAYS; i++) {
        lt_h5_array *a = &h5->arrays[i];
        if (a->set < 0 || strcmp(a->name, array) != 0) continue;
        H5Tclose(a->memory);
        H5Dclose(a->set);
        if (a->sums >= 0) H5Dclose(a->sums);
        a->set = a->sums = H5I_INVALID_HID;
    }
}

lt_status lt_h5_remove(lt_h5 *h5, const char *array) {
    char sums[80];
    LT_TRY(lt_h5_writable(h5));
    lt_h5_enter();
    unbind(h5, array);
    snprintf(sums, sizeof sums, "%s_sum", array);
    bool ok = H5Ldelete(h5->file, array, H5P_DEFAULT) >= 0;
    if (ok && H5Lexists(h5->file, sums, H5P_DEFAULT) > 0) ok = H5Ldelete(h5->file, sums, H5P_DEFAULT) >= 0;
    return lt_h5_leave(lt_h5_written(h5, ok, "remove", array));
}

int64_t lt_h5_rows(const lt_h5 *h5, int id) { return (int64_t)h5->arrays[id].dims[0]; }

static lt_status resize(lt_h5 *h5, lt_h5_array *a, hsize_t rows) {
    hsize_t dims[LT_H5_DIMS];
    memcpy(dims, a->dims, sizeof dims);
    dims[0] = rows;
    LT_TRY(lt_h5_written(h5, H5Dset_extent(a->set, dims) >= 0, "resize", a->name));
    a->dims[0] = rows;
    return LT_OK;
}

lt_status lt_h5_resize(lt_h5 *h5, int id, int64_t rows) {
    LT_TRY(lt_h5_writable(h5));
    lt_h5_array *a = &h5->arrays[id];
    hsize_t before = a->dims[0];
    lt_h5_enter();
    lt_status status = resize(h5, a, (hsize_t)rows);
    if (status == LT_OK && a->sums >= 0) status = lt_h5_sums_resize(h5, a, before, a->dims[0]);
    return lt_h5_leave(status);
}

/* The rows as a selection of the file's space, and the memory space that goes with it. */
static void select_rows(const lt_h5_array *a, int64_t first, int64_t count, hid_t *file, hid_t *memory) {
    hsize_t start[LT_H5_DIMS] = {(hsize_t)first}, extent[LT_H5_DIMS];
    memcpy(extent, a->dims, sizeof extent);
    extent[0] = (hsize_t)count;
    *file = H5Screate_simple(a->ndim, a->dims, NULL);
    *memory = H5Screate_simple(a->ndim, extent, NULL);
    H5Sselect_hyperslab(*file, H5S_SELECT_SET, start, NULL, extent, NULL);
}

static lt_status write_rows(lt_h5 *h5, lt_h5_array *a, int64_t first, int64_t count, const void *data) {
    hsize_t before = a->dims[0];
    if (first + count > (int64_t)before) LT_TRY(resize(h5, a, (hsize_t)(first + count)));
    hid_t file, memory;
    select_rows(a, first, count, &file, &memory);
    bool ok = H5Dwrite(a->set, a->memory, memory, file, H5P_DEFAULT, data) >= 0;
    H5Sclose(memory);
    H5Sclose(file);
    LT_TRY(lt_h5_written(h5, ok, "write", a->name));
    if (a->sums < 0) return LT_OK;
    if (first + count > (int64_t)before) LT_TRY(lt_h5_sums_resize(h5, a, before, (hsize_t)first));
    return lt_h5_sums_write(h5, a, first, count, data);
}

lt_status lt_h5_write(lt_h5 *h5, int id, int64_t first, int64_t count, const void *data) {
    LT_TRY(lt_h5_writable(h5));
    lt_h5_enter();
    return lt_h5_leave(write_rows(h5, &h5->arrays[id], first, count, data));
}

/* Where rows have checksums of content, Fletcher32 sees nothing that they miss; it is for other programs, and for a
 * thorough check. Made once. */
static hid_t without_fletcher(void) {
    static hid_t transfer = H5I_INVALID_HID;
    if (transfer < 0) {
        transfer = H5Pcreate(H5P_DATASET_XFER);
        H5Pset_edc_check(transfer, H5Z_DISABLE_EDC);
    }
    return transfer;
}

static lt_status read_rows(lt_h5 *h5, lt_h5_array *a, int64_t first, int64_t count, void *out,
                           uint64_t *sums) {
    hid_t file, memory, transfer = sums && !h5->thorough ? without_fletcher() : H5P_DEFAULT;
    select_rows(a, first, count, &file, &memory);
    herr_t done = H5Dread(a->set, a->memory, memory, file, transfer, out);
    lt_status status = LT_OK;
    if (done < 0) {
        char what[160];
        snprintf(what, sizeof what, "read rows %lld to %lld of", (long long)first,
                 (long long)(first + count - 1));
        status = lt_h5_fail(h5, LT_INPUT, what, a->name);
    }
    H5Sclose(memory);
    H5Sclose(file);
    return status == LT_OK && sums ? lt_h5_sums_read(h5, a, first, count, sums) : status;
}

lt_status lt_h5_read(lt_h5 *h5, int id, int64_t first, int64_t count, void *out) {
    lt_h5_array *a = &h5->arrays[id];
    enum { FEW = 256 };
    uint64_t few[FEW], *sums = NULL;
    LT_CHECK(first >= 0 && count >= 0 && first <= (int64_t)a->dims[0] && count <= (int64_t)a->dims[0] - first,
             LT_USAGE, "%s: rows %lld to %lld of %s, which has %lld", h5->path, (long long)first,
             (long long)(first + count), a->name, (long long)a->dims[0]);
    if (count == 0) return LT_OK;
    if (a->sums >= 0) {
        sums = count <= FEW ? few : malloc((size_t)count * sizeof *sums);
        LT_CHECK(sums, LT_FAILED, "%s: out of memory", h5->path);
    }
    lt_h5_enter();
    lt_status status = lt_h5_leave(read_rows(h5, a, first, count, out, sums));
    if (status == LT_OK && sums) status = lt_h5_sums_compare(h5, a, first, count, out, sums);
    if (sums != few) free(sums);
    return status;
}

lt_status lt_h5_read_sums(lt_h5 *h5, int id, int64_t first, int64_t count, uint64_t *out) {
    lt_h5_array *a = &h5->arrays[id];
    LT_CHECK(a->sums >= 0, LT_USAGE, "%s: %s has no checksums of content", h5->path, a->name);
    lt_h5_enter();
    return lt_h5_leave(lt_h5_sums_read(h5, a, first, count, out));
}
