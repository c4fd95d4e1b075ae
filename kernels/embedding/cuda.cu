#include "kernels/cuda.cuh"
#include "kernels/embedding/embedding.h"

namespace {

enum { THREADS = 128, WARPS = THREADS / 32 };

__device__ __forceinline__ bool in_table(int32_t id, int64_t rows) { return id >= 0 && id < rows; }

/* N neighbouring channels of one row per thread. */
template <typename T, int N>
__global__ void gather(const int32_t *__restrict__ ids, const float *__restrict__ table, int64_t rows,
                       int64_t channels, T *__restrict__ y, int64_t count) {
    int64_t groups = channels / N, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count * groups; i += step) {
        int32_t id = ids[i / groups];
        float value[N];
#pragma unroll
        for (int j = 0; j < N; j++) value[j] = NAN;
        if (in_table(id, rows)) lt_load_n<N>(table + id * channels + i % groups * N, value);
        lt_store_n<N>(y + i * N, value);
    }
}

template <typename T> lt_status gather_rows(lt_ctx *ctx, const lt_embedding_args &a) {
    const int32_t *ids = (const int32_t *)a.ids.data;
    const float *table = (const float *)a.table.data;
    T *y = (T *)a.y.data;
    int64_t count = a.ids.shape[0], rows = a.table.shape[0], channels = a.table.shape[1];
    if (count == 0 || channels == 0) return LT_OK;
    bool wide = channels % 4 == 0 && (uintptr_t)table % 16 == 0 && (uintptr_t)y % (4 * sizeof(T)) == 0;
    unsigned blocks = lt_grid(count * channels, THREADS * (wide ? 4 : 1));
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (wide) gather<T, 4><<<blocks, THREADS, 0, stream>>>(ids, table, rows, channels, y, count);
    else gather<T, 1><<<blocks, THREADS, 0, stream>>>(ids, table, rows, channels, y, count);
    return lt_cuda_launched();
}

/* Puts the positions from..from + THREADS - 1 at which `id` stands into `found`, in order; returns how many. All
 * threads call it. */
__device__ __forceinline__ int find(const int32_t *ids, int64_t from, int64_t count, int32_t id,
                                    int64_t (&found)[THREADS], int (&of_warp)[WARPS]) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int64_t at = from + threadIdx.x;
    bool hit = at < count && ids[at] == id;
    unsigned hits = __ballot_sync(~0u, hit);
    __syncthreads(); /* the positions before are used up */
    if (lane == 0) of_warp[warp] = __popc(hits);
    __syncthreads();
    int before = 0, total = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++) before += w < warp ? of_warp[w] : 0, total += of_warp[w];
    if (hit) found[before + __popc(hits & ((1u << lane) - 1))] = at;
    __syncthreads();
    return total;
}

/* A block per position and strip of channels. The first position of an id sums all of its rows of dy, in order; at the
 * others there is nothing to do, so every row of the table has one writer. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    sum_rows(const int32_t *__restrict__ ids, const T *__restrict__ dy, int64_t count, int64_t rows,
             int64_t channels, float *__restrict__ dtable, bool add) {
    __shared__ int64_t found[THREADS];
    __shared__ int of_warp[WARPS];
    int64_t own = blockIdx.x, channel = (int64_t)blockIdx.y * THREADS + threadIdx.x;
    int32_t id = ids[own];
    bool earlier = !in_table(id, rows);
    for (int64_t i = threadIdx.x; i < own && !earlier; i += THREADS) earlier = ids[i] == id;
    if (__syncthreads_or(earlier)) return;
    float *out = dtable + id * channels + channel;
    float sum = add && channel < channels ? *out : 0.0f;
    for (int64_t from = own; from < count; from += THREADS) {
        int total = find(ids, from, count, id, found, of_warp);
        if (channel >= channels) continue; /* still calls find */
#pragma unroll 4
        for (int i = 0; i < total; i++) sum += lt_load(dy + found[i] * channels + channel);
    }
    if (channel < channels) *out = sum;
}

} // namespace

extern "C" lt_status lt_embedding_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_embedding_args &a = *(const lt_embedding_args *)args;
    LT_CUDA_BY_DTYPE(a.y.dtype, T, return gather_rows<T>(ctx, a));
}

extern "C" lt_status lt_embedding_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_embedding_backward_args &a = *(const lt_embedding_backward_args *)args;
    int64_t count = a.ids.shape[0], rows = a.dtable.shape[0], channels = a.dtable.shape[1];
    float *dtable = (float *)a.dtable.data;
    if (!a.accumulate_dtable && lt_numel(&a.dtable) > 0)
        LT_TRY(lt_device_fill(ctx->device, ctx->stream, dtable, 0, lt_nbytes(&a.dtable)));
    if (count == 0 || channels == 0) return LT_OK;
    dim3 grid((unsigned)count, (unsigned)lt_ceil_div(channels, THREADS));
    LT_CUDA_BY_DTYPE(a.dy.dtype, T,
                     sum_rows<T><<<grid, THREADS, 0, lt_cuda_stream(ctx)>>>(
                         (const int32_t *)a.ids.data, (const T *)a.dy.data, count, rows, channels, dtable,
                         a.accumulate_dtable));
    return lt_cuda_launched();
}
