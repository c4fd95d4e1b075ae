/* Gated residual and its gradients, and those of the broadcast sum. A thread keeps its columns and walks down the rows,
 * so that the gate is read once and a column's sum stays in registers. */
#include "kernels/cuda_e4m3.h"
#include "kernels/elementwise/access.cuh"
#include "kernels/elementwise/column_fold.cuh"
#include "kernels/elementwise/cuda_codes.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/elementwise/strips.h"

/* Rows that a thread loads before it uses the first, and rows a thread of the forward pass. */
enum { AHEAD = 4, FORWARD_ROWS = 2 * AHEAD, MOST_COLUMNS = 512, THREADS = 256 };

typedef struct gated_args {
    const void *x, *h; /* backward: dy and h or NULL */
    void *y;           /* backward: dh or NULL */
    const float *gate; /* NULL: 1 */
    float *partial;    /* backward: [groups, strips, columns] or NULL */
    int64_t gate_ld, rows, columns;
    int64_t strip, strips, tiles; /* rows a strip, strips a group, tiles of columns */
    bool add;
} gated_args;

/* What a thread works on: V columns of every blockDim.y-th row of a strip. */
typedef struct strip_part {
    int64_t group, column, first, row, end; /* first: offset of the group's row 0 in these columns */
    int64_t strip;                          /* counted over all groups */
    bool mine;
} strip_part;

template <int V> static __device__ __forceinline__ strip_part my_part(const gated_args &a) {
    strip_part p;
    p.strip = blockIdx.x / a.tiles;
    p.group = p.strip / a.strips;
    p.column = (blockIdx.x % a.tiles * blockDim.x + threadIdx.x) * V;
    p.mine = p.column < a.columns;
    p.first = p.group * a.rows * a.columns + p.column;
    int64_t begin = p.strip % a.strips * a.strip;
    p.row = begin + threadIdx.y;
    p.end = begin + a.strip < a.rows ? begin + a.strip : a.rows;
    return p;
}

template <int V>
static __device__ __forceinline__ void load_gate(const gated_args &a, const strip_part &p, float (&gate)[V]) {
    constexpr int F = V < 4 ? V : 4;
#pragma unroll
    for (int i = 0; i < V; i += F) {
        float part[F];
        if (a.gate && p.mine) lt_load_n<F>(a.gate + p.group * a.gate_ld + p.column + i, part);
#pragma unroll
        for (int j = 0; j < F; j++) gate[i + j] = a.gate && p.mine ? part[j] : 1.0f;
    }
}

/* V elements as they lie in memory: 16 bytes, or one element. */
template <typename T, int V> struct raw_of { typedef uint4 type; };
template <typename T> struct raw_of<T, 1> { typedef T type; };
template <typename T>
static __device__ __forceinline__ void unpack(const uint4 &raw, float (&out)[lt_pack_of<T>]) {
    lt_unpack<T>(raw, out);
}
template <typename T> static __device__ __forceinline__ void unpack(const T &raw, float (&out)[1]) {
    out[0] = lt_load(&raw);
}
template <typename T, int V>
static __device__ __forceinline__ typename raw_of<T, V>::type load_raw(const void *data, int64_t offset) {
    return *reinterpret_cast<const typename raw_of<T, V>::type *>((const T *)data + offset);
}

/* y may be x. */
template <typename T, int V> static __global__ void __launch_bounds__(MOST_COLUMNS) gated_rows(gated_args a) {
    strip_part p = my_part<V>(a);
    if (!p.mine) return;
    float gate[V];
    load_gate(a, p, gate);
    for (; p.row < p.end; p.row += AHEAD * blockDim.y) {
        typename raw_of<T, V>::type x[AHEAD], h[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int64_t row = p.row + i * blockDim.y, at = p.first + row * a.columns;
            if (row < p.end) x[i] = load_raw<T, V>(a.x, at), h[i] = load_raw<T, V>(a.h, at);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int64_t row = p.row + i * blockDim.y;
            if (row >= p.end) break;
            float vx[V], vh[V];
            unpack<T>(x[i], vx), unpack<T>(h[i], vh);
#pragma unroll
            for (int j = 0; j < V; j++) vx[j] += gate[j] * vh[j];
            lt_store_n<V>((T *)a.y + p.first + row * a.columns, vx);
        }
    }
}

