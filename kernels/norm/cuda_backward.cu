/* Backward passes, in one pass over x and dy: a block takes a strip of rows of one group; per row it sums the four row
 * sums, which give dx; per column each thread adds up the gradients of shift and scale, which leave as one partial row
 * a strip. A second kernel folds the strips in order.
 *
 * With d = x - mean and g = dy (1 + scale), of a row of n:
 *     dx = (g - sum(g) / n - d sum(g d) / (n deviation^2)) / deviation
 */
#include "kernels/elementwise/column_fold.cuh"
#include "kernels/elementwise/strips.h"
#include "kernels/norm/norm_rows.cuh"

typedef struct norm_backward_args {
    const void *dy, *x;
    void *dx;           /* or NULL */
    const float *scale; /* or NULL */
    float *partial;     /* [groups, strips, shift and scale (RMS norm: scale), columns] or NULL */
    int64_t dy_ld, x_ld, dx_ld, scale_ld;
    int64_t groups, rows, columns; /* rows of one group */
    int64_t strip, strips;         /* rows of a strip, strips of a group */
    float eps;
    bool add;
} norm_backward_args;

/* Warps of a block whose rows take one warp each; threads of one whose rows take the block, of which three should fit a
 * multiprocessor at 288 threads. */
enum { SHORT_WARPS = 8, MOST_THREADS = 896 };

typedef struct strip_range {
    int64_t group, begin, end; /* rows counted from the group's first */
} strip_range;

static __device__ __forceinline__ strip_range my_strip(const norm_backward_args &a) {
    int64_t begin = blockIdx.x % a.strips * a.strip, end = begin + a.strip;
    return {blockIdx.x / a.strips, begin, end < a.rows ? end : a.rows};
}

/* A thread's part of one row: loaded one row ahead of its use. */
typedef struct row_part {
    uint4 x, dy;
} row_part;

template <typename T>
static __device__ __forceinline__ row_part load_row(const norm_backward_args &a, int64_t row, int column) {
    return {lt_load_raw<T>(a.x, row * a.x_ld + column), lt_load_raw<T>(a.dy, row * a.dy_ld + column)};
}

template <typename T>
static __device__ __forceinline__ void add_to(float (&out)[lt_pack_of<T>], const uint4 &raw) {
    float more[lt_pack_of<T>];
    lt_unpack<T>(raw, more);
#pragma unroll
    for (int i = 0; i < lt_pack_of<T>; i++) out[i] += more[i];
}

/* V elements of 1 + scale, or of the weight; `scale` NULL: 1. */
template <bool CENTRED, int V>
static __device__ __forceinline__ void load_factor(const float *scale, float (&factor)[V]) {
#pragma unroll
    for (int i = 0; i < V; i += 4) {
        float four[4] = {};
        if (scale) lt_load_n<4>(scale + i, four);
#pragma unroll
        for (int j = 0; j < 4; j++) factor[i + j] = CENTRED || !scale ? 1.0f + four[j] : four[j];
    }
}

/* One row: turns x into d = x - mean, zero in threads without columns, and returns 1 / deviation; g = dy * factor,
 * `part` is 1 / n. RMS norm has one barrier a row, so its rows take shared memory in turns. The factors are read twice,
 * from cache: registers are dearer. */
template <bool WARP, bool CENTRED, int V>
static __device__ __forceinline__ float row_backward(float (&d)[V], const float (&dy)[V], const float *scale,
                                                     bool mine, float part, float eps, float (&dx)[V],
                                                     int turn) {
    __shared__ float shared[4][32];
    float mean[1] = {0}, sums[CENTRED ? 3 : 2] = {}, factor[V];
    if constexpr (CENTRED) {
#pragma unroll
        for (int i = 0; i < V; i++) mean[0] += d[i];
        sum_team<1, WARP>(mean, shared);
        mean[0] *= part;
    }
    load_factor<CENTRED>(scale, factor);
#pragma unroll
    for (int i = 0; i < V; i++) {
        float g = dy[i] * factor[i];
        d[i] = mine ? d[i] - mean[0] : 0.0f;
        sums[0] += d[i] * d[i];
        sums[1] += g * d[i];
        if constexpr (CENTRED) sums[2] += g;
    }
    sum_team<CENTRED ? 3 : 2, WARP>(sums, shared + (CENTRED ? 1 : turn % 2 * 2));
    float inverse = rsqrtf(sums[0] * part + eps), slope = sums[1] * inverse * inverse * part, mean_g = 0;
    if constexpr (CENTRED) mean_g = sums[2] * part;
    load_factor<CENTRED>(scale, factor);
#pragma unroll
    for (int i = 0; i < V; i++) dx[i] = inverse * (dy[i] * factor[i] - mean_g - d[i] * slope);
    return inverse;
}

