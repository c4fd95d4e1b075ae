#include "kernels/attention/combine_plan.h"
#include "kernels/attention/cuda_lists.cuh"

#include <string.h>

enum { THREADS = 256, DOT_THREADS = 512 };

/* A plan of few items: most of a launch's time on the host goes by the size of its arguments. */
struct few_plan {
    int lists, heads;
    int64_t S_size, z_size;
    lt_fold_list list[16];
    lt_fold_item item[128];
};

/* N elements of S or z from `i` on, which belong to one head. The sum stays in registers while the items pass, so the
 * result may be the first of them. */
template <int N, bool OF_S, typename P>
static __device__ __forceinline__ void fold(const P &p, int head, int64_t i) {
    const lt_fold_list &list = p.list[blockIdx.y];
    float *out = OF_S ? list.S : list.z, sum[N];
    if (!out) return;
    int e = list.first, end = list.first + list.count;
    if (list.adds) lt_load_n<N>(out + i, sum);
    else {
        const lt_fold_item &item = p.item[e++];
        float w = item.w ? item.w[head] : 1, x[N];
        lt_load_n<N>((OF_S ? item.S : item.z) + i, x);
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] = w * x[k];
    }
#pragma unroll 4
    for (; e < end; e++) {
        const lt_fold_item &item = p.item[e];
        float w = item.w ? item.w[head] : 1, x[N];
        lt_load_n<N>((OF_S ? item.S : item.z) + i, x);
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] = fmaf(w, x[k], sum[k]);
    }
    lt_store_n<N>(out + i, sum);
}

/* Grid: pieces of S, N elements a thread, then pieces of z; lists. */
template <int N, typename P>
static __global__ void __launch_bounds__(THREADS) fold_lists(const __grid_constant__ P p, unsigned S_blocks) {
    if (blockIdx.x < S_blocks) {
        int64_t i = N * ((int64_t)blockIdx.x * THREADS + threadIdx.x);
        if (i < p.heads * p.S_size) fold<N, true>(p, (int)(i / p.S_size), i);
    } else {
        int64_t i = (int64_t)(blockIdx.x - S_blocks) * THREADS + threadIdx.x;
        if (i < p.heads * p.z_size) fold<1, false>(p, (int)(i / p.z_size), i);
    }
}

template <typename P> static lt_status launch_fold(lt_ctx *ctx, const P &p, bool wide) {
    unsigned S_blocks = (unsigned)lt_ceil_div(p.heads * p.S_size, (wide ? 4 : 1) * THREADS);
    dim3 grid(S_blocks + (unsigned)lt_ceil_div(p.heads * p.z_size, THREADS), (unsigned)p.lists);
    if (wide) fold_lists<4><<<grid, THREADS, 0, lt_cuda_stream(ctx)>>>(p, S_blocks);
    else fold_lists<1><<<grid, THREADS, 0, lt_cuda_stream(ctx)>>>(p, S_blocks);
    return lt_cuda_launched();
}

static lt_status run_plan(lt_ctx *ctx, const lt_fold_plan *p) {
    int items = p->list[p->lists - 1].first + p->list[p->lists - 1].count;
    bool wide = true;
    for (int l = 0; l < p->lists; l++) wide = wide && lt_fits_quads(p->S_size, p->list[l].S);
    for (int e = 0; e < items; e++) wide = wide && lt_fits_quads(p->S_size, p->item[e].S);
    few_plan few = {p->lists, p->heads, p->S_size, p->z_size};
    if (p->lists > (int)(sizeof few.list / sizeof *few.list) ||
        items > (int)(sizeof few.item / sizeof *few.item))
        return launch_fold(ctx, *p, wide);
    memcpy(few.list, p->list, p->lists * sizeof *few.list);
    memcpy(few.item, p->item, items * sizeof *few.item);
    return launch_fold(ctx, few, wide);
}

extern "C" lt_status lt_attn_combine_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)workspace;
    const lt_attn_combine_args *a = (const lt_attn_combine_args *)untyped;
    lt_plan_place place = {0, 0};
    lt_fold_plan plan;
    while (lt_fold_next(a, &place, &plan)) LT_TRY(run_plan(ctx, &plan));
    return LT_OK;
}

/* This thread's share of <a, b>. */
template <int N>
static __device__ __forceinline__ float share(int64_t size, const float *__restrict__ a,
                                              const float *__restrict__ b) {
    float dot = 0;
#pragma unroll 2
    for (int64_t i = N * (int64_t)threadIdx.x; i < size; i += N * DOT_THREADS) {
        float x[N], y[N];
        lt_load_n<N>(a + i, x);
        lt_load_n<N>(b + i, y);
#pragma unroll
        for (int k = 0; k < N; k++) dot = fmaf(x[k], y[k], dot);
    }
    return dot;
}

/* Grid: heads, items. */
template <int N>
static __global__ void __launch_bounds__(DOT_THREADS) weigh(const __grid_constant__ lt_dot_plan p) {
    __shared__ float sums[32];
    const lt_dot_item &item = p.item[blockIdx.y];
    int64_t S_at = blockIdx.x * p.S_size, z_at = blockIdx.x * p.z_size;
    float dot = share<N>(p.S_size, item.dS + S_at, item.S + S_at);
    dot += share<1>(p.z_size, item.dz + z_at, item.z + z_at);
    dot = lt_block_sum(dot, sums);
    if (threadIdx.x == 0) lt_store_or_add(item.dw + blockIdx.x, dot, item.adds);
}

static lt_status launch_dots(lt_ctx *ctx, const lt_dot_plan *p) {
    bool wide = true;
    for (int i = 0; i < p->items; i++)
        wide = wide && lt_fits_quads(p->S_size, p->item[i].S) && lt_fits_quads(p->S_size, p->item[i].dS);
    dim3 grid((unsigned)p->heads, (unsigned)p->items);
    if (wide) weigh<4><<<grid, DOT_THREADS, 0, lt_cuda_stream(ctx)>>>(*p);
    else weigh<1><<<grid, DOT_THREADS, 0, lt_cuda_stream(ctx)>>>(*p);
    return lt_cuda_launched();
}

extern "C" lt_status lt_attn_combine_backward_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)workspace;
    const lt_attn_combine_backward_args *a = (const lt_attn_combine_backward_args *)untyped;
    lt_plan_place place = {0, 0}, weights = {0, 0};
    lt_fold_plan plan;
    lt_dot_plan dots;
    while (lt_spread_next(a, &place, &plan)) LT_TRY(run_plan(ctx, &plan));
    while (lt_dots_next(a, &weights, &dots)) LT_TRY(launch_dots(ctx, &dots));
    return LT_OK;
}
