/* What CUDA code may ask of a CUDA device beyond the table in core/device.h. Plain C: shared by .c and .cu files. Only where the
 * build has CUDA. An lt_stream of such a device is a cudaStream_t. Threads other than the one that opened the device never call
 * CUDA. The variant "cuda:shared" allocates pinned host memory, which host and kernels reach under one address, slowly, and its
 * copies and fills are complete on return: for tests that look at values.
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
/* True with LT_CUDA_GENERIC=1 in the environment: kernels for tensor cores stand back for the plain ones, to compare the two. */
bool lt_cuda_generic(void);
/* The device's cublasLtHandle_t, owned by the device. */
void *lt_cuda_blas(const lt_device *device);

#ifdef __cplusplus
}
#endif
#endif
