#include "data/h5_driver.h"
#include "data/h5_tree.h"

#include <stdlib.h>
#include <string.h>
#if H5_VERSION_GE(1, 13, 0)
#    include <H5FDdevelop.h>
#endif

typedef struct driver_file {
    H5FD_t head; /* HDF5's part comes first */
    lt_jfile *file;
    haddr_t end;  /* of allocated space */
    haddr_t base; /* where addresses in the file count from: its user block is before */
    bool reader;
} driver_file;

/* The file that the next open callback is for; calls are behind the lock of data/h5.c. */
static lt_jfile *opening;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t maxaddr) {
    (void)name, (void)access, (void)maxaddr;
    driver_file *f = calloc(1, sizeof *f);
    if (f) f->file = opening, f->reader = !(flags & H5F_ACC_RDWR);
    return (H5FD_t *)f;
}

static herr_t driver_close(H5FD_t *f) {
    free(f);
    return 0;
}

static int driver_cmp(const H5FD_t *a, const H5FD_t *b) {
    const lt_jfile *x = ((const driver_file *)a)->file, *y = ((const driver_file *)b)->file;
    return x < y ? -1 : x > y;
}

/* Metadata of a file that is only read comes as HDF5 asks for it: driver_read looks at it. */
static herr_t driver_query(const H5FD_t *f, unsigned long *flags) {
    *flags = H5FD_FEAT_DATA_SIEVE;
    if (!f || !((const driver_file *)f)->reader)
        *flags |=
            H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *f, H5FD_mem_t type) {
    (void)type;
    return ((const driver_file *)f)->end;
}

static herr_t driver_set_eoa(H5FD_t *f, H5FD_mem_t type, haddr_t end) {
    (void)type;
    ((driver_file *)f)->end = end;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *f, H5FD_mem_t type) {
    (void)type;
    return (haddr_t)lt_jfile_size(((const driver_file *)f)->file);
}

static herr_t driver_get_handle(H5FD_t *f, hid_t access, void **handle) {
    (void)access;
    *handle = f;
    return 0;
}

static herr_t driver_read(H5FD_t *f, H5FD_mem_t type, hid_t transfer, haddr_t offset, size_t bytes,
                          void *out) {
    (void)transfer;
    static const char signature[8] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
    driver_file *d = (driver_file *)f;
    lt_status status = lt_jfile_read(d->file, (int64_t)offset, bytes, out);
    if (status == LT_OK && bytes == sizeof signature && memcmp(out, signature, sizeof signature) == 0)
        d->base = offset; /* how HDF5 begins */
    if (status == LT_OK && type == H5FD_MEM_BTREE && d->reader)
        status = lt_h5_tree_check(d->file, (int64_t)d->base, (int64_t)d->end, (int64_t)offset, out, bytes);
    if (status != LT_OK) lt_jfile_set_read_failed(d->file, status);
    return status == LT_OK ? 0 : -1;
}

/* Never fails as far as HDF5 knows: its caches cannot be closed after a failed flush. The journaled file
 * remembers the failure and keeps no later write; data/h5.c asks it after each operation. */
static herr_t driver_write(H5FD_t *f, H5FD_mem_t type, hid_t transfer, haddr_t offset, size_t bytes,
                           const void *data) {
    (void)type, (void)transfer;
    lt_status ignored = lt_jfile_write(((driver_file *)f)->file, (int64_t)offset, bytes, data);
    (void)ignored;
    return 0;
}

static const H5FD_class_t driver_class = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600, /* the range of unregistered drivers starts at 512 */
#endif
    .name = "longtake_journal",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .open = driver_open,
    .close = driver_close,
    .cmp = driver_cmp,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .get_handle = driver_get_handle,
    .read = driver_read,
    .write = driver_write,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* Files are written in the one format that has checksums over headers and no mark of being open, which a kill would
 * leave; all that the library knows are read. */
static hid_t make_access_list(bool reader) {
    hid_t driver = H5FDregister(&driver_class), access = H5Pcreate(H5P_FILE_ACCESS);
    bool ok = driver >= 0 && H5Pset_driver(access, driver, NULL) >= 0 &&
              H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
              H5Pset_libver_bounds(access, reader ? H5F_LIBVER_EARLIEST : H5F_LIBVER_V18,
                                   reader ? H5F_LIBVER_LATEST : H5F_LIBVER_V18) >= 0;
    return ok ? access : H5I_INVALID_HID;
}

/* Made once: closing one after a failed opening would also clear the reason of the failure. */
static hid_t access_list(bool reader) {
    static hid_t lists[2] = {H5I_INVALID_HID, H5I_INVALID_HID};
    if (lists[reader] < 0) lists[reader] = make_access_list(reader);
    return lists[reader];
}

hid_t lt_h5_driver_open(lt_jfile *file, const char *name, unsigned flags) {
    hid_t access = access_list(!(flags & (H5F_ACC_RDWR | H5F_ACC_TRUNC))), out = H5I_INVALID_HID;
    if (access < 0) return out;
    opening = file;
    out = flags & H5F_ACC_TRUNC ? H5Fcreate(name, flags, H5P_DEFAULT, access) : H5Fopen(name, flags, access);
    opening = NULL;
    return out;
}

int64_t lt_h5_driver_end(hid_t file) {
    void *handle = NULL;
    if (H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) < 0 || !handle) return -1;
    return (int64_t)((driver_file *)handle)->end;
}
