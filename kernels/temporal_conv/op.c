#include "kernels/cuda_e4m3.h"
#include "kernels/dense.h"
#include "kernels/temporal_conv/partials.h"
#include "kernels/temporal_conv/temporal_conv.h"

#include <limits.h>

static lt_status expect_tail(const char *op, const char *operand, const lt_tensor *t, const lt_tensor *x) {
    int64_t blocks = x->shape[0], pixels = x->shape[2], channels = x->shape[3];
    if (t->ndim == 2 && blocks == 1) return LT_EXPECT_DENSE(op, operand, t, x->dtype, true, pixels, channels);
    return LT_EXPECT_DENSE(op, operand, t, x->dtype, true, blocks, pixels, channels);
}

static lt_status check_input(const char *op, lt_dtype dtype, lt_dtype w_dtype, const lt_tensor *x,
                             const lt_tensor *tail, const lt_tensor *w) {
    LT_TRY(LT_EXPECT_DENSE(op, "x", x, dtype, false, -1, -1, -1, -1));
    int64_t frames = x->shape[1], channels = x->shape[3];
    LT_CHECK(frames > 0 && channels > 0, LT_FAILED,
             "op %s: x has blocks of %lld frames and %lld channels; both must be above 0", op,
             (long long)frames, (long long)channels);
    LT_CHECK(lt_numel(x) / channels <= INT_MAX && channels <= INT_MAX, LT_FAILED,
             "op %s: x has %lld rows of %lld; a matrix product takes at most %d: use fewer blocks at a time",
             op, (long long)(lt_numel(x) / channels), (long long)channels, INT_MAX);
    LT_TRY(expect_tail(op, "tail", tail, x));
    return LT_EXPECT_DENSE(op, "w", w, w_dtype, false, 3, channels, channels);
}

/* Multiply-adds of one pass over all taps: boundary taps that read zero are not computed. */
static double product_flops(const lt_tensor *x, bool tail) {
    double blocks = (double)x->shape[0], frames = (double)x->shape[1];
    double frame = 2.0 * (double)x->shape[2] * (double)x->shape[3] * (double)x->shape[3];
    return frame * blocks * (3 * frames - 2 + (tail ? 1 : 0));
}

/* On CUDA: the scratch of the largest GEMM, which is the middle tap over all frames. */
static size_t products_workspace(const lt_ctx *ctx, const lt_tensor *x) {
    int64_t channels = x->shape[3];
    if (ctx->backend != LT_BACKEND_CUDA) return 0;
    return lt_blas_workspace(lt_numel(x) / channels, channels, channels, 1, false);
}

/* With w in e4m3: quantised rows of x and tail, on CUDA before the scratch of GEMMs, elsewhere with w. */
static size_t e4m3_workspace(const lt_ctx *ctx, const lt_temporal_conv_args *a) {
    int64_t c = a->x.shape[3], rows = lt_numel(&a->x) / c;
    int64_t tails = lt_is_empty(&a->tail) ? 0 : lt_numel(&a->tail) / c;
    if (ctx->backend != LT_BACKEND_CUDA)
        return (size_t)((rows + tails + 3 * c) * c) * lt_dtype_size(lt_ctx_sum_dtype(ctx));
    size_t rounded = lt_e4m3_bytes(rows, c) + (tails ? lt_e4m3_bytes(tails, c) : 0);
    return rounded + lt_blas_e4m3_workspace(rows, c, c, false);
}

static lt_status describe_e4m3(const lt_ctx *ctx, const lt_temporal_conv_args *a, lt_cost *cost) {
    int64_t c = a->x.shape[3];
    LT_TRY(LT_EXPECT_DENSE("temporal_conv", "scale", &a->scale, lt_ctx_sum_dtype(ctx), false, 3 * c));
    LT_CHECK(c % 16 == 0, LT_FAILED,
             "op temporal_conv: w in e4m3 has %lld channels, expected a multiple of 16", (long long)c);
    cost->workspace = e4m3_workspace(ctx, a);
    return LT_OK;
}

