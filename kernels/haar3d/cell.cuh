/* One cell of haar3d in float32, in registers. A cell is [colour][frame][row][column]; an index along rows and columns
 * is 0 mean, 1 coarse difference, 2 and 3 fine differences. Private to kernels/haar3d/. */
#ifndef LT_KERNELS_HAAR3D_CELL_CUH
#define LT_KERNELS_HAAR3D_CELL_CUH

#include "kernels/haar3d/haar3d.h"

#define LT_CELL_FUNCTION static __device__ __forceinline__
#define LT_CELL_UNROLL   _Pragma("unroll")
#define LT_CELL_TIMES    __fmul_rn /* the compiler would contract a b + c into one rounding */

/* Channel of the latents -> coefficient (colour, frame, row, column), from coarse to fine. A list of statements and not
 * a table, so that a GPU keeps a cell in registers. */
/* clang-format off */
#define LT_HAAR3D_LIST(X)                                                                                    \
    X(0, 0, 0, 0, 0) /* grey, level 0; then 1; 2; 3 */                                                       \
    X(1, 0, 0, 0, 1) X(2, 0, 0, 1, 0) X(3, 0, 1, 0, 0)                                                       \
    X(4, 0, 0, 0, 2) X(5, 0, 0, 0, 3) X(6, 0, 0, 2, 0) X(7, 0, 0, 3, 0)                                      \
    X(8, 0, 0, 1, 1) X(9, 0, 1, 0, 1) X(10, 0, 1, 1, 0)                                                      \
    X(11, 0, 0, 1, 2) X(12, 0, 0, 1, 3) X(13, 0, 0, 2, 1) X(14, 0, 0, 3, 1)                                  \
    X(15, 0, 1, 0, 2) X(16, 0, 1, 0, 3) X(17, 0, 1, 2, 0) X(18, 0, 1, 3, 0)                                  \
    X(19, 0, 1, 1, 1)                                                                                        \
    X(20, 1, 0, 0, 0) X(21, 1, 0, 0, 1) X(22, 1, 0, 1, 0) /* red - blue */                                   \
    X(23, 2, 0, 0, 0) /* green - magenta */
/* clang-format on */

enum {
    LT_CELL_ROW = LT_HAAR3D_W,
    LT_CELL_FRAME = LT_HAAR3D_H * LT_HAAR3D_W,
    LT_CELL_PLANE = LT_HAAR3D_T * LT_CELL_FRAME
};
#define LT_CELL_INDEX(c, t, h, w) ((c)*LT_CELL_PLANE + (t)*LT_CELL_FRAME + (h)*LT_CELL_ROW + (w))

#define LT_CELL_R2 0.70710678118654752f /* 1 / sqrt(2) */
#define LT_CELL_R3 0.57735026918962576f /* 1 / sqrt(3) */
#define LT_CELL_R6 0.40824829046386302f /* 1 / sqrt(6) */

/* One level of Haar over the pair (a, b): mean and difference, each scaled to length 1. */
LT_CELL_FUNCTION void lt_cell_pair(float *a, float *b) {
    float sum = LT_CELL_TIMES(*a + *b, LT_CELL_R2), difference = LT_CELL_TIMES(*a - *b, LT_CELL_R2);
    *a = sum;
    *b = difference;
}

/* Two levels over 4 values `stride` apart: mean, coarse difference, fine differences. */
LT_CELL_FUNCTION void lt_cell_split(float *x, int stride) {
    float *a = x, *b = x + stride, *c = x + 2 * stride, *d = x + 3 * stride;
    lt_cell_pair(a, b);
    lt_cell_pair(c, d);
    float fine = *b;
    *b = *c;
    *c = fine;
    lt_cell_pair(a, b);
}

LT_CELL_FUNCTION void lt_cell_join(float *x, int stride) {
    float *a = x, *b = x + stride, *c = x + 2 * stride, *d = x + 3 * stride;
    lt_cell_pair(a, b);
    float second = *b;
    *b = *c;
    *c = second;
    lt_cell_pair(a, b);
    lt_cell_pair(c, d);
}

LT_CELL_FUNCTION void lt_cell_pair_frames(float *cell) {
    LT_CELL_UNROLL
    for (int c = 0; c < 3; c++) {
        LT_CELL_UNROLL
        for (int i = 0; i < LT_CELL_FRAME; i++)
            lt_cell_pair(&cell[c * LT_CELL_PLANE + i], &cell[c * LT_CELL_PLANE + LT_CELL_FRAME + i]);
    }
}

