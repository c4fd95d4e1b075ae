/* What a device file offers to the table in core/device.c. Not for other rooms. */
#ifndef LT_CORE_DEVICE_TABLE_H
#define LT_CORE_DEVICE_TABLE_H

#include "core/device.h"

extern const lt_device_ops lt_device_cpu;
extern const lt_device_ops lt_device_null;
extern const lt_device_ops lt_device_cuda; /* where the build has CUDA */

#endif
