/* Nodes of HDF5's version-1 trees, in which it finds chunks and, in old files, names. They have no checksum, and HDF5
 * 1.10 follows them wherever they lead: in circles too. Private to data/h5*.c. */
#ifndef LT_DATA_H5_TREE_H
#define LT_DATA_H5_TREE_H

#include "data/journal.h"

/* LT_INPUT when `node`, the `bytes` that the file has at `offset`, leads beyond `end` (addresses in it count from
 * `base`) or anywhere but to nodes one level below. Not for a file that is being changed: HDF5 may hold a child in
 * memory that the file does not have yet. */
lt_status lt_h5_tree_check(lt_jfile *file, int64_t base, int64_t end, int64_t offset, const uint8_t *node,
                           size_t bytes);

#endif
