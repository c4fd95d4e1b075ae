/* Latent video <-> tokens. A token holds its patch as [pt, ph, pw, C], channels innermost: the published
 * output layout; the published input layout [C, pt, ph, pw] is a storage permutation of the patch weight.
 * The latent has the dtype of sums (lt_ctx_sum_dtype), tokens are activations (lt_ctx_dtype). */
#ifndef LT_KERNELS_PATCHIFY_H
#define LT_KERNELS_PATCHIFY_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_patchify_args {
    lt_tensor latent; /* [N, F, H, W, C] contiguous */
    lt_tensor tokens; /* [N, F/pt * H/ph * W/pw, pt * ph * pw * C] contiguous */
    int patch[3];     /* pt, ph, pw: divide F, H, W */
    bool inverse;     /* false: tokens from latent; true: latent from tokens */
    bool accumulate;  /* add to the destination */
} lt_patchify_args;
/* Both directions, each the other's backward. */
lt_status lt_patchify(lt_ctx *ctx, const lt_patchify_args *args);

#ifdef __cplusplus
}
#endif
#endif
