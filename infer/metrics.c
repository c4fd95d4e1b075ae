#include "infer/metrics.h"

#include "infer/video_stats.h"

#include <math.h>
#include <stdlib.h>

static const lt_metric_row rows[LT_METRIC_COUNT] = {
    [LT_METRIC_PSNR] = {"psnr", "dB", "higher",
                        "peak signal to noise against the source, first two continued blocks"},
    [LT_METRIC_SSIM] = {"ssim", "0..1", "higher",
                        "structural similarity of luma with the source, first two continued blocks"},
    [LT_METRIC_MOTION] =
        {"motion", "ratio", "near 1",
         "motion retained: flow that survives a forward-backward check, per frame step inside "
         "blocks, against the source's"},
    [LT_METRIC_FROZEN] = {"frozen", "share", "near 0",
                          "share of frame steps that change less than a tenth of the source's median step"},
    [LT_METRIC_FLICKER] =
        {"flicker", "codes", "near 0",
         "luma change along the flow from frame to frame inside blocks, above the source's"},
    [LT_METRIC_SHARPNESS_DRIFT] =
        {"sharpness-drift", "%/min", "near 0",
         "slope of the mean gradient length per contrast, relative, less the source's"},
    [LT_METRIC_COLOUR_DRIFT] = {"colour-drift", "codes/min", "near 0",
                                "length of the slope of mean (Cb, Cr) less the source's"},
    [LT_METRIC_CONTRAST_DRIFT] = {"contrast-drift", "%/min", "near 0",
                                  "slope of the deviation of luma, relative, less the source's"},
    [LT_METRIC_LOOP] =
        {"loop", "0..1", "near 0",
         "how far the distance of frames falls again at some time gap after it had risen, above "
         "the source's; 1: the video repeats exactly"},
    [LT_METRIC_LOOP_PERIOD] = {"loop-period", "s", "-", "the time gap of that fall"},
    [LT_METRIC_ORDER] =
        {"order", "log2", "near 0",
         "how much frames half a block apart differ more than neighbours do, less the source's; "
         "falls when frames are out of order"},
    [LT_METRIC_JUMP] =
        {"jump", "log2", "near 0",
         "frame difference into a new block against the median inside blocks, less the source's"},
};

const lt_metric_row *lt_metric_at(int index) {
    return index >= 0 && index < LT_METRIC_COUNT ? &rows[index] : NULL;
}

/* ---- steps ---------------------------------------------------------------------------------------------- */

/* Over pairs of steps inside blocks. */
static double motion_of(const lt_video_stats *s) {
    double sum = 0;
    int64_t n = 0;
    for (int64_t f = 1; f + 1 < s->frames; f++)
        if (!s->steps[f].boundary && !s->steps[f - 1].boundary) sum += s->steps[f].motion, n++;
    return n ? sum / (double)n : 0;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t count) {
    if (count == 0) return NAN;
    qsort(values, (size_t)count, sizeof *values, by_size);
    return 0.5 * (values[(count - 1) / 2] + values[count / 2]);
}

/* The median over steps inside blocks: a step or two across a cut does not matter. */
static double inside_median(const lt_video_stats *s, bool residual) {
    double *values = malloc((size_t)s->frames * sizeof *values);
    int64_t n = 0;
    if (!values) return NAN;
    for (int64_t f = 0; f + 1 < s->frames; f++)
        if (!s->steps[f].boundary) values[n++] = residual ? s->steps[f].residual : s->steps[f].difference;
    double result = median(values, n);
    free(values);
    return result;
}

static double frozen(const lt_video_stats *s, double still) {
    int64_t count = 0;
    for (int64_t f = 0; f + 1 < s->frames; f++) count += s->steps[f].difference < still;
    return (double)count / (double)(s->frames - 1);
}

static double jump(const lt_video_stats *s) {
    double sum = 0, inside = inside_median(s, false);
    int64_t n = 0;
    for (int64_t f = 0; f + 1 < s->frames; f++)
        if (s->steps[f].boundary) sum += s->steps[f].difference, n++;
    return n && sum > 0 && inside > 0 ? log2(sum / (double)n / inside) : NAN;
}

