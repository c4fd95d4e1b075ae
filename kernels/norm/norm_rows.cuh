/* What the CUDA kernels of both norms share. Layer norm with modulation and RMS norm are one formula,
 *
 *     y = (x - mean) / deviation * (1 + scale) + shift        (RMS norm: mean = 0, "1 +" left out, no shift)
 *
 * so one template serves both; CENTRED tells them apart. */
#ifndef LT_KERNELS_NORM_ROWS_CUH
#define LT_KERNELS_NORM_ROWS_CUH

#include "kernels/elementwise/access.cuh"
#include "kernels/norm/norm.h"

enum { ROWS_A_BLOCK = 4, LONG_ROW_THREADS = 256 };

#ifdef __CUDACC__

/* Sums of N values over a warp (WARP), or over the block whose `shared` holds 32 of each. One barrier: a caller that
 * comes again gives other memory or has passed another barrier since. */
template <int N, bool WARP> __device__ __forceinline__ void sum_team(float (&v)[N], float (*shared)[32]) {
#    pragma unroll
    for (int i = 0; i < N; i++) v[i] = lt_warp_sum(v[i]);
    if (WARP) return;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
#    pragma unroll
    for (int i = 0; i < N; i++)
        if (lane == 0) shared[i][warp] = v[i];
    __syncthreads();
#    pragma unroll
    for (int i = 0; i < N; i++) v[i] = lt_warp_sum(lane < warps ? shared[i][lane] : 0.0f);
}

/* Mean (0 unless CENTRED) and 1 / sqrt(variance + eps) of a row of which a thread has packs `first`, `first + step`,
 * ...; what lies behind the row is zero. */
template <typename T, bool WARP, bool CENTRED, int K>
static __device__ __forceinline__ void moments(const uint4 (&raw)[K], int first, int step, int columns,
                                               float eps, float *mean, float *inverse) {
    constexpr int V = lt_pack_of<T>;
    __shared__ float shared[2][32];
    float sum[1] = {0}, squares[1] = {0}, v[V];
    *mean = 0;
    if (CENTRED) {
#    pragma unroll
        for (int k = 0; k < K; k++) {
            lt_unpack<T>(raw[k], v);
#    pragma unroll
            for (int i = 0; i < V; i++) sum[0] += v[i];
        }
        sum_team<1, WARP>(sum, shared);
        *mean = sum[0] / (float)columns;
    }
#    pragma unroll
    for (int k = 0; k < K; k++)
        if (first + k * step < columns) {
            lt_unpack<T>(raw[k], v);
#    pragma unroll
            for (int i = 0; i < V; i++) squares[0] += (v[i] - *mean) * (v[i] - *mean);
        }
    sum_team<1, WARP>(squares, shared + 1);
    *inverse = rsqrtf(squares[0] / (float)columns + eps);
}

#endif

/* Threads that cover `columns`, one each, in whole warps. */
static inline unsigned threads_for(int64_t columns, int64_t most) {
    int64_t threads = lt_ceil_div(columns, 32) * 32;
    return (unsigned)(threads < 32 ? 32 : threads > most ? most : threads);
}

/* Row g of an optional [G, C] starts at g times this. */
static inline int64_t row_stride(const lt_tensor *t) { return lt_is_empty(t) ? 0 : t->stride[0]; }

#endif
