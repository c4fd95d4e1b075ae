/* Chunks of the sum: their number depends on the size alone, so threads do not change a bit. */
#ifndef LT_KERNELS_LOSS_MSE_CHUNKS_H
#define LT_KERNELS_LOSS_MSE_CHUNKS_H

#include "kernels/loss/loss.h"

enum { LT_MSE_CHUNK = 8192 };

static inline int64_t lt_mse_chunks(int64_t count) { return (count + LT_MSE_CHUNK - 1) / LT_MSE_CHUNK; }

#endif