/* ---- drift ---------------------------------------------------------------------------------------------- */

typedef double (*look_value)(const lt_frame_look *look);
static double sharpness_of(const lt_frame_look *l) { return l->sharpness; }
static double contrast_of(const lt_frame_look *l) { return l->contrast; }
static double cb_of(const lt_frame_look *l) { return l->cb; }
static double cr_of(const lt_frame_look *l) { return l->cr; }

/* Least-squares slope per minute. */
static double slope(const lt_video_stats *s, look_value value) {
    double middle = 0.5 * (double)(s->frames - 1), up = 0, down = 0;
    for (int64_t f = 0; f < s->frames; f++) {
        up += ((double)f - middle) * value(&s->looks[f]);
        down += ((double)f - middle) * ((double)f - middle);
    }
    return up / down * s->fps * 60;
}

/* In percent of the mean. */
static double relative_slope(const lt_video_stats *s, look_value value) {
    double sum = 0;
    for (int64_t f = 0; f < s->frames; f++) sum += value(&s->looks[f]);
    return sum > 0 ? 100 * slope(s, value) * (double)s->frames / sum : 0;
}

/* ---- loops ---------------------------------------------------------------------------------------------- */

/* The distance of frames rises with their time gap; a loop makes it fall again. Its depth against the highest peak
 * before, and at which gap. */
static double loop_depth(const lt_video_stats *s, int64_t *period) {
    double peak = 0, depth = 0;
    *period = 0;
    for (int64_t gap = 1; gap <= s->gaps; gap++) {
        double d = s->distance[gap];
        if (d > peak) peak = d;
        if (peak <= 0 || 1 - d / peak <= depth) continue;
        depth = 1 - d / peak, *period = gap;
    }
    return depth;
}

void lt_metrics_compare(const lt_video_stats *made, const lt_video_stats *real,
                        double values[LT_METRIC_COUNT]) {
    int64_t period, unused;
    double motion = motion_of(real), still = inside_median(real, false) / 10;
    for (int i = 0; i < LT_METRIC_COUNT; i++) values[i] = NAN;
    if (motion > 0) values[LT_METRIC_MOTION] = motion_of(made) / motion;
    if (still > 0) values[LT_METRIC_FROZEN] = frozen(made, still);
    values[LT_METRIC_FLICKER] = inside_median(made, true) - inside_median(real, true);
    values[LT_METRIC_SHARPNESS_DRIFT] =
        relative_slope(made, sharpness_of) - relative_slope(real, sharpness_of);
    values[LT_METRIC_COLOUR_DRIFT] =
        hypot(slope(made, cb_of) - slope(real, cb_of), slope(made, cr_of) - slope(real, cr_of));
    values[LT_METRIC_CONTRAST_DRIFT] = relative_slope(made, contrast_of) - relative_slope(real, contrast_of);
    values[LT_METRIC_LOOP] = loop_depth(made, &period) - loop_depth(real, &unused);
    if (period > 0) values[LT_METRIC_LOOP_PERIOD] = (double)period / made->fps;
    values[LT_METRIC_ORDER] = made->order - real->order;
    values[LT_METRIC_JUMP] = jump(made) - jump(real);
}

lt_status lt_metrics_fidelity(const uint8_t *made, const uint8_t *real, int64_t frames, int height, int width,
                              double values[LT_METRIC_COUNT]) {
    int64_t bytes = (int64_t)height * width * 3;
    double sum = 0, one;
    values[LT_METRIC_PSNR] = lt_psnr(made, real, frames * bytes);
    values[LT_METRIC_SSIM] = NAN;
    if (height < 11 || width < 11) return LT_OK;
    for (int64_t f = 0; f < frames; f++) {
        LT_TRY(lt_ssim(height, width, made + f * bytes, real + f * bytes, &one));
        sum += one;
    }
    values[LT_METRIC_SSIM] = sum / (double)frames;
    return LT_OK;
}
