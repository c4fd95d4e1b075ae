/* The RMS norm's factor of each row, nothing else: rows are read as by the forward pass (cuda.cu), and one float is
 * written. */
#include "kernels/norm/norm_rows.cuh"
#include "kernels/rows.h"

namespace {

struct scale_args {
    const void *x;
    float *scale;
    int64_t ld, rows, columns;
    float eps;
};

/* E elements of a row a thread, as norm_rows holds them. */
template <typename T, int E, bool WARP>
__global__ void __launch_bounds__(WARP ? 32 * ROWS_A_BLOCK : LONG_ROW_THREADS) scale_rows(scale_args a) {
    constexpr int V = lt_pack_of<T>, K = E / V, step = (WARP ? 32 : LONG_ROW_THREADS) * V;
    int64_t row = WARP ? (int64_t)blockIdx.x * ROWS_A_BLOCK + threadIdx.x / 32 : blockIdx.x;
    if (row >= a.rows) return; /* a whole warp; never where a row takes the block */
    int first = (WARP ? threadIdx.x % 32 : threadIdx.x) * V, columns = (int)a.columns;
    uint4 raw[K];
#pragma unroll
    for (int k = 0; k < K; k++) {
        raw[k] = {};
        if (first + k * step < columns) raw[k] = lt_load_raw<T>(a.x, row * a.ld + first + k * step);
    }
    float mean, inverse;
    moments<T, WARP, false>(raw, first, step, columns, a.eps, &mean, &inverse);
    if (first == 0) a.scale[row] = inverse;
}

/* Any strides and any length; a block a row. */
template <typename T> __global__ void scale_plain_rows(scale_args a) {
    __shared__ float shared[1][32];
    const T *x = (const T *)a.x + (int64_t)blockIdx.x * a.ld;
    float squares[1] = {0};
    for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) {
        float value = lt_load(x + c);
        squares[0] += value * value;
    }
    sum_team<1, false>(squares, shared);
    if (threadIdx.x == 0) a.scale[blockIdx.x] = rsqrtf(squares[0] / (float)a.columns + a.eps);
}

template <typename T, int E, bool WARP> void launch(const scale_args &a, cudaStream_t stream) {
    unsigned blocks = (unsigned)lt_ceil_div(a.rows, WARP ? ROWS_A_BLOCK : 1);
    scale_rows<T, E, WARP><<<blocks, WARP ? 32 * ROWS_A_BLOCK : LONG_ROW_THREADS, 0, stream>>>(a);
}

template <typename T> lt_status run(lt_ctx *ctx, const scale_args &a) {
    int64_t n = a.columns;
    if (a.rows == 0 || n == 0) return LT_OK;
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (!lt_packs((const T *)a.x, n, a.ld) || n > 72 * LONG_ROW_THREADS)
        scale_plain_rows<T><<<(unsigned)a.rows, threads_for(n, 256), 0, stream>>>(a);
    else if (n <= 8 * 32) launch<T, 8, true>(a, stream);
    else if (n <= 24 * 32) launch<T, 24, true>(a, stream);
    else if (n <= 72 * 32) launch<T, 72, true>(a, stream);
    else if (n <= 24 * LONG_ROW_THREADS) launch<T, 24, false>(a, stream);
    else launch<T, 72, false>(a, stream);
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_rms_scale_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_rms_scale_args *a = (const lt_rms_scale_args *)args;
    lt_rows x = lt_rows_of(&a->x, 1);
    scale_args s = {a->x.data, (float *)a->scale.data, x.ld, x.rows, x.columns, (float)a->eps};
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return run<T>(ctx, s));
}
