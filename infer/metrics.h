/* What can be said about a generated video without any pretrained network: against the video it should have continued,
 * or by itself. All videos are bytes [frames, height, width, 3].
 *
 *     lt_video_stats *made, *real;
 *     LT_TRY(lt_video_stats_of(&video, &made));         once per video
 *     LT_TRY(lt_video_stats_of(&source, &real));        the codec-reconstructed source
 *     lt_metrics_compare(made, real, values);           values[LT_METRIC_COUNT]
 *     lt_video_stats_free(made);
 *
 * infer/calibrate.h shows which fault each metric answers.
 */
#ifndef LT_INFER_METRICS_H
#define LT_INFER_METRICS_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_metric {
    LT_METRIC_PSNR,
    LT_METRIC_SSIM,
    LT_METRIC_MOTION,
    LT_METRIC_FROZEN,
    LT_METRIC_FLICKER,
    LT_METRIC_SHARPNESS_DRIFT,
    LT_METRIC_COLOUR_DRIFT,
    LT_METRIC_CONTRAST_DRIFT,
    LT_METRIC_LOOP,
    LT_METRIC_LOOP_PERIOD,
    LT_METRIC_ORDER,
    LT_METRIC_JUMP,
    LT_METRIC_COUNT
} lt_metric;

typedef struct lt_metric_row {
    const char *name, *unit;
    const char *direction; /* "higher", "lower", "near 1", "near 0" is better; "-": says what was found */
    const char *help;
} lt_metric_row;

/* Row of a metric; NULL past the end. For `longtake list metrics`. */
const lt_metric_row *lt_metric_at(int index);

/* ---- images ----------------------------------------------------------------------------------------------------- */

/* 10 log10(255^2 / mean squared error) over all bytes; at most LT_PSNR_MOST, which equal videos have. */
#define LT_PSNR_MOST 99.0
double lt_psnr(const uint8_t *a, const uint8_t *b, int64_t bytes);
/* Mean structural similarity of the luma of one frame (Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from
 * error visibility to structural similarity", 2004): 11 x 11 Gaussian window of deviation 1.5, K = 0.01, 0.03, over the
 * places where the window fits. LT_USAGE when a side is below 11. */
lt_status lt_ssim(int height, int width, const uint8_t *a, const uint8_t *b, double *out);
/* Of one frame: mean length of the luma's gradient per contrast (0 where there is none); standard deviation of luma;
 * mean Cb and Cr (BT.601). */
typedef struct lt_frame_look {
    double sharpness, contrast, cb, cr;
} lt_frame_look;
lt_status lt_frame_look_of(int height, int width, const uint8_t *rgb, lt_frame_look *out);

/* ---- videos ----------------------------------------------------------------------------------------------------- */

typedef struct lt_video_view {
    const uint8_t *rgb; /* [frames, height, width, 3] */
    int64_t frames;     /* at least 4 */
    int height, width;  /* at least 8 */
    double fps;
    int block_frames; /* frames per block */
    /* frames before the first whole block: steps into frames first_block + k block_frames are block boundaries */
    int first_block;
} lt_video_view;

typedef struct lt_video_stats lt_video_stats;

/* Measures everything that needs one video only. `rgb` is not kept. LT_USAGE: sizes out of range. */
lt_status lt_video_stats_of(const lt_video_view *view, lt_video_stats **out);
void lt_video_stats_free(lt_video_stats *stats); /* NULL is fine */

/* Similarity against time gap: 1 - (mean distance of frames `gap` apart) / (mean distance over all pairs), of frames
 * reduced to at most 16 x 16 cells. gap 1 .. lt_video_stats_gaps. */
int64_t lt_video_stats_gaps(const lt_video_stats *stats);
double lt_video_similarity(const lt_video_stats *stats, int64_t gap);

/* Every metric of `made`, relative to `real` where the row says so, except PSNR and SSIM (NAN: lt_metrics_fidelity). A
 * metric that says nothing here (nothing moves in the source) is NAN. Both must have the same size and rate. */
void lt_metrics_compare(const lt_video_stats *made, const lt_video_stats *real,
                        double values[LT_METRIC_COUNT]);
/* PSNR and SSIM (NAN below 11 pixels) of `frames` frames into values. */
lt_status lt_metrics_fidelity(const uint8_t *made, const uint8_t *real, int64_t frames, int height, int width,
                              double values[LT_METRIC_COUNT]);

#ifdef __cplusplus
}
#endif
#endif
