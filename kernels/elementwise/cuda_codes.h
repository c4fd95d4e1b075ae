/* gated_residual with codes on CUDA. */
#ifndef LT_KERNELS_ELEMENTWISE_CUDA_CODES_H
#define LT_KERNELS_ELEMENTWISE_CUDA_CODES_H

#include "kernels/elementwise/elementwise.h"

/* In one pass over memory. *done false: rows are too long or begin at no multiple of 16 bytes, and nothing was
 * written. */
lt_status lt_gated_residual_codes(lt_ctx *ctx, const lt_gated_residual_args *args, bool *done);

#endif
