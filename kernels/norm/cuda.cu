/* Forward passes. A row is read once: it stays in the registers of a warp, or of a block of 256 threads where it is long, while
 * its mean, then its variance about that mean, are summed. Rows that cannot be read 16 bytes at a time, or that are longer than
 * 18432, take the plain kernel, which reads them from cache instead. */
#include "kernels/norm/norm_rows.cuh"
#include "kernels/rows.h"

typedef struct norm_args {
    const void *x;
    void *y;
    const float *shift, *scale; /* NULL: absent. RMS norm: scale is its weight */
    int64_t x_ld, y_ld, shift_ld, scale_ld;
    int64_t rows, group_rows, columns;
    float eps;
} norm_args;

enum { ROWS_A_BLOCK = 4, LONG_ROW_THREADS = 256 };

template <bool WARP, bool CENTRED, int K, int V>
static __device__ __forceinline__ void moments(const float (&v)[K][V], int first, int step, int columns,
                                               float eps, float *mean, float *inverse) {
    __shared__ float shared[2][32];
    float sum[1] = {0}, squares[1] = {0};
    *mean = 0;
    if (CENTRED) {
#pragma unroll
        for (int k = 0; k < K; k++)
#pragma unroll
            for (int i = 0; i < V; i++) sum[0] += v[k][i];
        sum_team<1, WARP>(sum, shared);
        *mean = sum[0] / (float)columns;
    }
#pragma unroll
    for (int k = 0; k < K; k++)
        if (first + k * step < columns) {
#pragma unroll
            for (int i = 0; i < V; i++) squares[0] += (v[k][i] - *mean) * (v[k][i] - *mean);
        }
    sum_team<1, WARP>(squares, shared + 1);
    *inverse = rsqrtf(squares[0] / (float)columns + eps);
}

/* V elements of (x - mean) * inverse * (1 + scale) + shift; without scale there is no shift either. */
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
        if (CENTRED) lt_load_n<F>(shift + i, offset);
#pragma unroll
        for (int j = 0; j < F; j++)
            v[i + j] = CENTRED ? v[i + j] * (1.0f + factor[j]) + offset[j] : v[i + j] * factor[j];
    }
}

/* E elements of a row a thread, in packs of 16 bytes. */
template <typename T, int E, bool WARP, bool CENTRED>
static __global__ void __launch_bounds__(WARP ? 32 * ROWS_A_BLOCK : LONG_ROW_THREADS) norm_rows(norm_args a) {
    constexpr int V = lt_pack_of<T>, K = E / V, step = (WARP ? 32 : LONG_ROW_THREADS) * V;
    int64_t row = WARP ? (int64_t)blockIdx.x * ROWS_A_BLOCK + threadIdx.x / 32 : blockIdx.x;
    if (row >= a.rows) return; /* a whole warp; never where a row takes the block */
    int first = (WARP ? threadIdx.x % 32 : threadIdx.x) * V, columns = (int)a.columns;
    const T *x = (const T *)a.x + row * a.x_ld;
    T *y = (T *)a.y + row * a.y_ld;
    float v[K][V] = {};
#pragma unroll
    for (int k = 0; k < K; k++)
        if (first + k * step < columns) lt_load_n<V>(x + first + k * step, v[k]);
    float mean, inverse;
    moments<WARP, CENTRED>(v, first, step, columns, a.eps, &mean, &inverse);
    int64_t g = row / a.group_rows;
    const float *shift = a.shift + g * a.shift_ld, *scale = a.scale + g * a.scale_ld;
#pragma unroll
    for (int k = 0; k < K; k++) {
        int c = first + k * step;
        if (c >= columns) break;
        modulate<CENTRED>(v[k], mean, inverse, shift + c, a.scale ? scale + c : NULL);
        lt_store_n<V>(y + c, v[k]);
    }
}

/* Any strides and any length; a block a row. */
template <typename T, bool CENTRED> static __global__ void norm_plain_rows(norm_args a) {
    __shared__ float shared[2][32];
    int64_t row = blockIdx.x, g = row / a.group_rows;
    const T *x = (const T *)a.x + row * a.x_ld;
    T *y = (T *)a.y + row * a.y_ld;
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
    for (int64_t c = threadIdx.x; c < a.columns; c += blockDim.x) {
        float v[1] = {lt_load(x + c)};
        modulate<CENTRED>(v, mean, inverse, shift + c, a.scale ? scale + c : NULL);
        lt_store(y + c, v[0]);
    }
}

template <typename T, int E, bool WARP, bool CENTRED>
static void launch_rows(const norm_args &a, cudaStream_t stream) {
    unsigned blocks = (unsigned)lt_ceil_div(a.rows, WARP ? ROWS_A_BLOCK : 1);
    unsigned threads = WARP ? 32 * ROWS_A_BLOCK : LONG_ROW_THREADS;
    norm_rows<T, E, WARP, CENTRED><<<blocks, threads, 0, stream>>>(a);
}

template <typename T, bool CENTRED> static lt_status run_rows(lt_ctx *ctx, const norm_args &a) {
    int64_t n = a.columns;
    if (a.rows == 0 || n == 0) return LT_OK;
    cudaStream_t stream = lt_cuda_stream(ctx);
    bool packs = lt_packs((const T *)a.x, n, a.x_ld) && lt_packs((const T *)a.y, n, a.y_ld) &&
                 lt_packs(a.shift, n, a.shift_ld) && lt_packs(a.scale, n, a.scale_ld);
    if (!packs || n > 72 * LONG_ROW_THREADS)
        norm_plain_rows<T, CENTRED><<<(unsigned)a.rows, threads_for(n, 256), 0, stream>>>(a);
    else if (n <= 8 * 32) launch_rows<T, 8, true, CENTRED>(a, stream);
    else if (n <= 24 * 32) launch_rows<T, 24, true, CENTRED>(a, stream);
    else if (n <= 72 * 32) launch_rows<T, 72, true, CENTRED>(a, stream);
    else if (n <= 24 * LONG_ROW_THREADS) launch_rows<T, 24, false, CENTRED>(a, stream);
    else launch_rows<T, 72, false, CENTRED>(a, stream);
    return lt_cuda_launched();
}

extern "C" lt_status lt_norm_modulate_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_norm_modulate_args *a = (const lt_norm_modulate_args *)args;
    const int64_t *s = a->x.shape;
    norm_args n = {a->x.data,
                   a->y.data,
                   (const float *)a->shift.data,
                   (const float *)a->scale.data,
                   s[2],
                   s[2],
                   row_stride(&a->shift),
                   row_stride(&a->scale),
                   s[0] * s[1],
                   s[1],
                   s[2],
                   (float)a->eps};
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return (run_rows<T, true>(ctx, n)));
}

extern "C" lt_status lt_rms_norm_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_rms_norm_args *a = (const lt_rms_norm_args *)args;
    lt_rows x = lt_rows_of(&a->x, 1), y = lt_rows_of(&a->y, 1);
    norm_args n = {a->x.data, a->y.data, NULL,      (const float *)a->weight.data,
                   x.ld,      y.ld,      0,         0, /* one group: all rows share the weight */
                   x.rows,    x.rows,    x.columns, (float)a->eps};
    LT_CUDA_BY_DTYPE(a->x.dtype, T, return (run_rows<T, false>(ctx, n)));
}
