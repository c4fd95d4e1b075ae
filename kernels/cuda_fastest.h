/* Which of several ways to do the same work takes the least time here: for what is chosen once, at its first use. */
#ifndef LT_KERNELS_CUDA_FASTEST_H
#define LT_KERNELS_CUDA_FASTEST_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_FASTEST_MOST = 8 };

/* Asks the context's stream for the work, done in way number `way`; false where that way is none. */
typedef bool (*lt_fastest_run)(void *user, int way);

/* microseconds[i]: the least that way i took, INFINITY where it cannot. Waits for the stream and makes events, so not
 * while a graph is captured. A way that is clearly slow runs twice, the others four times. */
lt_status lt_cuda_fastest(const lt_ctx *ctx, int ways, lt_fastest_run run, void *user, double *microseconds);

#ifdef __cplusplus
}
#endif
#endif
