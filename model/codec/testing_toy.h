/* A causal codec with state, for tests: that nothing outside a codec assumes 2 L frames, or that latent frames are
 * independent. A test program that includes this has the table of codecs below instead of the library's.
 *
 * 1 + 4 (L - 1) frames, cells of 4 x 4 pixels, 6 channels: the mean colour of the cell over the latent frame's video
 * frames, and how the last of them differs from the last of the latent frame before (zero before the video). The state
 * is that last frame, as cells. Decoding adds the differences up and draws a line between last frames. Everything is
 * times the parameter "codec.gain".
 */
#ifndef LT_MODEL_CODEC_TESTING_TOY_H
#define LT_MODEL_CODEC_TESTING_TOY_H

#include "model/codec/codec.h"
#include "model/codec/haar3d.h"

#include <math.h>

enum { TOY_CELL = 4, TOY_STRIDE = 4, TOY_CHANNELS = 6 };

static lt_status toy_declare(lt_params *params) {
    lt_param *gain = LT_PARAM(params, false, 1);
    if (!gain) return LT_FAILED;
    lt_params_fix(gain);
    return lt_params_publish(params, LT_INIT_ONE, 0, NULL, LT_DIMS(1), "codec.gain");
}

static lt_codec_bytes toy_bytes(const lt_codec_spec *spec) {
    int64_t cells = (spec->height / TOY_CELL) * (spec->width / TOY_CELL);
    return (lt_codec_bytes){.state = cells * 3 * (int64_t)sizeof(float)};
}

static float toy_gain(const lt_codec_stream *s) {
    const lt_params *p = s->spec.params;
    const lt_published *gain = lt_params_find(p, "codec.gain");
    return *(const float *)p->items[gain->param]->var.value.data;
}

/* Mean colour of a cell of one frame; `rgb` is the cell's first byte, rows are `row` bytes apart. */
static float toy_mean(const uint8_t *rgb, int64_t row, int colour) {
    int sum = 0;
    for (int i = 0; i < TOY_CELL * TOY_CELL; i++) sum += rgb[i / TOY_CELL * row + i % TOY_CELL * 3 + colour];
    return (float)sum / (TOY_CELL * TOY_CELL * 127.5f) - 1;
}

static lt_status toy_encode(lt_codec_stream *s, lt_tensor rgb, lt_tensor latents) {
    const int64_t height = latents.shape[1], width = latents.shape[2], row = rgb.shape[2] * 3;
    const uint8_t *frame = rgb.data;
    float *z = latents.data, *state = s->state.data, gain = toy_gain(s);
    for (int64_t l = 0; l < latents.shape[0]; l++) {
        int64_t frames = s->position + l == 0 ? 1 : TOY_STRIDE;
        for (int64_t i = 0; i < height * width * 3; i++) {
            const uint8_t *cell = frame + i / 3 / width * TOY_CELL * row + i / 3 % width * TOY_CELL * 3;
            float sum = 0, last = 0;
            for (int64_t f = 0; f < frames; f++)
                last = toy_mean(cell + f * rgb.shape[1] * row, row, (int)(i % 3)), sum += last;
            z[i / 3 * TOY_CHANNELS + i % 3] = gain * (sum / (float)frames);
            z[i / 3 * TOY_CHANNELS + 3 + i % 3] = gain * (last - state[i]);
            state[i] = last;
        }
        frame += frames * rgb.shape[1] * row, z += height * width * TOY_CHANNELS;
    }
    return LT_OK;
}

static uint8_t toy_byte(float value) {
    float scaled = (value + 1) * 127.5f;
    return scaled > 0 ? (uint8_t)(fminf(scaled, 255) + 0.5f) : 0;
}

static lt_status toy_decode(lt_codec_stream *s, lt_tensor latents, lt_tensor rgb) {
    const int64_t height = latents.shape[1], width = latents.shape[2], row = rgb.shape[2] * 3;
    uint8_t *frame = rgb.data;
    const float *z = latents.data;
    float *state = s->state.data, gain = toy_gain(s);
    for (int64_t l = 0; l < latents.shape[0]; l++) {
        int64_t frames = s->position + l == 0 ? 1 : TOY_STRIDE;
        for (int64_t i = 0; i < height * width * 3; i++) {
            float last = state[i] + z[i / 3 * TOY_CHANNELS + 3 + i % 3] / gain;
            for (int64_t f = 0; f < frames; f++) {
                float share = (float)(f + 1) / (float)frames;
                uint8_t byte = toy_byte(state[i] + (last - state[i]) * share);
                uint8_t *cell = frame + f * rgb.shape[1] * row + i / 3 / width * TOY_CELL * row +
                                i / 3 % width * TOY_CELL * 3 + i % 3;
                for (int k = 0; k < TOY_CELL * TOY_CELL; k++)
                    cell[k / TOY_CELL * row + k % TOY_CELL * 3] = byte;
            }
            state[i] = last;
        }
        frame += frames * rgb.shape[1] * row, z += height * width * TOY_CHANNELS;
    }
    return LT_OK;
}

static const lt_codec toy_codec = {.name = "toy",
                                   .summary = "causal means and differences, for tests",
                                   .latent_channels = TOY_CHANNELS,
                                   .stride_t = TOY_STRIDE,
                                   .stride_h = TOY_CELL,
                                   .stride_w = TOY_CELL,
                                   .first_frames = 1,
                                   .declare = toy_declare,
                                   .bytes = toy_bytes,
                                   .encode = toy_encode,
                                   .decode = toy_decode};

/* The same, but it claims to look ahead. */
static const lt_codec toy_ahead_codec = {.name = "toy-ahead",
                                         .summary = "the toy, looking ahead",
                                         .latent_channels = TOY_CHANNELS,
                                         .stride_t = TOY_STRIDE,
                                         .stride_h = TOY_CELL,
                                         .stride_w = TOY_CELL,
                                         .first_frames = 1,
                                         .look_ahead = 1,
                                         .declare = toy_declare,
                                         .bytes = toy_bytes,
                                         .encode = toy_encode,
                                         .decode = toy_decode};

const lt_codec *const lt_codec_table[] = {&lt_haar3d_codec, &lt_haar3d_full, &toy_codec, &toy_ahead_codec,
                                          NULL};

#endif
