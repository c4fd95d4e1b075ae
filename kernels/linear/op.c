#include "kernels/linear/linear.h"
#include "kernels/rows.h"

lt_status lt_linear_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_linear_args *a = args;
    lt_dtype dtype = lt_ctx_dtype(ctx);
    LT_TRY(LT_EXPECT("linear", "w", &a->w, dtype, false, -1, -1));
    LT_TRY(lt_expect_rows("linear", "w", &a->w, 1));
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    LT_TRY(lt_expect_matrix("linear", "x", &a->x, dtype, false, -1, k));
    int64_t n = lt_rows_of(&a->x, 1).rows;
    LT_TRY(LT_EXPECT("linear", "b", &a->b, dtype, true, m));
    LT_TRY(lt_expect_matrix("linear", "y", &a->y, dtype, false, n, m));
    double columns = (double)m, inner = (double)k, rows = (double)n;
    cost->flops = 2 * rows * columns * inner;
    cost->bytes = (double)lt_dtype_size(dtype) * (rows * inner + columns * inner + rows * columns);
    return LT_OK;
}

lt_status lt_linear_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_linear_backward_args *a = args;
    const char *op = "linear_backward";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    LT_TRY(LT_EXPECT(op, "w", &a->w, dtype, false, -1, -1));
    LT_TRY(lt_expect_rows(op, "w", &a->w, 1));
    int64_t m = a->w.shape[0], k = a->w.shape[1];
    LT_TRY(lt_expect_matrix(op, "dy", &a->dy, dtype, false, -1, m));
    int64_t n = lt_rows_of(&a->dy, 1).rows;
    LT_TRY(lt_expect_matrix(op, "x", &a->x, dtype, lt_is_empty(&a->dw), n, k));
    LT_TRY(lt_expect_matrix(op, "dx", &a->dx, dtype, true, n, k));
    LT_TRY(lt_expect_matrix(op, "dw", &a->dw, dtype, true, m, k));
    LT_TRY(LT_EXPECT(op, "db", &a->db, dtype, true, m));
    int products = !lt_is_empty(&a->dx) + !lt_is_empty(&a->dw);
    double columns = (double)m, inner = (double)k, rows = (double)n;
    cost->flops = 2 * rows * columns * inner * products + (lt_is_empty(&a->db) ? 0 : rows * columns);
    cost->bytes = (double)lt_dtype_size(dtype) * (rows * columns + (rows + columns) * inner * products);
    bool sums = !lt_is_empty(&a->db) && ctx->backend != LT_BACKEND_NAIVE;
    if (sums) cost->workspace = (size_t)(lt_pieces(n, LT_ROW_PIECE) * m) * sizeof(float);
    return LT_OK;
}

lt_status lt_linear_forward(lt_ctx *ctx, const lt_linear_args *args) {
    return lt_op_run(ctx, LT_OP_LINEAR, args);
}
lt_status lt_linear_backward(lt_ctx *ctx, const lt_linear_backward_args *args) {
    return lt_op_run(ctx, LT_OP_LINEAR_BACKWARD, args);
}
