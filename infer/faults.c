#include "infer/faults.h"

#include "core/rng.h"
#include "data/flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sizes of the faults: plainly visible. */
#define FROZEN_SHARE 0.2 /* of the video, at its end */
#define SLOW_RATE    0.5 /* frames of the source per frame */
#define FAST_RATE    2
#define LOOP_SHARE   0.23 /* of the video is one period; no multiple of a block */
#define JUMP_SHARE   0.15 /* of the frame's shorter side: how far blocks are displaced */
#define NOISE_CODES  8.0
#define BLUR_PIXELS  1.5  /* deviation at the end */
#define COLOUR_CODES 30.0 /* at the end */
#define FADE_TO      0.6  /* contrast at the end */

typedef struct job {
    const lt_video_view *clip;
    int64_t frames, bytes; /* of the output; bytes per frame */
    uint64_t seed;
    uint8_t *out;
} job;

static const uint8_t *in_frame(const job *j, int64_t f) { return j->clip->rgb + f * j->bytes; }
static uint8_t *out_frame(const job *j, int64_t f) { return j->out + f * j->bytes; }
static void copy_frame(const job *j, int64_t to, int64_t from) {
    memcpy(out_frame(j, to), in_frame(j, from), (size_t)j->bytes);
}
static uint8_t byte_of(double x) { return (uint8_t)lrint(fmin(fmax(x, 0), 255)); }
/* 0 at the first frame, 1 at the last. */
static double progress(const job *j, int64_t f) { return (double)f / (double)(j->frames - 1); }

static lt_status freeze(const job *j) {
    int64_t moving = (int64_t)((1 - FROZEN_SHARE) * (double)j->frames);
    for (int64_t f = 0; f < j->frames; f++) copy_frame(j, f, f < moving ? f : moving - 1);
    return LT_OK;
}

static lt_status fast(const job *j) {
    for (int64_t f = 0; f < j->frames; f++) copy_frame(j, f, FAST_RATE * f);
    return LT_OK;
}

static lt_status loop(const job *j) {
    int64_t period = (int64_t)fmax(2, LOOP_SHARE * (double)j->frames);
    for (int64_t f = 0; f < j->frames; f++) copy_frame(j, f, f % period);
    return LT_OK;
}

static lt_status shuffle(const job *j) {
    int64_t block = j->clip->block_frames, *order = malloc((size_t)block * sizeof *order);
    LT_CHECK(order, LT_FAILED, "faults: out of memory");
    for (int64_t first = 0; first < j->frames; first += block) {
        int64_t count = j->frames - first < block ? j->frames - first : block;
        lt_rng_key key = {.seed = j->seed, .purpose = LT_RNG_TEST, .block = (uint32_t)first};
        lt_rng_permutation(&key, count, order);
        for (int64_t f = 0; f < count; f++) copy_frame(j, first + f, first + order[f]);
    }
    free(order);
    return LT_OK;
}

/* ---- slow: frames between frames, along the flow --------------------------------------------------------- */

static int64_t clamp(int64_t x, int64_t most) { return x < 0 ? 0 : x > most ? most : x; }

static double colour_at(const job *j, const uint8_t *rgb, double x, double y, int channel) {
    int width = j->clip->width, height = j->clip->height;
    x = fmin(fmax(x, 0), width - 1), y = fmin(fmax(y, 0), height - 1);
    int64_t x0 = (int64_t)x, y0 = (int64_t)y, x1 = clamp(x0 + 1, width - 1), y1 = clamp(y0 + 1, height - 1);
    double u = x - (double)x0, v = y - (double)y0;
    const uint8_t *p = rgb + channel, *a = p + y0 * width * 3, *b = p + y1 * width * 3;
    return (1 - v) * ((1 - u) * a[3 * x0] + u * a[3 * x1]) + v * ((1 - u) * b[3 * x0] + u * b[3 * x1]);
}

