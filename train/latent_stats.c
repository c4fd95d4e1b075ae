#include "train/latent_stats.h"

#include "data/loader.h"

#include <math.h>
#include <stdlib.h>

enum { CLIPS = 256 };

typedef struct sums {
    int channels;
    bool stored; /* the dataset's latents are taken */
    double count, *sum, *squares;
    uint8_t *rgb;
    float *latents, *mean, *deviation;
} sums;

static lt_status add_clip(sums *s, lt_dataset *set, const lt_model *model, int64_t clip, int64_t frames) {
    int64_t shape[4];
    LT_TRY(lt_codec_latent_shape(model->codec, frames, model->frame_height, model->frame_width, shape));
    LT_TRY(lt_latents_read(model, set, s->stored, NULL, clip, frames, s->rgb, s->latents));
    int64_t cells = shape[0] * shape[1] * shape[2];
    for (int64_t i = 0; i < cells; i++)
        for (int c = 0; c < s->channels; c++) {
            double x = s->latents[i * s->channels + c];
            s->sum[c] += x;
            s->squares[c] += x * x;
        }
    s->count += (double)cells;
    return LT_OK;
}

static lt_status reserve(sums *s, const lt_model *model, int64_t frames) {
    int64_t shape[4];
    LT_TRY(lt_codec_latent_shape(model->codec, frames, model->frame_height, model->frame_width, shape));
    size_t channels = (size_t)model->config.in_channels;
    s->channels = model->config.in_channels;
    s->sum = calloc(channels, sizeof *s->sum);
    s->squares = calloc(channels, sizeof *s->squares);
    s->mean = calloc(channels, sizeof *s->mean);
    s->deviation = calloc(channels, sizeof *s->deviation);
    s->rgb = malloc((size_t)(frames * model->frame_height * model->frame_width * 3));
    s->latents = malloc((size_t)(shape[0] * shape[1] * shape[2] * shape[3]) * sizeof *s->latents);
    LT_CHECK(s->sum && s->squares && s->mean && s->deviation && s->rgb && s->latents, LT_FAILED,
             "out of memory for latent statistics");
    return LT_OK;
}

static lt_status store(sums *s, lt_model *model) {
    float largest = 0;
    for (int c = 0; c < s->channels; c++) {
        double mean = s->sum[c] / s->count, variance = s->squares[c] / s->count - mean * mean;
        s->mean[c] = (float)mean;
        s->deviation[c] = (float)sqrt(variance > 0 ? variance : 0);
        if (s->deviation[c] > largest) largest = s->deviation[c];
    }
    for (int c = 0; c < s->channels; c++) {
        float least = largest > 0 ? 1e-3f * largest : 1;
        if (!(s->deviation[c] > least)) s->deviation[c] = least;
    }
    return lt_model_set_latent_stats(model, s->mean, s->deviation);
}

lt_status lt_latent_stats_measure(lt_dataset *set, const lt_train_config *config, lt_model *model) {
    int64_t frames = lt_model_frames(model, config->blocks), *clips, count;
    lt_clip_filter filter = {.role = "train",
                             .domains = config->train_domains,
                             .domain_count = config->train_domain_count,
                             .min_frames = frames};
    const lt_dataset_spec *data = lt_dataset_get_spec(set);
    LT_CHECK(
        data->width == model->frame_width && data->height == model->frame_height, LT_USAGE,
        "%s holds frames of %dx%d, and the model's are %dx%d (width x height); ingest at that size or set "
        "model.frame_size",
        lt_dataset_path(set), data->width, data->height, model->frame_width, model->frame_height);
    LT_TRY(lt_select_clips(set, &filter, &clips, &count));
    int64_t used = count < CLIPS ? count : CLIPS;
    sums s = {0};
    lt_status status = reserve(&s, model, frames);
    if (status == LT_OK) status = lt_latents_choose(model, set, config->latents, true, &s.stored);
    for (int64_t i = 0; i < used && status == LT_OK; i++)
        status = add_clip(&s, set, model, clips[i * count / used], frames);
    if (status == LT_OK) status = store(&s, model);
    free(s.sum), free(s.squares), free(s.mean), free(s.deviation), free(s.rgb), free(s.latents);
    free(clips);
    return status;
}
