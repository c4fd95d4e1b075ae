/* Codecs: video in bytes <-> the latents that the transformer denoises.
 *
 *     const lt_codec *codec = lt_codec_find("haar3d");              NULL: unknown, lt_error() lists the known
 * ones LT_TRY(lt_codec_latent_shape(codec, 16, 64, 64, shape));      8 x 16 x 16 x 24
 *     LT_TRY(lt_codec_encode(codec, 16, 64, 64, rgb, latents));
 *     LT_TRY(lt_codec_decode(codec, 8, 16, 16, latents, rgb));
 *
 * Latent frame f depends on video frames stride_t f .. stride_t f + stride_t - 1 only, so a block of latent
 * frames can be encoded and decoded alone, and streaming needs no state. All memory is host memory owned by
 * the caller, contiguous and without padding. Latents are in the codec's own unit (stated by each codec):
 * training normalises them per channel with statistics of its data (DESIGN section 5). Any number of threads
 * may use a codec at once.
 */
#ifndef LT_MODEL_CODEC_H
#define LT_MODEL_CODEC_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_codec lt_codec;
struct lt_codec {
    const char *name;
    const char *summary; /* one line for `list` and `info` */
    int latent_channels;
    int stride_t, stride_h, stride_w; /* video frames, rows, columns to one of the latent */

    /* What lt_codec_encode and lt_codec_decode call, with latent sizes that were checked. */
    lt_status (*encode)(int64_t frames, int64_t height, int64_t width, const uint8_t *rgb, float *latents);
    lt_status (*decode)(int64_t frames, int64_t height, int64_t width, const float *latents, uint8_t *rgb);
};

/* The codec of that name, or NULL with a message that lists the names. */
const lt_codec *lt_codec_find(const char *name);

/* All codecs in a fixed order: index 0, 1, ... until NULL. */
const lt_codec *lt_codec_at(int index);

/* shape = {F / stride_t, H / stride_h, W / stride_w, latent_channels} of a video of F frames of H x W pixels.
 * LT_USAGE when a size is not a positive multiple of its stride. */
lt_status lt_codec_latent_shape(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                                int64_t shape[4]);

/* rgb: bytes [F,H,W,3]. latents: float32 [F / stride_t, H / stride_h, W / stride_w, latent_channels].
 * LT_USAGE when the strides do not divide the sizes. */
lt_status lt_codec_encode(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                          const uint8_t *rgb, float *latents);

/* The inverse; sizes are those of the latent [frames, height, width, latent_channels], each at least 1
 * (LT_USAGE). Values outside 0..255 saturate; NaN becomes 0. */
lt_status lt_codec_decode(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                          const float *latents, uint8_t *rgb);

#ifdef __cplusplus
}
#endif
#endif