/* The frame at source time at + rest, both neighbours drawn along the flow towards it. */
static void between(const job *j, const float *flow, int64_t at, double rest, uint8_t *out) {
    int width = j->clip->width;
    const uint8_t *a = in_frame(j, at), *b = in_frame(j, at + 1);
    for (int64_t i = 0; i < j->bytes; i++) {
        int64_t pixel = i / 3;
        double x = (double)(pixel % width), y = (double)(pixel / width);
        double dx = (double)flow[2 * pixel], dy = (double)flow[2 * pixel + 1];
        double from_a = colour_at(j, a, x - rest * dx, y - rest * dy, (int)(i % 3));
        double from_b = colour_at(j, b, x + (1 - rest) * dx, y + (1 - rest) * dy, (int)(i % 3));
        out[i] = byte_of((1 - rest) * from_a + rest * from_b);
    }
}

static lt_status slow(const job *j) {
    int64_t pixels = j->bytes / 3;
    uint8_t *luma = malloc(2 * (size_t)pixels);
    float *field = malloc(2 * (size_t)pixels * sizeof *field);
    lt_flow *flow = NULL;
    lt_status status = luma && field ? LT_OK : lt_fail(LT_FAILED, "faults: out of memory");
    if (status == LT_OK) status = lt_flow_open(j->clip->width, j->clip->height, &flow);
    for (int64_t f = 0; f < j->frames && status == LT_OK; f++) {
        double time = SLOW_RATE * (double)f;
        int64_t at = (int64_t)time;
        if (time == (double)at) {
            copy_frame(j, f, at);
            continue;
        }
        lt_luma(in_frame(j, at), pixels, luma);
        lt_luma(in_frame(j, at + 1), pixels, luma + pixels);
        lt_flow_run(flow, luma, luma + pixels, field);
        between(j, field, at, time - (double)at, out_frame(j, f));
    }
    lt_flow_close(flow);
    free(luma), free(field);
    return status;
}

/* ---- faults of pixels ----------------------------------------------------------------------------------- */

/* Every second block is displaced. */
static lt_status jump(const job *j) {
    int width = j->clip->width, height = j->clip->height;
    int side = (int)fmax(1, JUMP_SHARE * (width < height ? width : height));
    for (int64_t f = 0; f < j->frames; f++) {
        const uint8_t *in = in_frame(j, f);
        int shift = f / j->clip->block_frames % 2 ? side : 0;
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++)
                memcpy(out_frame(j, f) + (y * width + x) * 3,
                       in + (clamp(y + shift, height - 1) * width + clamp(x + shift, width - 1)) * 3, 3);
    }
    return LT_OK;
}

static lt_status noise(const job *j) {
    lt_rng_key key = {.seed = j->seed, .purpose = LT_RNG_TEST, .clip = 1};
    for (int64_t i = 0; i < j->frames * j->bytes; i++)
        j->out[i] = byte_of(j->clip->rgb[i] + NOISE_CODES * (double)lt_rng_normal(&key, (uint64_t)i));
    return LT_OK;
}

/* One direction of a Gaussian; neighbours lie `step` bytes apart. */
static void blur_line(const uint8_t *in, uint8_t *out, int64_t count, int64_t step, double deviation) {
    int reach = (int)ceil(3 * deviation);
    for (int64_t i = 0; i < count; i++) {
        double sum = 0, weight = 0;
        for (int k = -reach; k <= reach; k++) {
            double w = exp(-k * k / (2 * deviation * deviation));
            sum += w * in[clamp(i + k, count - 1) * step], weight += w;
        }
        out[i * step] = byte_of(sum / weight);
    }
}

static lt_status blur(const job *j) {
    int64_t width = j->clip->width, height = j->clip->height;
    uint8_t *half = malloc((size_t)j->bytes);
    LT_CHECK(half, LT_FAILED, "faults: out of memory");
    copy_frame(j, 0, 0);
    for (int64_t f = 1; f < j->frames; f++) {
        double deviation = BLUR_PIXELS * progress(j, f);
        const uint8_t *in = in_frame(j, f);
        for (int64_t y = 0; y < height; y++)
            for (int c = 0; c < 3; c++)
                blur_line(in + y * width * 3 + c, half + y * width * 3 + c, width, 3, deviation);
        for (int64_t x = 0; x < 3 * width; x++)
            blur_line(half + x, out_frame(j, f) + x, height, 3 * width, deviation);
    }
    free(half);
    return LT_OK;
}

