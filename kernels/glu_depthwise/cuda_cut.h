/* How the CUDA versions cut frames. Plain C, because the description needs it for the workspace.
 *
 * Threads walk along one axis of a frame and span the other, each with a few neighbouring positions of the span. A warp
 * is on its own: what it needs of the positions beside its own, it loads and recomputes. */
#ifndef LT_KERNELS_GLU_DEPTHWISE_CUDA_CUT_H
#define LT_KERNELS_GLU_DEPTHWISE_CUDA_CUT_H

#include "kernels/glu_depthwise/shape.h"

enum {
    LT_GLU_CUDA_FORWARD = 4,       /* positions of a thread */
    LT_GLU_CUDA_FORWARD_WARPS = 4, /* of a block */
    LT_GLU_CUDA_FORWARD_BEGIN = 2, /* steps of a walk that its beginning costs, about */
    LT_GLU_CUDA_BACKWARD = 6,      /* likewise; it takes SiLU at four more */
    LT_GLU_CUDA_BACKWARD_WARPS = 2,
    LT_GLU_CUDA_BACKWARD_BLOCKS = 6, /* of a multiprocessor: what registers allow */
    LT_GLU_CUDA_BACKWARD_BEGIN = 4,
    LT_GLU_CUDA_CHUNKS = 256,  /* of tiles, at most; dw and db are summed in each, then over them */
    LT_GLU_CUDA_ENOUGH = 6144, /* blocks, several times what any GPU holds at once */
    LT_GLU_CUDA_SUMS = 10      /* per channel: nine taps and the bias */
};

typedef struct lt_glu_cut {
    int walk, span;               /* lengths of the axes */
    int64_t walk_step, span_step; /* elements of y between neighbours along them; of x, twice that */
    int walk_taps, span_taps;     /* likewise in the 3 x 3 window */
    int tiles;                    /* of the span: the positions of one warp each */
} lt_glu_cut;

/* Walks over columns and spans rows, or the other way round. */
static inline lt_glu_cut lt_glu_cut_axes(lt_glu_shape s, bool across) {
    lt_glu_cut cut = {0};
    cut.walk = (int)(across ? s.width : s.height);
    cut.span = (int)(across ? s.height : s.width);
    cut.walk_step = (across ? 1 : s.width) * s.half;
    cut.span_step = (across ? s.width : 1) * s.half;
    cut.walk_taps = across ? 1 : 3;
    cut.span_taps = across ? 3 : 1;
    return cut;
}

/* Along the axis that takes fewer steps in all, where a thread holds `positions` and a walk costs `begin` steps to
 * begin. */
static inline lt_glu_cut lt_glu_cut_shorter(lt_glu_shape s, int positions, int begin) {
    lt_glu_cut cuts[2];
    int64_t steps[2];
    for (int i = 0; i < 2; i++) {
        lt_glu_cut *cut = &cuts[i];
        *cut = lt_glu_cut_axes(s, i > 0);
        cut->tiles = (cut->span + positions - 1) / positions;
        steps[i] = (int64_t)cut->tiles * (cut->walk + begin);
    }
    return cuts[steps[1] < steps[0]];
}

static inline lt_glu_cut lt_glu_cut_forward(lt_glu_shape s) {
    return lt_glu_cut_shorter(s, LT_GLU_CUDA_FORWARD, LT_GLU_CUDA_FORWARD_BEGIN);
}

static inline lt_glu_cut lt_glu_cut_backward(lt_glu_shape s) {
    return lt_glu_cut_shorter(s, LT_GLU_CUDA_BACKWARD, LT_GLU_CUDA_BACKWARD_BEGIN);
}

/* Chunks of tiles; of each, the backward pass leaves sums in its workspace: [chunks][10][2R]. */
static inline int64_t lt_glu_cuda_partials(lt_glu_shape s) {
    lt_glu_cut cut = lt_glu_cut_backward(s);
    int64_t tiles = cut.walk > 0 ? s.frames * cut.tiles : 0, slabs = (s.half + 31) / 32;
    int64_t chunks = (tiles + LT_GLU_CUDA_BACKWARD_WARPS - 1) / LT_GLU_CUDA_BACKWARD_WARPS;
    int64_t enough = (LT_GLU_CUDA_ENOUGH + slabs - 1) / slabs;
    if (chunks > enough) chunks = enough;
    return chunks < LT_GLU_CUDA_CHUNKS ? chunks : (int64_t)LT_GLU_CUDA_CHUNKS;
}

static inline size_t lt_glu_depthwise_backward_cuda_workspace(lt_glu_shape s) {
    return (size_t)(lt_glu_cuda_partials(s) * LT_GLU_CUDA_SUMS * 2 * s.half) * sizeof(float);
}

#endif
