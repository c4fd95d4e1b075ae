/* Host floats <-> device tensors of whatever type a context computes in. */
#ifndef LT_INFER_TRANSFER_H
#define LT_INFER_TRANSFER_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Copies lt_numel(to) floats into a contiguous tensor. Where its type is not float32 they pass through `temporary`,
 * which is as before on return. On a null device `host` may be NULL. */
lt_status lt_put_floats(lt_ctx *ctx, lt_arena *temporary, const float *host, lt_tensor to);
/* The way back. Waits for the stream. */
lt_status lt_get_floats(lt_ctx *ctx, lt_arena *temporary, lt_tensor from, float *host);

#ifdef __cplusplus
}
#endif
#endif
