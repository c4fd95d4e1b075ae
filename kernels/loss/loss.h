/* Mean squared error per group (a block of one sequence), with the weight of each group in the gradient. All operands
 * are of the dtype of sums (lt_ctx_sum_dtype). */
#ifndef LT_KERNELS_LOSS_H
#define LT_KERNELS_LOSS_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* loss[g] = mean over n of (prediction[g, n] - target[g, n])^2; the sum runs in float64 over fixed chunks. */
typedef struct lt_mse_args {
    lt_tensor prediction, target; /* [G, N]; rows may be strided */
    lt_tensor loss;               /* [G] */
} lt_mse_args;
lt_status lt_mse_forward(lt_ctx *ctx, const lt_mse_args *args);

/* dprediction = dloss[g] * 2 / N * (prediction - target). */
typedef struct lt_mse_backward_args {
    lt_tensor prediction, target;
    lt_tensor dloss;       /* [G] */
    lt_tensor dprediction; /* [G, N]; rows may be strided */
    bool accumulate_dprediction;
} lt_mse_backward_args;
lt_status lt_mse_backward(lt_ctx *ctx, const lt_mse_backward_args *args);

#ifdef __cplusplus
}
#endif
#endif
