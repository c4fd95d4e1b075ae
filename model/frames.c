/* Video frames in and out of a model's latents: its codec with the latent statistics of its data. */
#include "model/model.h"

#include <stdlib.h>

void lt_model_block_shape(const lt_model *m, int64_t shape[4]) {
    shape[0] = m->config.block_frames;
    shape[1] = m->frame_height / m->codec->stride_h;
    shape[2] = m->frame_width / m->codec->stride_w;
    shape[3] = m->config.in_channels;
}

int64_t lt_model_frames(const lt_model *m, int64_t blocks) {
    return lt_codec_frames(m->codec, blocks * m->config.block_frames);
}

int lt_model_frames_per_block(const lt_model *m) { return m->config.block_frames * m->codec->stride_t; }

void lt_model_normalise(const lt_model *m, const double *statistics, int64_t positions, float *latents) {
    const int64_t channels = m->config.in_channels;
    const double *mean = statistics, *deviation = statistics + channels;
#pragma omp parallel for schedule(static) if (positions >= 4096)
    for (int64_t i = 0; i < positions; i++)
        for (int64_t c = 0; c < channels; c++)
            latents[i * channels + c] = (float)((latents[i * channels + c] - mean[c]) / deviation[c]);
}

static void restore_scale(const lt_model *m, const double *statistics, int64_t positions, const float *from,
                          float *to) {
    const int64_t channels = m->config.in_channels;
    for (int64_t i = 0; i < positions; i++)
        for (int64_t c = 0; c < channels; c++)
            to[i * channels + c] = (float)(from[i * channels + c] * statistics[channels + c] + statistics[c]);
}

