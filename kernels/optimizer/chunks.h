#ifndef LT_KERNELS_OPTIMIZER_CHUNKS_H
#define LT_KERNELS_OPTIMIZER_CHUNKS_H

#include "kernels/rows.h"

#include <math.h>

#ifdef __CUDACC__
#    define LT_ON_BOTH __host__ __device__
#else
#    define LT_ON_BOTH
#endif

/* Elements of a tensor whose squares are summed into one partial sum. */
enum { LT_NORM_CHUNK = 16384 };

/* What grad_norm says about the sum of squares of the gradients as they are: norm after scaling, factor, finite. */
LT_ON_BOTH static inline void lt_norm_control(double squares, double scale, double max_norm,
                                              double control[3]) {
    double norm = sqrt(squares) * fabs(scale);
    control[0] = norm;
    control[1] = max_norm > 0 && norm > max_norm ? scale * (max_norm / norm) : scale;
    control[2] = isfinite(norm) ? 1 : 0;
}

#endif
