/* GEMMs of the fast CPU kernels, for use outside parallel regions: threads share one.
 *
 * Where the processor has AVX-512 they are ours; elsewhere OpenBLAS serves. */
#ifndef LT_KERNELS_LINEAR_CPU_PRODUCT_H
#define LT_KERNELS_LINEAR_CPU_PRODUCT_H

#include "core/status.h"

#include <stdint.h>

/* A matrix whose rows lie `step` apart, or the transpose of one. */
typedef struct lt_factor {
    const float *data;
    int64_t step;
    bool transposed;
} lt_factor;

/* c[m, n] = start + a[m, k] b[k, n]. Rows of `start` lie start_step apart: it may be c, another matrix, one row for all
 * (step 0), or NULL for nothing. Which thread computes an element does not change its bits. */
typedef struct lt_product {
    int64_t m, n, k;
    lt_factor a, b;
    const float *start;
    int64_t start_step;
    float *c;
    int64_t c_step;
} lt_product;
lt_status lt_product_cpu(const lt_product *p);
#endif