static int64_t positions_of(const lt_model *m, int64_t latent_frames) {
    return latent_frames * (m->frame_height / m->codec->stride_h) * (m->frame_width / m->codec->stride_w);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

struct lt_frame_stream {
    const lt_model *model;
    lt_device *host; /* when the model's device does not run the codec; else NULL */
    lt_codec_stream *codec;
    double *statistics; /* or NULL: latents as the codec has them */
    float *plain;       /* decoding: the largest chunk in the codec's unit */
};

/* Of a model on a GPU. */
static bool runs_on_gpu(const lt_codec *codec, lt_codec_direction direction) {
    return codec->on_device && (codec->declare || direction == LT_CODEC_DECODE);
}

static lt_codec_spec codec_spec(const lt_model *m, lt_codec_direction direction, int64_t most) {
    return (lt_codec_spec){.codec = m->codec,
                           .params = &m->params,
                           .device = m->device,
                           .direction = direction,
                           .height = m->frame_height,
                           .width = m->frame_width,
                           .most = most};
}

lt_codec_bytes lt_frame_stream_bytes(const lt_model *m, lt_codec_direction direction, int64_t most) {
    lt_codec_spec spec = codec_spec(m, direction, most);
    bool cuda = m->backend == LT_BACKEND_CUDA; /* a null device may stand for either */
    if (cuda && runs_on_gpu(m->codec, direction)) return lt_codec_stream_bytes(&spec);
    lt_codec_bytes none = {0};
    return cuda || !m->codec->bytes ? none : m->codec->bytes(&spec);
}

static lt_status open_parts(lt_frame_stream *s, lt_codec_spec *spec) {
    const lt_model *m = s->model;
    bool leaves = lt_device_is_null(m->device) || !runs_on_gpu(m->codec, spec->direction);
    if (!lt_device_is_host(m->device) && leaves) {
        LT_TRY(lt_device_open("cpu", &s->host));
        spec->device = s->host;
    }
    LT_TRY(lt_codec_stream_open(spec, &s->codec));
    if (spec->direction == LT_CODEC_ENCODE) return LT_OK;
    s->plain = malloc((size_t)(positions_of(m, spec->most) * m->config.in_channels) * sizeof *s->plain);
    LT_CHECK(s->plain, LT_FAILED, "out of memory for %lld latent frames", (long long)spec->most);
    return LT_OK;
}

static lt_status open_stream(const lt_model *m, lt_codec_direction direction, int64_t most,
                             lt_frame_stream **out) {
    lt_codec_spec spec = codec_spec(m, direction, most);
    *out = NULL;
    lt_frame_stream *s = calloc(1, sizeof *s);
    LT_CHECK(s, LT_FAILED, "out of memory for a codec's stream");
    s->model = m;
    lt_status status = open_parts(s, &spec);
    if (status == LT_OK) *out = s;
    else lt_frame_stream_close(s);
    return status;
}

lt_status lt_frame_stream_open(const lt_model *m, lt_codec_direction direction, int64_t most,
                               lt_frame_stream **out) {
    *out = NULL;
    LT_TRY(lt_codec_check_streams(m->codec));
    LT_TRY(open_stream(m, direction, most, out));
    lt_status status = lt_model_statistics(m, &(*out)->statistics);
    if (status == LT_OK) return LT_OK;
    lt_frame_stream_close(*out);
    *out = NULL;
    return status;
}

void lt_frame_stream_close(lt_frame_stream *s) {
    if (!s) return;
    lt_codec_stream_close(s->codec);
    if (s->host) lt_device_close(s->host);
    free(s->statistics);
    free(s->plain);
    free(s);
}

lt_codec_stream *lt_frame_stream_codec(lt_frame_stream *s) { return s->codec; }

lt_status lt_frame_stream_encode(lt_frame_stream *s, int64_t latent_frames, const uint8_t *rgb,
                                 float *latents) {
    LT_TRY(lt_codec_stream_encode(s->codec, latent_frames, rgb, latents));
    lt_model_normalise(s->model, s->statistics, positions_of(s->model, latent_frames), latents);
    return LT_OK;
}

lt_status lt_frame_stream_decode(lt_frame_stream *s, int64_t latent_frames, const float *latents,
                                 uint8_t *rgb) {
    restore_scale(s->model, s->statistics, positions_of(s->model, latent_frames), latents, s->plain);
    return lt_codec_stream_decode(s->codec, latent_frames, s->plain, rgb);
}

/* ---- whole videos ------------------------------------------------------------------------------------------------ */

static lt_status encode_clip(lt_frame_stream *s, const double *statistics, int64_t latent_frames,
                             const uint8_t *rgb, float *latents) {
    LT_TRY(lt_codec_stream_reset(s->codec));
    LT_TRY(lt_codec_stream_encode(s->codec, latent_frames, rgb, latents));
    if (statistics) lt_model_normalise(s->model, statistics, positions_of(s->model, latent_frames), latents);
    return LT_OK;
}

lt_status lt_model_encode_clips(const lt_model *m, const double *statistics, int clips, int64_t frames,
                                const uint8_t *rgb, float *latents) {
    int64_t shape[4], bytes = frames * m->frame_height * m->frame_width * 3;
    lt_frame_stream *s;
    LT_TRY(lt_codec_latent_shape(m->codec, frames, m->frame_height, m->frame_width, shape));
    int64_t size = shape[0] * shape[1] * shape[2] * m->config.in_channels;
    LT_TRY(open_stream(m, LT_CODEC_ENCODE, shape[0], &s));
    lt_status status = LT_OK;
    for (int i = 0; i < clips && status == LT_OK; i++)
        status = encode_clip(s, statistics, shape[0], rgb + i * bytes, latents + i * size);
    lt_frame_stream_close(s);
    return status;
}

lt_status lt_model_encode(const lt_model *m, int64_t frames, const uint8_t *rgb, float *latents) {
    double *statistics;
    LT_TRY(lt_model_statistics(m, &statistics));
    lt_status status = lt_model_encode_clips(m, statistics, 1, frames, rgb, latents);
    free(statistics);
    return status;
}

lt_status lt_model_decode(const lt_model *m, int64_t latent_frames, const float *latents, uint8_t *rgb) {
    lt_frame_stream *s;
    LT_CHECK(latent_frames > 0, LT_USAGE, "%lld latent frames to decode, expected at least 1",
             (long long)latent_frames);
    LT_TRY(open_stream(m, LT_CODEC_DECODE, latent_frames, &s));
    lt_status status = lt_model_statistics(m, &s->statistics);
    if (status == LT_OK) status = lt_frame_stream_decode(s, latent_frames, latents, rgb);
    lt_frame_stream_close(s);
    return status;
}
