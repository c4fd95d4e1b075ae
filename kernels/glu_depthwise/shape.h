/* Sizes that the description and the backends of this op share. */
#ifndef LT_KERNELS_GLU_DEPTHWISE_SHAPE_H
#define LT_KERNELS_GLU_DEPTHWISE_SHAPE_H

#include "kernels/glu_depthwise/glu_depthwise.h"

typedef struct lt_glu_shape {
    int64_t frames, height, width, half; /* half: R */
} lt_glu_shape;

static inline lt_glu_shape lt_glu_shape_of(const lt_tensor *x) {
    return (lt_glu_shape){x->shape[0], x->shape[1], x->shape[2], x->shape[3] / 2};
}

/* Scratch bytes of the fast CPU version (cpu.c), which knows its own layout. */
size_t lt_glu_depthwise_cpu_workspace(lt_glu_shape s);
size_t lt_glu_depthwise_backward_cpu_workspace(lt_glu_shape s);

#endif
