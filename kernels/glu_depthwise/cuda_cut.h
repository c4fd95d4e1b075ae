/* How the CUDA versions cut frames. Plain C, because the description needs it for the workspace.
 *
 * Threads walk along one axis of a frame and span the other, each with a few neighbouring positions of the span. A warp is on its
 * own: what it needs of the positions beside its own, it loads and computes again. */
#ifndef LT_KERNELS_GLU_DEPTHWISE_CUDA_CUT_H
#define LT_KERNELS_GLU_DEPTHWISE_CUDA_CUT_H

#include "kernels/glu_depthwise/shape.h"

enum {
    LT_GLU_CUDA_FORWARD = 4,           /* positions of a thread */
    LT_GLU_CUDA_FORWARD_WARPS = 4,     /* of a block */
    LT_GLU_CUDA_FORWARD_BEGIN = 2,     /* steps of a walk that its beginning costs, about */
    LT_GLU_CUDA_PART_BYTES = 12 << 20, /* of y before it is rounded to e4m3: two such parts stay in L2 */
    LT_GLU_CUDA_BACKWARD = 6,          /* likewise; it takes SiLU at four more */
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
    int begin, end;               /* of the walk: where results are wanted (forward) */
    int first;                    /* of the span: where tiles begin (forward) */
} lt_glu_cut;

/* Walks over columns and spans rows, or the other way round. */
static inline lt_glu_cut lt_glu_cut_axes(lt_glu_shape s, bool across) {
    lt_glu_cut cut = {0};
    cut.walk = (int)(across ? s.width : s.height);
    cut.span = (int)(across ? s.height : s.width);
    cut.end = cut.walk;
    cut.walk_step = (across ? 1 : s.width) * s.half;
    cut.span_step = (across ? s.width : 1) * s.half;
    cut.walk_taps = across ? 1 : 3;
    cut.span_taps = across ? 3 : 1;
    return cut;
}

/* Along the axis that takes fewer steps in all, where a thread holds `positions` and a walk costs `begin` steps to begin. */
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

/* y on its way to e4m3, a part at a time: whole frames, or a band of rows of one frame where that is too large. */
typedef struct lt_glu_parts {
    int64_t frames, rows; /* of a part, at most; rows: all of them, or a multiple of what a thread holds */
    int64_t bands, count; /* parts of a frame; of all frames */
    int64_t elements;     /* that a part may take, a multiple of 256 */
} lt_glu_parts;

typedef struct lt_glu_part {
    int64_t frame, frames, row, rows;
} lt_glu_part;

static inline lt_glu_parts lt_glu_parts_of(lt_glu_shape s, size_t element) {
    const int64_t most = LT_GLU_CUDA_PART_BYTES / (int64_t)element, hold = LT_GLU_CUDA_FORWARD;
    int64_t row = s.width * s.half, frame = s.height * row;
    lt_glu_parts p = {1, s.height, 1, 0, 0};
    if (frame == 0 || s.frames == 0) return p;
    if (frame <= most) p.frames = most / frame < s.frames ? most / frame : s.frames;
    int64_t bands = (frame + most - 1) / most, rows = (s.height + bands - 1) / bands;
    if (bands > 1) rows = (rows + hold - 1) / hold * hold;
    p.rows = rows < s.height ? rows : s.height;
    p.bands = (s.height + p.rows - 1) / p.rows;
    p.count = (s.frames + p.frames - 1) / p.frames * p.bands;
    p.elements = (p.frames * p.rows * row + 255) & ~(int64_t)255;
    return p;
}

static inline lt_glu_part lt_glu_part_at(lt_glu_shape s, const lt_glu_parts *p, int64_t index) {
    lt_glu_part at = {index / p->bands * p->frames, p->frames, index % p->bands * p->rows, p->rows};
    if (at.frames > s.frames - at.frame) at.frames = s.frames - at.frame;
    if (at.rows > s.height - at.row) at.rows = s.height - at.row;
    return at;
}

/* The axes are those of whole frames, so that sums have the same order. */
static inline lt_glu_cut lt_glu_cut_part(lt_glu_shape s, lt_glu_part part) {
    lt_glu_cut cut = lt_glu_cut_forward(s);
    int first = (int)part.row, last = (int)(part.row + part.rows);
    if (cut.walk_taps == 3) cut.begin = first, cut.end = last;
    else {
        cut.first = first;
        cut.tiles = (last - first + LT_GLU_CUDA_FORWARD - 1) / LT_GLU_CUDA_FORWARD;
    }
    return cut;
}

/* While one part is computed, the one before it is rounded. */
static inline size_t lt_glu_depthwise_cuda_workspace(lt_glu_shape s, size_t element) {
    lt_glu_parts p = lt_glu_parts_of(s, element);
    return (size_t)(p.count < 2 ? p.count : 2) * (size_t)p.elements * element;
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