/* The sums of the block's rows of threads, in order, to its partial row. */
template <int V>
static __device__ __forceinline__ void store_partial(const gated_args &a, const strip_part &p,
                                                     float (&sum)[V]) {
    constexpr int F = V < 4 ? V : 4;
    __shared__ float sums[V][THREADS];
    if (blockDim.y > 1) {
        int columns = blockDim.x, thread = threadIdx.y * columns + threadIdx.x;
#pragma unroll
        for (int i = 0; i < V; i++) sums[i][thread] = sum[i];
        __syncthreads();
        for (int t = threadIdx.x + columns; threadIdx.y == 0 && t < columns * blockDim.y; t += columns)
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += sums[i][t];
    }
    if (threadIdx.y > 0 || !p.mine) return;
#pragma unroll
    for (int i = 0; i < V; i += F) {
        float part[F];
#pragma unroll
        for (int j = 0; j < F; j++) part[j] = sum[i + j];
        lt_store_n<F>(a.partial + p.strip * a.columns + p.column + i, part);
    }
}

/* dh (+)= gate * dy, and the strip's sum of h * dy; x is dy, y is dh. */
template <typename T, int V>
static __global__ void __launch_bounds__(MOST_COLUMNS) gated_backward_rows(gated_args a) {
    strip_part p = my_part<V>(a);
    float gate[V], sum[V] = {};
    load_gate(a, p, gate);
    for (; p.mine && p.row < p.end; p.row += AHEAD * blockDim.y) {
        typename raw_of<T, V>::type dy[AHEAD], h[AHEAD], old[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int64_t row = p.row + i * blockDim.y, at = p.first + row * a.columns;
            if (row >= p.end) break;
            dy[i] = load_raw<T, V>(a.x, at);
            if (a.partial) h[i] = load_raw<T, V>(a.h, at);
            if (a.add) old[i] = load_raw<T, V>(a.y, at);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int64_t row = p.row + i * blockDim.y;
            if (row >= p.end) break;
            float up[V], other[V];
            unpack<T>(dy[i], up);
            if (a.partial) {
                unpack<T>(h[i], other);
#pragma unroll
                for (int j = 0; j < V; j++) sum[j] += other[j] * up[j];
            }
            if (!a.y) continue;
            if (a.add) unpack<T>(old[i], other);
#pragma unroll
            for (int j = 0; j < V; j++) up[j] = gate[j] * up[j] + (a.add ? other[j] : 0.0f);
            lt_store_n<V>((T *)a.y + p.first + row * a.columns, up);
        }
    }
    if (a.partial) store_partial(a, p, sum);
}

/* Threads along the columns in whole warps, the rest of THREADS along the rows. */
static dim3 block_for(int64_t packs, int64_t *tiles) {
    *tiles = lt_ceil_div(packs, MOST_COLUMNS);
    unsigned x = 32 * (unsigned)lt_ceil_div(lt_ceil_div(packs, *tiles), 32);
    return dim3(x, x < THREADS ? THREADS / x : 1);
}

/* Fills in how the columns are cut, and the strips where the forward pass may choose them. */
template <typename T, int V>
static void launch_gated(lt_ctx *ctx, gated_args a, int64_t groups, bool backward) {
    dim3 block = block_for(a.columns / V, &a.tiles);
    if (!backward) a.strip = FORWARD_ROWS * block.y, a.strips = lt_ceil_div(a.rows, a.strip);
    unsigned blocks = (unsigned)(groups * a.strips * a.tiles);
    if (backward) gated_backward_rows<T, V><<<blocks, block, 0, lt_cuda_stream(ctx)>>>(a);
    else gated_rows<T, V><<<blocks, block, 0, lt_cuda_stream(ctx)>>>(a);
}