LT_CELL_FUNCTION void lt_cell_forward(float *cell) {
    LT_CELL_UNROLL
    for (int at = 0; at < LT_HAAR3D_CELL; at += LT_CELL_FRAME) {
        LT_CELL_UNROLL
        for (int h = 0; h < LT_HAAR3D_H; h++) lt_cell_split(cell + at + h * LT_CELL_ROW, 1);
        LT_CELL_UNROLL
        for (int w = 0; w < LT_HAAR3D_W; w++) lt_cell_split(cell + at + w, LT_CELL_ROW);
    }
    lt_cell_pair_frames(cell);
}

LT_CELL_FUNCTION void lt_cell_inverse(float *cell) {
    lt_cell_pair_frames(cell);
    LT_CELL_UNROLL
    for (int at = 0; at < LT_HAAR3D_CELL; at += LT_CELL_FRAME) {
        LT_CELL_UNROLL
        for (int w = 0; w < LT_HAAR3D_W; w++) lt_cell_join(cell + at + w, LT_CELL_ROW);
        LT_CELL_UNROLL
        for (int h = 0; h < LT_HAAR3D_H; h++) lt_cell_join(cell + at + h * LT_CELL_ROW, 1);
    }
}

/* `rgb` is the cell's first byte; rows are `row` bytes and frames `frame` bytes apart. */
LT_CELL_FUNCTION void lt_cell_load(const uint8_t *rgb, int64_t frame, int64_t row, float *cell) {
    LT_CELL_UNROLL
    for (int i = 0; i < LT_CELL_PLANE; i++) {
        const uint8_t *p =
            rgb + i / LT_CELL_FRAME * frame + i / LT_CELL_ROW % LT_HAAR3D_H * row + i % LT_HAAR3D_W * 3;
        float r = p[0] / 127.5f - 1, g = p[1] / 127.5f - 1, b = p[2] / 127.5f - 1;
        cell[i] = LT_CELL_TIMES(r + g + b, LT_CELL_R3);
        cell[LT_CELL_PLANE + i] = LT_CELL_TIMES(r - b, LT_CELL_R2);
        cell[2 * LT_CELL_PLANE + i] = LT_CELL_TIMES(2 * g - r - b, LT_CELL_R6);
    }
}

LT_CELL_FUNCTION uint8_t lt_cell_byte(float value) {
    float scaled = LT_CELL_TIMES(value + 1, 127.5f);
    return scaled > 0 ? (uint8_t)(fminf(scaled, 255) + 0.5f) : 0; /* NaN is not > 0 */
}

LT_CELL_FUNCTION void lt_cell_store(const float *cell, int64_t frame, int64_t row, uint8_t *rgb) {
    LT_CELL_UNROLL
    for (int i = 0; i < LT_CELL_PLANE; i++) {
        uint8_t *p =
            rgb + i / LT_CELL_FRAME * frame + i / LT_CELL_ROW % LT_HAAR3D_H * row + i % LT_HAAR3D_W * 3;
        float grey = LT_CELL_TIMES(cell[i], LT_CELL_R3),
              red_blue = LT_CELL_TIMES(cell[LT_CELL_PLANE + i], LT_CELL_R2),
              green = LT_CELL_TIMES(cell[2 * LT_CELL_PLANE + i], LT_CELL_R6);
        p[0] = lt_cell_byte(grey + red_blue - green);
        p[1] = lt_cell_byte(grey + 2 * green);
        p[2] = lt_cell_byte(grey - red_blue - green);
    }
}

/* A cell's coefficients into one position of the latents, and back with zeros for those left out. */
LT_CELL_FUNCTION void lt_cell_select(const float *cell, bool full, float *out) {
    if (full) {
        LT_CELL_UNROLL
        for (int i = 0; i < LT_HAAR3D_CELL; i++) out[i] = cell[i];
        return;
    }
#define LT_CELL_TAKE(channel, c, t, h, w) out[channel] = cell[LT_CELL_INDEX(c, t, h, w)];
    LT_HAAR3D_LIST(LT_CELL_TAKE)
#undef LT_CELL_TAKE
}

LT_CELL_FUNCTION void lt_cell_spread(const float *in, bool full, float *cell) {
    LT_CELL_UNROLL
    for (int i = 0; i < LT_HAAR3D_CELL; i++) cell[i] = full ? in[i] : 0;
    if (full) return;
#define LT_CELL_PUT(channel, c, t, h, w) cell[LT_CELL_INDEX(c, t, h, w)] = in[channel];
    LT_HAAR3D_LIST(LT_CELL_PUT)
#undef LT_CELL_PUT
}

#endif
