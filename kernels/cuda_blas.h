/* GEMMs on CUDA: d = a b + c + bias, row-major, through cuBLASLt; tiny ones, and those that it has no algorithm for,
 * through a plain kernel. GEMMs of float32 are exact float32 (no tf32); GEMMs of bf16 accumulate in float32. GEMMs of
 * e4m3 are those of a with b transposed, and one at a time; on Hopper the library scales rows, elsewhere a kernel does
 * afterwards. Tensor cores add e4m3 GEMMs with about 14 bits (CUBLASLT_MATMUL_DESC_FAST_ACCUM), which their inputs
 * never had. A large GEMM is measured at its first use with several of the library's algorithms (kernels/choices.h):
 * that once, never while a graph is captured, it waits for the device. Plain C: describe functions ask for the
 * workspace where there is no GPU. Defined only where the build has CUDA.
 */
#ifndef LT_KERNELS_CUDA_BLAS_H
#define LT_KERNELS_CUDA_BLAS_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_blas_matrix {
    void *data;
    /* a and b have the same: LT_F32, LT_BF16 or LT_E4M3; c and d too: float32 or that of a and b, or bf16 */
    lt_dtype dtype;
    bool transposed;    /* of a and b: the GEMM takes the transpose of what is stored */
    int64_t ld;         /* elements between rows as stored */
    int64_t stride;     /* elements between the matrices of a batch; 0: all GEMMs share this one (a, b) */
    const float *scale; /* of LT_E4M3: one for each row as stored, on the device; NULL: 1 */
} lt_blas_matrix;

typedef struct lt_blas_product {
    int64_t m, n, k;           /* d is [m, n], a [m, k] and b [k, n] after transposition */
    int64_t batch;             /* how many GEMMs: 1 unless strided */
    lt_blas_matrix a, b, c, d; /* c without data: nothing is added; c may be d */
    const float *bias;         /* [n], added to every row; or NULL */
} lt_blas_product;

/* `workspace` holds lt_blas_workspace() bytes of this GEMM or of a larger one with as much or more bias. */
lt_status lt_blas_run(lt_ctx *ctx, const lt_blas_product *product, void *workspace);

/* Of the library that was loaded; 0: none was. */
int64_t lt_blas_version(void);

/* The library's own scratch: a large GEMM may be cut along k, a small one has little to keep. */
static inline size_t lt_blas_scratch(int64_t m, int64_t n, int64_t k, int64_t batch) {
    double flops = 2.0 * (double)m * (double)n * (double)k * (double)batch;
    return flops == 0 ? 0 : flops < 1e9 ? (size_t)4 << 20 : (size_t)32 << 20;
}
/* A bias is put there first where the library wants it in another dtype or at a rounder address. */
static inline size_t lt_blas_bias_bytes(int64_t n, bool bias) {
    return bias ? ((size_t)n * sizeof(float) + 255) / 256 * 256 : 0;
}
static inline size_t lt_blas_workspace(int64_t m, int64_t n, int64_t k, int64_t batch, bool bias) {
    return lt_blas_bias_bytes(n, bias) + lt_blas_scratch(m, n, k, batch);
}

/* Of e4m3: so many rows of a GEMM at a time lie unscaled before they are scaled, where the library does not do it. */
static inline int64_t lt_blas_unscaled_rows(int64_t m, int64_t n) {
    int64_t rows = n > 0 ? ((int64_t)32 << 20) / (n * (int64_t)sizeof(float)) : m;
    return rows < 1 ? 1 : rows > m ? m : rows;
}
static inline size_t lt_blas_e4m3_workspace(int64_t m, int64_t n, int64_t k, bool bias) {
    size_t unscaled = (size_t)(lt_blas_unscaled_rows(m, n) * n) * sizeof(float);
    return lt_blas_workspace(m, n, k, 1, bias) + unscaled;
}

#ifdef __cplusplus
}
#endif
#endif
