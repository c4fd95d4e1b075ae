/* Softmax attention of video tokens to text tokens: o = softmax(scale q k^T + (1 - mask) * -10000) v. The additive mask
 * is the published one: with all text masked the softmax is over the raw scores. The largest mask term of a row is
 * taken off first, also in lse: it changes no probability, and scores keep the digits that -10000 would cost them. On
 * CUDA heads have at most 256 channels; bf16 takes tensor cores where they are a multiple of 8, at most 128, and rows
 * lie 16 bytes apart.
 *
 * With o_scale the forward pass leaves o in e4m3 (lt_ctx_e4m3_dtype), for a GEMM that would quantise it next
 * (lt_linear_args.x_scale). Rows of o are means of rows of v, so the largest magnitude in v bounds them: all rows of a
 * group share the scale in which that is 448 (kernels/e4m3.h), and nothing has to look at a whole row first. A number
 * keeps three bits of fraction down to 2^-14 of the bound. o is rounded to the dtype of activations, then to e4m3. All
 * tokens of the text count, masked or not; NaN or infinity in any makes every row of its groups NaN. */
#ifndef LT_KERNELS_CROSS_ATTENTION_H
#define LT_KERNELS_CROSS_ATTENTION_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_cross_attention_args {
    lt_tensor q;    /* [G, T, H, D], G a multiple of B: group g attends to text g % B; [H, D] contiguous */
    lt_tensor k, v; /* [B, L, H, D]; [H, D] contiguous; typically views of one [B, L, 2, H, D] */
    lt_tensor mask; /* [B, L], 1 = visible, 0 = masked; or empty. float32 where q, k, v, o are bf16 */
    double scale;   /* 1 / sqrt(D) */
    lt_tensor o;    /* [G, T, H, D] */
    /* [G, H, T]: log-sum-exp of each row, for the backward pass; or empty. float32 where o is bf16 */
    lt_tensor lse;
    /* [G, T] contiguous: scores of a token are multiplied by this as well, so that a q that awaits its RMS norm need
     * not be written again (lt_rms_scale_forward; its weights go into k); or empty. float32 as lse */
    lt_tensor q_scale;
    /* [G, T] contiguous, or empty. float32 as lse: o in e4m3, contiguous; H D is a multiple of 16 */
    lt_tensor o_scale;
} lt_cross_attention_args;
lt_status lt_cross_attention_forward(lt_ctx *ctx, const lt_cross_attention_args *args);

typedef struct lt_cross_attention_backward_args {
    lt_tensor q, k, v, mask, o, lse, dout;
    double scale;
    lt_tensor dq;     /* or empty */
    lt_tensor dk, dv; /* [B, L, H, D], strided like k, v, summed over the groups of a text; or both empty */
    bool accumulate_dq, accumulate_dkv;
} lt_cross_attention_backward_args;
lt_status lt_cross_attention_backward(lt_ctx *ctx, const lt_cross_attention_backward_args *args);

#ifdef __cplusplus
}
#endif
#endif
