/* Middle of the Mix-FFN (SegFormer, arXiv 2105.15203; gated as in Sana, arXiv 2410.10629):
 *
 *     h = depthwise3x3(SiLU(x)) + b, zero padding, per frame      (u, g) = halves of h      y = u SiLU(g)
 *
 * SiLU is applied on load; h is recomputed in the backward pass. On CUDA in bf16: x, y and their gradients are bf16; w,
 * b and theirs float32. */
#ifndef LT_KERNELS_GLU_DEPTHWISE_H
#define LT_KERNELS_GLU_DEPTHWISE_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_glu_depthwise_args {
    lt_tensor x; /* [N, height, width, 2R] contiguous: N frames of tokens, before SiLU */
    lt_tensor w; /* [3, 3, 2R]: the published [2R, 1, 3, 3] with channels last */
    lt_tensor b; /* [2R] */
    lt_tensor y; /* [N, height, width, R] contiguous */
} lt_glu_depthwise_args;
lt_status lt_glu_depthwise_forward(lt_ctx *ctx, const lt_glu_depthwise_args *args);

typedef struct lt_glu_depthwise_backward_args {
    lt_tensor dy, x, w, b;
    lt_tensor dx;     /* or empty */
    lt_tensor dw, db; /* or both empty */
    bool accumulate_dx, accumulate_dw;
} lt_glu_depthwise_backward_args;
lt_status lt_glu_depthwise_backward(lt_ctx *ctx, const lt_glu_depthwise_backward_args *args);

#ifdef __cplusplus
}
#endif
#endif
