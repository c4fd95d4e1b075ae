/* Functions of one element, sums of two tensors, and sums of all elements. */
#include "kernels/elementwise/access.cuh"
#include "kernels/elementwise/chunk_sums.cuh"
#include "kernels/elementwise/elementwise.h"
#include "kernels/rows.h"

enum { THREADS = 256 };

static __device__ __forceinline__ float unary(lt_unary kind, float x) {
    switch (kind) {
    case LT_SILU: return x * lt_sigmoid(x);
    case LT_GELU_TANH: return x * lt_sigmoid(1.5957691216057308f * x * (1.0f + 0.044715f * (x * x)));
    case LT_TANH: return tanhf(x);
    default: return 2.0f * lt_sigmoid(x);
    }
}

static __device__ __forceinline__ float unary_slope(lt_unary kind, float x) {
    float square = x * x, inner = 1.5957691216057308f * x * (1.0f + 0.044715f * square);
    float s = lt_sigmoid(kind == LT_GELU_TANH ? inner : kind == LT_TANH ? 2.0f * x : x);
    switch (kind) {
    case LT_SILU: return s * (1.0f + x * (1.0f - s));
    case LT_GELU_TANH: return s + x * s * (1.0f - s) * (1.5957691216057308f * (1.0f + 0.134145f * square));
    case LT_TANH: return 4.0f * s * lt_sigmoid(-2.0f * x); /* 1 - tanh^2, exact in the tails */
    default: return 2.0f * s * (1.0f - s);
    }
}

/* N elements from `at` on, or, where the tensor ends before, one by one. y may be x. */
template <typename T, int V>
static __global__ void unary_elements(lt_unary kind, const T *x, T *y, int64_t count) {
    int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;
    if (at + V <= count) {
        float v[V];
        lt_load_n<V>(x + at, v);
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = unary(kind, v[i]);
        lt_store_n<V>(y + at, v);
    } else {
        for (; at < count; at++) lt_store(y + at, unary(kind, lt_load(x + at)));
    }
}

template <typename T, int V>
static __global__ void unary_backward_elements(lt_unary kind, const T *dy, const T *x, T *dx, int64_t count,
                                               bool add) {
    int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;
    if (at + V <= count) {
        float up[V], v[V], old[V] = {};
        lt_load_n<V>(dy + at, up), lt_load_n<V>(x + at, v);
        if (add) lt_load_n<V>(dx + at, old);
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = old[i] + up[i] * unary_slope(kind, v[i]);
        lt_store_n<V>(dx + at, v);
    } else {
        for (; at < count; at++)
            lt_store_or_add(dx + at, lt_load(dy + at) * unary_slope(kind, lt_load(x + at)), add);
    }
}

template <typename T> static lt_status run_unary(lt_ctx *ctx, const lt_unary_args *a) {
    const T *x = (const T *)a->x.data;
    T *y = (T *)a->y.data;
    constexpr int V = lt_pack_of<T>;
    int64_t count = lt_numel(&a->x);
    if (count == 0) return LT_OK;
    if (lt_packs(x, 0, 0) && lt_packs(y, 0, 0))
        unary_elements<T, V>
            <<<lt_blocks(count, THREADS * V), THREADS, 0, lt_cuda_stream(ctx)>>>(a->kind, x, y, count);
    else
        unary_elements<T, 1>
            <<<lt_blocks(count, THREADS), THREADS, 0, lt_cuda_stream(ctx)>>>(a->kind, x, y, count);
    return lt_cuda_launched();
}

template <typename T> static lt_status run_unary_backward(lt_ctx *ctx, const lt_unary_backward_args *a) {
    const T *dy = (const T *)a->dy.data, *x = (const T *)a->x.data;
    T *dx = (T *)a->dx.data;
    constexpr int V = lt_pack_of<T>;
    int64_t count = lt_numel(&a->x);
    if (count == 0) return LT_OK;
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (lt_packs(dy, 0, 0) && lt_packs(x, 0, 0) && lt_packs(dx, 0, 0))
        unary_backward_elements<T, V><<<lt_blocks(count, THREADS * V), THREADS, 0, stream>>>(
            a->kind, dy, x, dx, count, a->accumulate_dx);
    else
        unary_backward_elements<T, 1>
            <<<lt_blocks(count, THREADS), THREADS, 0, stream>>>(a->kind, dy, x, dx, count, a->accumulate_dx);
    return lt_cuda_launched();
}

