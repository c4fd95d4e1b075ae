/* Inside kernels/attention: inner products in a fixed order. */
#ifndef LT_KERNELS_ATTENTION_CPU_DOT_H
#define LT_KERNELS_ATTENTION_CPU_DOT_H

#include "kernels/attention/cpu_tile.h"

/* <a, b>; pieces of 1024 are summed in float32 lanes, pieces are added in float64, so long sums that nearly cancel
 * (cosines, weight gradients) keep their digits. */
static inline double lt_cpu_dot(int64_t n, const float *a, const float *b) {
    double total = 0;
    int64_t i = 0;
    while (i + 4 * LT_LANES <= n) {
        lt_v sum[4] = {0};
        int64_t end = i + 1024 < n ? i + 1024 : n;
        for (; i + 4 * LT_LANES <= end; i += 4 * LT_LANES)
            for (int v = 0; v < 4; v++)
                sum[v] += lt_v_load(a + i + v * LT_LANES) * lt_v_load(b + i + v * LT_LANES);
        total += lt_v_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    for (; i < n; i++) total += (double)a[i] * b[i];
    return total;
}

#endif
