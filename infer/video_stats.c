/* Statistics of one video: per frame, per step, per time gap. */
#include "infer/video_stats.h"

#include "data/flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- steps ---------------------------------------------------------------------------------------------- */

typedef struct step_work {
    lt_flow *flow;
    uint8_t *luma; /* [2, pixels] of this frame and the next */
    float *there, *back,
        *before; /* flow of this step, the way back, and of the step before (zero where unsure) */
    uint8_t *mask;
    int height, width;
} step_work;

/* Luma at a fractional place, inside the image. */
static double sample(const uint8_t *luma, int height, int width, double x, double y) {
    x = fmin(fmax(x, 0), width - 1), y = fmin(fmax(y, 0), height - 1);
    int x0 = (int)x, y0 = (int)y, x1 = x0 + 1 < width ? x0 + 1 : x0, y1 = y0 + 1 < height ? y0 + 1 : y0;
    double u = x - x0, v = y - y0;
    const uint8_t *a = luma + (int64_t)y0 * width, *b = luma + (int64_t)y1 * width;
    return (1 - v) * ((1 - u) * a[x0] + u * a[x1]) + v * ((1 - u) * b[x0] + u * b[x1]);
}

/* Frames are compared along the flow (Lai et al., "Learning blind video temporal consistency", arXiv 1808.00449,
 * warping error). */
static void measure_residual(const step_work *w, lt_video_step *step, int64_t consistent) {
    int64_t pixels = (int64_t)w->height * w->width;
    const uint8_t *a = w->luma, *b = w->luma + pixels;
    double residual = 0;
    for (int64_t i = 0; i < pixels; i++) {
        if (!w->mask[i]) continue;
        double x = (double)(i % w->width) + (double)w->there[2 * i];
        double y = (double)(i / w->width) + (double)w->there[2 * i + 1];
        residual += fabs(sample(b, w->height, w->width, x, y) - a[i]);
    }
    step->residual = consistent > 0 ? residual / (double)consistent : 0;
}

/* Motion that goes on: the harmonic mean of this flow's length and that of the step before, times the cosine between
 * them where that is positive. What jitters to and fro, as noise does, is no motion. */
static double lasting_motion(const step_work *w) {
    int64_t pixels = (int64_t)w->height * w->width;
    double sum = 0;
    for (int64_t i = 0; i < 2 * pixels; i += 2) {
        double ax = (double)w->there[i], ay = (double)w->there[i + 1];
        double bx = (double)w->before[i], by = (double)w->before[i + 1];
        double product = ax * bx + ay * by;
        if (product > 0) sum += 2 * product / (hypot(ax, ay) + hypot(bx, by));
    }
    return sum / (double)pixels;
}

static void measure_step(step_work *w, lt_video_step *step) {
    int64_t pixels = (int64_t)w->height * w->width;
    const uint8_t *a = w->luma, *b = w->luma + pixels;
    memcpy(w->before, w->there, 2 * (size_t)pixels * sizeof *w->before);
    lt_flow_run(w->flow, a, b, w->there);
    lt_flow_run(w->flow, b, a, w->back);
    int64_t consistent = lt_flow_consistent(w->width, w->height, w->there, w->back, w->mask);
    measure_residual(w, step, consistent);
    for (int64_t i = 0; i < pixels; i++)
        if (!w->mask[i]) w->there[2 * i] = w->there[2 * i + 1] = 0;
    step->difference = lt_luma_difference(a, b, pixels);
    step->motion = lasting_motion(w);
}

static void run_steps(const lt_video_view *v, step_work *w, lt_video_stats *s) {
    int64_t pixels = (int64_t)v->height * v->width;
    lt_luma(v->rgb, pixels, w->luma + pixels);
    for (int64_t f = 0; f + 1 < v->frames; f++) {
        memcpy(w->luma, w->luma + pixels, (size_t)pixels);
        lt_luma(v->rgb + (f + 1) * pixels * 3, pixels, w->luma + pixels);
        int64_t into = f + 1 - v->first_block;
        s->steps[f].boundary = into >= 0 && into % v->block_frames == 0;
        measure_step(w, &s->steps[f]);
    }
}

static lt_status measure_steps(const lt_video_view *v, lt_video_stats *s) {
    size_t pixels = (size_t)v->height * (size_t)v->width;
    step_work w = {.height = v->height,
                   .width = v->width,
                   .luma = malloc(2 * pixels),
                   .there = calloc(2 * pixels, sizeof(float)),
                   .back = malloc(2 * pixels * sizeof(float)),
                   .before = malloc(2 * pixels * sizeof(float)),
                   .mask = malloc(pixels)};
    lt_status status =
        w.luma && w.there && w.back && w.before && w.mask
            ? LT_OK
            : lt_fail(LT_FAILED, "metrics: out of memory for frames of %dx%d", v->width, v->height);
    if (status == LT_OK) status = lt_flow_open(v->width, v->height, &w.flow);
    if (status == LT_OK) run_steps(v, &w, s);
    lt_flow_close(w.flow);
    free(w.luma), free(w.there), free(w.back), free(w.before), free(w.mask);
    return status;
}

/* ---- time gaps ------------------------------------------------------------------------------------------ */