extern "C" lt_status lt_unary_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_unary_args *a = (const lt_unary_args *)args;
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return run_unary<T>(ctx, a));
}

extern "C" lt_status lt_unary_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_unary_backward_args *a = (const lt_unary_backward_args *)args;
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return run_unary_backward<T>(ctx, a));
}

/* Rows [groups, columns]: a block takes V * THREADS columns of one row. y may be a or b. */
template <int V>
static __global__ void mix_rows(const float *a, const float *b, const float *alpha, const float *beta,
                                float *y, int64_t columns) {
    int64_t tiles = (columns + THREADS * V - 1) / (THREADS * V), g = blockIdx.x / tiles;
    int64_t c = (blockIdx.x % tiles * THREADS + threadIdx.x) * V, at = g * columns + c;
    if (c >= columns) return;
    float va[V], vb[V];
    lt_load_n<V>(a + at, va), lt_load_n<V>(b + at, vb);
#pragma unroll
    for (int i = 0; i < V; i++) va[i] = alpha[g] * va[i] + beta[g] * vb[i];
    lt_store_n<V>(y + at, va);
}

extern "C" lt_status lt_mix_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_mix_args *m = (const lt_mix_args *)args;
    const float *a = (const float *)m->a.data, *b = (const float *)m->b.data;
    const float *alpha = (const float *)m->alpha.data, *beta = (const float *)m->beta.data;
    float *y = (float *)m->y.data;
    int64_t groups = m->a.shape[0], n = m->a.shape[1];
    if (groups * n == 0) return LT_OK;
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (lt_packs(a, n, n) && lt_packs(b, n, n) && lt_packs(y, n, n))
        mix_rows<4>
            <<<lt_blocks(n, THREADS * 4) * (unsigned)groups, THREADS, 0, stream>>>(a, b, alpha, beta, y, n);
    else
        mix_rows<1>
            <<<lt_blocks(n, THREADS) * (unsigned)groups, THREADS, 0, stream>>>(a, b, alpha, beta, y, n);
    return lt_cuda_launched();
}

/* y[g, m] = a[m] + b[g, m or 0]; a block takes V * THREADS columns of one row. */
template <int V>
static __global__ void add_rows(const float *a, const float *b, float *y, int64_t rows, int64_t b_rows,
                                int64_t columns) {
    int64_t tiles = (columns + THREADS * V - 1) / (THREADS * V), row = blockIdx.x / tiles;
    int64_t g = row / rows, m = row % rows, c = (blockIdx.x % tiles * THREADS + threadIdx.x) * V;
    if (c >= columns) return;
    float va[V], vb[V];
    lt_load_n<V>(a + m * columns + c, va);
    lt_load_n<V>(b + (g * b_rows + (b_rows == 1 ? 0 : m)) * columns + c, vb);
#pragma unroll
    for (int i = 0; i < V; i++) va[i] += vb[i];
    lt_store_n<V>(y + row * columns + c, va);
}

extern "C" lt_status lt_add_broadcast_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_add_broadcast_args *s = (const lt_add_broadcast_args *)args;
    const float *a = (const float *)s->a.data, *b = (const float *)s->b.data;
    float *y = (float *)s->y.data;
    int64_t groups = s->y.shape[0], rows = s->y.shape[1], b_rows = s->b.shape[1], n = s->y.shape[2];
    if (groups * rows * n == 0) return LT_OK;
    unsigned all = (unsigned)(groups * rows);
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (lt_packs(a, n, n) && lt_packs(b, n, n) && lt_packs(y, n, n))
        add_rows<4><<<lt_blocks(n, THREADS * 4) * all, THREADS, 0, stream>>>(a, b, y, rows, b_rows, n);
    else add_rows<1><<<lt_blocks(n, THREADS) * all, THREADS, 0, stream>>>(a, b, y, rows, b_rows, n);
    return lt_cuda_launched();
}

extern "C" lt_status lt_sum_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_sum_args *a = (const lt_sum_args *)args;
    const float *x = (const float *)a->x.data;
    int64_t n = a->x.shape[1];
    auto value = [=] __device__(int64_t g, int64_t i) { return (double)x[g * n + i]; };
    return lt_chunk_sums(ctx, value, a->x.shape[0], n, LT_PIECE, 1.0, (double *)workspace,
                         (float *)a->y.data);
}
