/* How the CUDA versions cut frames. Plain C, because the description needs it for the workspace.
 *
 * A block of threads walks along one axis of a frame and spans the other, the shorter one: each thread keeps a few
 * neighbouring positions of the span. A span that is too long for a block is cut into tiles that overlap by a halo. */
#ifndef LT_KERNELS_GLU_DEPTHWISE_CUDA_CUT_H
#define LT_KERNELS_GLU_DEPTHWISE_CUDA_CUT_H

#include "kernels/glu_depthwise/shape.h"

enum {
    LT_GLU_CUDA_FORWARD = 3,         /* positions of a thread */
    LT_GLU_CUDA_FORWARD_WARPS = 10,  /* of a block, at most: two blocks share a multiprocessor */
    LT_GLU_CUDA_FORWARD_HALO = 1,    /* positions a tile reads beyond its own: SiLU(x) of the neighbours */
    LT_GLU_CUDA_BACKWARD = 2,        /* fewer: a position takes three times the registers */
    LT_GLU_CUDA_BACKWARD_WARPS = 15, /* one block */
    LT_GLU_CUDA_BACKWARD_HALO = 2,   /* what dL/dh of the neighbours needs */
    LT_GLU_CUDA_CHUNKS = 32,         /* of frames, at most; dw and db are summed in each, then over them */
    LT_GLU_CUDA_SUMS = 10            /* per channel: nine taps and the bias */
};

typedef struct lt_glu_cut {
    int walk, span;               /* lengths of the axes */
    int64_t walk_step, span_step; /* elements of y between neighbours along them; of x, twice that */
    int walk_taps, span_taps;     /* likewise in the 3 x 3 window */
    int tiles, tile;              /* tile: positions of the span that a block writes */
    int halo;                     /* 0 where there is one tile */
    int warps;
} lt_glu_cut;

static inline lt_glu_cut lt_glu_cut_of(lt_glu_shape s, int positions, int warps, int halo) {
    bool across = s.height <= s.width; /* walk over columns, span rows */
    lt_glu_cut cut;
    cut.walk = (int)(across ? s.width : s.height);
    cut.span = (int)(across ? s.height : s.width);
    cut.walk_step = (across ? 1 : s.width) * s.half;
    cut.span_step = (across ? s.width : 1) * s.half;
    cut.walk_taps = across ? 1 : 3;
    cut.span_taps = across ? 3 : 1;
    int room = warps * positions;
    cut.halo = cut.span > room ? halo : 0;
    room -= 2 * cut.halo;
    cut.tiles = cut.span > 0 ? (cut.span + room - 1) / room : 0;
    cut.tile = cut.tiles > 0 ? (cut.span + cut.tiles - 1) / cut.tiles : 0;
    cut.warps = (cut.tile + 2 * cut.halo + positions - 1) / positions;
    return cut;
}

static inline lt_glu_cut lt_glu_cut_forward(lt_glu_shape s) {
    return lt_glu_cut_of(s, LT_GLU_CUDA_FORWARD, LT_GLU_CUDA_FORWARD_WARPS, LT_GLU_CUDA_FORWARD_HALO);
}
static inline lt_glu_cut lt_glu_cut_backward(lt_glu_shape s) {
    return lt_glu_cut_of(s, LT_GLU_CUDA_BACKWARD, LT_GLU_CUDA_BACKWARD_WARPS, LT_GLU_CUDA_BACKWARD_HALO);
}

static inline int64_t lt_glu_cuda_chunks(lt_glu_shape s) {
    return s.frames < LT_GLU_CUDA_CHUNKS ? s.frames : (int64_t)LT_GLU_CUDA_CHUNKS;
}

/* Sums of one channel that the backward pass leaves in its workspace; they lie [sums][10][2R]. */
static inline int64_t lt_glu_cuda_partials(lt_glu_shape s) {
    return lt_glu_cuda_chunks(s) * lt_glu_cut_backward(s).tiles * (s.height > 0 && s.width > 0);
}

static inline size_t lt_glu_depthwise_backward_cuda_workspace(lt_glu_shape s) {
    return (size_t)(lt_glu_cuda_partials(s) * LT_GLU_CUDA_SUMS * 2 * s.half) * sizeof(float);
}

#endif