/* cells [frames, rows, columns, 3]: mean colour of each cell. */
static void reduce(const lt_video_view *v, int rows, int columns, float *cells) {
    for (int64_t f = 0; f < v->frames; f++)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++, cells += 3) {
                int y0 = r * v->height / rows, y1 = (r + 1) * v->height / rows;
                int x0 = c * v->width / columns, x1 = (c + 1) * v->width / columns;
                double sum[3] = {0}, n = (double)(y1 - y0) * (x1 - x0);
                for (int y = y0; y < y1; y++)
                    for (int x = x0; x < x1; x++)
                        for (int k = 0; k < 3; k++)
                            sum[k] += v->rgb[((f * v->height + y) * v->width + x) * 3 + k];
                for (int k = 0; k < 3; k++) cells[k] = (float)(sum[k] / n);
            }
}

static double cell_distance(const float *a, const float *b, int size) {
    double sum = 0;
    for (int i = 0; i < size; i++) sum += fabs((double)a[i] - (double)b[i]);
    return sum / size;
}

/* Frames of a video in order are more alike the nearer they are. The mean distance of frames up to half a block apart,
 * within blocks, against that of neighbours, as log2: 0 where order says nothing. */
static double order_of(const lt_video_view *v, const float *cells, int size) {
    int reach = v->block_frames / 2;
    double near = 0, far = 0;
    int64_t nears = 0, fars = 0;
    for (int64_t start = v->first_block; start + v->block_frames <= v->frames; start += v->block_frames)
        for (int64_t f = start; f < start + v->block_frames; f++) {
            if (f + 1 < start + v->block_frames)
                near += cell_distance(cells + f * size, cells + (f + 1) * size, size), nears++;
            if (f + reach < start + v->block_frames)
                far += cell_distance(cells + f * size, cells + (f + reach) * size, size), fars++;
        }
    if (reach < 2 || !nears || !fars || near <= 0 || far <= 0) return NAN;
    return log2(far / (double)fars / (near / (double)nears));
}

static lt_status measure_gaps(const lt_video_view *v, lt_video_stats *s) {
    int rows = v->height / 4 < LT_CELLS ? v->height / 4 : LT_CELLS;
    int columns = v->width / 4 < LT_CELLS ? v->width / 4 : LT_CELLS, size = rows * columns * 3;
    float *cells = malloc((size_t)v->frames * (size_t)size * sizeof *cells);
    LT_CHECK(cells, LT_FAILED, "metrics: out of memory");
    reduce(v, rows, columns, cells);
    double all = 0, pairs = 0;
    for (int64_t gap = 1; gap < v->frames; gap++) {
        double sum = 0, n = (double)(v->frames - gap);
        for (int64_t f = 0; f + gap < v->frames; f++)
            sum += cell_distance(cells + f * size, cells + (f + gap) * size, size);
        if (gap <= s->gaps) s->distance[gap] = sum / n;
        all += sum, pairs += n;
    }
    s->distance[0] = all / pairs;
    s->order = order_of(v, cells, size);
    free(cells);
    return LT_OK;
}

int64_t lt_video_stats_gaps(const lt_video_stats *s) { return s->gaps; }

double lt_video_similarity(const lt_video_stats *s, int64_t gap) {
    if (gap < 1 || gap > s->gaps || s->distance[0] <= 0) return 1;
    return 1 - s->distance[gap] / s->distance[0];
}

/* ---- all of it ------------------------------------------------------------------------------------------ */

static lt_status check_view(const lt_video_view *v) {
    LT_CHECK(v->frames >= 4 && v->height >= 8 && v->width >= 8, LT_USAGE,
             "metrics of %lld frames of %dx%d: expected at least 4 frames of 8x8", (long long)v->frames,
             v->width, v->height);
    LT_CHECK(v->fps > 0 && v->block_frames > 0 && v->first_block >= 0, LT_USAGE,
             "metrics at %g frames per second in blocks of %d from frame %d", v->fps, v->block_frames,
             v->first_block);
    return LT_OK;
}

lt_status lt_video_stats_of(const lt_video_view *v, lt_video_stats **out) {
    *out = NULL;
    LT_TRY(check_view(v));
    lt_video_stats *s = calloc(1, sizeof *s);
    LT_CHECK(s, LT_FAILED, "metrics: out of memory");
    s->frames = v->frames, s->gaps = v->frames / 2, s->fps = v->fps;
    s->block_frames = v->block_frames, s->first_block = v->first_block;
    s->steps = calloc((size_t)v->frames, sizeof *s->steps);
    s->looks = calloc((size_t)v->frames, sizeof *s->looks);
    s->distance = calloc((size_t)s->gaps + 1, sizeof *s->distance);
    lt_status status =
        s->steps && s->looks && s->distance ? LT_OK : lt_fail(LT_FAILED, "metrics: out of memory");
    int64_t bytes = (int64_t)v->height * v->width * 3;
    for (int64_t f = 0; f < v->frames && status == LT_OK; f++)
        status = lt_frame_look_of(v->height, v->width, v->rgb + f * bytes, &s->looks[f]);
    if (status == LT_OK) status = measure_steps(v, s);
    if (status == LT_OK) status = measure_gaps(v, s);
    if (status == LT_OK) *out = s;
    else lt_video_stats_free(s);
    return status;
}

void lt_video_stats_free(lt_video_stats *s) {
    if (!s) return;
    free(s->steps), free(s->looks), free(s->distance);
    free(s);
}
