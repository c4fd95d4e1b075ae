#include "model/codec/haar3d.h"
#include "tests/harness.h"

enum { F = 6, H = 12, W = 20, BYTES = F * H * W * 3, KEPT = BYTES / 4 };

static uint8_t noise[BYTES], back[BYTES];
static float latents[BYTES];

static void make_noise(void) {
    uint32_t state = 12345;
    for (int i = 0; i < BYTES; i++) {
        state = state * 1664525u + 1013904223u;
        noise[i] = (uint8_t)(state >> 24);
    }
    noise[0] = 0, noise[1] = 255;
}

/* The basis vector of one channel, as the decoder sees it, is measured by encoding one byte at a time: the
 * transform is affine, so differences of encodings are its columns. */
static void full_transform_is_orthonormal(void) {
    static float column[96][96], black[96];
    static uint8_t cell[96];
    CHECK_OK(lt_codec_encode(&lt_haar3d_full, 2, 4, 4, cell, black));
    for (int i = 0; i < 96; i++) {
        memset(cell, 0, sizeof(cell));
        cell[i] = 255;
        CHECK_OK(lt_codec_encode(&lt_haar3d_full, 2, 4, 4, cell, column[i]));
        for (int j = 0; j < 96; j++) column[i][j] = (column[i][j] - black[j]) / 2;
    }
    for (int a = 0; a < 96; a++)
        for (int b = 0; b < 96; b++) {
            double dot = 0;
            for (int j = 0; j < 96; j++) dot += (double)column[a][j] * column[b][j];
            CHECK_NEAR(dot, a == b, 1e-6);
        }
}

static void full_variant_reconstructs_every_byte(void) {
    CHECK_OK(lt_codec_encode(&lt_haar3d_full, F, H, W, noise, latents));
    CHECK_OK(lt_codec_decode(&lt_haar3d_full, F / 2, H / 4, W / 4, latents, back));
    CHECK(memcmp(noise, back, BYTES) == 0);
}

static int level(int index) { return index < 2 ? index : 2; }

static bool rule(int c, int t, int h, int w) {
    if (c == 0) return t + level(h) + level(w) <= 3;
    return t == 0 && level(h) + level(w) <= (c == 1 ? 1 : 0);
}

/* The latent of haar3d is the part of the full one that the rule names: same energy in every cell. */
static void kept_channels_are_the_zone_of_the_rule(void) {
    static float full[96], part[24];
    static uint8_t cell[96];
    memcpy(cell, noise, sizeof(cell));
    CHECK_OK(lt_codec_encode(&lt_haar3d_full, 2, 4, 4, cell, full));
    CHECK_OK(lt_codec_encode(&lt_haar3d_codec, 2, 4, 4, cell, part));
    int count = 0;
    for (int i = 0; i < 96; i++) {
        if (!rule(i / 32, i / 16 % 2, i / 4 % 4, i % 4)) continue;
        int found = 0;
        for (int j = 0; j < 24; j++) found += part[j] == full[i];
        CHECK(found == 1);
        count++;
    }
    CHECK(count == 24);
    CHECK(lt_haar3d_codec.latent_channels * 4 == 2 * 4 * 4 * 3);
}

/* Decoding sets the coefficients left out to zero: encoding again gives the same kept coefficients and
 * nothing else. */
static void decoding_is_the_orthogonal_projection(void) {
    static uint8_t smooth[BYTES];
    for (int i = 0; i < BYTES; i++) smooth[i] = (uint8_t)(64 + noise[i] / 2); /* no saturation */
    static float first[BYTES / 4], second[BYTES / 4];
    CHECK_OK(lt_codec_encode(&lt_haar3d_codec, F, H, W, smooth, first));
    CHECK_OK(lt_codec_decode(&lt_haar3d_codec, F / 2, H / 4, W / 4, first, back));
    CHECK_OK(lt_codec_encode(&lt_haar3d_codec, F, H, W, back, second));
    double worst = 0;
    for (int i = 0; i < KEPT; i++) worst = fmax(worst, fabs(first[i] - second[i]));
    CHECK(worst < 0.04); /* rounding to bytes: at most 0.5 / 127.5 * sqrt(96) = 0.0384 */
    CHECK_OK(lt_codec_encode(&lt_haar3d_full, F, H, W, back, latents));
    double left_out = 0;
    for (int i = 0; i < BYTES; i++)
        if (!rule(i % 96 / 32, i % 96 / 16 % 2, i % 96 / 4 % 4, i % 4))
            left_out = fmax(left_out, fabs(latents[i]));
    CHECK(left_out < 0.04);
}

