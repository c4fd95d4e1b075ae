/* Copies between any strides and any pair of float32 and bf16. A thread moves up to four packs of one line; a pack is
 * 16 bytes of the wider of the two, or one element where alignment or strides forbid that. */
#include "kernels/cuda.cuh"
#include "kernels/elementwise/copy_walk.h"
#include "kernels/elementwise/elementwise.h"

#include <type_traits>

enum { PACKS_A_THREAD = 4, THREADS = 256 };

typedef struct copy_work {
    const void *x;
    void *y;
    lt_copy_walk walk;
    int64_t lines, tiles; /* tiles of a line, of blockDim.x threads each */
    float scale;
    bool accumulate;
} copy_work;

typedef struct line_start {
    int64_t x, y;
} line_start;

static __device__ __forceinline__ line_start start_of(const lt_copy_walk &w, int64_t line) {
    line_start at = {0, 0};
    for (int d = w.ndim - 1; d >= 0; d--) {
        int64_t i = line % w.shape[d];
        line /= w.shape[d];
        at.x += i * w.x_stride[d], at.y += i * w.y_stride[d];
    }
    return at;
}

/* The thread's packs: their elements in the line, and where its line starts; none where the thread has no line. */
typedef struct copy_part {
    line_start start;
    int64_t first, step, end;
} copy_part;

template <int V> static __device__ __forceinline__ copy_part my_part(const copy_work &a) {
    int64_t line = blockIdx.x / a.tiles * blockDim.y + threadIdx.y;
    if (line >= a.lines) return {{0, 0}, 0, 0, 0};
    int64_t first = (blockIdx.x % a.tiles * PACKS_A_THREAD * blockDim.x + threadIdx.x) * V;
    return {start_of(a.walk, line), first, (int64_t)blockDim.x * V, a.walk.length};
}

/* Words are 16 bytes, or one element: E elements. */
template <typename W, int E> static __global__ void copy_bits(const __grid_constant__ copy_work a) {
    copy_part p = my_part<E>(a);
    W words[PACKS_A_THREAD];
#pragma unroll
    for (int k = 0; k < PACKS_A_THREAD; k++) {
        int64_t i = p.first + k * p.step;
        if (i < p.end) words[k] = ((const W *)a.x)[(p.start.x + i * a.walk.x_step) / E];
    }
#pragma unroll
    for (int k = 0; k < PACKS_A_THREAD; k++) {
        int64_t i = p.first + k * p.step;
        if (i < p.end) ((W *)a.y)[(p.start.y + i * a.walk.y_step) / E] = words[k];
    }
}

/* Scale 0 does not read x. */
template <typename X, typename Y, int V>
static __device__ __forceinline__ void load_scaled(const copy_work &a, const X *x, const Y *y,
                                                   float (&v)[V]) {
    float old[V];
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = 0;
    if (a.scale != 0) lt_load_n<V>(x, v);
    if (a.accumulate) lt_load_n<V>(y, old);
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = a.scale * v[i] + (a.accumulate ? old[i] : 0.0f);
}

template <typename X, typename Y, int V>
static __global__ void copy_scaled(const __grid_constant__ copy_work a) {
    copy_part p = my_part<V>(a);
    const X *x = (const X *)a.x + p.start.x;
    Y *y = (Y *)a.y + p.start.y;
    float v[PACKS_A_THREAD][V];
#pragma unroll
    for (int k = 0; k < PACKS_A_THREAD; k++) {
        int64_t i = p.first + k * p.step;
        if (i < p.end) load_scaled<X, Y, V>(a, x + i * a.walk.x_step, y + i * a.walk.y_step, v[k]);
    }
#pragma unroll
    for (int k = 0; k < PACKS_A_THREAD; k++) {
        int64_t i = p.first + k * p.step;
        if (i < p.end) lt_store_n<V>(y + i * a.walk.y_step, v[k]);
    }
}

/* Whether lines begin and end at multiples of V elements of unit stride, aligned in both tensors. */
static bool walks_in_packs(const copy_work &a, int V, size_t x_size, size_t y_size) {
    const lt_copy_walk &w = a.walk;
    bool packs = w.x_step == 1 && w.y_step == 1 && w.length % V == 0 && (uintptr_t)a.x % (V * x_size) == 0 &&
                 (uintptr_t)a.y % (V * y_size) == 0;
    for (int d = 0; d < w.ndim; d++) packs = packs && w.x_stride[d] % V == 0 && w.y_stride[d] % V == 0;
    return packs;
}

/* Threads along a line, and lines a block; short lines share a warp. */
static dim3 cut_lines(copy_work *a, int V) {
    int64_t packs = lt_ceil_div(a->walk.length, V), x = 1;
    if (packs > 32) x = lt_ceil_div(lt_ceil_div(packs, PACKS_A_THREAD), 32) * 32;
    else
        while (x < packs) x *= 2;
    if (x > THREADS) x = THREADS;
    a->tiles = lt_ceil_div(packs, x * PACKS_A_THREAD);
    return dim3((unsigned)x, (unsigned)(THREADS / x));
}

template <typename X, typename Y, int V> static void launch_copy(lt_ctx *ctx, copy_work a) {
    dim3 block = cut_lines(&a, V);
    unsigned blocks = (unsigned)(lt_ceil_div(a.lines, block.y) * a.tiles);
    cudaStream_t stream = lt_cuda_stream(ctx);
    /* Equal dtypes at scale 1 move bits, whatever they mean. */
    typedef std::conditional_t<V == 1, X, uint4> word;
    if constexpr (std::is_same_v<X, Y>) {
        if (a.scale == 1 && !a.accumulate) {
            copy_bits<word, V><<<blocks, block, 0, stream>>>(a);
            return;
        }
    }
    copy_scaled<X, Y, V><<<blocks, block, 0, stream>>>(a);
}

template <typename X, typename Y> static lt_status run_copy(lt_ctx *ctx, const copy_work &a) {
    constexpr int V = 16 / (sizeof(X) > sizeof(Y) ? sizeof(X) : sizeof(Y));
    if (walks_in_packs(a, V, sizeof(X), sizeof(Y))) launch_copy<X, Y, V>(ctx, a);
    else launch_copy<X, Y, 1>(ctx, a);
    return lt_cuda_launched();
}

extern "C" lt_status lt_copy_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_copy_args *c = (const lt_copy_args *)args;
    int64_t count = lt_numel(&c->x);
    if (count == 0 || (c->scale == 0 && c->accumulate)) return LT_OK;
    copy_work a = {c->x.data, c->y.data, lt_copy_walk_of(&c->x, &c->y)};
    a.lines = count / a.walk.length;
    a.scale = (float)c->scale, a.accumulate = c->accumulate;
    LT_CUDA_BY_DTYPE(c->x.dtype, X, LT_CUDA_BY_DTYPE(c->y.dtype, Y, return (run_copy<X, Y>(ctx, a))));
}
