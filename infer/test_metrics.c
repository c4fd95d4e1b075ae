#include "core/rng.h"
#include "infer/metrics.h"
#include "tests/harness.h"

enum { H = 24, W = 32, F = 32, FRAME = H * W * 3 };
static uint8_t a[F * FRAME], b[F * FRAME];

/* A smooth pattern that moves right by `speed` pixels a frame. */
static void draw(uint8_t *out, double speed) {
    for (int64_t i = 0; i < F * FRAME; i++) {
        int64_t pixel = i / 3 % (H * W);
        double x = (double)(pixel % W) - speed * (double)(i / FRAME), y = (double)(pixel / W);
        out[i] = (uint8_t)lrint(127 + 60 * sin(x * 0.5) + 50 * cos(y * 0.6 + 0.2 * x + (double)(i % 3)));
    }
}

static lt_video_stats *stats_of(const uint8_t *rgb) {
    lt_video_view view = {
        .rgb = rgb, .frames = F, .height = H, .width = W, .fps = 8, .block_frames = 8, .first_block = 0};
    lt_video_stats *stats = NULL;
    CHECK_OK(lt_video_stats_of(&view, &stats));
    return stats;
}

static void compare(double values[LT_METRIC_COUNT]) {
    lt_video_stats *made = stats_of(a), *real = stats_of(b);
    lt_metrics_compare(made, real, values);
    lt_video_stats_free(made), lt_video_stats_free(real);
}

static void psnr_is_the_mean_squared_error_in_decibels(void) {
    draw(a, 0);
    memcpy(b, a, sizeof a);
    CHECK(lt_psnr(a, b, FRAME) == LT_PSNR_MOST);
    for (int i = 0; i < FRAME; i++) b[i] = (uint8_t)(a[i] + 5);
    CHECK_NEAR(lt_psnr(a, b, FRAME), 20 * log10(255.0 / 5), 1e-9);
}

/* Two planes of one value each: only the luminance term is left. */
static void ssim_has_its_closed_form_on_flat_frames(void) {
    double ssim, c1 = 2.55 * 2.55;
    memset(a, 100, FRAME), memset(b, 140, FRAME);
    CHECK_OK(lt_ssim(H, W, a, b, &ssim));
    CHECK_NEAR(ssim, (2 * 100 * 140 + c1) / (100 * 100 + 140 * 140 + c1), 1e-9);
    draw(a, 0);
    CHECK_OK(lt_ssim(H, W, a, a, &ssim));
    CHECK_NEAR(ssim, 1, 1e-12);
    CHECK_FAILS(lt_ssim(10, W, a, a, &ssim), LT_USAGE, "32x10");
}

/* Against the definition, window by window, at one place. */
static void ssim_weighs_its_window_by_a_gaussian(void) {
    enum { N = 11 };
    double ssim, w[N], sum = 0, m[2] = {0}, s[3] = {0};
    lt_rng_key key = {.seed = 1, .purpose = LT_RNG_TEST};
    for (int i = 0; i < N * N * 3; i++) {
        a[i - i % 3] = a[i - i % 3 + 1] = a[i - i % 3 + 2] =
            (uint8_t)lt_rng_below(&key, (uint64_t)(i / 3), 256);
        b[i] = (uint8_t)(a[i - i % 3] / 2 + 20);
        if (i % 3) b[i] = b[i - i % 3];
    }
    for (int i = 0; i < N; i++) sum += w[i] = exp(-(i - 5) * (i - 5) / 4.5);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < N * N; i++) {
            double weight = w[i / N] * w[i % N] / (sum * sum), x = a[3 * i], y = b[3 * i];
            if (pass == 0) m[0] += weight * x, m[1] += weight * y;
            else
                s[0] += weight * (x - m[0]) * (x - m[0]), s[1] += weight * (y - m[1]) * (y - m[1]),
                    s[2] += weight * (x - m[0]) * (y - m[1]);
        }
    double c1 = 2.55 * 2.55, c2 = 7.65 * 7.65;
    CHECK_OK(lt_ssim(N, N, a, b, &ssim));
    CHECK_NEAR(ssim,
               (2 * m[0] * m[1] + c1) * (2 * s[2] + c2) /
                   ((m[0] * m[0] + m[1] * m[1] + c1) * (s[0] + s[1] + c2)),
               1e-9);
}