static void uniform_colours_survive_and_fill_three_channels(void) {
    static const uint8_t colours[][3] = {{0, 0, 0}, {255, 255, 255}, {255, 0, 0}, {17, 200, 91}};
    for (int k = 0; k < 4; k++) {
        static uint8_t cell[96], out[96];
        float z[24];
        for (int i = 0; i < 96; i++) cell[i] = colours[k][i % 3];
        CHECK_OK(lt_codec_encode(&lt_haar3d_codec, 2, 4, 4, cell, z));
        CHECK_OK(lt_codec_decode(&lt_haar3d_codec, 1, 1, 1, z, out));
        CHECK(memcmp(cell, out, 96) == 0);
        for (int i = 1; i < 24; i++)
            if (i != 20 && i != 23) CHECK_NEAR(z[i], 0, 1e-6);
    }
}

static void latent_frames_are_independent(void) {
    static float whole[BYTES / 4], alone[BYTES / 4];
    CHECK_OK(lt_codec_encode(&lt_haar3d_codec, F, H, W, noise, whole));
    size_t step = KEPT / (F / 2);
    for (int f = 0; f < F / 2; f++)
        CHECK_OK(lt_codec_encode(&lt_haar3d_codec, 2, H, W, noise + f * 2 * H * W * 3, alone + f * step));
    CHECK(memcmp(whole, alone, KEPT * sizeof(float)) == 0);
    static uint8_t at_once[BYTES];
    CHECK_OK(lt_codec_decode(&lt_haar3d_codec, F / 2, H / 4, W / 4, whole, at_once));
    for (int f = 0; f < F / 2; f++)
        CHECK_OK(
            lt_codec_decode(&lt_haar3d_codec, 1, H / 4, W / 4, whole + f * step, back + f * 2 * H * W * 3));
    CHECK(memcmp(at_once, back, BYTES) == 0);
}

static void wild_latents_saturate(void) {
    static const float values[] = {1e30f, -1e30f, INFINITY, NAN};
    static const uint8_t wanted[] = {255, 0, 255, 0};
    for (int k = 0; k < 4; k++) {
        float z[24] = {0};
        uint8_t out[96];
        z[0] = values[k];
        CHECK_OK(lt_codec_decode(&lt_haar3d_codec, 1, 1, 1, z, out));
        if (k == 2) continue; /* differences of infinities are NaN: any byte, but no trap */
        for (int i = 0; i < 96; i++) CHECK(out[i] == wanted[k]);
    }
}

static void sizes_that_do_not_divide_are_refused(void) {
    int64_t shape[4];
    CHECK_OK(lt_codec_latent_shape(&lt_haar3d_codec, 16, 64, 96, shape));
    CHECK(shape[0] == 8 && shape[1] == 16 && shape[2] == 24 && shape[3] == 24);
    CHECK_FAILS(lt_codec_encode(&lt_haar3d_codec, 3, 8, 8, noise, latents), LT_USAGE, "multiple of 2");
    CHECK_FAILS(lt_codec_encode(&lt_haar3d_codec, 0, 8, 8, noise, latents), LT_USAGE, "multiple of 2");
    CHECK_FAILS(lt_codec_encode(&lt_haar3d_codec, 2, 10, 8, noise, latents), LT_USAGE, "8x10");
    CHECK_FAILS(lt_codec_encode(&lt_haar3d_codec, 2, 8, -4, noise, latents), LT_USAGE, "-4x8");
    CHECK_FAILS(lt_codec_decode(&lt_haar3d_codec, 1, 0, 2, latents, back), LT_USAGE, "2x0");
}

static void codecs_are_found_by_name(void) {
    CHECK(lt_codec_find("haar3d") == &lt_haar3d_codec);
    CHECK(lt_codec_find("haar3d-full") == &lt_haar3d_full);
    CHECK(lt_codec_find("haar4d") == NULL && strstr(lt_error(), "haar3d, haar3d-full"));
    CHECK(lt_codec_find(NULL) == NULL);
    int count = 0;
    for (; lt_codec_at(count); count++) CHECK(lt_codec_find(lt_codec_at(count)->name) == lt_codec_at(count));
    CHECK(count >= 2 && lt_codec_at(-1) == NULL);
}

int main(int argc, char **argv) {
    make_noise();
    RUN(full_transform_is_orthonormal);
    RUN(full_variant_reconstructs_every_byte);
    RUN(kept_channels_are_the_zone_of_the_rule);
    RUN(decoding_is_the_orthogonal_projection);
    RUN(uniform_colours_survive_and_fill_three_channels);
    RUN(latent_frames_are_independent);
    RUN(wild_latents_saturate);
    RUN(sizes_that_do_not_divide_are_refused);
    RUN(codecs_are_found_by_name);
    return test_end();
}
