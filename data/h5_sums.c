/* Checksums of content, one per row (core/checksum.h), in an array beside: NAME_sum. The seed is the row's number, so a
 * row that another one replaced is seen too. */
#include "core/checksum.h"
#include "data/h5_impl.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_ROWS = 1024 };

static void name_of(const lt_h5_array *a, char name[80]) { snprintf(name, 80, "%s_sum", a->name); }

lt_status lt_h5_sums_add(lt_h5 *h5, lt_h5_array *a) {
    char name[80];
    hsize_t rows = a->dims[0], most = H5S_UNLIMITED, chunk = CHUNK_ROWS;
    name_of(a, name);
    hid_t space = H5Screate_simple(1, &rows, &most), create = H5Pcreate(H5P_DATASET_CREATE);
    if (H5Pset_chunk(create, 1, &chunk) >= 0 && H5Pset_fletcher32(create) >= 0)
        a->sums = H5Dcreate2(h5->file, name, H5T_NATIVE_UINT64, space, H5P_DEFAULT, create, H5P_DEFAULT);
    lt_status status = lt_h5_written(h5, a->sums >= 0, "create", name);
    H5Pclose(create);
    H5Sclose(space);
    return status;
}

static bool is_uint64_list(hid_t set, hsize_t *rows) {
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    bool fits = H5Tequal(type, H5T_NATIVE_UINT64) > 0 && H5Sget_simple_extent_ndims(space) == 1 &&
                H5Sget_simple_extent_dims(space, rows, NULL) == 1;
    H5Sclose(space);
    H5Tclose(type);
    return fits;
}

lt_status lt_h5_sums_bind(lt_h5 *h5, lt_h5_array *a) {
    char name[80];
    hsize_t rows = 0;
    name_of(a, name);
    a->sums = H5Dopen2(h5->file, name, H5P_DEFAULT);
    if (a->sums < 0) return lt_h5_fail(h5, LT_INPUT, "open", name);
    LT_CHECK(is_uint64_list(a->sums, &rows), LT_INPUT, "%s: %s is not a list of uint64", h5->path, name);
    LT_CHECK(rows == a->dims[0], LT_INPUT, "%s: %s has %lld rows for %lld of %s", h5->path, name,
             (long long)rows, (long long)a->dims[0], a->name);
    return lt_h5_check_extent(h5, name, a->sums, false);
}

static bool transfer(hid_t set, int64_t first, int64_t count, uint64_t *sums, bool write) {
    hsize_t start = (hsize_t)first, rows = (hsize_t)count;
    hid_t memory = H5Screate_simple(1, &rows, NULL), file = H5Dget_space(set);
    H5Sselect_hyperslab(file, H5S_SELECT_SET, &start, NULL, &rows, NULL);
    bool ok = write ? H5Dwrite(set, H5T_NATIVE_UINT64, memory, file, H5P_DEFAULT, sums) >= 0
                    : H5Dread(set, H5T_NATIVE_UINT64, memory, file, H5P_DEFAULT, sums) >= 0;
    H5Sclose(file);
    H5Sclose(memory);
    return ok;
}

lt_status lt_h5_sums_read(lt_h5 *h5, lt_h5_array *a, int64_t first, int64_t count, uint64_t *out) {
    if (transfer(a->sums, first, count, out, false)) return LT_OK;
    return lt_h5_fail(h5, LT_INPUT, "read the checksums of", a->name);
}

/* `stride` 0: every row has the same content. */
static lt_status put_sums(lt_h5 *h5, lt_h5_array *a, int64_t first, int64_t count, const uint8_t *rows,
                          size_t stride) {
    uint64_t sums[CHUNK_ROWS];
    for (int64_t done = 0, n; done < count; done += n) {
        n = count - done < CHUNK_ROWS ? count - done : CHUNK_ROWS;
        for (int64_t i = 0; i < n; i++)
            sums[i] =
                lt_checksum(rows + (size_t)(done + i) * stride, a->row_bytes, (uint64_t)(first + done + i));
        LT_TRY(lt_h5_written(h5, transfer(a->sums, first + done, n, sums, true), "write the checksums of",
                             a->name));
    }
    return LT_OK;
}

static lt_status set_rows(lt_h5 *h5, lt_h5_array *a, hsize_t rows) {
    return lt_h5_written(h5, H5Dset_extent(a->sums, &rows) >= 0, "resize the checksums of", a->name);
}

lt_status lt_h5_sums_write(lt_h5 *h5, lt_h5_array *a, int64_t first, int64_t count, const void *data) {
    return put_sums(h5, a, first, count, data, a->row_bytes);
}

lt_status lt_h5_sums_resize(lt_h5 *h5, lt_h5_array *a, hsize_t before, hsize_t end) {
    LT_TRY(set_rows(h5, a, a->dims[0]));
    if (end <= before) return LT_OK;
    uint8_t *zeros = calloc(1, a->row_bytes);
    LT_CHECK(zeros, LT_FAILED, "%s: out of memory", h5->path);
    lt_status status = put_sums(h5, a, (int64_t)before, (int64_t)(end - before), zeros, 0);
    free(zeros);
    return status;
}

lt_status lt_h5_sums_compare(const lt_h5 *h5, const lt_h5_array *a, int64_t first, int64_t count,
                             const void *data, const uint64_t *sums) {
    int64_t bad = 0, row = 0;
    for (int64_t i = count; i-- > 0;) {
        const uint8_t *at = (const uint8_t *)data + (size_t)i * a->row_bytes;
        if (lt_checksum(at, a->row_bytes, (uint64_t)(first + i)) != sums[i]) bad++, row = first + i;
    }
    LT_CHECK(bad == 0, LT_INPUT,
             "%s: %s: %lld of rows %lld to %lld are not what was written, row %lld first (checksum)",
             h5->path, a->name, (long long)bad, (long long)first, (long long)(first + count - 1),
             (long long)row);
    return LT_OK;
}
