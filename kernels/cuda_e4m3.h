/* Activations in e4m3 on CUDA: rows that are rounded before a GEMM reads them. Plain C: describe functions ask for the
 * memory where there is no GPU. Defined only where the build has CUDA.
 */
#ifndef LT_KERNELS_CUDA_E4M3_H
#define LT_KERNELS_CUDA_E4M3_H

#include "kernels/cuda_blas.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of codes and scales. */
static inline size_t lt_e4m3_bytes(int64_t rows, int64_t columns) {
    size_t codes = (size_t)(rows * columns), scales = (size_t)rows * sizeof(float);
    return (codes + 255) / 256 * 256 + (scales + 255) / 256 * 256;
}

/* x, float32 or bf16, collapses to rows; `memory` holds lt_e4m3_bytes() of them. `out` is the rounded matrix. */
lt_status lt_e4m3_rows(lt_ctx *ctx, const lt_tensor *x, void *memory, lt_blas_matrix *out);
/* The same to contiguous codes and one scale for each row. */
lt_status lt_e4m3_rows_to(lt_ctx *ctx, const lt_tensor *x, uint8_t *codes, float *scales);

#ifdef __cplusplus
}
#endif
#endif
