#include "kernels/cuda.cuh"
#include "kernels/optimizer/chunks.h"
#include "kernels/optimizer/coefficients.h"
#include "kernels/optimizer/optimizer.h"

#include <limits.h>

namespace {

enum { THREADS = 256 };

/* ---- norm -------------------------------------------------------------------------------------------------------- */

/* As many tensors of the list as fit into a launch's parameters. */
enum { TENSORS = 192 };
struct batch {
    const float *data[TENSORS];
    int64_t size[TENSORS];
    int first[TENSORS + 1]; /* chunk of each tensor; then their number */
    int count;
};
static_assert(sizeof(batch) <= 4000, "kernel parameters are at most 4 KiB");

/* The tensor that holds chunk `chunk`: the last one whose first chunk is not behind it. */
__device__ __forceinline__ int find(const batch &b, int chunk) {
    int low = 0, high = b.count;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (b.first[middle] <= chunk) low = middle;
        else high = middle;
    }
    return low;
}

/* In float64: squares of float32 neither overflow nor lose anything there. `g` is at an address of N elements. */
template <int N> __device__ __forceinline__ double squares_of(const float *g, int count) {
    double sum = 0;
#pragma unroll 4
    for (int i = threadIdx.x; i < count / N; i += THREADS) {
        float value[N];
        lt_load_n<N>(g + i * N, value);
#pragma unroll
        for (int j = 0; j < N; j++) sum += (double)value[j] * (double)value[j];
    }
    int i = count / N * N + threadIdx.x;
    if (i < count) sum += (double)g[i] * (double)g[i];
    return sum;
}

/* A block per chunk. */
__global__ void __launch_bounds__(THREADS) sum_chunks(const __grid_constant__ batch b, double *partial) {
    __shared__ double shared[32];
    int t = find(b, blockIdx.x);
    int64_t begin = (int64_t)(blockIdx.x - b.first[t]) * LT_NORM_CHUNK, left = b.size[t] - begin;
    const float *g = b.data[t] + begin;
    int count = left < LT_NORM_CHUNK ? (int)left : LT_NORM_CHUNK;
    double sum = (uintptr_t)g % 16 == 0 ? squares_of<4>(g, count) : squares_of<1>(g, count);
    sum = lt_block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(1024)
    fold_chunks(const double *partial, int64_t chunks, double scale, double max_norm, float *control) {
    __shared__ double shared[32];
    double sum = 0, values[3];
#pragma unroll 8
    for (int64_t i = threadIdx.x; i < chunks; i += 1024) sum += partial[i];
    sum = lt_block_sum(sum, shared);
    if (threadIdx.x > 0) return;
    lt_norm_control(sum, scale, max_norm, values);
    for (int i = 0; i < 3; i++) control[i] = (float)values[i];
}

lt_status sum_batch(lt_ctx *ctx, const batch &b, double *partial) {
    int chunks = b.first[b.count];
    if (chunks == 0) return LT_OK;
    sum_chunks<<<(unsigned)chunks, THREADS, 0, lt_cuda_stream(ctx)>>>(b, partial);
    return lt_cuda_launched();
}

/* ---- AdamW ------------------------------------------------------------------------------------------------------- */

/* Elements a block of threads updates, and as many parameters as one launch takes. */
enum { CHUNK = 16 * THREADS, PARAMS = 192 };

struct weights {
    float *param, *m, *v, *ema;
    const float *grad;
    lt_bf16 *copy;
    int64_t count;
    int first; /* chunk */
    bool decays, wide;
};

struct model_part {
    const float *control;
    lt_adamw_coefficients k;
    int count, chunks;
    weights w[PARAMS];
};
static_assert(sizeof(model_part) <= 32000, "kernel parameters are at most 32,764 bytes");

/* The parameter that holds chunk `chunk`: the last one whose first chunk is not behind it. */
__device__ __forceinline__ int find(const model_part &b, int chunk) {
    int low = 0, high = b.count;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (b.w[middle].first <= chunk) low = middle;
        else high = middle;
    }
    return low;
}

