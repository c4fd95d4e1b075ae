/* Inside kernels/cross_attention: what the fast forward and backward share. */
#ifndef LT_KERNELS_CROSS_ATTENTION_CPU_PARTS_H
#define LT_KERNELS_CROSS_ATTENTION_CPU_PARTS_H

#include "kernels/attention/cpu_spans.h"
#include "kernels/attention/cpu_tile.h"
#include "kernels/cross_attention/cross_attention.h"

/* Queries handled at a time; their scores stay in the nearest caches. */
enum { LT_CROSS_ROWS = 32 };

/* G groups of queries, B texts; group g attends to text g % B, so a text serves `repeats` groups. */
typedef struct lt_cross_shape {
    int64_t G, T, H, D, B, L, repeats, padded_D, padded_L;
} lt_cross_shape;

static inline lt_cross_shape lt_cross_shape_of(const lt_tensor *q, const lt_tensor *k) {
    lt_cross_shape s = {.G = q->shape[0],
                        .T = q->shape[1],
                        .H = q->shape[2],
                        .D = q->shape[3],
                        .B = k->shape[0],
                        .L = k->shape[1]};
    s.repeats = s.B > 0 ? s.G / s.B : 0;
    s.padded_D = lt_pad16(s.D);
    s.padded_L = lt_pad16(s.L);
    return s;
}

/* Workspaces of forward and backward. */
size_t lt_cross_attention_cpu_bytes(const lt_cross_shape *shape);
size_t lt_cross_attention_backward_cpu_bytes(const lt_cross_shape *shape);

/* [B, padded_L]: -10000 for what is masked less the largest of the row, -infinity behind the last token. */
void lt_cross_mask_terms(const lt_cross_shape *shape, const lt_tensor *mask, float *terms);

/* Element (b, t, h, 0) of [B, T, H, D]. */
static inline float *lt_cross_at(const lt_tensor *x, int64_t b, int64_t t, int64_t h) {
    return (float *)x->data + b * x->stride[0] + t * x->stride[1] + h * x->shape[3];
}

#endif
