/* Standard normals of core/rng.h where they are needed, with the same bits on every backend. */
#ifndef LT_KERNELS_RANDOM_H
#define LT_KERNELS_RANDOM_H

#include "core/rng.h"
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y[g, i] = the i-th normal of keys[g], as lt_rng_fill_normal(&keys[g], 0, N, ...) has it. */
typedef struct lt_normals_args {
    const lt_rng_key *keys; /* host, [G] */
    lt_tensor y;            /* [G, N] contiguous, sum dtype */
} lt_normals_args;
lt_status lt_normals_fill(lt_ctx *ctx, const lt_normals_args *args);

#ifdef __cplusplus
}
#endif
#endif
