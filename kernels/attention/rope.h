/* 3D rotary positions (RoFormer, arXiv 2104.09864; split over time, rows and columns as in Wan and SANA-Video).
 *
 * Channels of a head are split d = t + h + w with h = w = 2 * (d / 6), t = d - h - w, in this order; within each part
 * channels (2i, 2i+1) rotate by position * theta^(-2i / part). Frame indices are int64 and angles are computed in
 * float64 per block (frames + height + width positions), so there is no table and no longest video.
 */
#ifndef LT_KERNELS_ROPE_H
#define LT_KERNELS_ROPE_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_rope {
    int frames, height, width;  /* grid of one block; token = (frame * height + row) * width + column */
    double theta;               /* 10000 */
    const int64_t *first_frame; /* host, one per block: position of the block's first frame; NULL: all 0 */
} lt_rope;

/* Channel counts of the three parts. */
static inline void lt_rope_split(int head_dim, int *t, int *h, int *w) {
    *h = *w = 2 * (head_dim / 6);
    *t = head_dim - *h - *w;
}

/* Cosines and sines of one axis: out[p * part / 2 + i] for positions first + p, p < count. float64 angles, reduced
 * before rounding. Either output type may be NULL. */
void lt_rope_axis(int64_t first, int count, int part, double theta, double *cosine, double *sine);

#ifdef __cplusplus
}
#endif
#endif
