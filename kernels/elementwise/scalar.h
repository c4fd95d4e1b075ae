/* One element of any floating dtype, as double. */
#ifndef LT_KERNELS_SCALAR_H
#define LT_KERNELS_SCALAR_H

#include "core/tensor.h"

static inline double lt_scalar_load(const void *data, lt_dtype dtype, int64_t i) {
    switch (dtype) {
    case LT_F64: return ((const double *)data)[i];
    case LT_BF16: return (double)lt_bf16_to_f32(((const uint16_t *)data)[i]);
    case LT_F16: return (double)lt_f16_to_f32(((const uint16_t *)data)[i]);
    default: return (double)((const float *)data)[i];
    }
}

static inline void lt_scalar_store(void *data, lt_dtype dtype, int64_t i, double value) {
    switch (dtype) {
    case LT_F64: ((double *)data)[i] = value; break;
    case LT_BF16: ((uint16_t *)data)[i] = lt_f32_to_bf16((float)value); break;
    case LT_F16: ((uint16_t *)data)[i] = lt_f32_to_f16((float)value); break;
    default: ((float *)data)[i] = (float)value; break;
    }
}

#endif
