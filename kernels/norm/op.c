#include "kernels/dense.h"
#include "kernels/elementwise/strips.h"
#include "kernels/norm/norm.h"

/* shift and scale, or their gradients: both [G, C] or both absent. */
static lt_status expect_pair(const char *op, const char *names[2], const lt_tensor *first,
                             const lt_tensor *second, lt_dtype dtype, int64_t groups, int64_t channels) {
    LT_CHECK(lt_is_empty(first) == lt_is_empty(second), LT_FAILED,
             "op %s: operands %s and %s: one is empty; give both or neither", op, names[0], names[1]);
    LT_TRY(LT_EXPECT(op, names[0], first, dtype, true, groups, channels));
    LT_TRY(LT_EXPECT(op, names[1], second, dtype, true, groups, channels));
    LT_TRY(lt_expect_rows(op, names[0], first, 1));
    return lt_expect_rows(op, names[1], second, 1);
}

/* Partial sums of `sums` rows of gradients in each piece of each group. */
static size_t workspace_of(const lt_ctx *ctx, int64_t groups, int64_t rows, int64_t sums, int64_t channels) {
    if (ctx->backend == LT_BACKEND_NAIVE) return 0;
    bool strips = ctx->backend == LT_BACKEND_CUDA;
    int64_t pieces = strips ? lt_strips(groups, rows) : lt_pieces(rows, LT_ROW_PIECE);
    return (size_t)(groups * pieces * sums * channels) * sizeof(float);
}

/* RMS norm follows x: an activation, or something of the dtype of sums. */
static lt_dtype dtype_of(const lt_ctx *ctx, const lt_tensor *x) {
    return x->dtype == lt_ctx_sum_dtype(ctx) ? x->dtype : lt_ctx_dtype(ctx);
}

/* y, in e4m3 where there is a scale for each of its rows; `bytes` of it. In host memory that is rounded which the
 * workspace holds. */
static lt_status expect_result(const lt_ctx *ctx, const char *op, const lt_tensor *x, const lt_tensor *y,
                               const lt_tensor *y_scale, double *bytes, size_t *workspace) {
    const int64_t *n = x->shape;
    bool rounded = !lt_is_empty(y_scale);
    lt_dtype dtype = rounded ? lt_ctx_e4m3_dtype(ctx) : lt_ctx_dtype(ctx);
    LT_TRY(lt_expect_dense(op, "y", y, dtype, false, 3, n));
    *bytes = (double)lt_numel(y) * (double)lt_dtype_size(dtype);
    if (!rounded) return LT_OK;
    LT_TRY(LT_EXPECT_DENSE(op, "y_scale", y_scale, lt_ctx_sum_dtype(ctx), false, n[0], n[1]));
    LT_CHECK(n[2] % 16 == 0, LT_FAILED, "op %s: y in e4m3 has rows of %lld, expected a multiple of 16", op,
             (long long)n[2]);
    *bytes += 4.0 * (double)lt_numel(y_scale);
    if (ctx->backend != LT_BACKEND_CUDA) *workspace = (size_t)lt_numel(x) * lt_dtype_size(x->dtype);
    return LT_OK;
}

lt_status lt_norm_modulate_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_norm_modulate_args *a = args;
    const char *op = "norm_modulate";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "x", &a->x, dtype, false, -1, -1, -1));
    LT_TRY(expect_result(ctx, op, &a->x, &a->y, &a->y_scale, &cost->bytes, &cost->workspace));
    LT_TRY(expect_pair(op, (const char *[]){"shift", "scale"}, &a->shift, &a->scale, lt_ctx_sum_dtype(ctx),
                       a->x.shape[0], a->x.shape[2]));
    double elements = (double)lt_numel(&a->x);
    cost->flops = 8 * elements;
    cost->bytes += elements * (double)lt_dtype_size(dtype);
    return LT_OK;
}

lt_status lt_norm_modulate_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_norm_modulate_backward_args *a = args;
    const char *op = "norm_modulate_backward";
    lt_dtype dtype = lt_ctx_dtype(ctx), sum_dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "x", &a->x, dtype, false, -1, -1, -1));
    LT_TRY(lt_expect_dense(op, "dy", &a->dy, dtype, false, 3, a->x.shape));
    LT_TRY(lt_expect_dense(op, "dx", &a->dx, dtype, true, 3, a->x.shape));
    int64_t groups = a->x.shape[0], rows = a->x.shape[1], channels = a->x.shape[2];
    LT_TRY(LT_EXPECT(op, "scale", &a->scale, sum_dtype, true, groups, channels));
    LT_TRY(lt_expect_rows(op, "scale", &a->scale, 1));
    LT_TRY(expect_pair(op, (const char *[]){"dshift", "dscale"}, &a->dshift, &a->dscale, sum_dtype, groups,
                       channels));
    double elements = (double)lt_numel(&a->x);
    cost->flops = 20 * elements;
    cost->bytes = (lt_is_empty(&a->dx) ? 2 : 3) * elements * (double)lt_dtype_size(dtype);
    if (!lt_is_empty(&a->dshift)) cost->workspace = workspace_of(ctx, groups, rows, 2, channels);
    return LT_OK;
}

