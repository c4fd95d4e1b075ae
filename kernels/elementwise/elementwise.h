/* The trivial ops. All deterministic; sums run over fixed chunks.
 *
 * Dtypes: activations (lt_ctx_dtype) are x, h, y and their gradients of gated_residual; sums (lt_ctx_sum_dtype) are its
 * gate and every operand of add_broadcast, mix and sum; unary takes either, all operands alike. */
#ifndef LT_KERNELS_ELEMENTWISE_H
#define LT_KERNELS_ELEMENTWISE_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_unary {
    LT_SILU,
    LT_GELU_TANH,
    LT_TANH,
    LT_SIGMOID2, /* 2 / (1 + exp(-x)): 1 at 0, range (0, 2) */
    LT_UNARY_COUNT
} lt_unary;

typedef struct lt_unary_args {
    lt_unary kind;
    lt_tensor x, y; /* same shape, contiguous; y may be x */
} lt_unary_args;
lt_status lt_unary_forward(lt_ctx *ctx, const lt_unary_args *args);

typedef struct lt_unary_backward_args {
    lt_unary kind;
    lt_tensor dy, x, dx;
    bool accumulate_dx;
} lt_unary_backward_args;
lt_status lt_unary_backward(lt_ctx *ctx, const lt_unary_backward_args *args);

/* y[g, m, c] = a[m, c] + b[g, m or 0, c]. */
typedef struct lt_add_broadcast_args {
    lt_tensor a; /* [M, C] contiguous */
    lt_tensor b; /* [G, M, C] or [G, 1, C] contiguous */
    lt_tensor y; /* [G, M, C] contiguous */
} lt_add_broadcast_args;
lt_status lt_add_broadcast_forward(lt_ctx *ctx, const lt_add_broadcast_args *args);

typedef struct lt_add_broadcast_backward_args {
    lt_tensor dy;     /* [G, M, C] */
    lt_tensor da, db; /* either may be empty */
    bool accumulate_da, accumulate_db;
} lt_add_broadcast_backward_args;
lt_status lt_add_broadcast_backward(lt_ctx *ctx, const lt_add_broadcast_backward_args *args);

/* y = x + gate * h; a group of T rows shares its gate. */
typedef struct lt_gated_residual_args {
    lt_tensor x, h; /* [G, T, C] contiguous */
    lt_tensor gate; /* [G, C], rows may be strided; empty: 1 */
    lt_tensor y;    /* [G, T, C] contiguous; may be x */
    /* both empty, or [G, T, C] and [G, T], contiguous: y once more, in e4m3 (lt_ctx_e4m3_dtype) with a scale for each
     * row, a sum: the bits that lt_linear_forward makes of y; C is a multiple of 16 */
    lt_tensor codes, codes_scale;
} lt_gated_residual_args;
lt_status lt_gated_residual_forward(lt_ctx *ctx, const lt_gated_residual_args *args);

/* dh = gate * dy, dgate = sum over the group of h * dy; the gradient of x is dy itself. */
typedef struct lt_gated_residual_backward_args {
    lt_tensor dy, h, gate;
    lt_tensor dh;    /* or empty */
    lt_tensor dgate; /* [G, C], rows may be strided, or empty */
    bool accumulate_dh, accumulate_dgate;
} lt_gated_residual_backward_args;
lt_status lt_gated_residual_backward(lt_ctx *ctx, const lt_gated_residual_backward_args *args);

/* y (+)= scale * x for any strides, up to 6 dimensions, and any pair of floating dtypes (on cuda: of float32 and bf16):
 * copy, cast, scale, add. */
typedef struct lt_copy_args {
    lt_tensor x, y; /* same shape */
    double scale;   /* 1 copies bits when dtypes agree; 0 writes zeros (or adds nothing) without reading x */
    bool accumulate;
} lt_copy_args;
lt_status lt_copy(lt_ctx *ctx, const lt_copy_args *args);

/* y[g, :] = alpha[g] a[g, :] + beta[g] b[g, :]: noising, Euler steps, guidance. */
typedef struct lt_mix_args {
    lt_tensor a, b;        /* [G, N] contiguous */
    lt_tensor alpha, beta; /* [G] */
    lt_tensor y;           /* [G, N] contiguous; may be a or b */
} lt_mix_args;
lt_status lt_mix(lt_ctx *ctx, const lt_mix_args *args);

/* y[g] = sum of x[g, :]. */
typedef struct lt_sum_args {
    lt_tensor x; /* [G, N] contiguous */
    lt_tensor y; /* [G] */
} lt_sum_args;
lt_status lt_sum(lt_ctx *ctx, const lt_sum_args *args);

#ifdef __cplusplus
}
#endif
#endif
