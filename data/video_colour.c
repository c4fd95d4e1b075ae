#include "data/video_colour.h"

#include <string.h>

enum { PIECE = 256 }; /* pixels that are converted before they are interleaved */

/* Scales and offsets that bring a 16-bit luma sample to 0..255 and a chroma sample to -127.5..127.5. */
typedef struct levels {
    double luma, black, chroma, middle;
} levels;

static levels levels_of(const lt_colour *colour) {
    double unit = 1 << (16 - colour->depth), codes = (1 << colour->depth) - 1;
    if (colour->full)
        return (levels){255 / (codes * unit), 0, 255 / (codes * unit), (1 << (colour->depth - 1)) * unit};
    return (levels){255.0 / (219 * 256), 16 * 256, 255.0 / (224 * 256), 128 * 256};
}

/* What luma and the two differences, both in code units, add to red, green and blue. */
static void weights_of(const lt_colour *colour, double by[3][3]) {
    double kr = colour->kr, kb = colour->kb, kg = 1 - kr - kb;
    const double yuv[3][3] = {
        {1, 0, 2 * (1 - kr)}, {1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg}, {1, 2 * (1 - kb), 0}};
    static const double ycgco[3][3] = {{1, -1, 1}, {1, 1, 0}, {1, -1, -1}},
                        gbr[3][3] = {{0, 0, 1}, {1, 0, 0}, {0, 1, 0}},
                        grey[3][3] = {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}};
    const double(*chosen)[3] = colour->model == LT_COLOUR_YUV     ? yuv
                               : colour->model == LT_COLOUR_YCGCO ? ycgco
                               : colour->model == LT_COLOUR_GBR   ? gbr
                                                                  : grey;
    memcpy(by, chosen, sizeof yuv);
}

lt_colour_matrix lt_colour_to_rgb(const lt_colour *colour) {
    levels level = levels_of(colour);
    double by[3][3];
    lt_colour_matrix matrix;
    weights_of(colour, by);
    bool differences = colour->model == LT_COLOUR_YUV || colour->model == LT_COLOUR_YCGCO;
    for (int j = 0; j < 3; j++) {
        double add = 0;
        for (int i = 0; i < 3; i++) {
            bool chroma = differences && i > 0;
            double scale = by[j][i] * (chroma ? level.chroma : level.luma);
            matrix.by[j][i] = (float)scale;
            add -= scale * (chroma ? level.middle : level.black);
        }
        matrix.add[j] = (float)add;
    }
    return matrix;
}

static inline uint8_t code(float value) {
    value = value < 0 ? 0 : value;
    value = value > 255 ? 255 : value;
    return (uint8_t)(int)(value + 0.5f);
}

static void convert(const float by[3], float add, const uint16_t *a, const uint16_t *b, const uint16_t *c,
                    int count, uint8_t *out) {
    for (int x = 0; x < count; x++)
        out[x] = code(by[0] * (float)a[x] + by[1] * (float)b[x] + by[2] * (float)c[x] + add);
}

void lt_colour_row(const lt_colour_matrix *matrix, const uint16_t *const planes[3], int width, uint8_t *rgb) {
    uint8_t part[3][PIECE];
    for (int at = 0; at < width; at += PIECE, rgb += 3 * PIECE) {
        int count = width - at < PIECE ? width - at : PIECE;
        for (int j = 0; j < 3; j++)
            convert(matrix->by[j], matrix->add[j], planes[0] + at, planes[1] + at, planes[2] + at, count,
                    part[j]);
        for (int x = 0; x < count; x++)
            rgb[3 * x] = part[0][x], rgb[3 * x + 1] = part[1][x], rgb[3 * x + 2] = part[2][x];
    }
}

/* BT.601, limited range: what one unit of R, G, B adds, and what black is. */
static const float luma_of[3] = {0.299f * 219 / 255, 0.587f * 219 / 255, 0.114f * 219 / 255};
static const float blue_of[3] = {-0.299f / 1.772f * 224 / 255, -0.587f / 1.772f * 224 / 255,
                                 0.5f * 224 / 255};
static const float red_of[3] = {0.5f * 224 / 255, -0.587f / 1.402f * 224 / 255, -0.114f / 1.402f * 224 / 255};

static float dot3(const float by[3], const float rgb[3]) {
    return by[0] * rgb[0] + by[1] * rgb[1] + by[2] * rgb[2];
}

static void luma_row(const uint8_t *rgb, int width, uint8_t *out) {
    for (int x = 0; x < width; x++, rgb += 3)
        out[x] = code(16 + luma_of[0] * rgb[0] + luma_of[1] * rgb[1] + luma_of[2] * rgb[2]);
}

/* The colour at an even column of two rows: neighbours left and right count half as much. */
static void chroma_rows(const uint8_t *top, const uint8_t *low, int width, uint8_t *blue, uint8_t *red) {
    for (int x = 0; x < width; x += 2) {
        int left = 3 * (x > 0 ? x - 1 : 0), here = 3 * x, right = here + 3;
        float mean[3];
        for (int c = 0; c < 3; c++)
            mean[c] = (float)(top[left + c] + low[left + c] + 2 * (top[here + c] + low[here + c]) +
                              top[right + c] + low[right + c]) *
                      0.125f;
        blue[x / 2] = code(128 + dot3(blue_of, mean));
        red[x / 2] = code(128 + dot3(red_of, mean));
    }
}

void lt_colour_to_420(const uint8_t *rgb, int width, int height, uint8_t *const planes[3],
                      const int strides[3]) {
    size_t row = 3 * (size_t)width;
    for (int y = 0; y < height; y++, rgb += row) {
        luma_row(rgb, width, planes[0] + (ptrdiff_t)y * strides[0]);
        if (y % 2 == 0)
            chroma_rows(rgb, rgb + row, width, planes[1] + (ptrdiff_t)(y / 2) * strides[1],
                        planes[2] + (ptrdiff_t)(y / 2) * strides[2]);
    }
}
