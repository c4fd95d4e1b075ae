#include "data/png.h"
#include "tests/harness.h"

/* The file of one red pixel, made and checked with Python's zlib. */
static void one_pixel_has_the_published_layout(void) {
    static const uint8_t red[] = {255, 0, 0};
    static const uint8_t ihdr[] = {0, 0, 0, 13, 'I', 'H', 'D', 'R', 0,    0,    0,    1,   0,
                                   0, 0, 1, 8,  2,   0,   0,   0,   0x90, 0x77, 0x53, 0xDE};
    static const uint8_t idat[] = {0, 0,    0,    15, 'I', 'D', 'A', 'T',  0x78, 1,    1,   4,
                                   0, 0xFB, 0xFF, 0,  255, 0,   0,   0x03, 0x01, 0x01, 0x00};
    static const uint8_t iend[] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xAE, 0x42, 0x60, 0x82};
    uint8_t *file = NULL;
    size_t size = 0;
    CHECK_OK(lt_png_encode(red, 1, 1, &file, &size));
    CHECK(size == 8 + sizeof ihdr + sizeof idat + 4 + sizeof iend);
    CHECK(memcmp(file, "\x89PNG\r\n\x1a\n", 8) == 0);
    CHECK(memcmp(file + 8, ihdr, sizeof ihdr) == 0);
    CHECK(memcmp(file + 8 + sizeof ihdr, idat, sizeof idat) == 0);
    CHECK(memcmp(file + size - sizeof iend, iend, sizeof iend) == 0);
    free(file);
}

/* Rows come back from the stored blocks, also where a block ends inside a row. */
static void stored_blocks_hold_the_rows(void) {
    enum { W = 301, H = 97, ROW = 3 * W + 1 };
    uint8_t *rgb = malloc(3 * W * H), *file = NULL, *raw = malloc(ROW * H);
    size_t size = 0, got = 0;
    for (int i = 0; i < 3 * W * H; i++) rgb[i] = (uint8_t)(i * 7 + (i >> 5));
    CHECK_OK(lt_png_encode(rgb, W, H, &file, &size));
    const uint8_t *at = file + 8 + 25 + 8 + 2;
    for (bool last = false; !last;) {
        last = at[0] == 1;
        size_t n = at[1] | (size_t)at[2] << 8;
        CHECK((n ^ 0xFFFF) == (at[3] | (size_t)at[4] << 8) && got + n <= ROW * H);
        memcpy(raw + got, at + 5, n);
        got += n, at += 5 + n;
    }
    CHECK(got == ROW * H);
    for (int y = 0; y < H; y++)
        CHECK(raw[y * ROW] == 0 && memcmp(raw + y * ROW + 1, rgb + 3 * W * y, 3 * W) == 0);
    free(rgb), free(raw), free(file);
    CHECK_FAILS(lt_png_encode(NULL, 0, 5, &file, &size), LT_USAGE, "0 x 5");
}

static void base64_matches_rfc_4648(void) {
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"},
                                             {"\xff\xfe\xfd", "//79"}};
    for (int i = 0; i < 8; i++) {
        char *text = lt_base64(vectors[i][0], strlen(vectors[i][0]));
        CHECK(text && strcmp(text, vectors[i][1]) == 0);
        free(text);
    }
}

int main(int argc, char **argv) {
    RUN(one_pixel_has_the_published_layout);
    RUN(stored_blocks_hold_the_rows);
    RUN(base64_matches_rfc_4648);
    return test_end();
}
