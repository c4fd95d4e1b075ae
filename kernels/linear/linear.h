/* y = x w^T + b: the one GEMM of the model (published 1x1 convolutions are this too).
 *
 * x, w, y and their gradients dx, dy have one dtype: that of activations, or, where activations are bf16, float32
 * throughout one call (the time embedding, the scorer). Bias and the gradients of parameters are sums.
 *
 * For inference w may be e4m3 with a scale for each row; the rows of x are then quantised to e4m3 as well, each with a
 * scale of its own (kernels/e4m3.h), or they come quantised, by an op that has them at hand; and K and M are multiples
 * of 16, as tensor cores want them. */
#ifndef LT_KERNELS_LINEAR_H
#define LT_KERNELS_LINEAR_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_linear_args {
    lt_tensor x;     /* [..., K], rows may be strided */
    lt_tensor w;     /* [M, K] contiguous rows */
    lt_tensor b;     /* [M] or empty; a sum */
    lt_tensor y;     /* [..., M], rows may be strided */
    bool accumulate; /* y += instead of y = */
    lt_tensor scale; /* [M] or empty; a sum: w in e4m3 (on naive its numbers in float64) stands for scale w */
    /* [...] or empty; a sum, contiguous as x then is: x in e4m3 too (lt_ctx_e4m3_dtype), a scale for each row */
    lt_tensor x_scale;
} lt_linear_args;
lt_status lt_linear_forward(lt_ctx *ctx, const lt_linear_args *args);

/* dx = dy w,  dw = dy^T x,  db = column sums of dy. */
typedef struct lt_linear_backward_args {
    lt_tensor dy, x, w;
    lt_tensor dx;                      /* [..., K] or empty */
    lt_tensor dw;                      /* [M, K] or empty; a sum */
    lt_tensor db;                      /* [M] or empty; a sum */
    bool accumulate_dx, accumulate_dw; /* the latter for db too */
} lt_linear_backward_args;
lt_status lt_linear_backward(lt_ctx *ctx, const lt_linear_backward_args *args);

#ifdef __cplusplus
}
#endif
#endif
