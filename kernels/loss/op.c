#include "kernels/dense.h"
#include "kernels/loss/mse_chunks.h"

static lt_status check_pair(const char *op, lt_dtype dtype, const lt_tensor *prediction,
                            const lt_tensor *target) {
    LT_TRY(LT_EXPECT(op, "prediction", prediction, dtype, false, -1, -1));
    LT_TRY(lt_expect_rows(op, "prediction", prediction, 1));
    LT_CHECK(prediction->shape[1] > 0, LT_FAILED,
             "op %s: prediction has groups of 0 elements, which have no mean", op);
    LT_TRY(LT_EXPECT(op, "target", target, dtype, false, prediction->shape[0], prediction->shape[1]));
    return lt_expect_rows(op, "target", target, 1);
}

lt_status lt_mse_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_mse_args *a = args;
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(check_pair("mse", dtype, &a->prediction, &a->target));
    LT_TRY(LT_EXPECT_DENSE("mse", "loss", &a->loss, dtype, false, a->prediction.shape[0]));
    cost->flops = 3 * (double)lt_numel(&a->prediction);
    cost->bytes = 2 * (double)lt_nbytes(&a->prediction) + (double)lt_nbytes(&a->loss);
    int64_t chunks = a->prediction.shape[0] * lt_mse_chunks(a->prediction.shape[1]);
    cost->workspace = ctx->backend == LT_BACKEND_NAIVE ? 0 : (size_t)chunks * sizeof(double);
    return LT_OK;
}

lt_status lt_mse_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_mse_backward_args *a = args;
    const char *op = "mse_backward";
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(check_pair(op, dtype, &a->prediction, &a->target));
    const int64_t *s = a->prediction.shape;
    LT_TRY(LT_EXPECT_DENSE(op, "dloss", &a->dloss, dtype, false, s[0]));
    LT_TRY(LT_EXPECT(op, "dprediction", &a->dprediction, dtype, false, s[0], s[1]));
    LT_TRY(lt_expect_rows(op, "dprediction", &a->dprediction, 1));
    double count = (double)lt_numel(&a->prediction);
    cost->flops = (a->accumulate_dprediction ? 3 : 2) * count;
    cost->bytes = (a->accumulate_dprediction ? 4 : 3) * (double)lt_nbytes(&a->prediction);
    return LT_OK;
}

lt_status lt_mse_forward(lt_ctx *ctx, const lt_mse_args *args) { return lt_op_run(ctx, LT_OP_MSE, args); }

lt_status lt_mse_backward(lt_ctx *ctx, const lt_mse_backward_args *args) {
    return lt_op_run(ctx, LT_OP_MSE_BACKWARD, args);
}
