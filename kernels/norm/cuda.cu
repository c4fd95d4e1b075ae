/* Forward passes. A row is read once: it stays in the registers of a warp, or of a block of 256 threads where it is
 * long, while its mean, then its variance about that mean, are summed. Rows that cannot be read 16 bytes at a time, or
 * that are longer than 18432, or that have a gain, take the plain kernel, which reads them from cache instead. */
#include "kernels/e4m3.cuh"
#include "kernels/norm/norm_rows.cuh"
#include "kernels/rows.h"

typedef struct norm_args {
    const void *x;
    void *y;
    const float *shift, *scale; /* NULL: absent. RMS norm: scale is its weight, shift its gain */
    int64_t x_ld, y_ld, shift_ld, scale_ld;
    int64_t rows, group_rows, columns;
    float eps;
    /* A branch to add first: what is normalised is sum = x + gate * h. Rows as x has them. */
    const void *h;
    void *sum;
    const float *gate; /* NULL: 1 */
    int64_t gate_ld;
    float *y_scale; /* of y in e4m3 */
} norm_args;

/* x + gate * h, rounded as it is stored. */
template <typename T, int V>
static __device__ __forceinline__ void add_branch(float (&x)[V], const float (&h)[V], const float *gate) {
    constexpr int F = V < 4 ? V : 4;
#pragma unroll
    for (int i = 0; i < V; i += F) {
        float factor[F];
        if (gate) lt_load_n<F>(gate + i, factor);
#pragma unroll
        for (int j = 0; j < F; j++) x[i + j] += (gate ? factor[j] : 1.0f) * h[i + j];
    }
}

/* A thread's packs of a row of x; with BRANCH of the sum, which it stores. All loads before the first use. */
template <typename T, int K, bool BRANCH>
static __device__ __forceinline__ void load_packs(const norm_args &a, int64_t row, int first, int step,
                                                  uint4 (&raw)[K]) {
    constexpr int V = lt_pack_of<T>;
    int64_t at = row * a.x_ld + first;
    uint4 h[BRANCH ? K : 1];
#pragma unroll
    for (int k = 0; k < K; k++) {
        raw[k] = {};
        if (first + k * step >= a.columns) continue;
        raw[k] = lt_load_raw<T>(a.x, at + k * step);
        if constexpr (BRANCH) h[k] = lt_load_raw<T>(a.h, at + k * step);
    }
    if constexpr (BRANCH) {
        const float *gate = a.gate ? a.gate + row / a.group_rows * a.gate_ld + first : NULL;
#pragma unroll
        for (int k = 0; k < K; k++) {
            float x[V], branch[V];
            if (first + k * step >= a.columns) continue;
            lt_unpack<T>(raw[k], x), lt_unpack<T>(h[k], branch);
            add_branch<T>(x, branch, gate ? gate + k * step : NULL);
            raw[k] = lt_repack<T>(x);
            lt_store_raw<T>(a.sum, at + k * step, raw[k]);
        }
    }
}

/* V elements of (x - mean) * inverse * (1 + scale) + shift; without scale there is no shift either. RMS norm: of x *
 * inverse * (scale * shift), where shift, its gain, may be absent. */
template <bool CENTRED, int V>
static __device__ __forceinline__ void modulate(float (&v)[V], float mean, float inverse, const float *shift,
                                                const float *scale) {
    constexpr int F = V < 4 ? V : 4;
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = (v[i] - mean) * inverse;
    if (!scale) return;
#pragma unroll
    for (int i = 0; i < V; i += F) {
        float factor[F], offset[F] = {};
        lt_load_n<F>(scale + i, factor);
        if (CENTRED || shift) lt_load_n<F>(shift + i, offset);
#pragma unroll
        for (int j = 0; j < F; j++)
            v[i + j] = CENTRED ? v[i + j] * (1.0f + factor[j]) + offset[j]
                               : v[i + j] * (shift ? factor[j] * offset[j] : factor[j]);
    }
}

/* A thread's packs of y to memory in e4m3. */
template <typename T, bool WARP, int K>
static __device__ __forceinline__ void store_codes(const norm_args &a, int64_t row, int first, int step,
                                                   const uint4 (&y)[K]) {
    __shared__ unsigned shared[32];
    unsigned largest = __float_as_uint(LT_E4M3_LEAST);
#pragma unroll
    for (int k = 0; k < K; k++)
        if (first + k * step < a.columns) largest = lt_e4m3_larger<T>(largest, y[k]);
    float most = lt_e4m3_team_largest<WARP>(largest, shared), factor = lt_e4m3_factor(most);
    if (first == 0) a.y_scale[row] = lt_e4m3_scale(most);
    uint8_t *codes = (uint8_t *)a.y + row * a.y_ld + first;
#pragma unroll
    for (int k = 0; k < K; k++)
        if (first + k * step < a.columns) lt_e4m3_store<T>(codes + k * step, y[k], factor);
}