static double bytes_of(const lt_tensor *t) { return lt_is_empty(t) ? 0 : (double)lt_nbytes(t); }

lt_status lt_temporal_conv_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_temporal_conv_args *a = args;
    const char *op = "temporal_conv";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    bool narrow = !lt_is_empty(&a->scale);
    lt_dtype w_dtype = narrow ? lt_ctx_e4m3_dtype(ctx) : dtype;
    LT_TRY(check_input(op, dtype, w_dtype, &a->x, &a->tail, &a->w));
    const int64_t *s = a->x.shape;
    LT_TRY(LT_EXPECT_DENSE(op, "y", &a->y, dtype, false, s[0], s[1], s[2], s[3]));
    LT_CHECK(narrow || a->y.data != a->x.data, LT_FAILED,
             "op %s: y is x; a frame is read again after it was written, so y needs its own memory", op);
    cost->flops = product_flops(&a->x, !lt_is_empty(&a->tail)) + (double)lt_numel(&a->x);
    cost->bytes = bytes_of(&a->x) + bytes_of(&a->tail) + bytes_of(&a->w) + bytes_of(&a->y);
    cost->workspace = products_workspace(ctx, &a->x);
    return narrow ? describe_e4m3(ctx, a, cost) : LT_OK;
}

lt_status lt_temporal_conv_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_temporal_conv_backward_args *a = args;
    const char *op = "temporal_conv_backward";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    LT_TRY(check_input(op, dtype, dtype, &a->x, &a->tail, &a->w));
    const int64_t *s = a->x.shape;
    LT_TRY(LT_EXPECT_DENSE(op, "dy", &a->dy, dtype, false, s[0], s[1], s[2], s[3]));
    LT_TRY(LT_EXPECT_DENSE(op, "dx", &a->dx, dtype, true, s[0], s[1], s[2], s[3]));
    LT_TRY(expect_tail(op, "dtail", &a->dtail, &a->x));
    LT_TRY(LT_EXPECT_DENSE(op, "dw", &a->dw, lt_ctx_sum_dtype(ctx), true, 3, s[3], s[3]));
    LT_CHECK(lt_is_empty(&a->dx) || a->dx.data != a->dy.data, LT_FAILED,
             "op %s: dx is dy; a frame is read again after it was written, so dx needs its own memory", op);
    double frame = 2.0 * (double)s[0] * (double)s[2] * (double)s[3] * (double)s[3];
    cost->flops = (lt_is_empty(&a->dx) ? 0 : product_flops(&a->x, false) + (double)lt_numel(&a->x)) +
                  (lt_is_empty(&a->dtail) ? 0 : frame) +
                  (lt_is_empty(&a->dw) ? 0 : product_flops(&a->x, !lt_is_empty(&a->tail)));
    cost->bytes = bytes_of(&a->dy) + bytes_of(&a->x) + bytes_of(&a->tail) + bytes_of(&a->w) +
                  bytes_of(&a->dx) + bytes_of(&a->dtail) + bytes_of(&a->dw);
    cost->workspace = products_workspace(ctx, &a->x);
    bool dw = ctx->backend == LT_BACKEND_CUDA && !lt_is_empty(&a->dw);
    if (dw) cost->workspace += lt_temporal_conv_partial_bytes(s[0], s[3]);
    return LT_OK;
}

lt_status lt_temporal_conv_forward(lt_ctx *ctx, const lt_temporal_conv_args *args) {
    return lt_op_run(ctx, LT_OP_TEMPORAL_CONV, args);
}

lt_status lt_temporal_conv_backward(lt_ctx *ctx, const lt_temporal_conv_backward_args *args) {
    return lt_op_run(ctx, LT_OP_TEMPORAL_CONV_BACKWARD, args);
}
