/* Inside kernels/attention: for ops over lists of S and z. */
#ifndef LT_KERNELS_ATTENTION_CUDA_LISTS_CUH
#define LT_KERNELS_ATTENTION_CUDA_LISTS_CUH

#include "kernels/cuda.cuh"

/* Whether heads of `size` floats can be moved four at once; so can an absent tensor. */
static inline bool lt_fits_quads(int64_t size, const float *data) {
    return size % 4 == 0 && (uintptr_t)data % 16 == 0;
}

#endif
