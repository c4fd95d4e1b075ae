#include "data/motion.h"
#include "data/flow.h"

#include <stdlib.h>
#include <string.h>

#define SIDE 96 /* of the picture that is analysed, at most */
#define BINS 64 /* colours: 4 levels per channel */

/* Calibrated on 29 clips of real footage at 16 fps (fast sports and shaking included) and on the 812 splices of one's
 * end to another's beginning: 99.6 % of the splices and no frame without a transition. */
#define COLOURS_CUT      0.25
#define COLOURS_FLOW     0.15
#define DIFFERENCE_CUT   2.5
#define DIFFERENCE_LEAST 10
#define DIFFERENCE_FLOW  0.2

struct lt_motion_meter {
    int width, height;
    int factor, small_width, small_height; /* each small pixel is the mean of factor^2 */
    lt_flow *flow;
    uint8_t *luma[2], *small[2]; /* of this frame and the last */
    int colours[2][BINS];
    int64_t frames;
    double recent; /* largest recent difference, fading; < 0: none yet */
};

lt_status lt_motion_open(int width, int height, lt_motion_meter **out) {
    *out = NULL;
    LT_CHECK(width >= 8 && height >= 8, LT_USAGE, "motion of %d x %d pixels: both sides must be at least 8",
             width, height);
    lt_motion_meter *meter = calloc(1, sizeof *meter);
    LT_CHECK(meter, LT_FAILED, "out of memory");
    int most = (width < height ? width : height) / 8,
        wanted = ((width > height ? width : height) + SIDE - 1) / SIDE;
    *meter = (lt_motion_meter){
        .width = width, .height = height, .factor = wanted < most ? wanted : most, .recent = -1};
    meter->small_width = width / meter->factor;
    meter->small_height = height / meter->factor;
    size_t pixels = (size_t)width * (size_t)height,
           small = (size_t)meter->small_width * (size_t)meter->small_height;
    lt_status status = lt_flow_open(meter->small_width, meter->small_height, &meter->flow);
    for (int i = 0; i < 2; i++) {
        meter->luma[i] = malloc(pixels);
        meter->small[i] = malloc(small);
        if (status == LT_OK && (!meter->luma[i] || !meter->small[i]))
            status = lt_fail(LT_FAILED, "out of memory");
    }
    if (status != LT_OK) {
        lt_motion_close(meter);
        return status;
    }
    *out = meter;
    return LT_OK;
}

void lt_motion_close(lt_motion_meter *meter) {
    if (!meter) return;
    lt_flow_close(meter->flow);
    for (int i = 0; i < 2; i++) {
        free(meter->luma[i]);
        free(meter->small[i]);
    }
    free(meter);
}

static void shrink(const lt_motion_meter *meter, const uint8_t *luma, uint8_t *small) {
    int factor = meter->factor, area = factor * factor;
    for (int y = 0; y < meter->small_height; y++) {
        for (int x = 0; x < meter->small_width; x++) {
            int sum = area / 2;
            for (int r = 0; r < factor; r++) {
                const uint8_t *row =
                    luma + (size_t)(y * factor + r) * (size_t)meter->width + (size_t)x * (size_t)factor;
                for (int c = 0; c < factor; c++) sum += row[c];
            }
            *small++ = (uint8_t)(sum / area);
        }
    }
}

static void count_colours(const uint8_t *rgb, int64_t pixels, int colours[BINS]) {
    memset(colours, 0, BINS * sizeof *colours);
    for (int64_t i = 0; i < pixels; i++, rgb += 3)
        colours[(rgb[0] >> 6) << 4 | (rgb[1] >> 6) << 2 | rgb[2] >> 6]++;
}

static bool stands_out(const lt_motion_meter *meter, const lt_motion_step *step) {
    return meter->recent >= 0 && step->luma_diff > DIFFERENCE_CUT * meter->recent &&
           step->luma_diff > DIFFERENCE_LEAST;
}

static void measure_flow(lt_motion_meter *meter, int last, int now, lt_motion_step *step) {
    lt_motion motion = lt_flow_motion(meter->flow, meter->small[last], meter->small[now]);
    step->px = motion.px * meter->factor;
    step->consistent = motion.consistent;
}

lt_motion_step lt_motion_next(lt_motion_meter *meter, const uint8_t *rgb, bool want_flow) {
    int now = (int)(meter->frames & 1), last = 1 - now;
    int64_t pixels = (int64_t)meter->width * meter->height;
    lt_motion_step step = {.first = meter->frames++ == 0};
    lt_luma(rgb, pixels, meter->luma[now]);
    shrink(meter, meter->luma[now], meter->small[now]);
    count_colours(rgb, pixels, meter->colours[now]);
    if (step.first) return step;
    int64_t moved = 0;
    for (int b = 0; b < BINS; b++) moved += abs(meter->colours[now][b] - meter->colours[last][b]);
    step.colours = (double)moved / (double)(2 * pixels);
    step.luma_diff = lt_luma_difference(meter->luma[last], meter->luma[now], pixels);
    bool other_colours = step.colours >= COLOURS_CUT, out = stands_out(meter, &step);
    if (want_flow || other_colours || out) measure_flow(meter, last, now, &step);
    step.cut =
        (other_colours && step.consistent <= COLOURS_FLOW) || (out && step.consistent <= DIFFERENCE_FLOW);
    if (step.cut) meter->recent = -1;
    else meter->recent = 0.7 * meter->recent > step.luma_diff ? 0.7 * meter->recent : step.luma_diff;
    return step;
}
