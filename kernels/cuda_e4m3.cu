#include "kernels/cuda_e4m3.h"

#include "kernels/cuda.cuh"
#include "kernels/e4m3.h"
#include "kernels/rows.h"

#include <cuda_fp8.h>

namespace {

enum { LANES = 32, WARPS = 4, THREADS = LANES * WARPS, FEW = 3, MANY = 8 };

struct rounding {
    const void *x;
    int64_t rows, columns, ld;
    uint8_t *codes; /* [rows, columns] */
    float *scales;
};

/* N elements as memory holds them: unpacked ahead of their use they would take a register each. */
template <typename T, int N> struct raw { T v; };
template <> struct raw<float, 4> { uint4 v; };
template <> struct raw<lt_bf16, 8> { uint4 v; };

template <typename T, int N> __device__ __forceinline__ void unpack(const raw<T, N> &from, float (&out)[N]) {
    const T *values = reinterpret_cast<const T *>(&from);
#pragma unroll
    for (int i = 0; i < N; i++) out[i] = lt_load(values + i);
}

/* Magnitudes order like their bits, with NaN above all. */
template <typename T, int N> __device__ __forceinline__ unsigned largest_of(const raw<T, N> &from) {
    float value[N];
    unsigned largest = 0;
    unpack<T, N>(from, value);
#pragma unroll
    for (int i = 0; i < N; i++) largest = max(largest, __float_as_uint(fabsf(value[i])));
    return largest;
}

/* In every thread; `shared` is free again after the next barrier. */
__device__ __forceinline__ unsigned block_largest(unsigned largest, unsigned (&shared)[WARPS]) {
    largest = __reduce_max_sync(~0u, largest);
    if (threadIdx.x % LANES == 0) shared[threadIdx.x / LANES] = largest;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < WARPS; w++) largest = max(largest, shared[w]);
    return largest;
}

template <typename T, int N>
__device__ __forceinline__ void store_codes(uint8_t *to, const raw<T, N> &from, float factor) {
    float value[N];
    lt_pack<uint8_t, N> codes;
    unpack<T, N>(from, value);
    if constexpr (N == 1) {
        codes.v[0] = __nv_cvt_float_to_fp8(value[0] * factor, __NV_SATFINITE, __NV_E4M3);
    } else {
#pragma unroll
        for (int i = 0; i < N; i += 2) {
            float2 pair = {value[i] * factor, value[i + 1] * factor};
            __nv_fp8x2_storage_t two = __nv_cvt_float2_to_fp8x2(pair, __NV_SATFINITE, __NV_E4M3);
            codes.v[i] = (uint8_t)(two & 0xFF), codes.v[i + 1] = (uint8_t)(two >> 8);
        }
    }
    *reinterpret_cast<lt_pack<uint8_t, N> *>(to) = codes;
}

/* A block rounds one row at a time, N elements an access. The first HELD accesses of each thread stay in registers between the
 * search for the largest and the rounding; what a longer row has beyond is read again. */
template <typename T, int N, int HELD> __global__ void __launch_bounds__(THREADS) round_rows(rounding a) {
    typedef raw<T, N> pack;
    __shared__ unsigned shared[WARPS];
    const int64_t first = threadIdx.x * N, step = THREADS * N;
    for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
        const T *x = (const T *)a.x + row * a.ld;
        uint8_t *codes = a.codes + row * a.columns;
        pack held[HELD];
        unsigned largest = __float_as_uint(LT_E4M3_LEAST);
#pragma unroll
        for (int i = 0; i < HELD; i++)
            if (first + i * step < a.columns) held[i] = *reinterpret_cast<const pack *>(x + first + i * step);
#pragma unroll
        for (int i = 0; i < HELD; i++)
            if (first + i * step < a.columns) largest = max(largest, largest_of<T, N>(held[i]));
#pragma unroll 1
        for (int64_t c = first + HELD * step; c < a.columns; c += step) {
            pack more = *reinterpret_cast<const pack *>(x + c);
            largest = max(largest, largest_of<T, N>(more));
        }
        float most = __uint_as_float(block_largest(largest, shared)), factor = lt_e4m3_factor(most);
        if (threadIdx.x == 0) a.scales[row] = lt_e4m3_scale(most);
#pragma unroll
        for (int i = 0; i < HELD; i++)
            if (first + i * step < a.columns) store_codes<T, N>(codes + first + i * step, held[i], factor);
#pragma unroll 1
        for (int64_t c = first + HELD * step; c < a.columns; c += step) {
            pack more = *reinterpret_cast<const pack *>(x + c);
            store_codes<T, N>(codes + c, more, factor);
        }
        __syncthreads(); /* the next row overwrites what is shared */
    }
}

template <typename T, int N> void launch(const rounding &a, cudaStream_t stream) {
    unsigned blocks = lt_grid(a.rows, 1);
    if (a.columns <= FEW * THREADS * N) round_rows<T, N, FEW><<<blocks, THREADS, 0, stream>>>(a);
    else round_rows<T, N, MANY><<<blocks, THREADS, 0, stream>>>(a);
}

template <typename T> lt_status run(const lt_ctx *ctx, const rounding &a) {
    constexpr int WIDE = 16 / sizeof(T);
    bool wide = (uintptr_t)a.x % 16 == 0 && a.ld % WIDE == 0 && a.columns % WIDE == 0;
    if (wide) launch<T, WIDE>(a, lt_cuda_stream(ctx));
    else launch<T, 1>(a, lt_cuda_stream(ctx));
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_e4m3_rows(lt_ctx *ctx, const lt_tensor *x, void *memory, lt_blas_matrix *out) {
    lt_rows r = lt_rows_of(x, 1);
    size_t scales = lt_e4m3_bytes(r.rows, r.columns) - lt_e4m3_bytes(r.rows, 0);
    rounding a = {x->data, r.rows, r.columns, r.ld, (uint8_t *)memory, (float *)((char *)memory + scales)};
    *out = {memory, LT_E4M3, false, r.columns, 0, a.scales};
    if (r.rows == 0 || r.columns == 0) return LT_OK;
    LT_CUDA_BY_DTYPE(x->dtype, T, LT_TRY(run<T>(ctx, a)));
    return LT_OK;
}
