#include "experiments/time_bar.h"

#include <string.h>

enum { ROWS = 8, LINE = 6, GLYPH_WIDTH = 3, GLYPH_HEIGHT = 5 };

/* Rows of 3 bits, the top one first. */
typedef struct glyph {
    char letter;
    uint8_t rows[GLYPH_HEIGHT];
} glyph;
static const glyph glyphs[] = {{'A', {2, 5, 7, 5, 5}}, {'D', {6, 5, 5, 5, 6}}, {'E', {7, 4, 6, 4, 7}},
                               {'G', {3, 4, 5, 5, 3}}, {'I', {7, 2, 2, 2, 7}}, {'N', {6, 5, 5, 5, 5}},
                               {'R', {6, 5, 6, 5, 5}}, {'T', {7, 2, 2, 2, 2}}, {'V', {5, 5, 5, 5, 2}}};

static const uint8_t background[3] = {24, 28, 34}, grey[3] = {190, 190, 190}, orange[3] = {230, 159, 0};

/* Pixels of the bar per dot of a letter: the same share of a wide frame as of a narrow one. */
static int unit_of(int width) { return width >= 128 ? width / 64 : 1; }

int lt_time_bar_height(int width) { return ROWS * unit_of(width); }

static void fill_square(uint8_t *rgb, int width, int x, int y, int side, const uint8_t colour[3]) {
    for (int r = y; r < y + side; r++)
        for (int c = x; c < x + side && c < width; c++) memcpy(rgb + ((int64_t)r * width + c) * 3, colour, 3);
}

static void put_letter(uint8_t *rgb, int width, int unit, int x, char letter, const uint8_t colour[3]) {
    for (size_t g = 0; g < sizeof glyphs / sizeof *glyphs; g++)
        for (int i = 0; i < GLYPH_WIDTH * GLYPH_HEIGHT && glyphs[g].letter == letter; i++)
            if (glyphs[g].rows[i / GLYPH_WIDTH] >> (GLYPH_WIDTH - 1 - i % GLYPH_WIDTH) & 1)
                fill_square(rgb, width, (x + i % GLYPH_WIDTH) * unit, i / GLYPH_WIDTH * unit, unit, colour);
}

static void put_line(uint8_t *rgb, int width, int unit, int64_t frame, int64_t given, int64_t frames) {
    for (int x = 0; x < width; x++) {
        int64_t at = x * frames / width; /* the frame that this column stands for */
        const uint8_t *bright = at < given ? grey : orange;
        const int part = at <= frame ? 1 : 3;
        const uint8_t colour[3] = {(uint8_t)(bright[0] / part), (uint8_t)(bright[1] / part),
                                   (uint8_t)(bright[2] / part)};
        for (int y = LINE * unit; y < ROWS * unit; y++) memcpy(rgb + ((int64_t)y * width + x) * 3, colour, 3);
    }
}

void lt_time_bar_draw(uint8_t *rgb, int width, int64_t frame, int64_t given, int64_t frames) {
    const int unit = unit_of(width);
    const char *label = frame < given ? "GIVEN" : "GENERATED";
    for (int64_t i = 0; i < (int64_t)ROWS * unit * width; i++) memcpy(rgb + i * 3, background, 3);
    for (int i = 0; label[i]; i++)
        put_letter(rgb, width, unit, 1 + i * (GLYPH_WIDTH + 1), label[i], frame < given ? grey : orange);
    put_line(rgb, width, unit, frame, given, frames);
}
