/* Gradients of the outer taps on CUDA. Rows that meet there are not at one distance over all blocks, so every block has
 * its own GEMM. Where these are small, many blocks go into one batch, whose results lie in workspace until they are
 * summed. */
#ifndef LT_KERNELS_TEMPORAL_CONV_PARTIALS_H
#define LT_KERNELS_TEMPORAL_CONV_PARTIALS_H

#include <stddef.h>
#include <stdint.h>

enum { LT_CONV_PARTIAL_MOST = 16 << 20 };

/* Blocks of a batch, whose results are [2, batch, channels, channels] float32: left and right tap. 0: block by block
 * into dw instead. */
static inline int64_t lt_temporal_conv_batch(int64_t blocks, int64_t channels) {
    double one = 8.0 * (double)channels * (double)channels;
    if (blocks < 2 || 2 * one > LT_CONV_PARTIAL_MOST) return 0;
    int64_t most = (int64_t)(LT_CONV_PARTIAL_MOST / one);
    return blocks < most ? blocks : most;
}

static inline size_t lt_temporal_conv_partial_bytes(int64_t blocks, int64_t channels) {
    return 8 * (size_t)lt_temporal_conv_batch(blocks, channels) * (size_t)(channels * channels);
}

#endif
