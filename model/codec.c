#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/codec.h"
#include "model/codec_published.h"
#include "model/haar3d.h"

static const lt_codec *const codecs[] = {&lt_haar3d, &lt_haar3d_full, &lt_wan_vae, &lt_ltx2_vae};
enum { CODECS = sizeof(codecs) / sizeof(codecs[0]) };

const lt_codec *lt_codec_at(int index) { return index >= 0 && index < CODECS ? codecs[index] : NULL; }

const lt_codec *lt_codec_find(const char *name) {
    char names[256] = "";
    for (int i = 0; i < CODECS; i++) {
        if (name && strcmp(name, codecs[i]->name) == 0) return codecs[i];
        size_t length = strlen(names);
        snprintf(names + length, sizeof(names) - length, "%s%s", i ? ", " : "", codecs[i]->name);
    }
    lt_fail(LT_USAGE, "unknown codec '%s': choose one of %s", name ? name : "(null)", names);
    return NULL;
}

lt_status lt_codec_latent_shape(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                                int64_t shape[4]) {
    LT_CHECK(frames > 0 && frames % codec->stride_t == 0, LT_USAGE,
             "codec %s: %" PRId64 " frames: the number must be a positive multiple of %d", codec->name,
             frames, codec->stride_t);
    LT_CHECK(height > 0 && width > 0 && height % codec->stride_h == 0 && width % codec->stride_w == 0,
             LT_USAGE,
             "codec %s: frames of %" PRId64 "x%" PRId64
             " (width x height): the sizes must be positive multiples of %dx%d",
             codec->name, width, height, codec->stride_w, codec->stride_h);
    shape[0] = frames / codec->stride_t;
    shape[1] = height / codec->stride_h;
    shape[2] = width / codec->stride_w;
    shape[3] = codec->latent_channels;
    return LT_OK;
}

lt_status lt_codec_encode(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                          const uint8_t *rgb, float *latents) {
    int64_t shape[4] = {0};
    LT_TRY(lt_codec_latent_shape(codec, frames, height, width, shape));
    return codec->encode(shape[0], shape[1], shape[2], rgb, latents);
}

lt_status lt_codec_decode(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                          const float *latents, uint8_t *rgb) {
    LT_CHECK(frames > 0 && height > 0 && width > 0, LT_USAGE,
             "codec %s: a latent of %" PRId64 " frames of %" PRId64 "x%" PRId64
             " (width x height): each must be at least 1",
             codec->name, frames, width, height);
    return codec->decode(frames, height, width, latents, rgb);
}
