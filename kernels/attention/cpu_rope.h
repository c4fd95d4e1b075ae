/* Inside kernels/attention: the cosines and sines of one call, and walking over tokens with them. */
#ifndef LT_KERNELS_ATTENTION_CPU_ROPE_H
#define LT_KERNELS_ATTENTION_CPU_ROPE_H

#include "kernels/attention/cpu_spans.h"
#include "kernels/attention/cpu_tile.h"
#include "kernels/attention/grid.h"

/* Every position of an axis has a row of cosines and one of sines, lt_pad16(d) floats each, zero outside the
 * channels of that axis: the sum of a frame's, a row's and a column's rows are the angles of a token. Sines carry
 * the sign with which the other channel of the pair enters, so that R x = cosine x + sine swap(x). */
typedef struct lt_angles {
    const lt_rope *rope;
    int64_t padded;
    float *frame, *row, *column; /* [G * frames, 2, padded], [height, 2, padded], [width, 2, padded] */
} lt_angles;

/* Bytes of the tables, and the tables in that much memory. */
size_t lt_angles_bytes(const lt_rope *rope, const lt_attn_shape *shape);
lt_angles lt_angles_build(const lt_rope *rope, const lt_attn_shape *shape, void *memory);

/* A place in a segment, whose tokens are numbered frame by frame, row by row. `base` [2, padded] is the walker's
 * own: the angles of its frame and row. */
typedef struct lt_walk {
    const lt_angles *angles;
    lt_segment_bounds bounds;
    int64_t block;
    int frame, row, column;
    float *base;
} lt_walk;

static inline int64_t lt_walk_floats(int64_t padded) { return 2 * padded; }
/* Before the first token of the segment. */
lt_walk lt_walk_begin(const lt_angles *angles, lt_segment_bounds bounds, int64_t block, float *base);
/* Moves to token `index` of the segment. */
void lt_walk_to(lt_walk *walk, int64_t index);

/* Tokens are walked in runs, which lie in one row: their numbers follow each other and `base` holds for all. */
static inline int lt_walk_run(const lt_walk *walk, int most) {
    int left = walk->bounds.column1 - walk->column;
    return left < most ? left : most;
}
void lt_walk_on(lt_walk *walk, int run);
/* The first token's number within the block. */
static inline int64_t lt_walk_token(const lt_walk *walk) {
    const lt_rope *rope = walk->angles->rope;
    return ((int64_t)walk->frame * rope->height + walk->row) * rope->width + walk->column;
}

/* Lanes [c, c + LT_LANES) of the angles of a run: `base` once, then the sum of it and of its column per token. */
typedef struct lt_run_angles {
    lt_v cosine, sine;
    const float *column;
    int64_t padded;
} lt_run_angles;
LT_INLINE lt_run_angles lt_walk_angles(const lt_walk *walk, int64_t c) {
    int64_t padded = walk->angles->padded;
    return (lt_run_angles){lt_v_load(walk->base + c), lt_v_load(walk->base + padded + c),
                           walk->angles->column + 2 * walk->column * padded + c, padded};
}
LT_INLINE lt_v lt_run_cosine(const lt_run_angles *a, int64_t i) {
    return a->cosine + lt_v_load(a->column + 2 * i * a->padded);
}
LT_INLINE lt_v lt_run_sine(const lt_run_angles *a, int64_t i) {
    return a->sine + lt_v_load(a->column + (2 * i + 1) * a->padded);
}

/* R x and R^T x for token i of a run. */
LT_INLINE lt_v lt_rotate(lt_v x, const lt_run_angles *a, int64_t i) {
    return x * lt_run_cosine(a, i) + lt_v_swap_pairs(x) * lt_run_sine(a, i);
}
LT_INLINE lt_v lt_rotate_back(lt_v x, const lt_run_angles *a, int64_t i) {
    return x * lt_run_cosine(a, i) - lt_v_swap_pairs(x) * lt_run_sine(a, i);
}

#endif
