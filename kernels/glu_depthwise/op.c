#include "kernels/dense.h"
#include "kernels/glu_depthwise/cuda_cut.h"

/* Per channel of x: 9 multiply-adds, the bias and a SiLU (exp, add, divide, multiply); per channel of y a SiLU and a
 * multiplication. The backward pass recomputes h, then runs the taps twice more (dx, dw). */
enum { SILU = 4, TAPS = 2 * 9 + 1, FORWARD = TAPS + SILU, GATE = SILU + 1, GATE_BACKWARD = SILU + 8 };

static lt_status check_input(const lt_ctx *ctx, const char *op, const lt_tensor *x, const lt_tensor *w,
                             const lt_tensor *b) {
    lt_dtype sums = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "x", x, lt_ctx_dtype(ctx), false, -1, -1, -1, -1));
    int64_t channels = x->shape[3];
    LT_CHECK(channels > 0 && channels % 2 == 0, LT_FAILED,
             "op %s: x has %lld channels; the gate needs two halves, so an even number above 0", op,
             (long long)channels);
    LT_TRY(LT_EXPECT_DENSE(op, "w", w, sums, false, 3, 3, channels));
    return LT_EXPECT_DENSE(op, "b", b, sums, false, channels);
}

lt_status lt_glu_depthwise_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_glu_depthwise_args *a = args;
    const char *op = "glu_depthwise";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    LT_TRY(check_input(ctx, op, &a->x, &a->w, &a->b));
    lt_glu_shape s = lt_glu_shape_of(&a->x);
    LT_TRY(LT_EXPECT_DENSE(op, "y", &a->y, dtype, false, s.frames, s.height, s.width, s.half));
    double outputs = (double)lt_numel(&a->y);
    cost->flops = outputs * (2 * FORWARD + GATE);
    cost->bytes = (double)(lt_nbytes(&a->x) + lt_nbytes(&a->w) + lt_nbytes(&a->b) + lt_nbytes(&a->y));
    bool cpu = ctx->backend != LT_BACKEND_NAIVE && ctx->backend != LT_BACKEND_CUDA;
    cost->workspace = cpu ? lt_glu_depthwise_cpu_workspace(s) : 0;
    return LT_OK;
}

lt_status lt_glu_depthwise_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_glu_depthwise_backward_args *a = args;
    const char *op = "glu_depthwise_backward";
    lt_dtype dtype = lt_ctx_dtype(ctx), sums = lt_ctx_sum_dtype(ctx);
    LT_TRY(check_input(ctx, op, &a->x, &a->w, &a->b));
    lt_glu_shape s = lt_glu_shape_of(&a->x);
    LT_TRY(LT_EXPECT_DENSE(op, "dy", &a->dy, dtype, false, s.frames, s.height, s.width, s.half));
    LT_TRY(LT_EXPECT_DENSE(op, "dx", &a->dx, dtype, true, s.frames, s.height, s.width, 2 * s.half));
    LT_TRY(LT_EXPECT_DENSE(op, "dw", &a->dw, sums, true, 3, 3, 2 * s.half));
    LT_TRY(LT_EXPECT_DENSE(op, "db", &a->db, sums, true, 2 * s.half));
    bool dx = !lt_is_empty(&a->dx), dw = !lt_is_empty(&a->dw);
    LT_CHECK(dw == !lt_is_empty(&a->db), LT_FAILED,
             "op %s: dw and db are computed together: give both or neither, not %s alone", op,
             dw ? "dw" : "db");
    double outputs = (double)lt_numel(&a->dy), inputs = 2 * outputs;
    cost->flops = inputs * (FORWARD + (dx ? TAPS + SILU : 0) + (dw ? TAPS : 0)) + outputs * GATE_BACKWARD;
    double weights = (double)(lt_nbytes(&a->w) + lt_nbytes(&a->b));
    cost->bytes = (double)(lt_nbytes(&a->dy) + lt_nbytes(&a->x)) + weights * (dw ? 2 : 1) +
                  (dx ? (double)lt_nbytes(&a->dx) : 0);
    if (ctx->backend == LT_BACKEND_NAIVE) cost->workspace = lt_nbytes(&a->x); /* dL/dh */
    else if (ctx->backend == LT_BACKEND_CUDA)
        cost->workspace = dw ? lt_glu_depthwise_backward_cuda_workspace(s) : 0;
    else cost->workspace = lt_glu_depthwise_backward_cpu_workspace(s);
    return LT_OK;
}

lt_status lt_glu_depthwise_forward(lt_ctx *ctx, const lt_glu_depthwise_args *args) {
    return lt_op_run(ctx, LT_OP_GLU_DEPTHWISE, args);
}

lt_status lt_glu_depthwise_backward(lt_ctx *ctx, const lt_glu_depthwise_backward_args *args) {
    return lt_op_run(ctx, LT_OP_GLU_DEPTHWISE_BACKWARD, args);
}
