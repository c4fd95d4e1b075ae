#include "kernels/attention/attention.h"
#include "kernels/attention/cuda_lists.cuh"

/* Sources a launch: what a kernel argument has room for. */
enum { FOLD = 192, SPREAD = 96, THREADS = 256, SPREAD_THREADS = 512 };

struct fold_plan {
    const float *S[FOLD], *z[FOLD];
    const float *weights; /* [weighted, H], or NULL */
    float *out_S, *out_z;
    int64_t S_size, z_size; /* a head */
    int heads, first, count, weighted;
    unsigned S_blocks;
};

static __device__ __forceinline__ float weight_of(const float *weights, int weighted, int e, int head,
                                                  int heads) {
    return weights && e < weighted ? weights[(int64_t)e * heads + head] : 1;
}

/* N elements of one head from `i` on. The sum stays in registers while the sources pass, so `out` may be the first of
 * them; a longer list goes on from `out`. */
template <int N>
static __device__ __forceinline__ void fold(const fold_plan &p, const float *const *sources, int head,
                                            int64_t i, float *out) {
    float sum[N];
    int e = 0;
    if (p.first == 0) {
        float w = weight_of(p.weights, p.weighted, 0, head, p.heads), x[N];
        lt_load_n<N>(sources[0] + i, x);
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] = w * x[k];
        e = 1;
    } else lt_load_n<N>(out + i, sum);
#pragma unroll 4
    for (; e < p.count; e++) {
        float w = weight_of(p.weights, p.weighted, p.first + e, head, p.heads), x[N];
        lt_load_n<N>(sources[e] + i, x);
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] = fmaf(w, x[k], sum[k]);
    }
    lt_store_n<N>(out + i, sum);
}

/* Grid: pieces of S, N elements a thread, then pieces of z. */
template <int N>
static __global__ void __launch_bounds__(THREADS) fold_sources(const __grid_constant__ fold_plan p) {
    if (blockIdx.x < p.S_blocks) {
        int64_t i = N * ((int64_t)blockIdx.x * THREADS + threadIdx.x);
        if (i < p.heads * p.S_size) fold<N>(p, p.S, (int)(i / p.S_size), i, p.out_S);
    } else {
        int64_t i = (int64_t)(blockIdx.x - p.S_blocks) * THREADS + threadIdx.x;
        if (i < p.heads * p.z_size) fold<1>(p, p.z, (int)(i / p.z_size), i, p.out_z);
    }
}

static const float *data_of(const lt_tensor *list, int i) { return (const float *)list[i].data; }

extern "C" lt_status lt_attn_combine_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)workspace;
    const lt_attn_combine_args *a = (const lt_attn_combine_args *)untyped;
    fold_plan p;
    p.heads = (int)a->out_S.shape[0];
    p.z_size = a->out_S.shape[1];
    p.S_size = p.z_size * p.z_size;
    p.out_S = (float *)a->out_S.data;
    p.out_z = (float *)a->out_z.data;
    p.weights = (const float *)a->weights.data;
    p.weighted = a->weighted;
    for (p.first = 0; p.first < a->count; p.first += p.count) {
        p.count = a->count - p.first < FOLD ? a->count - p.first : FOLD;
        bool wide = lt_fits_quads(p.S_size, p.out_S);
        for (int e = 0; e < p.count; e++) {
            p.S[e] = data_of(a->S, p.first + e);
            p.z[e] = data_of(a->z, p.first + e);
            wide = wide && lt_fits_quads(p.S_size, p.S[e]);
        }
        p.S_blocks = (unsigned)lt_ceil_div(p.heads * p.S_size, (wide ? 4 : 1) * THREADS);
        unsigned blocks = p.S_blocks + (unsigned)lt_ceil_div(p.heads * p.z_size, THREADS);
        if (wide) fold_sources<4><<<blocks, THREADS, 0, lt_cuda_stream(ctx)>>>(p);
        else fold_sources<1><<<blocks, THREADS, 0, lt_cuda_stream(ctx)>>>(p);
        LT_TRY(lt_cuda_launched());
    }
    return LT_OK;
}

struct spread_plan {
    const float *S[SPREAD], *z[SPREAD]; /* NULL: no gradient of the weight */
    float *dS_e[SPREAD], *dz_e[SPREAD]; /* NULL: skipped */
    bool add[SPREAD];
    const float *dS, *dz, *weights;
    float *dweights;
    int64_t S_size, z_size;
    int heads, first, weighted;
    bool add_weights;
};

