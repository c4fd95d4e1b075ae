/* HDF5 and FFmpeg, as core/libraries.h has the others. */
#ifndef LT_DATA_LIBRARIES_H
#define LT_DATA_LIBRARIES_H

#include "core/libraries.h"

#ifdef __cplusplus
extern "C" {
#endif

int lt_data_libraries(lt_library out[]);

#ifdef __cplusplus
}
#endif
#endif
