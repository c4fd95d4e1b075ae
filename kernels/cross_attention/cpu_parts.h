/* Inside kernels/cross_attention: what the fast forward and backward share. */
#ifndef LT_KERNELS_CROSS_ATTENTION_CPU_PARTS_H
#define LT_KERNELS_CROSS_ATTENTION_CPU_PARTS_H

#include "kernels/attention/cpu_spans.h"
#include "kernels/attention/cpu_tile.h"
#include "kernels/cross_attention/cross_attention.h"

/* Queries handled at a time; their scores stay in the nearest caches. */
enum { LT_CROSS_ROWS = 32 };

typedef struct lt_cross_shape {
    int64_t B, T, H, D, L, padded_D, padded_L;
} lt_cross_shape;

static inline lt_cross_shape lt_cross_shape_of(const lt_tensor *q, const lt_tensor *k) {
    return (lt_cross_shape){q->shape[0], q->shape[1],           q->shape[2],          q->shape[3],
                            k->shape[1], lt_pad16(q->shape[3]), lt_pad16(k->shape[1])};
}

size_t lt_cross_attention_cpu_bytes(const lt_cross_shape *shape);
size_t lt_cross_attention_backward_cpu_bytes(const lt_cross_shape *shape);

/* [B, padded_L]: -10000 for what is masked less the largest of the row, -infinity behind the last token. */
void lt_cross_mask_terms(const lt_cross_shape *shape, const lt_tensor *mask, float *terms);

/* Element (b, t, h, 0) of [B, T, H, D]. */
static inline float *lt_cross_at(const lt_tensor *x, int64_t b, int64_t t, int64_t h) {
    return (float *)x->data + b * x->stride[0] + t * x->stride[1] + h * x->shape[3];
}

#endif
