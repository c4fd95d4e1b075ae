/* What an open HDF5 file is made of. Private to data/h5*.c. */
#ifndef LT_DATA_H5_IMPL_H
#define LT_DATA_H5_IMPL_H

#include "core/io.h"
#include "data/h5.h"
#include "data/h5_driver.h"
#include "data/h5_type.h"

typedef struct lt_h5_array {
    hid_t set, memory; /* memory: the element's type in memory; set < 0: unused */
    hid_t sums;        /* the array of its rows' checksums; negative: it has none */
    char name[64];
    int ndim;
    hsize_t dims[LT_H5_DIMS];
    size_t row_bytes; /* in memory */
} lt_h5_array;

struct lt_h5 {
    char path[LT_PATH_MAX];
    lt_jfile *journal;
    hid_t file;
    bool append, thorough;
    lt_status failed; /* of a write: what HDF5 holds in memory is not to be trusted any more */
    lt_h5_array arrays[LT_H5_ARRAYS];
};

/* HDF5 is not thread-safe as most systems build it: every call is between these two. lt_h5_leave returns `status`. */
void lt_h5_enter(void);
lt_status lt_h5_leave(lt_status status);

/* An error with the file's own reason, else HDF5's. Call it inside the lock. */
lt_status lt_h5_fail(lt_h5 *h5, lt_status code, const char *what, const char *object);
/* The outcome of an operation that writes: the journaled file knows of failures that HDF5 was not told about. */
lt_status lt_h5_written(lt_h5 *h5, bool ok, const char *what, const char *object);
lt_status lt_h5_writable(const lt_h5 *h5);

/* Whether what `set` claims to be can be in a file of `size` bytes, without a filter, a file or a size that would have
 * HDF5 take memory for what is not there. Inside the lock. */
lt_status lt_h5_check_extent(lt_h5 *h5, const char *array, hid_t set, bool sparse);

/* The array NAME_sum, one uint64 per row of `a`. Inside the lock. */
lt_status lt_h5_sums_add(lt_h5 *h5, lt_h5_array *a);
lt_status lt_h5_sums_bind(lt_h5 *h5, lt_h5_array *a);
/* For as many rows as `a` now has; those from `before` to `end` are zero. */
lt_status lt_h5_sums_resize(lt_h5 *h5, lt_h5_array *a, hsize_t before, hsize_t end);
lt_status lt_h5_sums_write(lt_h5 *h5, lt_h5_array *a, int64_t first, int64_t count, const void *data);
lt_status lt_h5_sums_read(lt_h5 *h5, lt_h5_array *a, int64_t first, int64_t count, uint64_t *out);
/* Outside the lock. */
lt_status lt_h5_sums_compare(const lt_h5 *h5, const lt_h5_array *a, int64_t first, int64_t count,
                             const void *data, const uint64_t *sums);

/* Opens the file and all that is in it in a process of its own, which may crash. */
lt_status lt_h5_probe(lt_h5 *h5);

#endif
