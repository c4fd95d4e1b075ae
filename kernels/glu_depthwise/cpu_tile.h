/* What the forward and backward pass share: tiles of channels, kept small enough for the level-1 cache.
 *
 * A work item owns LT_GLU_TILE channels of u and the same channels of g. It walks down a frame with rings of
 * three rows, so each SiLU is taken once. A row in a ring is [columns + 2][LT_GLU_TILE] with a zero column on
 * either side; `columns` is the width rounded up to the 4 pixels that conv_row computes at a time. Unused
 * lanes stay zero. */
#ifndef LT_KERNELS_GLU_DEPTHWISE_CPU_TILE_H
#define LT_KERNELS_GLU_DEPTHWISE_CPU_TILE_H

#include "core/parallel.h"
#include "kernels/glu_depthwise/shape.h"
#include "kernels/rows.h"
#include "kernels/vec.h"

#include <string.h>

#define LT_GLU_TILE    32
#define LT_GLU_LANES   16
#define LT_GLU_COLUMNS 4

/* Elements of x that make threads pay: each costs about eight elementwise ones. */
enum { LT_GLU_PARALLEL_FROM = LT_PARALLEL_FROM / 8 };

typedef float lt_glu_lanes __attribute__((vector_size(4 * LT_GLU_LANES), may_alias));

/* 3x3 taps of one tile, then its bias. */
typedef float lt_glu_taps[10][LT_GLU_TILE];

typedef struct lt_glu_layout {
    int64_t columns; /* computed per row */
    int64_t row;     /* floats of one ring row */
    int64_t line;    /* floats of one row of results, [columns][LT_GLU_TILE] */
    int64_t tiles;
} lt_glu_layout;

static inline lt_glu_layout lt_glu_layout_of(lt_glu_shape s) {
    int64_t columns = (s.width + LT_GLU_COLUMNS - 1) / LT_GLU_COLUMNS * LT_GLU_COLUMNS;
    return (lt_glu_layout){columns, (columns + 2) * LT_GLU_TILE, columns * LT_GLU_TILE,
                           (s.half + LT_GLU_TILE - 1) / LT_GLU_TILE};
}

/* Channels of tile `tile`: they start at tile * LT_GLU_TILE of each half. */
static inline int64_t lt_glu_tile_width(lt_glu_shape s, int64_t tile) {
    int64_t left = s.half - tile * LT_GLU_TILE;
    return left < LT_GLU_TILE ? left : LT_GLU_TILE;
}

/* Row `index` (from -1 on) of a ring of three. */
static inline float *lt_glu_ring(float *ring, const lt_glu_layout *l, int64_t index) {
    return ring + (index + 3) % 3 * l->row;
}

/* A tile takes two cache lines per pixel, a stride that hardware prefetchers lose: asks for the lines at `p` plus a
 * distance, which may lie past the end. */
LT_INLINE void lt_glu_prefetch(const float *p, int64_t distance) {
    uintptr_t at = (uintptr_t)p + (uintptr_t)distance * sizeof(float);
    __builtin_prefetch((const void *)at);
    __builtin_prefetch((const void *)(at + 64));
}

LT_INLINE void lt_glu_prefetch_write(float *p, int64_t distance) {
    uintptr_t at = (uintptr_t)p + (uintptr_t)distance * sizeof(float);
    __builtin_prefetch((const void *)at, 1);
    __builtin_prefetch((const void *)(at + 64), 1);
}

/* Copies the taps of channels [first, first + count) into lanes; `flipped` mirrors them and drops the bias,
 * which turns the convolution into its transpose. */
static inline void lt_glu_load_taps(const float *w, const float *b, int64_t channels, int64_t first,
                                    int64_t count, bool flipped, lt_glu_taps taps) {
    memset(taps, 0, sizeof(lt_glu_taps));
    for (int k = 0; k < 9; k++)
        memcpy(taps[flipped ? 8 - k : k], w + k * channels + first, (size_t)count * sizeof(float));
    if (!flipped) memcpy(taps[9], b + first, (size_t)count * sizeof(float));
}

/* out = bias + taps over three ring rows, four pixels at a time: taps and sums stay in registers. */
static inline void lt_glu_conv_row(const float *const rows[3], const lt_glu_taps taps, float *out,
                                   const lt_glu_layout *l) {
    for (int64_t lane = 0; lane < LT_GLU_TILE; lane += LT_GLU_LANES) {
        lt_glu_lanes tap[10];
        for (int k = 0; k < 10; k++) tap[k] = *(const lt_glu_lanes *)&taps[k][lane];
        for (int64_t column = 0; column < l->columns; column += LT_GLU_COLUMNS) {
            lt_glu_lanes sum[LT_GLU_COLUMNS];
            for (int p = 0; p < LT_GLU_COLUMNS; p++) sum[p] = tap[9];
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++) {
                const float *row = rows[i] + column * LT_GLU_TILE + lane;
#pragma GCC unroll 6
                for (int p = 0; p < LT_GLU_COLUMNS + 2; p++) {
                    lt_glu_lanes in = *(const lt_glu_lanes *)(row + p * LT_GLU_TILE);
                    if (p < LT_GLU_COLUMNS) sum[p] += tap[i * 3] * in;
                    if (p >= 1 && p <= LT_GLU_COLUMNS) sum[p - 1] += tap[i * 3 + 1] * in;
                    if (p >= 2) sum[p - 2] += tap[i * 3 + 2] * in;
                }
            }
            for (int p = 0; p < LT_GLU_COLUMNS; p++)
                *(lt_glu_lanes *)(out + (column + p) * LT_GLU_TILE + lane) = sum[p];
        }
    }
}

#endif
