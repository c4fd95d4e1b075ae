/* y_i = table[id_i]; the gradient adds rows in order of i, so it is deterministic. The table and its gradient are sums;
 * y and dy are activations, or sums too. */
#ifndef LT_KERNELS_EMBEDDING_H
#define LT_KERNELS_EMBEDDING_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_embedding_args {
    /* [N] int32, each in [0, V). LT_FAILED names the first that is not; on CUDA, which cannot tell the host, its y is
     * NaN and its dy is left out */
    lt_tensor ids;
    lt_tensor table; /* [V, C] contiguous */
    lt_tensor y;     /* [N, C] contiguous */
} lt_embedding_args;
lt_status lt_embedding_forward(lt_ctx *ctx, const lt_embedding_args *args);

typedef struct lt_embedding_backward_args {
    lt_tensor ids, dy;
    lt_tensor dtable;       /* [V, C] contiguous */
    bool accumulate_dtable; /* false clears the table first */
} lt_embedding_backward_args;
lt_status lt_embedding_backward(lt_ctx *ctx, const lt_embedding_backward_args *args);

#ifdef __cplusplus
}
#endif
#endif
