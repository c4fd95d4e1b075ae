#include "train/samples.h"

#include "data/video_writer.h"
#include "infer/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const lt_cache_spec *heaviest(const lt_train_config *config) {
    const lt_mix_row *best = &config->mix[0];
    for (int i = 1; i < config->mix_count; i++) {
        const lt_mix_row *row = &config->mix[i];
        bool keeps = row->spec.budget > 0, best_keeps = best->spec.budget > 0;
        if (keeps > best_keeps || (keeps == best_keeps && row->weight > best->weight)) best = row;
    }
    return &best->spec;
}

typedef struct sample {
    lt_video_stream *stream;
    lt_frame_stream *decoder;
    lt_video_writer *video;
    float *latents;
    uint8_t *rgb;
} sample;

static lt_status write_blocks(sample *s, const lt_model *model, int blocks) {
    for (int i = 0; i < blocks; i++) {
        LT_TRY(lt_video_stream_next(s->stream, s->latents));
        LT_TRY(lt_frame_stream_decode(s->decoder, model->config.block_frames, s->latents, s->rgb));
        LT_TRY(lt_video_writer_append(s->video, s->rgb,
                                      lt_model_frames(model, i + 1) - lt_model_frames(model, i)));
    }
    return LT_OK;
}

static lt_status open_sample(sample *s, lt_model *model, const lt_train_config *config, double fps,
                             int64_t step, const char *path) {
    int64_t n[4];
    char number[32];
    snprintf(number, sizeof number, "%" PRId64, step);
    const char *const metadata[][2] = {{"longtake_step", number}};
    lt_video_writer_spec video = {.width = model->frame_width,
                                  .height = model->frame_height,
                                  .fps = fps,
                                  .metadata = metadata,
                                  .metadata_count = 1};
    lt_stream_options options = {.steps = config->sample_steps,
                                 .shift = config->time_shift,
                                 .guidance = 1,
                                 .seed = config->seed,
                                 .spec = *heaviest(config)};
    lt_model_block_shape(model, n);
    s->latents = malloc((size_t)(n[0] * n[1] * n[2] * n[3]) * sizeof *s->latents);
    s->rgb = malloc((size_t)lt_model_frames_per_block(model) * (size_t)model->frame_height *
                    (size_t)model->frame_width * 3);
    LT_CHECK(s->latents && s->rgb, LT_FAILED, "%s: out of memory", path);
    LT_TRY(lt_frame_stream_open(model, LT_CODEC_DECODE, n[0], &s->decoder));
    LT_TRY(lt_video_writer_open(path, &video, &s->video));
    return lt_video_stream_open(model, &options, &s->stream);
}

lt_status lt_sample_write(lt_model *model, const lt_train_config *config, double fps, int64_t step,
                          const char *path) {
    sample s = {0};
    lt_status status = open_sample(&s, model, config, fps, step, path);
    if (status == LT_OK) status = write_blocks(&s, model, config->sample_blocks);
    lt_video_stream_close(s.stream);
    lt_frame_stream_close(s.decoder);
    lt_status closed = status == LT_OK ? lt_video_writer_close(s.video) : lt_video_writer_leave(s.video);
    free(s.latents);
    free(s.rgb);
    return status == LT_OK ? closed : status;
}
