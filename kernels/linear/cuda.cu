#include "kernels/cuda.cuh"
#include "kernels/cuda_e4m3.h"
#include "kernels/linear/linear.h"
#include "kernels/linear/pieces.h"
#include "kernels/rows.h"

namespace {

lt_blas_matrix matrix_of(const lt_tensor &t, bool transposed) {
    return {t.data, t.dtype, transposed, lt_rows_of(&t, 1).ld, 0};
}

/* d = a b, or d += a b */
lt_status product(lt_ctx *ctx, int64_t m, int64_t n, int64_t k, lt_blas_matrix a, lt_blas_matrix b,
                  const lt_tensor &out, bool accumulate, const float *bias, void *workspace) {
    lt_blas_matrix d = matrix_of(out, false), none = {};
    lt_blas_product p = {m, n, k, 1, a, b, accumulate ? d : none, d, bias};
    return lt_blas_run(ctx, &p, workspace);
}

/* ---- db: sums over rows ------------------------------------------------------------------------------------------ */

enum { LANES = 32, WARPS = 8 };

template <typename T> struct row_sums {
    const T *dy;
    int64_t rows, columns, ld, piece; /* rows per piece */
    float *out;                       /* [pieces, columns] */
    bool add;                         /* to what `out` holds */
};

/* sum[i] += column i of rows begin, begin + step, ... below end; `from` is row 0, of which `left` values lie in the
 * matrix. Four rows are asked for before the first is used. */
template <int N, typename T>
__device__ __forceinline__ void sum_strip(const T *from, int64_t ld, int64_t begin, int64_t end, int step,
                                          int64_t left, float (&sum)[N]) {
    enum { AHEAD = 4 };
    int64_t row = begin;
    for (; left >= N && row + (AHEAD - 1) * step < end; row += AHEAD * step) {
        float value[AHEAD][N];
#pragma unroll
        for (int r = 0; r < AHEAD; r++) lt_load_n<N>(from + (row + r * step) * ld, value[r]);
#pragma unroll
        for (int r = 0; r < AHEAD; r++)
#pragma unroll
            for (int i = 0; i < N; i++) sum[i] += value[r][i];
    }
    for (; row < end; row += step)
#pragma unroll
        for (int i = 0; i < N; i++)
            if (i < left) sum[i] += lt_load(from + row * ld + i);
}

/* A block sums one piece of rows over 32 N columns: each warp every eighth row, then the warps in order. */
template <typename T, int N> __global__ void __launch_bounds__(LANES *WARPS) sum_piece(row_sums<T> a) {
    __shared__ float part[WARPS][LANES * N];
    int lane = threadIdx.x, warp = threadIdx.y;
    int64_t first = (int64_t)blockIdx.x * LANES * N, column = first + lane * N, left = a.columns - column;
    int64_t begin = blockIdx.y * a.piece, end = min(begin + a.piece, a.rows);
    float sum[N] = {};
    sum_strip<N>(a.dy + column, a.ld, begin + warp, end, WARPS, left, sum);
#pragma unroll
    for (int i = 0; i < N; i++) part[warp][i * LANES + lane] = sum[i];
    __syncthreads();
    for (int c = warp * LANES + lane; c < LANES * N && first + c < a.columns; c += LANES * WARPS) {
        float total = 0;
        for (int w = 0; w < WARPS; w++) total += part[w][c % N * LANES + c / N];
        float *out = a.out + blockIdx.y * a.columns + first + c;
        *out = a.add ? *out + total : total;
    }
}

/* db (+)= the pieces: eight warps take every eighth piece of 32 columns. */
__global__ void __launch_bounds__(LANES *WARPS)
    fold_pieces(const float *pieces, int64_t count, int64_t columns, float *db, bool add) {
    __shared__ float part[WARPS][LANES];
    int lane = threadIdx.x, warp = threadIdx.y;
    int64_t column = (int64_t)blockIdx.x * LANES + lane;
    float sum = 0;
    if (column < columns) {
#pragma unroll 8
        for (int64_t p = warp; p < count; p += WARPS) sum += pieces[p * columns + column];
    }
    part[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= columns) return;
    float total = 0;
    for (int w = 0; w < WARPS; w++) total += part[w][lane];
    db[column] = add ? db[column] + total : total;
}

template <typename T> lt_status sum_pieces(lt_ctx *ctx, const row_sums<T> &a, int64_t pieces) {
    constexpr int WIDE = 16 / sizeof(T);
    dim3 block(LANES, WARPS);
    cudaStream_t stream = lt_cuda_stream(ctx);
    bool wide = (uintptr_t)a.dy % 16 == 0 && a.ld % WIDE == 0;
    unsigned blocks = (unsigned)lt_ceil_div(a.columns, LANES * (wide ? WIDE : 1));
    if (wide) sum_piece<T, WIDE><<<dim3(blocks, (unsigned)pieces), block, 0, stream>>>(a);
    else sum_piece<T, 1><<<dim3(blocks, (unsigned)pieces), block, 0, stream>>>(a);
    return lt_cuda_launched();
}

lt_status bias_gradient(lt_ctx *ctx, const lt_linear_backward_args *a, float *workspace) {
    lt_rows r = lt_rows_of(&a->dy, 1);
    if (r.columns == 0) return LT_OK;
    int64_t pieces = lt_db_pieces(r.rows), piece = lt_ceil_div(r.rows, pieces);
    float *db = (float *)a->db.data, *out = pieces > 1 ? workspace : db;
    bool add = pieces == 1 && a->accumulate_dw;
    LT_CUDA_BY_DTYPE(
        a->dy.dtype, T,
        LT_TRY(sum_pieces(ctx, row_sums<T>{(const T *)a->dy.data, r.rows, r.columns, r.ld, piece, out, add},
                          pieces)));
    if (pieces == 1) return LT_OK;
    fold_pieces<<<(unsigned)lt_ceil_div(r.columns, LANES), dim3(LANES, WARPS), 0, lt_cuda_stream(ctx)>>>(
        workspace, pieces, r.columns, db, a->accumulate_dw);
    return lt_cuda_launched();
}

} // namespace