/* One head of one tensor of one source: to (+)= w from, and this thread's share of <from, source>. */
template <int N>
static __device__ __forceinline__ float spread(int64_t size, float w, const float *__restrict__ from,
                                               const float *__restrict__ source, float *to, bool add) {
    float dot = 0;
#pragma unroll 2
    for (int64_t i = N * (int64_t)threadIdx.x; i < size; i += N * SPREAD_THREADS) {
        float d[N], x[N];
        lt_load_n<N>(from + i, d);
        if (source) {
            lt_load_n<N>(source + i, x);
#pragma unroll
            for (int k = 0; k < N; k++) dot = fmaf(d[k], x[k], dot);
        }
        if (!to) continue;
        if (add) {
            lt_load_n<N>(to + i, x);
#pragma unroll
            for (int k = 0; k < N; k++) d[k] = fmaf(w, d[k], x[k]);
        } else {
#pragma unroll
            for (int k = 0; k < N; k++) d[k] *= w;
        }
        lt_store_n<N>(to + i, d);
    }
    return dot;
}

/* Grid: heads, sources. */
template <int N>
static __global__ void __launch_bounds__(SPREAD_THREADS)
    spread_sources(const __grid_constant__ spread_plan p) {
    __shared__ float sums[32];
    int head = blockIdx.x, i = blockIdx.y, e = p.first + i;
    int64_t S_at = head * p.S_size, z_at = head * p.z_size;
    float w = weight_of(p.weights, p.weighted, e, head, p.heads);
    const float *S = p.S[i], *z = p.z[i];
    float *dS_e = p.dS_e[i], *dz_e = p.dz_e[i];
    float dot = spread<N>(p.S_size, w, p.dS + S_at, S ? S + S_at : S, dS_e ? dS_e + S_at : dS_e, p.add[i]);
    dot += spread<1>(p.z_size, w, p.dz + z_at, z ? z + z_at : z, dz_e ? dz_e + z_at : dz_e, p.add[i]);
    if (!S) return;
    dot = lt_block_sum(dot, sums);
    if (threadIdx.x == 0) lt_store_or_add(p.dweights + (int64_t)e * p.heads + head, dot, p.add_weights);
}

static float *gradient_of(const lt_tensor *list, int e) { return list ? (float *)list[e].data : NULL; }

/* Whether a source's gradient already goes to one of `count` before it: then it has to wait for them. */
static bool meets(const spread_plan *p, int count, const float *dS_e, const float *dz_e) {
    for (int i = 0; i < count; i++)
        if ((dS_e && p->dS_e[i] == dS_e) || (dz_e && p->dz_e[i] == dz_e)) return true;
    return false;
}

/* Takes sources from p->first on into one launch; returns how many, and whether all can be moved in quads. */
static int gather(const lt_attn_combine_backward_args *a, spread_plan *p, bool *wide) {
    int count = 0;
    *wide = lt_fits_quads(p->S_size, p->dS);
    for (int e = p->first; e < a->count && count < SPREAD; e++, count++) {
        float *dS_e = gradient_of(a->dS_e, e), *dz_e = gradient_of(a->dz_e, e);
        if (meets(p, count, dS_e, dz_e)) break;
        bool source = p->dweights && e < a->weighted;
        p->S[count] = source ? data_of(a->S, e) : NULL;
        p->z[count] = source ? data_of(a->z, e) : NULL;
        p->dS_e[count] = dS_e;
        p->dz_e[count] = dz_e;
        p->add[count] = a->accumulate && a->accumulate[e];
        *wide = *wide && lt_fits_quads(p->S_size, p->S[count]) && lt_fits_quads(p->S_size, dS_e);
    }
    return count;
}

extern "C" lt_status lt_attn_combine_backward_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)workspace;
    const lt_attn_combine_backward_args *a = (const lt_attn_combine_backward_args *)untyped;
    spread_plan p;
    p.heads = (int)a->dS.shape[0];
    p.z_size = a->dS.shape[1];
    p.S_size = p.z_size * p.z_size;
    p.dS = (const float *)a->dS.data;
    p.dz = (const float *)a->dz.data;
    p.weights = (const float *)a->weights.data;
    p.dweights = (float *)a->dweights.data;
    p.weighted = a->weighted;
    p.add_weights = a->accumulate_dweights;
    for (p.first = 0; p.first < a->count;) {
        bool wide;
        int count = gather(a, &p, &wide);
        dim3 grid((unsigned)p.heads, (unsigned)count);
        if (wide) spread_sources<4><<<grid, SPREAD_THREADS, 0, lt_cuda_stream(ctx)>>>(p);
        else spread_sources<1><<<grid, SPREAD_THREADS, 0, lt_cuda_stream(ctx)>>>(p);
        LT_TRY(lt_cuda_launched());
        p.first += count;
    }
    return LT_OK;
}
