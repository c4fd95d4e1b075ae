/* Layer norm with modulation (AdaLN: Peebles & Xie, arXiv 2212.09748; AdaLN-single: PixArt-alpha, arXiv 2310.00426) and
 * RMS norm (Zhang & Sennrich, arXiv 1910.07467). Statistics are recomputed in the backward pass: nothing is saved.
 *
 * x, y and their gradients are activations (lt_ctx_dtype; RMS norm: or all of them lt_ctx_sum_dtype, as x is).
 * Modulation, weights and their gradients are sums (lt_ctx_sum_dtype).
 *
 * With y_scale the forward passes of layer norm leave y in e4m3 (lt_ctx_e4m3_dtype) with a scale for each row, for
 * GEMMs that would round it next (lt_linear_args.x_scale): the bits that lt_linear_forward makes of y. */
#ifndef LT_KERNELS_NORM_H
#define LT_KERNELS_NORM_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = (x - mean) / sqrt(variance + eps) * (1 + scale) + shift, over the last dimension; a group shares its
 * modulation. */
typedef struct lt_norm_modulate_args {
    lt_tensor x;            /* [G, T, C] contiguous */
    lt_tensor shift, scale; /* [G, C], rows may be strided; both empty: plain layer norm */
    lt_tensor y;            /* [G, T, C] contiguous */
    double eps;
    lt_tensor y_scale; /* [G, T] contiguous, or empty; a sum: y in e4m3; C is a multiple of 16 */
} lt_norm_modulate_args;
lt_status lt_norm_modulate_forward(lt_ctx *ctx, const lt_norm_modulate_args *args);

typedef struct lt_norm_modulate_backward_args {
    lt_tensor dy, x, scale;
    lt_tensor dx;             /* [G, T, C] or empty */
    lt_tensor dshift, dscale; /* [G, C], rows may be strided, or both empty */
    double eps;
    bool accumulate_dx, accumulate_dmod;
} lt_norm_modulate_backward_args;
lt_status lt_norm_modulate_backward(lt_ctx *ctx, const lt_norm_modulate_backward_args *args);

/* sum = x + gate * h (lt_gated_residual_forward), y = the layer norm of that: both at once, with the bits that the two
 * ops give, for passes that nothing looks back at; it saves reading the sum. */
typedef struct lt_gated_residual_norm_args {
    lt_tensor x, h;         /* [G, T, C] contiguous */
    lt_tensor gate;         /* [G, C], rows may be strided; empty: 1 */
    lt_tensor sum;          /* [G, T, C] contiguous; may be x */
    lt_tensor shift, scale; /* as above */
    lt_tensor y;            /* [G, T, C] contiguous; may be h, unless it is e4m3 */
    double eps;
    lt_tensor y_scale; /* as above */
} lt_gated_residual_norm_args;
lt_status lt_gated_residual_norm_forward(lt_ctx *ctx, const lt_gated_residual_norm_args *args);

/* y = x / sqrt(mean(x^2) + eps) * weight, over the last dimension (all heads together). */
typedef struct lt_rms_norm_args {
    lt_tensor x;      /* [..., C], rows may be strided */
    lt_tensor weight; /* [C] */
    lt_tensor y;      /* [..., C], rows may be strided; may be x */
    double eps;
    /* [C]: y is multiplied by this as well; or empty. For passes that nothing looks back at */
    lt_tensor gain;
} lt_rms_norm_args;
lt_status lt_rms_norm_forward(lt_ctx *ctx, const lt_rms_norm_args *args);

/* scale = 1 / sqrt(mean(x^2) + eps): what RMS norm multiplies each row by, for ops that multiply as they load
 * (attention), so that nothing is written of the size of x. On the CPU the bits are those within lt_rms_norm_forward;
 * on a GPU its sum may have another order. */
typedef struct lt_rms_scale_args {
    lt_tensor x;     /* [..., C], rows may be strided */
    lt_tensor scale; /* [...] contiguous: a sum, as weights are */
    double eps;
} lt_rms_scale_args;
lt_status lt_rms_scale_forward(lt_ctx *ctx, const lt_rms_scale_args *args);

typedef struct lt_rms_norm_backward_args {
    lt_tensor dy, x, weight;
    lt_tensor dx;      /* [..., C], rows may be strided, or empty */
    lt_tensor dweight; /* [C] or empty */
    double eps;
    bool accumulate_dx, accumulate_dweight;
} lt_rms_norm_backward_args;
lt_status lt_rms_norm_backward(lt_ctx *ctx, const lt_rms_norm_backward_args *args);

#ifdef __cplusplus
}
#endif
#endif