template <typename T>
static lt_status run_gated(lt_ctx *ctx, const gated_args &a, int64_t groups, bool backward) {
    int64_t n = a.columns;
    if (groups * a.rows * n == 0) return LT_OK;
    bool packs = lt_packs((const T *)a.x, n, n) && lt_packs((const T *)a.h, n, n) &&
                 lt_packs((const T *)a.y, n, n) && lt_packs(a.gate, n, a.gate_ld);
    if (packs) launch_gated<T, lt_pack_of<T>>(ctx, a, groups, backward);
    else launch_gated<T, 1>(ctx, a, groups, backward);
    return lt_cuda_launched();
}

extern "C" lt_status lt_gated_residual_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_gated_residual_args *a = (const lt_gated_residual_args *)args;
    bool coded = !lt_is_empty(&a->codes), done = false;
    if (coded) LT_TRY(lt_gated_residual_codes(ctx, a, &done));
    if (done) return LT_OK;
    gated_args k = {a->x.data, a->h.data, a->y.data, (const float *)a->gate.data};
    k.gate_ld = lt_is_empty(&a->gate) ? 0 : a->gate.stride[0];
    k.rows = a->x.shape[1], k.columns = a->x.shape[2];
    LT_CUDA_BY_DTYPE(a->x.dtype, T, LT_TRY(run_gated<T>(ctx, k, a->x.shape[0], false)));
    if (!coded) return LT_OK;
    return lt_e4m3_rows_to(ctx, &a->y, (uint8_t *)a->codes.data, (float *)a->codes_scale.data);
}

extern "C" lt_status lt_gated_residual_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_gated_residual_backward_args *a = (const lt_gated_residual_backward_args *)args;
    int64_t groups = a->dy.shape[0];
    bool sums = !lt_is_empty(&a->dgate);
    gated_args k = {a->dy.data, sums ? a->h.data : NULL, a->dh.data, (const float *)a->gate.data};
    k.partial = sums ? (float *)workspace : NULL;
    k.gate_ld = lt_is_empty(&a->gate) ? 0 : a->gate.stride[0];
    k.rows = a->dy.shape[1], k.columns = a->dy.shape[2];
    k.strip = lt_strip_rows(groups, k.rows), k.strips = lt_strips(groups, k.rows);
    k.add = a->accumulate_dh && a->dh.data;
    LT_CUDA_BY_DTYPE(a->dy.dtype, T, LT_TRY(run_gated<T>(ctx, k, groups, true)));
    if (!sums) return LT_OK;
    lt_column_fold fold = {k.partial, groups, k.strips, k.columns, 1, {(float *)a->dgate.data}};
    fold.ld[0] = a->dgate.stride[0], fold.add = a->accumulate_dgate;
    return lt_fold_columns(ctx, &fold);
}

/* da sums the groups; db sums the rows of a group, or, with as many rows as dy, is dy. */
extern "C" lt_status lt_add_broadcast_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_add_broadcast_backward_args *a = (const lt_add_broadcast_backward_args *)args;
    int64_t groups = a->dy.shape[0], rows = a->dy.shape[1], n = a->dy.shape[2];
    const float *dy = (const float *)a->dy.data;
    lt_column_fold da = {dy, 1, groups, rows * n, 1, {(float *)a->da.data}, {0}, a->accumulate_da};
    if (!lt_is_empty(&a->da)) LT_TRY(lt_fold_columns(ctx, &da));
    if (lt_is_empty(&a->db)) return LT_OK;
    bool single = a->db.shape[1] == 1;
    lt_column_fold db = {dy, groups, rows, n, 1, {(float *)a->db.data}, {n}, a->accumulate_db};
    if (!single) db.pieces = 1, db.columns = rows * n, db.ld[0] = rows * n;
    return lt_fold_columns(ctx, &db);
}