/* Towards red at equal luma. */
static lt_status colour(const job *j) {
    const double shift[3] = {1, (0.114 - 0.299) / 0.587, -1};
    for (int64_t f = 0; f < j->frames; f++)
        for (int64_t i = 0; i < j->bytes; i++)
            out_frame(j, f)[i] = byte_of(in_frame(j, f)[i] + COLOUR_CODES * progress(j, f) * shift[i % 3]);
    return LT_OK;
}

/* Towards the mean of the frame, colour by colour. */
static lt_status fade(const job *j) {
    for (int64_t f = 0; f < j->frames; f++) {
        double mean[3] = {0}, keep = 1 - (1 - FADE_TO) * progress(j, f);
        for (int64_t i = 0; i < j->bytes; i++) mean[i % 3] += 3.0 * in_frame(j, f)[i] / (double)j->bytes;
        for (int64_t i = 0; i < j->bytes; i++)
            out_frame(j, f)[i] = byte_of(mean[i % 3] + keep * (in_frame(j, f)[i] - mean[i % 3]));
    }
    return LT_OK;
}

static const struct {
    lt_fault_row row;
    lt_status (*apply)(const job *j);
} faults[LT_FAULT_COUNT] = {
    [LT_FAULT_FREEZE] = {{"freeze", "the last fifth stands still", LT_METRIC_FROZEN, LT_METRIC_COUNT},
                         freeze},
    [LT_FAULT_SLOW] = {{"slow", "half the speed", LT_METRIC_MOTION, LT_METRIC_COUNT}, slow},
    [LT_FAULT_FAST] = {{"fast", "twice the speed", LT_METRIC_MOTION, LT_METRIC_COUNT}, fast},
    [LT_FAULT_LOOP] = {{"loop", "repeats its first quarter", LT_METRIC_LOOP, LT_METRIC_COUNT}, loop},
    [LT_FAULT_JUMP] = {{"jump", "every second block is displaced", LT_METRIC_JUMP, LT_METRIC_COUNT}, jump},
    [LT_FAULT_SHUFFLE] = {{"shuffle",
                           "frames of each block in random order", /* without order no motion lasts */
                           LT_METRIC_ORDER, LT_METRIC_MOTION},
                          shuffle},
    [LT_FAULT_NOISE] = {{"noise", "independent noise of deviation 8 in every frame", LT_METRIC_FLICKER,
                         LT_METRIC_COUNT},
                        noise},
    [LT_FAULT_BLUR] = {{"blur", "ever more blurred", LT_METRIC_SHARPNESS_DRIFT, LT_METRIC_COUNT}, blur},
    [LT_FAULT_COLOUR] = {{"colour", "turns red at equal luma", LT_METRIC_COLOUR_DRIFT, LT_METRIC_COUNT},
                         colour},
    [LT_FAULT_FADE] = {{"fade", "loses contrast", LT_METRIC_CONTRAST_DRIFT, LT_METRIC_COUNT}, fade},
};

const lt_fault_row *lt_fault_at(int index) {
    return index >= 0 && index < LT_FAULT_COUNT ? &faults[index].row : NULL;
}

lt_status lt_fault_apply(lt_fault fault, const lt_video_view *clip, uint64_t seed, uint8_t *out) {
    job j = {.clip = clip, .frames = clip->frames / 2, .seed = seed, .out = out};
    j.bytes = (int64_t)clip->height * clip->width * 3;
    LT_CHECK((int)fault >= 0 && fault < LT_FAULT_COUNT && j.frames >= 4, LT_USAGE,
             "fault %d on a clip of %lld frames: expected at least 8", (int)fault, (long long)clip->frames);
    return faults[fault].apply(&j);
}