template <int V> static __device__ __forceinline__ void store_floats(float *to, const float (&from)[V]) {
#pragma unroll
    for (int i = 0; i < V; i += 4) {
        float four[4] = {from[i], from[i + 1], from[i + 2], from[i + 3]};
        lt_store_n<4>(to + i, four);
    }
}

/* The block's partial row from those of its warps, which lie in `sums`, in order. */
template <int V, int SUMS>
static __device__ __forceinline__ void fold_warps(const float (&sums)[SHORT_WARPS][SUMS][32 * V],
                                                  float *partial, int columns) {
    for (int i = threadIdx.x; i < SUMS * 32 * V; i += 32 * SHORT_WARPS) {
        int k = i / (32 * V), c = i % (32 * V);
        if (c >= columns) continue;
        float sum = 0;
#pragma unroll
        for (int w = 0; w < SHORT_WARPS; w++) sum += sums[w][k][c];
        partial[k * columns + c] = sum;
    }
}

/* SHORT: each of eight warps takes every eighth row of the strip. Else the block takes row by row, a pack a thread. */
template <typename T, bool SHORT, bool CENTRED>
static __global__ void __launch_bounds__(SHORT ? 32 * SHORT_WARPS : MOST_THREADS)
    norm_backward_strip(norm_backward_args a) {
    constexpr int V = lt_pack_of<T>, SUMS = CENTRED ? 2 : 1, step = SHORT ? SHORT_WARPS : 1;
    strip_range strip = my_strip(a);
    int warp = SHORT ? threadIdx.x / 32 : 0, column = (threadIdx.x - 32 * warp) * V, columns = (int)a.columns;
    bool mine = column < columns;
    int64_t first = strip.group * a.rows + strip.begin;
    int row = warp, end = (int)(strip.end - strip.begin);
    const float *scale = mine && a.scale ? a.scale + strip.group * a.scale_ld + column : NULL;
    float sums[SUMS][V] = {}, part = 1.0f / (float)columns;
    row_part next = {};
    if (mine && row < end) next = load_row<T>(a, first + row, column);
    for (; row < end; row += step) {
        row_part now = next;
        if (mine && row + step < end) next = load_row<T>(a, first + row + step, column);
        float d[V], dy[V], dx[V];
        lt_unpack<T>(now.x, d), lt_unpack<T>(now.dy, dy);
        float inverse = row_backward<SHORT, CENTRED>(d, dy, scale, mine, part, a.eps, dx, row);
#pragma unroll
        for (int i = 0; i < V; i++) {
            if (CENTRED) sums[0][i] += dy[i];
            sums[SUMS - 1][i] += dy[i] * (d[i] * inverse);
        }
        if (!mine || !a.dx) continue;
        int64_t to = (first + row) * a.dx_ld + column;
        if (a.add) add_to<T>(dx, lt_load_raw<T>(a.dx, to));
        lt_store_n<V>((T *)a.dx + to, dx);
    }
    if (!a.partial) return;
    float *partial = a.partial + (int64_t)blockIdx.x * SUMS * columns;
    if constexpr (SHORT) {
        __shared__ alignas(16) float warps[SHORT_WARPS][SUMS][32 * V];
        for (int k = 0; k < SUMS; k++) store_floats(warps[warp][k] + column, sums[k]);
        __syncthreads();
        fold_warps<V, SUMS>(warps, partial, columns);
    } else if (mine) {
        for (int k = 0; k < SUMS; k++) store_floats(partial + k * columns + column, sums[k]);
    }
}

/* Any strides and any length: a thread's columns lie blockDim.x apart, and their sums in the partial row itself. */
template <typename T, bool CENTRED> static __global__ void norm_backward_plain(norm_backward_args a) {
    __shared__ float shared[4][32];
    strip_range strip = my_strip(a);
    const float *scale = a.scale + strip.group * a.scale_ld;
    float *partial = a.partial + (int64_t)blockIdx.x * (CENTRED ? 2 : 1) * a.columns, n = (float)a.columns;
    for (int64_t t = strip.begin; t < strip.end; t++) {
        int64_t row = strip.group * a.rows + t;
        const T *x = (const T *)a.x + row * a.x_ld, *dy = (const T *)a.dy + row * a.dy_ld;
        float mean[1] = {0}, sums[3] = {0, 0, 0};
        if (CENTRED) {
            for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) mean[0] += lt_load(x + c);
            sum_team<1, false>(mean, shared);
            mean[0] /= n;
        }
        for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) {
            float d = lt_load(x + c) - mean[0], g = lt_load(dy + c);
            if (a.scale) g *= CENTRED ? 1.0f + scale[c] : scale[c];
            sums[0] += d * d, sums[1] += g * d, sums[2] += g;
        }
        sum_team<3, false>(sums, shared + 1);
        float inverse = rsqrtf(sums[0] / n + a.eps), slope = sums[1] * inverse * inverse / n;
        float mean_g = CENTRED ? sums[2] / n : 0.0f;
        for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) {
            float d = lt_load(x + c) - mean[0], up = lt_load(dy + c), g = up;
            if (a.scale) g *= CENTRED ? 1.0f + scale[c] : scale[c];
            if (a.partial) {
                bool later = t > strip.begin;
                if (CENTRED) lt_store_or_add(partial + c, up, later);
                lt_store_or_add(partial + (CENTRED ? a.columns : 0) + c, up * (d * inverse), later);
            }
            if (a.dx)
                lt_store_or_add((T *)a.dx + row * a.dx_ld + c, inverse * (g - mean_g - d * slope), a.add);
        }
        if (!CENTRED) __syncthreads(); /* the next row's sums take the same shared memory */
    }
}