/* E elements of a row a thread, in packs of 16 bytes, which stay packed: registers are what limits the rows in flight.
 * CODED: y is rounded to T, then to e4m3; rows from the last on, as kernels/cuda_e4m3.cu takes them. */
template <typename T, int E, bool WARP, bool CENTRED, bool BRANCH, bool CODED>
static __global__ void __launch_bounds__(WARP ? 32 * ROWS_A_BLOCK : LONG_ROW_THREADS, WARP ? 5 : 1)
    norm_rows(norm_args a) {
    constexpr int V = lt_pack_of<T>, K = E / V, step = (WARP ? 32 : LONG_ROW_THREADS) * V;
    int64_t row = WARP ? (int64_t)blockIdx.x * ROWS_A_BLOCK + threadIdx.x / 32 : blockIdx.x;
    if (row >= a.rows) return; /* a whole warp; never where a row takes the block */
    if (CODED) row = a.rows - 1 - row;
    int first = (WARP ? threadIdx.x % 32 : threadIdx.x) * V, columns = (int)a.columns;
    uint4 raw[K];
    load_packs<T, K, BRANCH>(a, row, first, step, raw);
    float mean, inverse;
    moments<T, WARP, CENTRED>(raw, first, step, columns, a.eps, &mean, &inverse);
    int64_t g = row / a.group_rows;
    const float *shift = a.shift + g * a.shift_ld, *scale = a.scale + g * a.scale_ld;
#pragma unroll
    for (int k = 0; k < K; k++) {
        int c = first + k * step;
        float v[V];
        if (c >= columns) break;
        lt_unpack<T>(raw[k], v);
        modulate<CENTRED>(v, mean, inverse, CENTRED ? shift + c : NULL, a.scale ? scale + c : NULL);
        if constexpr (CODED) raw[k] = lt_repack<T>(v);
        else lt_store_raw<T>(a.y, row * a.y_ld + c, lt_repack<T>(v));
    }
    if constexpr (CODED) store_codes<T, WARP>(a, row, first, step, raw);
}

template <typename T>
static __device__ __forceinline__ void add_branch_to_row(const norm_args &a, int64_t row) {
    const float *gate = a.gate ? a.gate + row / a.group_rows * a.gate_ld : NULL;
    for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) {
        int64_t at = row * a.x_ld + c;
        float x[1] = {lt_load((const T *)a.x + at)}, h[1] = {lt_load((const T *)a.h + at)};
        add_branch<T>(x, h, gate ? gate + c : NULL);
        lt_store((T *)a.sum + at, x[0]);
    }
}

/* In e4m3, with y computed twice. */
template <typename T, typename Value>
static __device__ __forceinline__ void store_plain_codes(const norm_args &a, int64_t row, Value value) {
    __shared__ unsigned shared[32];
    unsigned largest = __float_as_uint(LT_E4M3_LEAST);
    uint8_t *codes = (uint8_t *)a.y + row * a.y_ld;
    T y;
    for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x)
        lt_store(&y, value(c)), largest = lt_e4m3_larger(largest, lt_load(&y));
    float most = lt_e4m3_team_largest<false>(largest, shared), factor = lt_e4m3_factor(most);
    if (threadIdx.x == 0) a.y_scale[row] = lt_e4m3_scale(most);
    for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x)
        lt_store(&y, value(c)), codes[c] = lt_e4m3_code(lt_load(&y), factor);
}

/* Any strides and any length; a block a row. */
template <typename T, bool CENTRED, bool BRANCH, bool CODED>
static __global__ void norm_plain_rows(norm_args a) {
    __shared__ float shared[2][32];
    int64_t row = blockIdx.x, g = row / a.group_rows;
    if (BRANCH) add_branch_to_row<T>(a, row);
    const T *x = (const T *)(BRANCH ? a.sum : a.x) + row * a.x_ld; /* each thread reads what it wrote */
    const float *shift = a.shift + g * a.shift_ld, *scale = a.scale + g * a.scale_ld;
    float sum[1] = {0}, squares[1] = {0}, mean = 0;
    if (CENTRED) {
        for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) sum[0] += lt_load(x + c);
        sum_team<1, false>(sum, shared);
        mean = sum[0] / (float)a.columns;
    }
    for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) {
        float d = lt_load(x + c) - mean;
        squares[0] += d * d;
    }
    sum_team<1, false>(squares, shared + 1);
    float inverse = rsqrtf(squares[0] / (float)a.columns + a.eps);
    auto value = [&](int64_t c) {
        float v[1] = {lt_load(x + c)};
        modulate<CENTRED>(v, mean, inverse, a.shift ? shift + c : NULL, a.scale ? scale + c : NULL);
        return v[0];
    };
    if constexpr (CODED) return store_plain_codes<T>(a, row, value);
    T *y = (T *)a.y + row * a.y_ld;
    for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) lt_store(y + c, value(c));
}

