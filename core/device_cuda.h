/* What CUDA code may ask of a CUDA device beyond the table in core/device.h. Plain C: shared by .c and .cu files.
 * Only where the build has CUDA. An lt_stream of such a device is a cudaStream_t. Threads other than the one that
 * opened the device never call CUDA. The variant "cuda:shared" allocates pinned host memory, which host and kernels
 * reach under one address, slowly, and its copies and fills are complete on return: for tests that look at values.
 *
 * target.context_bytes is what the device holds when it is opened, unless that is more than 1 GiB and so cannot be
 * this process's alone: then it is the context of the first row in core/targets.c, which was measured.
 */
#ifndef LT_CORE_DEVICE_CUDA_H
#define LT_CORE_DEVICE_CUDA_H

#include "core/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Blocks of threads that fill the device once need this many multiprocessors. */
int lt_cuda_multiprocessors(const lt_device *device);
/* 10 * major + minor: 90 for Hopper. */
int lt_cuda_capability(const lt_device *device);
/* The device's cublasLtHandle_t, owned by the device. */
void *lt_cuda_blas(const lt_device *device);

#ifdef __cplusplus
}
#endif
#endif