template <typename T, bool CENTRED> static lt_status run_strips(lt_ctx *ctx, const norm_backward_args &a) {
    int64_t n = a.columns, blocks = a.groups * a.strips, threads = n / lt_pack_of<T>;
    if (blocks == 0 || n == 0) return LT_OK;
    cudaStream_t stream = lt_cuda_stream(ctx);
    bool packs = lt_packs((const T *)a.x, n, a.x_ld) && lt_packs((const T *)a.dy, n, a.dy_ld) &&
                 lt_packs((const T *)a.dx, n, a.dx_ld) && lt_packs(a.scale, n, a.scale_ld);
    if (!packs || threads > MOST_THREADS)
        norm_backward_plain<T, CENTRED><<<(unsigned)blocks, threads_for(n, 256), 0, stream>>>(a);
    else if (threads <= 32)
        norm_backward_strip<T, true, CENTRED><<<(unsigned)blocks, 32 * SHORT_WARPS, 0, stream>>>(a);
    else
        norm_backward_strip<T, false, CENTRED>
            <<<(unsigned)blocks, threads_for(threads, MOST_THREADS), 0, stream>>>(a);
    return lt_cuda_launched();
}

extern "C" lt_status lt_norm_modulate_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_norm_modulate_backward_args *a = (const lt_norm_modulate_backward_args *)args;
    int64_t groups = a->x.shape[0], rows = a->x.shape[1], n = a->x.shape[2];
    norm_backward_args k = {a->dy.data, a->x.data, a->dx.data, (const float *)a->scale.data};
    k.partial = lt_is_empty(&a->dshift) ? NULL : (float *)workspace;
    k.dy_ld = k.x_ld = k.dx_ld = n, k.scale_ld = row_stride(&a->scale);
    k.groups = groups, k.rows = rows, k.columns = n;
    k.strip = lt_strip_rows(groups, rows), k.strips = lt_strips(groups, rows);
    k.eps = (float)a->eps, k.add = a->accumulate_dx && a->dx.data;
    LT_CUDA_BY_DTYPE(a->x.dtype, T, LT_TRY((run_strips<T, true>(ctx, k))));
    if (lt_is_empty(&a->dshift)) return LT_OK;
    lt_column_fold fold = {k.partial, groups, k.strips,
                           n,         2,      {(float *)a->dshift.data, (float *)a->dscale.data}};
    fold.ld[0] = row_stride(&a->dshift), fold.ld[1] = row_stride(&a->dscale), fold.add = a->accumulate_dmod;
    return lt_fold_columns(ctx, &fold);
}

extern "C" lt_status lt_rms_norm_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_rms_norm_backward_args *a = (const lt_rms_norm_backward_args *)args;
    lt_rows x = lt_rows_of(&a->x, 1), dy = lt_rows_of(&a->dy, 1), dx = lt_rows_of(&a->dx, 1);
    norm_backward_args k = {a->dy.data, a->x.data, a->dx.data, (const float *)a->weight.data};
    k.partial = lt_is_empty(&a->dweight) ? NULL : (float *)workspace;
    k.dy_ld = dy.ld, k.x_ld = x.ld, k.dx_ld = dx.ld;
    k.groups = 1, k.rows = x.rows, k.columns = x.columns;
    k.strip = lt_strip_rows(1, x.rows), k.strips = lt_strips(1, x.rows);
    k.eps = (float)a->eps, k.add = a->accumulate_dx && a->dx.data;
    LT_CUDA_BY_DTYPE(a->x.dtype, T, LT_TRY((run_strips<T, false>(ctx, k))));
    if (lt_is_empty(&a->dweight)) return LT_OK;
    lt_column_fold fold = {k.partial, 1, k.strips, x.columns, 1, {(float *)a->dweight.data}};
    fold.add = a->accumulate_dweight;
    return lt_fold_columns(ctx, &fold);
}
