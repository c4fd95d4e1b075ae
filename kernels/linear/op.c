#include "kernels/cuda_e4m3.h"
#include "kernels/dense.h"
#include "kernels/linear/cpu_sweep.h"
#include "kernels/linear/linear.h"
#include "kernels/linear/pieces.h"
#include "kernels/rows.h"

/* Of x, w and y: float32 too where activations are bf16. */
static lt_dtype shared_dtype(const lt_ctx *ctx, const lt_tensor *t) {
    return t->dtype == lt_ctx_sum_dtype(ctx) ? t->dtype : lt_ctx_dtype(ctx);
}

/* With w in e4m3. On CUDA rows of x that are not quantised yet lie so before the scratch of the GEMM; elsewhere both
 * are rounded and multiplied as they would be otherwise. */
static size_t e4m3_workspace(const lt_ctx *ctx, const lt_linear_args *a, int64_t n) {
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    if (ctx->backend == LT_BACKEND_NAIVE) return (size_t)k * sizeof(double);
    if (ctx->backend != LT_BACKEND_CUDA) return (size_t)(n * k + m * k) * sizeof(float);
    size_t rounded = lt_is_empty(&a->x_scale) ? lt_e4m3_bytes(n, k) : 0;
    return rounded + lt_blas_e4m3_workspace(n, m, k, !lt_is_empty(&a->b));
}

/* x in e4m3, and as many scales as it has rows. */
static lt_status expect_rounded(const lt_ctx *ctx, const lt_linear_args *a) {
    int64_t rows = lt_rows_of(&a->x, 1).rows;
    LT_TRY(lt_expect_rows("linear", "x", &a->x, a->x.ndim));
    LT_TRY(lt_expect_dense("linear", "x_scale", &a->x_scale, lt_ctx_sum_dtype(ctx), false, a->x_scale.ndim,
                           a->x_scale.shape));
    LT_CHECK(lt_numel(&a->x_scale) == rows, LT_FAILED,
             "op linear: operand x_scale has %lld scales, expected %lld: one for each row of x",
             (long long)lt_numel(&a->x_scale), (long long)rows);
    return LT_OK;
}

static lt_status describe_e4m3(const lt_ctx *ctx, const lt_linear_args *a, int64_t n, lt_cost *cost) {
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    LT_TRY(LT_EXPECT("linear", "scale", &a->scale, lt_ctx_sum_dtype(ctx), false, m));
    LT_CHECK(m % 16 == 0 && k % 16 == 0, LT_FAILED,
             "op linear: w in e4m3 is [%lld,%lld], expected multiples of 16", (long long)m, (long long)k);
    LT_CHECK(!a->accumulate, LT_FAILED, "op linear: with w in e4m3 nothing accumulates");
    bool rounded = !lt_is_empty(&a->x_scale);
    if (rounded) LT_TRY(expect_rounded(ctx, a));
    double saved = (double)lt_dtype_size(a->y.dtype) - 1, codes = (double)m * (double)k;
    cost->bytes -= saved * codes - 4.0 * (double)m;
    if (rounded) cost->bytes -= saved * (double)n * (double)k - 4.0 * (double)n;
    cost->workspace = e4m3_workspace(ctx, a, n);
    return LT_OK;
}

lt_status lt_linear_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_linear_args *a = args;
    bool narrow = !lt_is_empty(&a->scale), rounded = !lt_is_empty(&a->x_scale);
    LT_CHECK(narrow || !rounded, LT_FAILED,
             "op linear: x_scale comes without scale; x is in e4m3 only where w is too");
    lt_dtype dtype = rounded ? lt_ctx_dtype(ctx) : shared_dtype(ctx, &a->x), e4m3 = lt_ctx_e4m3_dtype(ctx);
    LT_TRY(LT_EXPECT("linear", "w", &a->w, narrow ? e4m3 : dtype, false, -1, -1));
    LT_TRY(lt_expect_rows("linear", "w", &a->w, 1));
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    LT_TRY(lt_expect_matrix("linear", "x", &a->x, rounded ? e4m3 : dtype, false, -1, k));
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

/* On CUDA the two GEMMs and the sums over rows follow each other in the same memory. */
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
