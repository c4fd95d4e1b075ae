/* Temporal aggregation of the Mix-FFN: y_f = x_f + w_0 x_{f-1} + w_1 x_f + w_2 x_{f+1}, per pixel, as three
 * accumulating GEMMs. Block-causal boundary: at a block's first frame the left tap reads `tail` (the last frame of the
 * block before, zero when absent); at its last frame the right tap is zero. Everything has the dtype of activations but
 * the gradient of w, which is a sum. For inference w may be e4m3 with a scale for each of its rows; the GEMMs then read
 * x and tail in e4m3 too, every row with a scale of its own (kernels/e4m3.h), and C is a multiple of 16. */
#ifndef LT_KERNELS_TEMPORAL_CONV_H
#define LT_KERNELS_TEMPORAL_CONV_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_temporal_conv_args {
    lt_tensor x;    /* [G, F, P, C] contiguous: G blocks of F frames of P pixels */
    lt_tensor tail; /* [G, P, C] contiguous, [P, C] for one block, or empty: zero */
    lt_tensor w;    /* [3, C, C]: tap, output, input; the published [C, C, 3, 1] with the tap first */
    /* [G, F, P, C] contiguous; x itself where w is e4m3, as GEMMs read rounded copies; else not x */
    lt_tensor y;
    /* [3 C] or empty; a sum: w in e4m3 (on naive its numbers in float64) stands for scale w */
    lt_tensor scale;
} lt_temporal_conv_args;
lt_status lt_temporal_conv_forward(lt_ctx *ctx, const lt_temporal_conv_args *args);

typedef struct lt_temporal_conv_backward_args {
    lt_tensor dy, x, tail, w;
    lt_tensor dx;    /* [G, F, P, C] contiguous or empty */
    lt_tensor dtail; /* like tail; also where tail is empty (then of its zeros) */
    lt_tensor dw;    /* [3, C, C] or empty; a sum */
    bool accumulate_dx, accumulate_dtail, accumulate_dw;
} lt_temporal_conv_backward_args;
lt_status lt_temporal_conv_backward(lt_ctx *ctx, const lt_temporal_conv_backward_args *args);

#ifdef __cplusplus
}
#endif
#endif
