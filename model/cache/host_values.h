/* Small tensors to and from host doubles, whatever their dtype (float32 or float64): features, weights, parameters.
 */
#ifndef LT_MODEL_CACHE_HOST_VALUES_H
#define LT_MODEL_CACHE_HOST_VALUES_H

#include "kernels/op.h"

/* `values` holds lt_numel(t) doubles; t is contiguous. Zeros on a null device. */
lt_status lt_host_read(const lt_ctx *ctx, const lt_tensor *t, double *values);
lt_status lt_host_write(const lt_ctx *ctx, lt_tensor *t, const double *values);

#endif