/* The same step for elements i to i + N - 1. */
template <int N>
__device__ __forceinline__ void update(const weights &w, const lt_adamw_coefficients &k, float factor,
                                       int64_t i) {
    float shrink = w.decays ? k.shrink : 1, p[N], g[N], m[N], v[N], ema[N] = {};
    lt_load_n<N>(w.grad + i, g);
    lt_load_n<N>(w.m + i, m);
    lt_load_n<N>(w.v + i, v);
    lt_load_n<N>(w.param + i, p);
    if (w.ema) lt_load_n<N>(w.ema + i, ema);
#pragma unroll
    for (int j = 0; j < N; j++) {
        float scaled = factor * g[j];
        m[j] = k.beta1 * m[j] + k.rest1 * scaled;
        v[j] = k.beta2 * v[j] + k.rest2 * scaled * scaled;
        p[j] = shrink * p[j] - k.rate * m[j] / (sqrtf(v[j]) * k.unbias + k.eps);
        ema[j] = k.ema_decay * ema[j] + k.ema_rest * p[j];
    }
    lt_store_n<N>(w.m + i, m);
    lt_store_n<N>(w.v + i, v);
    lt_store_n<N>(w.param + i, p);
    if (w.ema) lt_store_n<N>(w.ema + i, ema);
    if (w.copy) lt_store_n<N>(w.copy + i, p);
}

/* Elements begin to end - 1, N a thread, then those that are left over. */
template <int N>
__device__ __forceinline__ void update_chunk(const weights &w, const lt_adamw_coefficients &k, float factor,
                                             int64_t begin, int64_t end) {
    int64_t rest = begin + (end - begin) / N * N;
    for (int64_t i = begin + threadIdx.x * N; i < rest; i += THREADS * N) update<N>(w, k, factor, i);
    if (rest + threadIdx.x < end) update<1>(w, k, factor, rest + threadIdx.x);
}

/* A block per chunk. */
__global__ void __launch_bounds__(THREADS) adamw(const __grid_constant__ model_part b) {
    float factor = b.control[1];
    if (b.control[2] == 0) return;
    const weights &w = b.w[find(b, blockIdx.x)];
    int64_t begin = (int64_t)(blockIdx.x - w.first) * CHUNK;
    int64_t end = begin + CHUNK < w.count ? begin + CHUNK : w.count;
    if (w.wide) update_chunk<4>(w, b.k, factor, begin, end);
    else update_chunk<1>(w, b.k, factor, begin, end);
}

weights weights_of(const lt_adamw_param &p, int first) {
    weights w = {(float *)p.param.data,
                 (float *)p.m.data,
                 (float *)p.v.data,
                 (float *)p.ema.data,
                 (const float *)p.grad.data,
                 (lt_bf16 *)p.copy.data,
                 lt_numel(&p.param),
                 first,
                 p.decays};
    uintptr_t addresses = (uintptr_t)w.param | (uintptr_t)w.m | (uintptr_t)w.v | (uintptr_t)w.ema |
                          (uintptr_t)w.grad | (uintptr_t)w.copy << 1;
    w.wide = addresses % 16 == 0;
    return w;
}

lt_status update_part(lt_ctx *ctx, model_part *b) {
    if (b->count > 0) adamw<<<(unsigned)b->chunks, THREADS, 0, lt_cuda_stream(ctx)>>>(*b);
    b->count = b->chunks = 0;
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_grad_norm_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_grad_norm_args &a = *(const lt_grad_norm_args *)args;
    double *partial = (double *)workspace;
    int64_t chunks = 0;
    batch b = {};
    for (int i = 0; i < a.count; i++) {
        int64_t size = lt_numel(&a.grads[i]), more = lt_pieces(size, LT_NORM_CHUNK);
        LT_CHECK(more < INT_MAX / TENSORS, LT_FAILED, "op grad_norm: grads[%d] has %lld elements: too many",
                 i, (long long)size);
        b.data[b.count] = (const float *)a.grads[i].data, b.size[b.count] = size;
        b.first[b.count + 1] = b.first[b.count] + (int)more;
        if (++b.count < TENSORS && i + 1 < a.count) continue;
        LT_TRY(sum_batch(ctx, b, partial + chunks));
        chunks += b.first[b.count];
        b.count = 0;
    }
    fold_chunks<<<1, 1024, 0, lt_cuda_stream(ctx)>>>(partial, chunks, a.scale, a.max_norm,
                                                     (float *)a.control.data);
    return lt_cuda_launched();
}

extern "C" lt_status lt_adamw_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_adamw_args &a = *(const lt_adamw_args *)args;
    model_part b;
    b.control = (const float *)a.control.data;
    b.k = lt_adamw_coefficients_of(&a);
    b.count = b.chunks = 0;
    for (int i = 0; i < a.count; i++) {
        weights w = weights_of(a.params[i], b.chunks);
        int64_t more = lt_pieces(w.count, CHUNK);
        LT_CHECK(more < INT_MAX / PARAMS, LT_FAILED, "op adamw: params[%d] has %lld elements: too many", i,
                 (long long)w.count);
        if (more == 0) continue;
        b.w[b.count++] = w;
        b.chunks += (int)more;
        if (b.count == PARAMS) LT_TRY(update_part(ctx, &b));
    }
    return update_part(ctx, &b);
}