/* y = x w^T + b with both in e4m3: x is rounded first, unless it comes so. */
static lt_status narrow_product(lt_ctx *ctx, const lt_linear_args *a, int64_t rows, void *workspace) {
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    lt_blas_matrix x = matrix_of(a->x, false), w = matrix_of(a->w, true);
    char *scratch = (char *)workspace;
    w.scale = (const float *)a->scale.data, x.scale = (const float *)a->x_scale.data;
    if (!x.scale) {
        LT_TRY(lt_e4m3_rows(ctx, &a->x, workspace, &x));
        scratch += lt_e4m3_bytes(rows, k);
    }
    return product(ctx, rows, m, k, x, w, a->y, false, (const float *)a->b.data, scratch);
}

extern "C" lt_status lt_linear_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_linear_args *a = (const lt_linear_args *)args;
    int64_t rows = lt_rows_of(&a->x, 1).rows, m = a->w.shape[0], k = a->w.shape[1];
    if (!lt_is_empty(&a->scale)) return narrow_product(ctx, a, rows, workspace);
    return product(ctx, rows, m, k, matrix_of(a->x, false), matrix_of(a->w, true), a->y, a->accumulate,
                   (const float *)a->b.data, workspace);
}

extern "C" lt_status lt_linear_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_linear_backward_args *a = (const lt_linear_backward_args *)args;
    int64_t rows = lt_rows_of(&a->dy, 1).rows, m = a->w.shape[0], k = a->w.shape[1];
    if (!lt_is_empty(&a->dx))
        LT_TRY(product(ctx, rows, k, m, matrix_of(a->dy, false), matrix_of(a->w, false), a->dx,
                       a->accumulate_dx, NULL, workspace));
    if (!lt_is_empty(&a->dw))
        LT_TRY(product(ctx, m, k, rows, matrix_of(a->dy, true), matrix_of(a->x, false), a->dw,
                       a->accumulate_dw, NULL, workspace));
    return lt_is_empty(&a->db) ? LT_OK : bias_gradient(ctx, a, (float *)workspace);
}
