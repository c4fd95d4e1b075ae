#include "infer/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Values of a video against the clip's own first half. */
static lt_status measure(const lt_video_view *half, const uint8_t *rgb, const lt_video_stats *real,
                         double values[LT_METRIC_COUNT]) {
    lt_video_view view = *half;
    lt_video_stats *made;
    view.rgb = rgb;
    LT_TRY(lt_video_stats_of(&view, &made));
    lt_metrics_compare(made, real, values);
    lt_video_stats_free(made);
    int64_t frames = 2 * half->block_frames < half->frames ? 2 * half->block_frames : half->frames;
    return lt_metrics_fidelity(rgb, half->rgb, frames, half->height, half->width, values);
}

static lt_status add_clip(const lt_video_view *clip, uint64_t seed, uint8_t *rgb, lt_calibration *c) {
    lt_video_view half = *clip;
    lt_video_stats *real;
    double clean[LT_METRIC_COUNT], values[LT_METRIC_COUNT];
    half.frames = clip->frames / 2;
    LT_TRY(lt_video_stats_of(&half, &real));
    lt_status status = measure(&half, half.rgb, real, clean);
    for (int m = 0; m < LT_METRIC_COUNT; m++) c->clean[m] += clean[m];
    for (int f = 0; f < LT_FAULT_COUNT && status == LT_OK; f++) {
        status = lt_fault_apply((lt_fault)f, clip, seed, rgb);
        if (status == LT_OK) status = measure(&half, rgb, real, values);
        for (int m = 0; m < LT_METRIC_COUNT && status == LT_OK; m++) {
            double change = values[m] - clean[m];
            c->change[f][m] += change, c->spread[f][m] += change * change;
        }
    }
    lt_video_stats_free(real);
    return status;
}

static double own_answer(const lt_calibration *c, int metric) {
    double least = NAN;
    for (int f = 0; f < LT_FAULT_COUNT; f++)
        if ((int)lt_fault_at(f)->metric == metric) least = fmin(least, fabs(c->change[f][metric]));
    return least;
}

static void finish(lt_calibration *c) {
    double n = c->clips;
    for (int m = 0; m < LT_METRIC_COUNT; m++) {
        c->clean[m] /= n;
        for (int f = 0; f < LT_FAULT_COUNT; f++) {
            c->change[f][m] /= n;
            c->spread[f][m] = sqrt(fmax(0, c->spread[f][m] / n - c->change[f][m] * c->change[f][m]));
        }
        for (int f = 0; f < LT_FAULT_COUNT; f++) c->relative[f][m] = fabs(c->change[f][m]) / own_answer(c, m);
    }
}

lt_status lt_calibrate(const lt_video_view *clips, int count, uint64_t seed, lt_calibration *out) {
    memset(out, 0, sizeof *out);
    LT_CHECK(count > 0, LT_USAGE, "calibration without clips");
    for (int i = 0; i < count; i++) {
        const lt_video_view *v = &clips[i];
        LT_CHECK(v->frames >= 16 && v->frames % 2 == 0, LT_USAGE,
                 "calibration clip %d has %lld frames, expected an even number of at least 16", i,
                 (long long)v->frames);
        uint8_t *rgb = malloc((size_t)(v->frames / 2 * v->height * v->width * 3));
        LT_CHECK(rgb, LT_FAILED, "calibration: out of memory");
        lt_status status = add_clip(v, seed + (uint64_t)i, rgb, out);
        free(rgb);
        LT_TRY(status);
    }
    out->clips = count;
    finish(out);
    return LT_OK;
}
