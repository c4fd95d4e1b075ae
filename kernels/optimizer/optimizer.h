/* Gradient norm with a finite flag, then AdamW (Loshchilov & Hutter, arXiv 1711.05101) and the EMA of the weights in
 * one pass. The norm comes first and decides on the device: the update is clipped, or skipped when anything is not
 * finite. All operands but `copy` are sums. */
#ifndef LT_KERNELS_OPTIMIZER_H
#define LT_KERNELS_OPTIMIZER_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* norm = sqrt(sum of squares) over all tensors, in float64 over fixed chunks, in list order. */
typedef struct lt_grad_norm_args {
    int count;
    const lt_tensor *grads; /* host array of contiguous tensors */
    double scale;           /* gradients are multiplied by this first (1 / accumulation steps) */
    double max_norm;        /* clip to this; 0: never */
    lt_tensor control;      /* [3]: norm; factor for the gradients (scale and clipping); 1 = finite, else 0 */
} lt_grad_norm_args;
lt_status lt_grad_norm(lt_ctx *ctx, const lt_grad_norm_args *args);

typedef struct lt_adamw_param {
    lt_tensor param, grad, m, v; /* same count, contiguous */
    lt_tensor ema;               /* or empty */
    lt_tensor copy;              /* or empty: the bf16 working copy of param, which follows it (cuda) */
    bool decays;
} lt_adamw_param;

/* All parameters of a model at once. Nothing changes when control[2] is 0. */
typedef struct lt_adamw_args {
    int count;
    const lt_adamw_param *params; /* host array */
    lt_tensor control;            /* from lt_grad_norm */
    double lr, beta1, beta2, eps, weight_decay, ema_decay;
    int64_t step; /* from 1: bias correction */
} lt_adamw_args;
lt_status lt_adamw(lt_ctx *ctx, const lt_adamw_args *args);

#ifdef __cplusplus
}
#endif
#endif
