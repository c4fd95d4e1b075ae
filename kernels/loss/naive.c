#include "kernels/loss/loss.h"

lt_status lt_mse_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_mse_args *a = args;
    const double *prediction = a->prediction.data, *target = a->target.data;
    double *loss = a->loss.data;
    int64_t count = a->prediction.shape[1];
    for (int64_t g = 0; g < a->prediction.shape[0]; g++) {
        double sum = 0;
        for (int64_t i = 0; i < count; i++) {
            double d = prediction[g * a->prediction.stride[0] + i] - target[g * a->target.stride[0] + i];
            sum += d * d;
        }
        loss[g] = sum / (double)count;
    }
    return LT_OK;
}

lt_status lt_mse_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_mse_backward_args *a = args;
    const double *prediction = a->prediction.data, *target = a->target.data, *dloss = a->dloss.data;
    double *dprediction = a->dprediction.data;
    int64_t count = a->prediction.shape[1];
    for (int64_t g = 0; g < a->prediction.shape[0]; g++)
        for (int64_t i = 0; i < count; i++) {
            double d = prediction[g * a->prediction.stride[0] + i] - target[g * a->target.stride[0] + i];
            double *out = &dprediction[g * a->dprediction.stride[0] + i];
            *out = (a->accumulate_dprediction ? *out : 0) + dloss[g] * 2 / (double)count * d;
        }
    return LT_OK;
}