lt_status lt_gated_residual_norm_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_gated_residual_norm_args *a = args;
    const char *op = "gated_residual_norm";
    lt_dtype dtype = lt_ctx_dtype(ctx), sum_dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "x", &a->x, dtype, false, -1, -1, -1));
    LT_TRY(lt_expect_dense(op, "h", &a->h, dtype, false, 3, a->x.shape));
    LT_TRY(lt_expect_dense(op, "sum", &a->sum, dtype, false, 3, a->x.shape));
    LT_TRY(expect_result(ctx, op, &a->x, &a->y, &a->y_scale, &cost->bytes, &cost->workspace));
    LT_CHECK(lt_is_empty(&a->y_scale) || a->y.data != a->h.data, LT_FAILED,
             "op %s: y is h; in e4m3 it needs its own memory", op);
    int64_t groups = a->x.shape[0], channels = a->x.shape[2];
    LT_TRY(LT_EXPECT(op, "gate", &a->gate, sum_dtype, true, groups, channels));
    LT_TRY(lt_expect_rows(op, "gate", &a->gate, 1));
    LT_TRY(expect_pair(op, (const char *[]){"shift", "scale"}, &a->shift, &a->scale, sum_dtype, groups,
                       channels));
    double elements = (double)lt_numel(&a->x);
    cost->flops = 10 * elements;
    cost->bytes += 3 * elements * (double)lt_dtype_size(dtype);
    return LT_OK;
}

lt_status lt_rms_norm_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_rms_norm_args *a = args;
    lt_dtype dtype = dtype_of(ctx, &a->x), sum_dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT("rms_norm", "weight", &a->weight, sum_dtype, false, -1));
    int64_t channels = a->weight.shape[0];
    LT_TRY(lt_expect_matrix("rms_norm", "x", &a->x, dtype, false, -1, channels));
    LT_TRY(lt_expect_matrix("rms_norm", "y", &a->y, dtype, false, lt_rows_of(&a->x, 1).rows, channels));
    LT_TRY(LT_EXPECT_DENSE("rms_norm", "gain", &a->gain, sum_dtype, true, channels));
    double elements = (double)lt_numel(&a->x);
    cost->flops = (lt_is_empty(&a->gain) ? 4 : 5) * elements;
    cost->bytes = 2 * elements * (double)lt_dtype_size(dtype);
    return LT_OK;
}

lt_status lt_rms_scale_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_rms_scale_args *a = args;
    lt_dtype dtype = dtype_of(ctx, &a->x), sum_dtype = lt_ctx_sum_dtype(ctx);
    LT_CHECK(a->x.ndim >= 2, LT_FAILED, "op rms_scale: operand x has %d dimensions, expected at least 2",
             a->x.ndim);
    LT_TRY(lt_expect_matrix("rms_scale", "x", &a->x, dtype, false, -1, a->x.shape[a->x.ndim - 1]));
    LT_TRY(lt_expect_dense("rms_scale", "scale", &a->scale, sum_dtype, false, a->x.ndim - 1, a->x.shape));
    double elements = (double)lt_numel(&a->x), rows = (double)lt_numel(&a->scale);
    cost->flops = 2 * elements;
    cost->bytes = elements * (double)lt_dtype_size(dtype) + rows * (double)lt_dtype_size(sum_dtype);
    return LT_OK;
}

lt_status lt_rms_norm_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_rms_norm_backward_args *a = args;
    const char *op = "rms_norm_backward";
    lt_dtype dtype = dtype_of(ctx, &a->x), sum_dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT(op, "weight", &a->weight, sum_dtype, false, -1));
    int64_t channels = a->weight.shape[0];
    LT_TRY(lt_expect_matrix(op, "x", &a->x, dtype, false, -1, channels));
    int64_t rows = lt_rows_of(&a->x, 1).rows;
    LT_TRY(lt_expect_matrix(op, "dy", &a->dy, dtype, false, rows, channels));
    LT_TRY(lt_expect_matrix(op, "dx", &a->dx, dtype, true, rows, channels));
    LT_TRY(LT_EXPECT(op, "dweight", &a->dweight, sum_dtype, true, channels));
    double elements = (double)lt_numel(&a->x);
    cost->flops = 12 * elements;
    cost->bytes = (lt_is_empty(&a->dx) ? 2 : 3) * elements * (double)lt_dtype_size(dtype);
    if (!lt_is_empty(&a->dweight)) cost->workspace = workspace_of(ctx, 1, rows, 1, channels);
    return LT_OK;
}

lt_status lt_norm_modulate_forward(lt_ctx *ctx, const lt_norm_modulate_args *args) {
    return lt_op_run(ctx, LT_OP_NORM_MODULATE, args);
}
lt_status lt_norm_modulate_backward(lt_ctx *ctx, const lt_norm_modulate_backward_args *args) {
    return lt_op_run(ctx, LT_OP_NORM_MODULATE_BACKWARD, args);
}
lt_status lt_gated_residual_norm_forward(lt_ctx *ctx, const lt_gated_residual_norm_args *args) {
    return lt_op_run(ctx, LT_OP_GATED_RESIDUAL_NORM, args);
}
lt_status lt_rms_norm_forward(lt_ctx *ctx, const lt_rms_norm_args *args) {
    return lt_op_run(ctx, LT_OP_RMS_NORM, args);
}
lt_status lt_rms_scale_forward(lt_ctx *ctx, const lt_rms_scale_args *args) {
    return lt_op_run(ctx, LT_OP_RMS_SCALE, args);
}
lt_status lt_rms_norm_backward(lt_ctx *ctx, const lt_rms_norm_backward_args *args) {
    return lt_op_run(ctx, LT_OP_RMS_NORM_BACKWARD, args);
}
