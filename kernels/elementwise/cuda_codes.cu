/* Gated residual whose rows a GEMM reads next, in e4m3 besides. A row of the sum stays in the registers of a block
 * between the search for its largest and the rounding. */
#include "kernels/elementwise/cuda_codes.h"

#include "kernels/e4m3.cuh"

namespace {

enum { LEAST_THREADS = 64, MOST_THREADS = 512, MOST_PACKS = 4 };

struct coded_args {
    const void *x, *h;
    void *y;           /* may be x */
    const float *gate; /* NULL: 1 */
    int64_t gate_ld, group_rows, columns;
    uint8_t *codes;
    float *scales;
};

/* A block a row, from the last on as kernels/cuda_e4m3.cu takes them; K packs a thread, all loads before the first
 * use. */
template <typename T, int K> __global__ void __launch_bounds__(MOST_THREADS) gated_codes(coded_args a) {
    constexpr int V = lt_pack_of<T>, F = 4;
    __shared__ unsigned shared[32];
    const int64_t row = gridDim.x - 1 - blockIdx.x, at = row * a.columns;
    const float *gate = a.gate ? a.gate + row / a.group_rows * a.gate_ld : NULL;
    const int first = threadIdx.x * V, step = blockDim.x * V, columns = (int)a.columns;
    uint4 y[K], h[K];
    unsigned largest = __float_as_uint(LT_E4M3_LEAST);
#pragma unroll
    for (int k = 0; k < K; k++) {
        int c = first + k * step;
        if (c < columns) y[k] = lt_load_raw<T>(a.x, at + c), h[k] = lt_load_raw<T>(a.h, at + c);
    }
#pragma unroll
    for (int k = 0; k < K; k++) {
        int c = first + k * step;
        if (c >= columns) break;
        float x[V], branch[V];
        lt_unpack<T>(y[k], x), lt_unpack<T>(h[k], branch);
#pragma unroll
        for (int i = 0; i < V; i += F) {
            float factor[F] = {1, 1, 1, 1};
            if (gate) lt_load_n<F>(gate + c + i, factor);
#pragma unroll
            for (int j = 0; j < F; j++) x[i + j] += factor[j] * branch[i + j];
        }
        y[k] = lt_repack<T>(x);
        lt_store_raw<T>(a.y, at + c, y[k]);
        largest = lt_e4m3_larger<T>(largest, y[k]);
    }
    float most = lt_e4m3_team_largest<false>(largest, shared), factor = lt_e4m3_factor(most);
    if (threadIdx.x == 0) a.scales[row] = lt_e4m3_scale(most);
#pragma unroll
    for (int k = 0; k < K; k++) {
        int c = first + k * step;
        if (c < columns) lt_e4m3_store<T>(a.codes + at + c, y[k], factor);
    }
}

/* As few packs a thread as the largest block allows; then as few warps as they need. */
template <typename T> lt_status run(const lt_ctx *ctx, const coded_args &a, int64_t rows) {
    int64_t packs = a.columns / lt_pack_of<T>, each = lt_ceil_div(packs, MOST_THREADS);
    int64_t threads = lt_ceil_div(lt_ceil_div(packs, each), 32) * 32;
    unsigned blocks = (unsigned)rows, block = (unsigned)(threads < LEAST_THREADS ? LEAST_THREADS : threads);
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (each == 1) gated_codes<T, 1><<<blocks, block, 0, stream>>>(a);
    else if (each == 2) gated_codes<T, 2><<<blocks, block, 0, stream>>>(a);
    else gated_codes<T, MOST_PACKS><<<blocks, block, 0, stream>>>(a);
    return lt_cuda_launched();
}

template <typename T> bool fits(const coded_args &a) {
    int64_t n = a.columns, ld = a.gate_ld;
    return n <= MOST_PACKS * MOST_THREADS * lt_pack_of<T> && lt_packs((const T *)a.x, n, n) &&
           lt_packs((const T *)a.h, n, n) && lt_packs((const T *)a.y, n, n) && lt_packs(a.gate, n, ld) &&
           (uintptr_t)a.codes % 16 == 0;
}

} // namespace

lt_status lt_gated_residual_codes(lt_ctx *ctx, const lt_gated_residual_args *a, bool *done) {
    int64_t rows = a->x.shape[0] * a->x.shape[1];
    coded_args k = {a->x.data, a->h.data, a->y.data, (const float *)a->gate.data};
    k.gate_ld = lt_is_empty(&a->gate) ? 0 : a->gate.stride[0];
    k.group_rows = a->x.shape[1], k.columns = a->x.shape[2];
    k.codes = (uint8_t *)a->codes.data, k.scales = (float *)a->codes_scale.data;
    *done = a->x.dtype == LT_BF16 ? fits<lt_bf16>(k) : fits<float>(k);
    if (!*done || rows == 0 || k.columns == 0) return LT_OK;
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return run<T>(ctx, k, rows));
}
