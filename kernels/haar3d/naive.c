/* Every coefficient as an inner product with its basis vector, written out from the definition in haar3d.h. */
#include "kernels/haar3d/haar3d.h"

#include <math.h>

typedef struct coefficient {
    int colour, frame, row, column;
} coefficient;

/* Those that 24 channels hold, in order. */
static const coefficient kept[LT_HAAR3D_KEPT] = {
    {0, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 1, 0}, {0, 1, 0, 0}, {0, 0, 0, 2}, {0, 0, 0, 3},
    {0, 0, 2, 0}, {0, 0, 3, 0}, {0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 0}, {0, 0, 1, 2},
    {0, 0, 1, 3}, {0, 0, 2, 1}, {0, 0, 3, 1}, {0, 1, 0, 2}, {0, 1, 0, 3}, {0, 1, 2, 0},
    {0, 1, 3, 0}, {0, 1, 1, 1}, {1, 0, 0, 0}, {1, 0, 0, 1}, {1, 0, 1, 0}, {2, 0, 0, 0}};

static coefficient coefficient_of(int64_t channel, int64_t channels) {
    if (channels == LT_HAAR3D_KEPT) return kept[channel];
    return (coefficient){(int)(channel / 32), (int)(channel / 16 % 2), (int)(channel / 4 % 4),
                         (int)(channel % 4)};
}

/* Basis functions at pixel i; over 2 frames, and over 4 rows or columns. */
static double haar2(int k, int i) { return (k && i ? -1 : 1) / sqrt(2); }
static double haar4(int k, int i) {
    if (k < 2) return (k && i > 1 ? -1 : 1) / 2.0;
    return i / 2 == k - 2 ? haar2(1, i % 2) : 0;
}

static double colour(int k, int i) {
    static const double rows[3][3] = {{1, 1, 1}, {1, 0, -1}, {-1, 2, -1}};
    static const double squares[3] = {3, 2, 6};
    return rows[k][i] / sqrt(squares[k]);
}

/* Value of a channel's basis vector at byte `at` of a cell [2, 4, 4, 3]. */
static double basis(coefficient k, int at) {
    return colour(k.colour, at % 3) * haar4(k.column, at / 3 % 4) * haar4(k.row, at / 12 % 4) *
           haar2(k.frame, at / 48);
}

static uint8_t *byte_of(const lt_haar3d_args *a, int64_t cell, int at) {
    const int64_t *s = a->latents.shape, *v = a->rgb.shape;
    int64_t column = cell % s[2] * 4 + at / 3 % 4, row = cell / s[2] % s[1] * 4 + at / 12 % 4,
            frame = cell / s[2] / s[1] * 2 + at / 48;
    return (uint8_t *)a->rgb.data + ((frame * v[1] + row) * v[2] + column) * 3 + at % 3;
}

static void encode_cell(const lt_haar3d_args *a, int64_t cell, int64_t channels, double *latents) {
    for (int64_t c = 0; c < channels; c++) {
        latents[c] = 0;
        for (int at = 0; at < LT_HAAR3D_CELL; at++)
            latents[c] += basis(coefficient_of(c, channels), at) * (*byte_of(a, cell, at) / 127.5 - 1);
    }
}

static void decode_cell(const lt_haar3d_args *a, int64_t cell, int64_t channels, const double *latents) {
    for (int at = 0; at < LT_HAAR3D_CELL; at++) {
        double sum = 0;
        for (int64_t c = 0; c < channels; c++) sum += basis(coefficient_of(c, channels), at) * latents[c];
        double scaled = (sum + 1) * 127.5;
        *byte_of(a, cell, at) = scaled > 0 ? (uint8_t)(fmin(scaled, 255) + 0.5) : 0;
    }
}

lt_status lt_haar3d_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_haar3d_args *a = args;
    int64_t channels = a->latents.shape[3], cells = channels ? lt_numel(&a->latents) / channels : 0;
    for (int64_t cell = 0; cell < cells; cell++) {
        double *latents = (double *)a->latents.data + cell * channels;
        if (a->inverse) decode_cell(a, cell, channels, latents);
        else encode_cell(a, cell, channels, latents);
    }
    return LT_OK;
}