static void motion_is_the_ratio_of_speeds(void) {
    double values[LT_METRIC_COUNT];
    draw(a, 0.5), draw(b, 1);
    compare(values);
    CHECK_NEAR(values[LT_METRIC_MOTION], 0.5, 0.08);
    CHECK(values[LT_METRIC_FROZEN] == 0);
    draw(a, 0);
    compare(values);
    CHECK(values[LT_METRIC_MOTION] == 0 && values[LT_METRIC_FROZEN] == 1);
    draw(b, 0);
    compare(values);
    CHECK(isnan(values[LT_METRIC_MOTION]) && isnan(values[LT_METRIC_FROZEN]));
}

static void drift_is_a_slope_per_minute(void) {
    double values[LT_METRIC_COUNT];
    draw(a, 0.3), draw(b, 0.3);
    for (int64_t i = 0; i < F * FRAME; i++)
        if (i % 3 == 2) a[i] = (uint8_t)fmax(0, a[i] - (int)(i / FRAME)); /* blue falls by a code a frame */
    compare(values);
    double cb = 0.564 * (1 - 0.114), cr = 0.713 * 0.114; /* per code of blue */
    CHECK_NEAR(values[LT_METRIC_COLOUR_DRIFT], hypot(cb, cr) * 8 * 60, 10);
    CHECK(fabs(values[LT_METRIC_SHARPNESS_DRIFT]) < 20);
}

static void a_loop_is_found_with_its_period(void) {
    double values[LT_METRIC_COUNT];
    draw(b, 0.3);
    for (int f = 0; f < F; f++) memcpy(a + f * FRAME, b + f % 11 * FRAME, FRAME);
    compare(values);
    CHECK_NEAR(values[LT_METRIC_LOOP], 1, 0.01);
    CHECK_NEAR(values[LT_METRIC_LOOP_PERIOD], 11.0 / 8, 0);
    lt_video_stats *stats = stats_of(a);
    CHECK(lt_video_stats_gaps(stats) == F / 2);
    CHECK_NEAR(lt_video_similarity(stats, 11), 1, 1e-12);
    CHECK(lt_video_similarity(stats, 5) < 0.5 && lt_video_similarity(stats, 1) > 0.4);
    lt_video_stats_free(stats);
}

static void jumps_count_at_block_boundaries_only(void) {
    double values[2][LT_METRIC_COUNT], *inside = values[0], *boundary = values[1];
    draw(b, 0.3);
    for (int shift = 0; shift < 2; shift++) {
        memcpy(a, b, sizeof a);
        int64_t from = (shift ? 16 : 12) * FRAME; /* frame 16 begins a block, frame 12 does not */
        for (int64_t i = from; i < F * FRAME; i++) a[i] = b[i] > 215 ? 255 : (uint8_t)(b[i] + 40);
        compare(values[shift]);
    }
    CHECK(boundary[LT_METRIC_JUMP] > 0.8);
    CHECK(fabs(inside[LT_METRIC_JUMP]) < 0.1);
}

static void every_metric_has_its_row(void) {
    for (int m = 0; m < LT_METRIC_COUNT; m++) {
        const lt_metric_row *row = lt_metric_at(m);
        CHECK(row && *row->name && *row->unit && *row->direction && *row->help);
        for (int k = 0; k < m; k++) CHECK(strcmp(row->name, lt_metric_at(k)->name) != 0);
    }
    CHECK(!lt_metric_at(LT_METRIC_COUNT) && !lt_metric_at(-1));
}

static void sizes_that_make_no_sense_are_refused(void) {
    lt_video_stats *stats;
    lt_video_view view = {.rgb = a, .frames = 3, .height = H, .width = W, .fps = 8, .block_frames = 8};
    CHECK_FAILS(lt_video_stats_of(&view, &stats), LT_USAGE, "3 frames");
    view.frames = 8, view.height = 7;
    CHECK_FAILS(lt_video_stats_of(&view, &stats), LT_USAGE, "32x7");
    view.height = H, view.fps = 0;
    CHECK_FAILS(lt_video_stats_of(&view, &stats), LT_USAGE, "0 frames per second");
}

int main(int argc, char **argv) {
    RUN(psnr_is_the_mean_squared_error_in_decibels);
    RUN(ssim_has_its_closed_form_on_flat_frames);
    RUN(ssim_weighs_its_window_by_a_gaussian);
    RUN(motion_is_the_ratio_of_speeds);
    RUN(drift_is_a_slope_per_minute);
    RUN(a_loop_is_found_with_its_period);
    RUN(jumps_count_at_block_boundaries_only);
    RUN(every_metric_has_its_row);
    RUN(sizes_that_make_no_sense_are_refused);
    return test_end();
}
