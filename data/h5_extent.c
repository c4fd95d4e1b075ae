/* What an array claims is compared with what the file can hold, before anything is read or memory is taken for it. */
#include "data/h5_impl.h"

static bool multiply(hsize_t *product, hsize_t by) { return !__builtin_mul_overflow(*product, by, product); }

static bool only_fletcher32(hid_t create) {
    int count = H5Pget_nfilters(create);
    if (count < 0 || count > 1) return false;
    unsigned flags, config, values[1];
    size_t value_count = 1;
    return count == 0 ||
           H5Pget_filter2(create, 0, &flags, &value_count, values, 0, NULL, &config) == H5Z_FILTER_FLETCHER32;
}

static lt_status check_storage(const lt_h5 *h5, const char *array, hid_t create) {
    H5D_layout_t kind = H5Pget_layout(create);
    LT_CHECK(kind == H5D_CHUNKED || kind == H5D_CONTIGUOUS || kind == H5D_COMPACT, LT_INPUT,
             "%s: %s is a view of other data (virtual dataset): copy it into this file", h5->path, array);
    LT_CHECK(H5Pget_external_count(create) == 0, LT_INPUT,
             "%s: %s lies in other files: copy it into this one", h5->path, array);
    LT_CHECK(only_fletcher32(create), LT_INPUT,
             "%s: %s is compressed or filtered (anything but fletcher32): write it without, for instance by "
             "`h5repack -f NONE`",
             h5->path, array);
    return LT_OK;
}

/* Bytes of a chunk; *fits is false when they do not fit 64 bits. */
static hsize_t chunk_bytes(hid_t create, hsize_t element, bool *fits) {
    hsize_t chunk[LT_H5_DIMS] = {0}, bytes = element;
    *fits = true;
    if (H5Pget_layout(create) != H5D_CHUNKED) return 0;
    int ndim = H5Pget_chunk(create, LT_H5_DIMS, chunk);
    for (int d = 0; d < ndim && d < LT_H5_DIMS; d++) *fits = *fits && multiply(&bytes, chunk[d]);
    return bytes;
}

lt_status lt_h5_check_extent(lt_h5 *h5, const char *array, hid_t set, bool sparse) {
    hsize_t dims[LT_H5_DIMS] = {0}, have = (hsize_t)lt_jfile_size(h5->journal);
    hid_t create = H5Dget_create_plist(set), type = H5Dget_type(set), space = H5Dget_space(set);
    hsize_t element = H5Tget_size(type), row = element;
    bool fits, chunk_fits;
    hsize_t chunk = chunk_bytes(create, element, &chunk_fits);
    lt_status status = check_storage(h5, array, create);
    int ndim = H5Sget_simple_extent_ndims(space);
    if (status == LT_OK && (ndim < 1 || ndim > LT_H5_DIMS))
        status = lt_fail(LT_INPUT, "%s: %s has %d dimensions", h5->path, array, ndim);
    else if (status == LT_OK) H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    H5Tclose(type);
    H5Pclose(create);
    LT_TRY(status);
    fits = chunk_fits;
    for (int d = 1; d < ndim; d++) fits = fits && multiply(&row, dims[d]);
    hsize_t all = row;
    fits = fits && multiply(&all, dims[0]) && (sparse || all <= have) && (dims[0] == 0 || chunk <= have);
    LT_CHECK(
        fits, LT_INPUT,
        "%s: %s claims %llu rows of %llu bytes in chunks of %llu, and the whole file has %llu bytes: damaged",
        h5->path, array, (unsigned long long)dims[0], (unsigned long long)row, (unsigned long long)chunk,
        (unsigned long long)have);
    return LT_OK;
}
