/* haar3d on the CPU. Not named cpu.c: files of that name are compiled with a b + c contracted into one rounding. Its
 * loops are not those of cell.h: the bits that compilers give these ones are the latents that trained models know. */
#include "core/parallel.h"
#include "kernels/haar3d/haar3d.h"

#include <math.h>
#include <string.h>

enum {
    T = LT_HAAR3D_T,
    H = LT_HAAR3D_H,
    W = LT_HAAR3D_W,
    PLANE = T * H * W, /* a cell is [colour][frame][row][column] */
    CELL = LT_HAAR3D_CELL,
    PARALLEL_CELLS = 4096 /* below, starting threads costs more than it saves */
};

static const float r2 = 0.70710678118654752f; /* 1 / sqrt(2) */
static const float r3 = 0.57735026918962576f; /* 1 / sqrt(3) */
static const float r6 = 0.40824829046386302f; /* 1 / sqrt(6) */

/* Channel -> coefficient {colour, frame, row, column}, each part from coarse to fine. The index along rows
 * and columns is 0 mean, 1 coarse difference, 2 and 3 fine differences. */
static const uint8_t kept[LT_HAAR3D_KEPT][4] = {
    {0, 0, 0, 0},                                                         /* grey, level 0 */
    {0, 0, 0, 1}, {0, 0, 1, 0}, {0, 1, 0, 0},                             /* level 1 */
    {0, 0, 0, 2}, {0, 0, 0, 3}, {0, 0, 2, 0}, {0, 0, 3, 0},               /* level 2 */
    {0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 0},                             /* level 2 */
    {0, 0, 1, 2}, {0, 0, 1, 3}, {0, 0, 2, 1}, {0, 0, 3, 1},               /* level 3 */
    {0, 1, 0, 2}, {0, 1, 0, 3}, {0, 1, 2, 0}, {0, 1, 3, 0}, {0, 1, 1, 1}, /* level 3 */
    {1, 0, 0, 0}, {1, 0, 0, 1}, {1, 0, 1, 0},                             /* red - blue */
    {2, 0, 0, 0},                                                         /* green - magenta */
};

static int cell_index(const uint8_t at[4]) { return at[0] * PLANE + at[1] * H * W + at[2] * W + at[3]; }

/* One level of Haar over the pair (a, b): mean and difference, each scaled to length 1. */
static inline void pair(float *a, float *b) {
    float sum = (*a + *b) * r2, difference = (*a - *b) * r2;
    *a = sum;
    *b = difference;
}

/* Two levels over 4 values `stride` apart: mean, coarse difference, fine differences. */
static inline void split4(float *x, int stride) {
    float *a = x, *b = x + stride, *c = x + 2 * stride, *d = x + 3 * stride;
    pair(a, b);
    pair(c, d);
    float fine = *b;
    *b = *c;
    *c = fine;
    pair(a, b);
}

static inline void join4(float *x, int stride) {
    float *a = x, *b = x + stride, *c = x + 2 * stride, *d = x + 3 * stride;
    pair(a, b);
    float second = *b;
    *b = *c;
    *c = second;
    pair(a, b);
    pair(c, d);
}

static void transform_cell(float cell[CELL]) {
    for (float *plane = cell; plane < cell + CELL; plane += H * W) {
        for (int h = 0; h < H; h++) split4(plane + h * W, 1);
        for (int w = 0; w < W; w++) split4(plane + w, W);
    }
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < H * W; i++) pair(&cell[c * PLANE + i], &cell[c * PLANE + H * W + i]);
}

static void inverse(float cell[CELL]) {
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < H * W; i++) pair(&cell[c * PLANE + i], &cell[c * PLANE + H * W + i]);
    for (float *plane = cell; plane < cell + CELL; plane += H * W) {
        for (int w = 0; w < W; w++) join4(plane + w, W);
        for (int h = 0; h < H; h++) join4(plane + h * W, 1);
    }
}

/* `rgb` is the cell's first byte, rows are `row` bytes and frames `frame` bytes apart. */
static void load_cell(const uint8_t *rgb, int64_t frame, int64_t row, float cell[CELL]) {
    for (int i = 0; i < PLANE; i++) {
        const uint8_t *p = rgb + i / (H * W) * frame + i / W % H * row + i % W * 3;
        float r = p[0] / 127.5f - 1, g = p[1] / 127.5f - 1, b = p[2] / 127.5f - 1;
        cell[i] = (r + g + b) * r3;
        cell[PLANE + i] = (r - b) * r2;
        cell[2 * PLANE + i] = (2 * g - r - b) * r6;
    }
}

static uint8_t to_byte(float value) {
    float scaled = (value + 1) * 127.5f;
    return scaled > 0 ? (uint8_t)(fminf(scaled, 255) + 0.5f) : 0; /* NaN is not > 0 */
}

static void store_cell(const float cell[CELL], int64_t frame, int64_t row, uint8_t *rgb) {
    for (int i = 0; i < PLANE; i++) {
        uint8_t *p = rgb + i / (H * W) * frame + i / W % H * row + i % W * 3;
        float grey = cell[i] * r3, red_blue = cell[PLANE + i] * r2, green = cell[2 * PLANE + i] * r6;
        p[0] = to_byte(grey + red_blue - green);
        p[1] = to_byte(grey + 2 * green);
        p[2] = to_byte(grey - red_blue - green);
    }
}

static void encode_row(int64_t width, int64_t frame, const uint8_t *rgb, bool full, float *out) {
    float cell[CELL];
    for (int64_t w = 0; w < width; w++, rgb += 3 * W) {
        load_cell(rgb, frame, width * W * 3, cell);
        transform_cell(cell);
        if (full) memcpy(out, cell, sizeof(cell)), out += CELL;
        else
            for (int i = 0; i < LT_HAAR3D_KEPT; i++) *out++ = cell[cell_index(kept[i])];
    }
}

static void decode_row(int64_t width, int64_t frame, const float *in, bool full, uint8_t *rgb) {
    float cell[CELL];
    for (int64_t w = 0; w < width; w++, rgb += 3 * W) {
        memset(cell, 0, sizeof(cell));
        if (full) memcpy(cell, in, sizeof(cell)), in += CELL;
        else
            for (int i = 0; i < LT_HAAR3D_KEPT; i++) cell[cell_index(kept[i])] = *in++;
        inverse(cell);
        store_cell(cell, frame, width * W * 3, rgb);
    }
}

lt_status lt_haar3d_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_haar3d_args *a = args;
    const int64_t *s = a->latents.shape, height = s[1], width = s[2], channels = s[3];
    const int64_t row = H * width * W * 3, frame = row * height;
    const bool full = channels == CELL;
#pragma omp parallel for schedule(static)                                                                    \
    num_threads(lt_threads()) if (s[0] * height * width >= PARALLEL_CELLS)
    for (int64_t i = 0; i < s[0] * height; i++) {
        uint8_t *rgb = (uint8_t *)a->rgb.data + i / height * T * frame + i % height * row;
        float *latents = (float *)a->latents.data + i * width * channels;
        if (a->inverse) decode_row(width, frame, latents, full, rgb);
        else encode_row(width, frame, rgb, full, latents);
    }
    return LT_OK;
}