template <typename T, int E, bool WARP, bool CENTRED, bool BRANCH, bool CODED>
static void launch_rows(const norm_args &a, cudaStream_t stream) {
    unsigned blocks = (unsigned)lt_ceil_div(a.rows, WARP ? ROWS_A_BLOCK : 1);
    unsigned threads = WARP ? 32 * ROWS_A_BLOCK : LONG_ROW_THREADS;
    norm_rows<T, E, WARP, CENTRED, BRANCH, CODED><<<blocks, threads, 0, stream>>>(a);
}

template <typename T, bool CENTRED, bool BRANCH, bool CODED>
static lt_status run_rows(lt_ctx *ctx, const norm_args &a) {
    int64_t n = a.columns;
    if (a.rows == 0 || n == 0) return LT_OK;
    cudaStream_t stream = lt_cuda_stream(ctx);
    bool packs = lt_packs((const T *)a.x, n, a.x_ld) && lt_packs((const T *)a.y, n, a.y_ld) &&
                 lt_packs(a.shift, n, a.shift_ld) && lt_packs(a.scale, n, a.scale_ld) &&
                 lt_packs((const T *)a.h, n, a.x_ld) && lt_packs((const T *)a.sum, n, a.x_ld) &&
                 lt_packs(a.gate, n, a.gate_ld);
    bool gained = !CENTRED && a.shift; /* text only: few rows, for which the others need not be told of it */
    if (!packs || gained || n > 72 * LONG_ROW_THREADS)
        norm_plain_rows<T, CENTRED, BRANCH, CODED><<<(unsigned)a.rows, threads_for(n, 256), 0, stream>>>(a);
    else if (n <= 8 * 32) launch_rows<T, 8, true, CENTRED, BRANCH, CODED>(a, stream);
    else if (n <= 24 * 32) launch_rows<T, 24, true, CENTRED, BRANCH, CODED>(a, stream);
    else if (n <= 72 * 32) launch_rows<T, 72, true, CENTRED, BRANCH, CODED>(a, stream);
    else if (n <= 24 * LONG_ROW_THREADS) launch_rows<T, 24, false, CENTRED, BRANCH, CODED>(a, stream);
    else launch_rows<T, 72, false, CENTRED, BRANCH, CODED>(a, stream);
    return lt_cuda_launched();
}

template <typename T, bool BRANCH> static lt_status run_layer_norm(lt_ctx *ctx, const norm_args &a) {
    return a.y_scale ? run_rows<T, true, BRANCH, true>(ctx, a) : run_rows<T, true, BRANCH, false>(ctx, a);
}

/* Layer norm of x [G, T, C]. */
static norm_args layer_norm_args(const lt_tensor *x, const lt_tensor *shift, const lt_tensor *scale,
                                 const lt_tensor *y, double eps) {
    const int64_t *s = x->shape;
    return {x->data,
            y->data,
            (const float *)shift->data,
            (const float *)scale->data,
            s[2],
            s[2],
            row_stride(shift),
            row_stride(scale),
            s[0] * s[1],
            s[1],
            s[2],
            (float)eps};
}

extern "C" lt_status lt_norm_modulate_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_norm_modulate_args *a = (const lt_norm_modulate_args *)args;
    norm_args n = layer_norm_args(&a->x, &a->shift, &a->scale, &a->y, a->eps);
    n.y_scale = (float *)a->y_scale.data;
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return (run_layer_norm<T, false>(ctx, n)));
}

extern "C" lt_status lt_gated_residual_norm_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_gated_residual_norm_args *a = (const lt_gated_residual_norm_args *)args;
    norm_args n = layer_norm_args(&a->x, &a->shift, &a->scale, &a->y, a->eps);
    n.y_scale = (float *)a->y_scale.data;
    n.h = a->h.data, n.sum = a->sum.data;
    n.gate = (const float *)a->gate.data, n.gate_ld = row_stride(&a->gate);
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return (run_layer_norm<T, true>(ctx, n)));
}

extern "C" lt_status lt_rms_norm_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_rms_norm_args *a = (const lt_rms_norm_args *)args;
    lt_rows x = lt_rows_of(&a->x, 1), y = lt_rows_of(&a->y, 1);
    norm_args n = {a->x.data,
                   a->y.data,
                   (const float *)a->gain.data,
                   (const float *)a->weight.data,
                   x.ld,
                   y.ld,
                   0,
                   0, /* one group: rows share weights */
                   x.rows,
                   x.rows,
                   x.columns,
                   (float)a->eps};
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return (run_rows<T, false, false, false>(ctx, n)));
}
