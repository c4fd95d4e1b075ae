/* HDF5's virtual file driver over a journaled file (data/journal.h): what HDF5 writes reaches the file at a
 * commit, all or nothing. Private to data/h5*.c.
 */
#ifndef LT_DATA_H5_DRIVER_H
#define LT_DATA_H5_DRIVER_H

#include "data/journal.h"

#include <hdf5.h>

/* Opens the HDF5 file in `file`, which stays the caller's and must outlive the handle. Negative on failure.
 */
hid_t lt_h5_driver_open(lt_jfile *file, const char *name, unsigned flags);
/* The end of the space that HDF5 has allocated: the file's size at a commit. */
int64_t lt_h5_driver_end(hid_t file);

#endif
