#include "kernels/cuda_e4m3.h"
#include "kernels/linear/cpu_sweep.h"
#include "kernels/linear/linear.h"
#include "kernels/linear/pieces.h"
#include "kernels/rows.h"

/* Of x, w and y: float32 too where activations are bf16. */
static lt_dtype shared_dtype(const lt_ctx *ctx, const lt_tensor *t) {
    return t->dtype == lt_ctx_sum_dtype(ctx) ? t->dtype : lt_ctx_dtype(ctx);
}

/* With w in e4m3. On CUDA rounded rows of x lie before the scratch of the product; elsewhere both are rounded and multiplied as
 * they would be otherwise. */
static size_t e4m3_workspace(const lt_ctx *ctx, int64_t n, int64_t m, int64_t k, bool bias) {
    if (ctx->backend == LT_BACKEND_NAIVE) return (size_t)k * sizeof(double);
    if (ctx->backend != LT_BACKEND_CUDA) return (size_t)(n * k + m * k) * sizeof(float);
    return lt_e4m3_bytes(n, k) + lt_blas_e4m3_workspace(n, m, k, bias);
}

static lt_status describe_e4m3(const lt_ctx *ctx, const lt_linear_args *a, int64_t n, lt_cost *cost) {
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    LT_TRY(LT_EXPECT("linear", "scale", &a->scale, lt_ctx_sum_dtype(ctx), false, m));
    LT_CHECK(m % 16 == 0 && k % 16 == 0, LT_FAILED,
             "op linear: w in e4m3 is [%lld,%lld], expected multiples of 16", (long long)m, (long long)k);
    LT_CHECK(!a->accumulate, LT_FAILED, "op linear: with w in e4m3 nothing accumulates");
    double codes = (double)m * (double)k;
    cost->bytes += codes - (double)lt_dtype_size(a->x.dtype) * codes + 4.0 * (double)m;
    cost->workspace = e4m3_workspace(ctx, n, m, k, !lt_is_empty(&a->b));
    return LT_OK;
}

lt_status lt_linear_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_linear_args *a = args;
    lt_dtype dtype = shared_dtype(ctx, &a->x);
    bool narrow = !lt_is_empty(&a->scale);
    lt_dtype w = narrow && ctx->backend != LT_BACKEND_NAIVE ? LT_E4M3 : dtype;
    LT_TRY(LT_EXPECT("linear", "w", &a->w, w, false, -1, -1));
    LT_TRY(lt_expect_rows("linear", "w", &a->w, 1));
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    LT_TRY(lt_expect_matrix("linear", "x", &a->x, dtype, false, -1, k));
    int64_t n = lt_rows_of(&a->x, 1).rows;
    LT_TRY(LT_EXPECT("linear", "b", &a->b, lt_ctx_sum_dtype(ctx), true, m));
    LT_TRY(lt_expect_matrix("linear", "y", &a->y, dtype, false, n, m));
    double columns = (double)m, inner = (double)k, rows = (double)n;
    cost->flops = 2 * rows * columns * inner;
    cost->bytes = (double)lt_dtype_size(dtype) * (rows * inner + columns * inner + rows * columns);
    if (narrow) return describe_e4m3(ctx, a, n, cost);
    if (ctx->backend == LT_BACKEND_CUDA) cost->workspace = lt_blas_workspace(n, m, k, 1, !lt_is_empty(&a->b));
    return LT_OK;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* On CUDA the two products and the sums over rows follow each other in the same memory. */
static size_t backward_workspace(const lt_ctx *ctx, const lt_linear_backward_args *a, int64_t n, int64_t m,
                                 int64_t k) {
    bool sums = !lt_is_empty(&a->db), product = !lt_is_empty(&a->dx) || !lt_is_empty(&a->dw);
    if (ctx->backend == LT_BACKEND_NAIVE) return 0;
    if (ctx->backend != LT_BACKEND_CUDA && lt_linear_sweeps(a)) return lt_linear_sweep_bytes(a);
    if (ctx->backend != LT_BACKEND_CUDA)
        return sums ? (size_t)(lt_pieces(n, LT_ROW_PIECE) * m) * sizeof(float) : 0;
    return larger(product ? lt_blas_workspace(n, m, k, 1, false) : 0, sums ? lt_db_bytes(n, m) : 0);
}

lt_status lt_linear_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_linear_backward_args *a = args;
    const char *op = "linear_backward";
    lt_dtype dtype = shared_dtype(ctx, &a->dy), sum = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT(op, "w", &a->w, dtype, false, -1, -1));
    LT_TRY(lt_expect_rows(op, "w", &a->w, 1));
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    LT_TRY(lt_expect_matrix(op, "dy", &a->dy, dtype, false, -1, m));
    int64_t n = lt_rows_of(&a->dy, 1).rows;
    LT_TRY(lt_expect_matrix(op, "x", &a->x, dtype, lt_is_empty(&a->dw), n, k));
    LT_TRY(lt_expect_matrix(op, "dx", &a->dx, dtype, true, n, k));
    LT_TRY(lt_expect_matrix(op, "dw", &a->dw, sum, true, m, k));
    LT_TRY(LT_EXPECT(op, "db", &a->db, sum, true, m));
    bool dx = !lt_is_empty(&a->dx), dw = !lt_is_empty(&a->dw);
    double columns = (double)m, inner = (double)k, rows = (double)n;
    cost->flops = 2 * rows * columns * inner * (dx + dw) + (lt_is_empty(&a->db) ? 0 : rows * columns);
    double same = rows * columns + rows * inner * (dx + dw) + columns * inner * dx;
    cost->bytes = (double)lt_dtype_size(dtype) * same + (double)lt_dtype_size(sum) * columns * inner * dw;
    cost->workspace = backward_workspace(ctx, a, n, m, k);
    return LT_OK;
}

lt_status lt_linear_forward(lt_ctx *ctx, const lt_linear_args *args) {
    return lt_op_run(ctx, LT_OP_LINEAR, args);
}
lt_status lt_linear_backward(lt_ctx *ctx, const lt_linear_backward_args *args) {
    return lt_op_run(ctx, LT_OP_LINEAR_BACKWARD, args);
}
