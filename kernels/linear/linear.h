/* y = x w^T + b: the one matrix product of the model (published 1x1 convolutions are this too). */
#ifndef LT_KERNELS_LINEAR_H
#define LT_KERNELS_LINEAR_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_linear_args {
    lt_tensor x;     /* [..., K], rows may be strided */
    lt_tensor w;     /* [M, K] contiguous rows */
    lt_tensor b;     /* [M] or empty */
    lt_tensor y;     /* [..., M], rows may be strided */
    bool accumulate; /* y += instead of y = */
} lt_linear_args;
lt_status lt_linear_forward(lt_ctx *ctx, const lt_linear_args *args);

/* dx = dy w,  dw = dy^T x,  db = column sums of dy. */
typedef struct lt_linear_backward_args {
    lt_tensor dy, x, w;
    lt_tensor dx;                      /* [..., K] or empty */
    lt_tensor dw;                      /* [M, K] or empty */
    lt_tensor db;                      /* [M] or empty */
    bool accumulate_dx, accumulate_dw; /* the latter for db too */
} lt_linear_backward_args;
lt_status lt_linear_backward(lt_ctx *ctx, const lt_linear_backward_args *args);

#ifdef __cplusplus
}
#endif
#endif
