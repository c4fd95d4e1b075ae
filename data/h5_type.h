/* HDF5 types of elements and records. Private to data/h5*.c; call inside its lock. */
#ifndef LT_DATA_H5_TYPE_H
#define LT_DATA_H5_TYPE_H

#include "data/h5.h"

#include <hdf5.h>

/* Zero-terminated UTF-8 of this many bytes. The caller closes the types that these return. */
hid_t lt_h5_text_type(size_t bytes);
/* For an array whose elements are stored as `stored` (negative: a new one), whose texts and optional fields it
 * follows. */
hid_t lt_h5_element_type(const lt_h5_layout *layout, hid_t stored);

/* What is stored can be read as `wanted` without converting numbers: the same type, or every wanted field with the same
 * type. `why` gets what is in the way. */
bool lt_h5_type_serves(hid_t stored, hid_t wanted, char *why, size_t size);

#endif
