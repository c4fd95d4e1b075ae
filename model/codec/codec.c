#include "model/codec/codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const lt_codec *lt_codec_at(int index) {
    for (int i = 0; index >= 0 && lt_codec_table[i]; i++)
        if (i == index) return lt_codec_table[i];
    return NULL;
}

const lt_codec *lt_codec_find(const char *name) {
    char names[256] = "";
    for (int i = 0; lt_codec_table[i]; i++) {
        const lt_codec *codec = lt_codec_table[i];
        if (name && strcmp(name, codec->name) == 0) return codec;
        size_t length = strlen(names);
        snprintf(names + length, sizeof(names) - length, "%s%s", i ? ", " : "", codec->name);
    }
    lt_fail(LT_USAGE, "unknown codec '%s': choose one of %s", name ? name : "(null)", names);
    return NULL;
}

int64_t lt_codec_frames(const lt_codec *codec, int64_t latents) {
    return latents <= 0 ? 0 : codec->first_frames + (latents - 1) * codec->stride_t;
}

int64_t lt_codec_latents(const lt_codec *codec, int64_t frames) {
    return frames < codec->first_frames ? 0 : 1 + (frames - codec->first_frames) / codec->stride_t;
}

static lt_status check_frames(const lt_codec *codec, int64_t frames) {
    int64_t latents = lt_codec_latents(codec, frames);
    if (latents > 0 && lt_codec_frames(codec, latents) == frames) return LT_OK;
    if (codec->first_frames == codec->stride_t)
        return lt_fail(LT_USAGE, "codec %s: %" PRId64 " frames: the number must be a positive multiple of %d",
                       codec->name, frames, codec->stride_t);
    return lt_fail(LT_USAGE, "codec %s: %" PRId64 " frames: the number must be %d and a multiple of %d",
                   codec->name, frames, codec->first_frames, codec->stride_t);
}

lt_status lt_codec_latent_shape(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                                int64_t shape[4]) {
    LT_TRY(check_frames(codec, frames));
    LT_CHECK(height > 0 && width > 0 && height % codec->stride_h == 0 && width % codec->stride_w == 0,
             LT_USAGE,
             "codec %s: frames of %" PRId64 "x%" PRId64
             " (width x height): the sizes must be positive multiples of %dx%d",
             codec->name, width, height, codec->stride_w, codec->stride_h);
    shape[0] = lt_codec_latents(codec, frames);
    shape[1] = height / codec->stride_h;
    shape[2] = width / codec->stride_w;
    shape[3] = codec->latent_channels;
    return LT_OK;
}

lt_status lt_codec_check_streams(const lt_codec *codec) {
    LT_CHECK(codec->encode && codec->decode, LT_UNAVAILABLE,
             "codec %s: this build knows the shape of its latents but can neither encode nor decode; "
             "train on codec haar3d, or plan only",
             codec->name);
    LT_CHECK(
        codec->look_ahead == 0, LT_UNAVAILABLE,
        "codec %s looks %d latent frames ahead, so it cannot decode a block before the next one is there; "
        "whole videos only",
        codec->name, codec->look_ahead);
    return LT_OK;
}

/* A stream in host memory for one video. */
static lt_status run_whole(const lt_codec_spec *spec, const uint8_t *from_rgb, const float *from_latents,
                           float *latents, uint8_t *rgb) {
    lt_codec_spec on_host = *spec;
    lt_codec_stream *stream = NULL;
    LT_TRY(lt_device_open("cpu", &on_host.device));
    lt_status status = lt_codec_stream_open(&on_host, &stream);
    if (status == LT_OK && spec->direction == LT_CODEC_ENCODE)
        status = lt_codec_stream_encode(stream, spec->most, from_rgb, latents);
    else if (status == LT_OK) status = lt_codec_stream_decode(stream, spec->most, from_latents, rgb);
    lt_codec_stream_close(stream);
    lt_device_close(on_host.device);
    return status;
}

lt_status lt_codec_encode(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                          const uint8_t *rgb, float *latents) {
    int64_t shape[4] = {0};
    LT_TRY(lt_codec_latent_shape(codec, frames, height, width, shape));
    lt_codec_spec spec = {
        .codec = codec, .direction = LT_CODEC_ENCODE, .height = height, .width = width, .most = shape[0]};
    return run_whole(&spec, rgb, NULL, latents, NULL);
}

lt_status lt_codec_decode(const lt_codec *codec, int64_t latents, int64_t latent_height, int64_t latent_width,
                          const float *values, uint8_t *rgb) {
    LT_CHECK(latents > 0 && latent_height > 0 && latent_width > 0, LT_USAGE,
             "codec %s: a latent of %" PRId64 " frames of %" PRId64 "x%" PRId64
             " (width x height): each must be at least 1",
             codec->name, latents, latent_width, latent_height);
    lt_codec_spec spec = {.codec = codec,
                          .direction = LT_CODEC_DECODE,
                          .height = latent_height * codec->stride_h,
                          .width = latent_width * codec->stride_w,
                          .most = latents};
    return run_whole(&spec, NULL, values, NULL, rgb);
}
