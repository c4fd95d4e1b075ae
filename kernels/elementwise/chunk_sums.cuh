/* Sums of float64 values over fixed chunks on CUDA. */
#ifndef LT_KERNELS_ELEMENTWISE_CHUNK_SUMS_CUH
#define LT_KERNELS_ELEMENTWISE_CHUNK_SUMS_CUH

#include "kernels/cuda.cuh"

enum { LT_CHUNK_THREADS = 256 };

/* One chunk of one group a block; with one chunk a group its sum is the result already. */
template <typename F>
static __global__ void __launch_bounds__(LT_CHUNK_THREADS)
    sum_chunks(F value, int64_t count, int64_t chunk, int64_t chunks, double divisor, double *partial,
               float *out) {
    __shared__ double shared[32];
    int64_t g = blockIdx.x / chunks, begin = blockIdx.x % chunks * chunk, end = begin + chunk;
    if (end > count) end = count;
    double sum = 0;
#pragma unroll 4
    for (int64_t i = begin + threadIdx.x; i < end; i += LT_CHUNK_THREADS) sum += value(g, i);
    sum = lt_block_sum(sum, shared);
    if (threadIdx.x > 0) return;
    if (chunks == 1) out[g] = (float)(sum / divisor);
    else partial[blockIdx.x] = sum;
}

/* A warp a group. */
static __global__ void fold_chunks(const double *partial, int64_t chunks, double divisor, float *out) {
    int64_t g = blockIdx.x;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < chunks; i += 32) sum += partial[g * chunks + i];
    sum = lt_warp_sum(sum);
    if (threadIdx.x == 0) out[g] = (float)(sum / divisor);
}

/* out[g] = sum over i < count of value(g, i), over divisor; `partial` holds groups * ceil(count / chunk) values. */
template <typename F>
static lt_status lt_chunk_sums(lt_ctx *ctx, F value, int64_t groups, int64_t count, int64_t chunk,
                               double divisor, double *partial, float *out) {
    int64_t chunks = count > chunk ? lt_ceil_div(count, chunk) : 1;
    if (groups == 0) return LT_OK;
    cudaStream_t stream = lt_cuda_stream(ctx);
    sum_chunks<<<(unsigned)(groups * chunks), LT_CHUNK_THREADS, 0, stream>>>(value, count, chunk, chunks,
                                                                             divisor, partial, out);
    LT_TRY(lt_cuda_launched());
    if (chunks == 1) return LT_OK;
    fold_chunks<<<(unsigned)groups, 32, 0, stream>>>(partial, chunks, divisor, out);
    return lt_cuda_launched();
}

#endif
