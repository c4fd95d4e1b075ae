/* How a copy walks through two tensors of one shape: they are cut into lines along the last dimension that cannot be
 * merged with its neighbour. */
#ifndef LT_KERNELS_ELEMENTWISE_COPY_WALK_H
#define LT_KERNELS_ELEMENTWISE_COPY_WALK_H

#include "core/tensor.h"
#include <string.h>

typedef struct lt_copy_walk {
    int ndim; /* dimensions before the line */
    int64_t shape[LT_MAX_DIMS], x_stride[LT_MAX_DIMS], y_stride[LT_MAX_DIMS];
    int64_t length, x_step, y_step; /* of a line */
} lt_copy_walk;

/* Merges neighbouring dimensions that both tensors step through evenly; drops those of size 1. */
static inline lt_copy_walk lt_copy_walk_of(const lt_tensor *x, const lt_tensor *y) {
    lt_copy_walk w;
    memset(&w, 0, sizeof w);
    for (int d = 0; d < x->ndim; d++) {
        if (x->shape[d] == 1) continue;
        int last = w.ndim - 1;
        bool merges = last >= 0 && w.x_stride[last] == x->shape[d] * x->stride[d] &&
                      w.y_stride[last] == y->shape[d] * y->stride[d];
        if (!merges) w.ndim++, last++, w.shape[last] = 1;
        w.shape[last] *= x->shape[d];
        w.x_stride[last] = x->stride[d];
        w.y_stride[last] = y->stride[d];
    }
    w.length = w.x_step = w.y_step = 1;
    if (w.ndim > 0) {
        w.ndim--;
        w.length = w.shape[w.ndim], w.x_step = w.x_stride[w.ndim], w.y_step = w.y_stride[w.ndim];
    }
    return w;
}

#endif
