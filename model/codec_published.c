#include "model/codec_published.h"

static lt_status unavailable(const char *name) {
    return lt_fail(LT_UNAVAILABLE,
                   "codec %s: this build knows the shape of its latents but can neither encode nor decode; "
                   "train on codec haar3d, or plan only",
                   name);
}

#define UNAVAILABLE(codec, text)                                                                             \
    static lt_status codec##_encode(int64_t frames, int64_t height, int64_t width, const uint8_t *rgb,       \
                                    float *latents) {                                                        \
        (void)frames, (void)height, (void)width, (void)rgb, (void)latents;                                   \
        return unavailable(text);                                                                            \
    }                                                                                                        \
    static lt_status codec##_decode(int64_t frames, int64_t height, int64_t width, const float *latents,     \
                                    uint8_t *rgb) {                                                          \
        (void)frames, (void)height, (void)width, (void)latents, (void)rgb;                                   \
        return unavailable(text);                                                                            \
    }

UNAVAILABLE(wan, "wan-vae")
UNAVAILABLE(ltx2, "ltx2-vae")

const lt_codec lt_wan_vae = {"wan-vae", "Wan 2.1 VAE (SANA-Video 480p): shapes only", 16, 4, 8, 8, wan_encode,
                             wan_decode};

const lt_codec lt_ltx2_vae = {
    "ltx2-vae", "LTX-2 VAE (SANA-Video 720p): shapes only", 128, 8, 32, 32, ltx2_encode, ltx2_decode};
