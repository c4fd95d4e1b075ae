#include "kernels/cuda_e4m3.h"

#include "kernels/e4m3.cuh"
#include "kernels/rows.h"

namespace {

enum { WARPS = 4, THREADS = 32 * WARPS, FEW = 3, MANY = 8 };

struct rounding {
    const void *x;
    int64_t rows, columns, ld;
    uint8_t *codes; /* [rows, columns] */
    float *scales;
};

/* A block rounds one row at a time, from the last row on: what the op before wrote last is in L2 still, and the GEMM
 * behind finds the first codes there. The first HELD packs of each thread stay in registers between the search for the
 * largest and the rounding; what a longer row has beyond is read again. */
template <typename T, int HELD> __global__ void __launch_bounds__(THREADS) round_packs(rounding a) {
    constexpr int N = lt_pack_of<T>;
    __shared__ unsigned shared[WARPS];
    const int64_t first = threadIdx.x * N, step = THREADS * N;
    for (int64_t row = a.rows - 1 - blockIdx.x; row >= 0; row -= gridDim.x) {
        int64_t x = row * a.ld;
        uint8_t *codes = a.codes + row * a.columns;
        uint4 held[HELD];
        unsigned largest = __float_as_uint(LT_E4M3_LEAST);
#pragma unroll
        for (int i = 0; i < HELD; i++)
            if (first + i * step < a.columns) held[i] = lt_load_raw<T>(a.x, x + first + i * step);
#pragma unroll
        for (int i = 0; i < HELD; i++)
            if (first + i * step < a.columns) largest = lt_e4m3_larger<T>(largest, held[i]);
#pragma unroll 1
        for (int64_t c = first + HELD * step; c < a.columns; c += step)
            largest = lt_e4m3_larger<T>(largest, lt_load_raw<T>(a.x, x + c));
        float most = lt_e4m3_team_largest<false>(largest, shared), factor = lt_e4m3_factor(most);
        if (threadIdx.x == 0) a.scales[row] = lt_e4m3_scale(most);
#pragma unroll
        for (int i = 0; i < HELD; i++)
            if (first + i * step < a.columns) lt_e4m3_store<T>(codes + first + i * step, held[i], factor);
#pragma unroll 1
        for (int64_t c = first + HELD * step; c < a.columns; c += step)
            lt_e4m3_store<T>(codes + c, lt_load_raw<T>(a.x, x + c), factor);
        __syncthreads(); /* the next row overwrites what is shared */
    }
}

/* Rows that begin anywhere. */
template <typename T> __global__ void __launch_bounds__(THREADS) round_rows(rounding a) {
    __shared__ unsigned shared[WARPS];
    for (int64_t row = a.rows - 1 - blockIdx.x; row >= 0; row -= gridDim.x) {
        const T *x = (const T *)a.x + row * a.ld;
        unsigned largest = __float_as_uint(LT_E4M3_LEAST);
        for (int64_t c = threadIdx.x; c < a.columns; c += THREADS)
            largest = lt_e4m3_larger(largest, lt_load(x + c));
        float most = lt_e4m3_team_largest<false>(largest, shared), factor = lt_e4m3_factor(most);
        if (threadIdx.x == 0) a.scales[row] = lt_e4m3_scale(most);
        for (int64_t c = threadIdx.x; c < a.columns; c += THREADS)
            a.codes[row * a.columns + c] = lt_e4m3_code(lt_load(x + c), factor);
        __syncthreads();
    }
}

template <typename T> lt_status run(const lt_ctx *ctx, const rounding &a) {
    cudaStream_t stream = lt_cuda_stream(ctx);
    unsigned blocks = lt_grid(a.rows, 1);
    if (!lt_packs((const T *)a.x, a.columns, a.ld)) round_rows<T><<<blocks, THREADS, 0, stream>>>(a);
    else if (a.columns <= FEW * THREADS * lt_pack_of<T>)
        round_packs<T, FEW><<<blocks, THREADS, 0, stream>>>(a);
    else round_packs<T, MANY><<<blocks, THREADS, 0, stream>>>(a);
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_e4m3_rows_to(lt_ctx *ctx, const lt_tensor *x, uint8_t *codes, float *scales) {
    lt_rows r = lt_rows_of(x, 1);
    rounding a = {x->data, r.rows, r.columns, r.ld, codes, scales};
    if (r.rows == 0 || r.columns == 0) return LT_OK;
    LT_CUDA_BY_DTYPE(x->dtype, T, return run<T>(ctx, a));
}

extern "C" lt_status lt_e4m3_rows(lt_ctx *ctx, const lt_tensor *x, void *memory, lt_blas_matrix *out) {
    lt_rows r = lt_rows_of(x, 1);
    size_t scales = lt_e4m3_bytes(r.rows, r.columns) - lt_e4m3_bytes(r.rows, 0);
    *out = {memory, LT_E4M3, false, r.columns, 0, (float *)((char *)memory + scales)};
    return lt_e4m3_rows_to(ctx, x, (uint8_t *)memory, (float *)((char *)memory + scales));
}
