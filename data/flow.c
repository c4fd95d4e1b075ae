#include "data/flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LEVELS = 12,
    COARSEST = 12,  /* no level has a shorter side than this */
    RADIUS = 3,     /* window of 7 x 7 */
    ITERATIONS = 4, /* per level */
    PARALLEL_PIXELS = 32768,
    TILE = 256, /* columns per pass over a row */
    EQUATIONS = 5,
    PLANES = 7 /* window sums: Ixx, Ixy, Iyy, two right-hand sides, two flow components */
};

/* Pull towards the neighbourhood's mean flow, in squared grey levels per pixel of the window: the variance of
 * the gradient below which a window is taken to say nothing. */
static const float PULL = 1.0f;

typedef struct level {
    int width, height;
    float *a, *b;   /* smoothed images */
    float *ix, *iy; /* gradient of a */
    float *u, *v;   /* flow */
} level;

struct lt_flow {
    int width, height, levels;
    level level[MAX_LEVELS];
    float *plane[EQUATIONS], *next_u, *next_v;
    float *forward, *backward; /* [H,W,2], for lt_flow_motion */
    uint8_t *mask;
    float *slab;
};

static int clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

static size_t plan_levels(lt_flow *flow) {
    size_t floats = 0;
    int w = flow->width, h = flow->height;
    while (flow->levels < MAX_LEVELS) {
        flow->level[flow->levels].width = w, flow->level[flow->levels].height = h;
        flow->levels++;
        floats += 6 * (size_t)w * (size_t)h;
        w = (w + 1) / 2, h = (h + 1) / 2;
        if (w < COARSEST || h < COARSEST) break;
    }
    return floats;
}

static float *take(float **cursor, size_t count) {
    float *block = *cursor;
    *cursor += count;
    return block;
}

lt_status lt_flow_open(int width, int height, lt_flow **out) {
    LT_CHECK(width >= 8 && height >= 8 && width <= 16384 && height <= 16384, LT_USAGE,
             "optical flow: images are %d x %d; both sides must be 8 to 16384 pixels", width, height);
    lt_flow *flow = calloc(1, sizeof *flow);
    LT_CHECK(flow, LT_FAILED, "optical flow: out of memory");
    flow->width = width, flow->height = height;
    size_t pixels = (size_t)width * (size_t)height;
    size_t floats = plan_levels(flow) + PLANES * pixels + 4 * pixels;
    flow->slab = calloc(floats, sizeof(float));
    flow->mask = malloc(pixels);
    if (!flow->slab || !flow->mask) {
        lt_flow_close(flow);
        return lt_fail(LT_FAILED, "optical flow: %zu bytes for %d x %d images are not to be had",
                       floats * sizeof(float), width, height);
    }
    float *cursor = flow->slab;
    for (int i = 0; i < flow->levels; i++) {
        level *l = &flow->level[i];
        size_t n = (size_t)l->width * (size_t)l->height;
        l->a = take(&cursor, n), l->b = take(&cursor, n);
        l->ix = take(&cursor, n), l->iy = take(&cursor, n);
        l->u = take(&cursor, n), l->v = take(&cursor, n);
    }
    for (int i = 0; i < EQUATIONS; i++) flow->plane[i] = take(&cursor, pixels);
    flow->next_u = take(&cursor, pixels), flow->next_v = take(&cursor, pixels);
    flow->forward = take(&cursor, 2 * pixels), flow->backward = take(&cursor, 2 * pixels);
    *out = flow;
    return LT_OK;
}

void lt_flow_close(lt_flow *flow) {
    if (!flow) return;
    free(flow->slab);
    free(flow->mask);
    free(flow);
}

/* A light 3 x 3 binomial smoothing: the gradient of a raw 8-bit image is too rough for a linear model. */
static void smooth_bytes(int w, int h, const uint8_t *in, float *out) {
#pragma omp parallel for if (w * h >= PARALLEL_PIXELS)
    for (int y = 0; y < h; y++) {
        const uint8_t *up = in + (size_t)clamp(y - 1, 0, h - 1) * w, *mid = in + (size_t)y * w;
        const uint8_t *down = in + (size_t)clamp(y + 1, 0, h - 1) * w;
        float *row = out + (size_t)y * w;
        for (int x = 0; x < w; x++) {
            int l = x > 0 ? x - 1 : 0, r = x < w - 1 ? x + 1 : w - 1;
            int left = up[l] + 2 * mid[l] + down[l], right = up[r] + 2 * mid[r] + down[r];
            row[x] = (float)(left + right + 2 * (up[x] + 2 * mid[x] + down[x])) / 16.0f;
        }
    }
}

static float tap5(float a, float b, float c, float d, float e) {
    return (a + e + 4.0f * (b + d) + 6.0f * c) / 16.0f;
}

/* Half the size, after a 5 x 5 binomial filter. `scratch` holds fine-width x coarse-height floats. */
static void halve(int w, int h, const float *fine, float *coarse, float *scratch) {
    int cw = (w + 1) / 2, ch = (h + 1) / 2;
    for (int y = 0; y < ch; y++) {
        const float *r[5];
        for (int k = 0; k < 5; k++) r[k] = fine + (size_t)clamp(2 * y + k - 2, 0, h - 1) * w;
        float *row = scratch + (size_t)y * w;
        for (int x = 0; x < w; x++) row[x] = tap5(r[0][x], r[1][x], r[2][x], r[3][x], r[4][x]);
    }
    for (int y = 0; y < ch; y++) {
        const float *row = scratch + (size_t)y * w;
        for (int x = 0; x < cw; x++) {
            int c = 2 * x;
            coarse[(size_t)y * cw + x] =
                tap5(row[clamp(c - 2, 0, w - 1)], row[clamp(c - 1, 0, w - 1)], row[c],
                     row[clamp(c + 1, 0, w - 1)], row[clamp(c + 2, 0, w - 1)]);
        }
    }
}

static void gradient(level *l) {
    int w = l->width, h = l->height;
    for (int y = 0; y < h; y++) {
        const float *row = l->a + (size_t)y * w;
        const float *up = l->a + (size_t)clamp(y - 1, 0, h - 1) * w;
        const float *down = l->a + (size_t)clamp(y + 1, 0, h - 1) * w;
        float *ix = l->ix + (size_t)y * w, *iy = l->iy + (size_t)y * w;
        for (int x = 0; x < w; x++) iy[x] = 0.5f * (down[x] - up[x]);
        for (int x = 1; x < w - 1; x++) ix[x] = 0.5f * (row[x + 1] - row[x - 1]);
        ix[0] = 0.5f * (row[1] - row[0]), ix[w - 1] = 0.5f * (row[w - 1] - row[w - 2]);
    }
}

/* Flow of the next coarser level, doubled, as the first guess. */
static void grow_flow(const level *coarse, level *fine) {
    int w = fine->width, cw = coarse->width;
    for (int y = 0; y < fine->height; y++) {
        float fy = fminf((float)y * 0.5f, (float)(coarse->height - 1));
        int y0 = (int)fy, y1 = y0 < coarse->height - 1 ? y0 + 1 : y0;
        float ty = fy - (float)y0;
        for (int x = 0; x < w; x++) {
            float fx = fminf((float)x * 0.5f, (float)(cw - 1));
            int x0 = (int)fx, x1 = x0 < cw - 1 ? x0 + 1 : x0;
            float tx = fx - (float)x0;
            size_t p00 = (size_t)y0 * cw + x0, p01 = (size_t)y0 * cw + x1;
            size_t p10 = (size_t)y1 * cw + x0, p11 = (size_t)y1 * cw + x1, p = (size_t)y * w + x;
            float a = (1 - ty) * (1 - tx), b = (1 - ty) * tx, c = ty * (1 - tx), d = ty * tx;
            fine->u[p] =
                2 * (a * coarse->u[p00] + b * coarse->u[p01] + c * coarse->u[p10] + d * coarse->u[p11]);
            fine->v[p] =
                2 * (a * coarse->v[p00] + b * coarse->v[p01] + c * coarse->v[p10] + d * coarse->v[p11]);
        }
    }
}

/* One row of the pixel equations Ix (u - u0) + Iy (v - v0) + It = 0, left-multiplied by (Ix, Iy), into the
 * planes. A pixel that points out of the image has no equation. */
static void equations_row(const lt_flow *flow, const level *l, int y) {
    const int w = l->width, h = l->height;
    const size_t row = (size_t)y * w;
    const float *restrict lu = l->u + row, *restrict lv = l->v + row, *restrict a = l->a + row;
    const float *restrict lx = l->ix + row, *restrict ly = l->iy + row, *restrict b = l->b;
    float *restrict xx = flow->plane[0] + row, *restrict xy = flow->plane[1] + row;
    float *restrict yy = flow->plane[2] + row, *restrict rx = flow->plane[3] + row;
    float *restrict ry = flow->plane[4] + row;
    const float right = (float)(w - 1), below = (float)(h - 1);
#pragma omp simd
    for (int x = 0; x < w; x++) {
        float u = lu[x], v = lv[x], ix = lx[x], iy = ly[x];
        float fx = (float)x + u, fy = (float)y + v;
        float inside = ((fx >= 0) & (fy >= 0) & (fx <= right) & (fy <= below)) ? 1.0f : 0.0f;
        fx = fx < 0 ? 0 : fx > right ? right : fx;
        fy = fy < 0 ? 0 : fy > below ? below : fy;
        int x0 = (int)fx, y0 = (int)fy;
        x0 = x0 > w - 2 ? w - 2 : x0, y0 = y0 > h - 2 ? h - 2 : y0;
        float tx = fx - (float)x0, ty = fy - (float)y0;
        int p = y0 * w + x0; /* < 2^28: both sides are at most 16384 */
        float top = b[p] + tx * (b[p + 1] - b[p]);
        float bottom = b[p + w] + tx * (b[p + w + 1] - b[p + w]);
        float r = inside * (ix * u + iy * v - (top + ty * (bottom - top) - a[x]));
        xx[x] = inside * ix * ix, xy[x] = inside * ix * iy, yy[x] = inside * iy * iy;
        rx[x] = ix * r, ry[x] = iy * r;
    }
}

/* sum[x + RADIUS] = column sum at x over the window's rows, for the tile's columns and RADIUS beyond each
 * side. */
static void sum_columns(const float *plane, int w, int h, int y, int x0, int count, float *restrict sum) {
    int low = x0 - RADIUS < 0 ? 0 : x0 - RADIUS, high = x0 + count + RADIUS > w ? w : x0 + count + RADIUS;
    float *restrict inner = sum + (low - (x0 - RADIUS));
    for (int d = -RADIUS; d <= RADIUS; d++) {
        const float *restrict in = plane + (size_t)clamp(y + d, 0, h - 1) * w + low;
        if (d == -RADIUS) memcpy(inner, in, (size_t)(high - low) * sizeof *sum);
        else
            for (int x = 0; x < high - low; x++) inner[x] += in[x];
    }
    for (int x = x0 - RADIUS; x < low; x++) sum[x - (x0 - RADIUS)] = inner[0];
    for (int x = high; x < x0 + count + RADIUS; x++) sum[x - (x0 - RADIUS)] = inner[high - 1 - low];
}

/* New flow of one row from the planes into next_u, next_v: the rows below still read the old flow. */
static void solve_row(const lt_flow *flow, const level *l, int y) {
    const float area = (2 * RADIUS + 1) * (2 * RADIUS + 1), limit = 0.25f * (float)(l->width + l->height);
    const float pull = PULL * area;
    const float *planes[PLANES] = {
        flow->plane[0], flow->plane[1], flow->plane[2], flow->plane[3], flow->plane[4], l->u, l->v};
    for (int x0 = 0; x0 < l->width; x0 += TILE) {
        int count = l->width - x0 < TILE ? l->width - x0 : TILE;
        float column[TILE + 2 * RADIUS], s[PLANES][TILE];
        for (int k = 0; k < PLANES; k++) {
            sum_columns(planes[k], l->width, l->height, y, x0, count, column);
            for (int x = 0; x < count; x++) {
                float sum = column[x];
                for (int d = 1; d <= 2 * RADIUS; d++) sum += column[x + d];
                s[k][x] = sum;
            }
        }
        float *restrict out_u = flow->next_u + (size_t)y * l->width + x0;
        float *restrict out_v = flow->next_v + (size_t)y * l->width + x0;
        for (int x = 0; x < count; x++) {
            float xx = s[0][x] + pull, yy = s[2][x] + pull, xy = s[1][x];
            float bx = s[3][x] + PULL * s[5][x], by = s[4][x] + PULL * s[6][x];
            float scale = 1 / (xx * yy - xy * xy); /* the determinant is at least pull^2 */
            float u = (yy * bx - xy * by) * scale, v = (xx * by - xy * bx) * scale;
            out_u[x] = u < -limit ? -limit : u > limit ? limit : u;
            out_v[x] = v < -limit ? -limit : v > limit ? limit : v;
        }
    }
}

static void refine(lt_flow *flow, level *l) {
    const int w = l->width, h = l->height;
    const size_t bytes = (size_t)w * (size_t)h * sizeof(float);
    for (int i = 0; i < ITERATIONS; i++) {
#pragma omp parallel if (w * h >= PARALLEL_PIXELS)
        {
#pragma omp for
            for (int y = 0; y < h; y++) equations_row(flow, l, y);
#pragma omp for
            for (int y = 0; y < h; y++) solve_row(flow, l, y);
        }
        memcpy(l->u, flow->next_u, bytes);
        memcpy(l->v, flow->next_v, bytes);
    }
}

void lt_flow_run(lt_flow *flow, const uint8_t *a, const uint8_t *b, float *out) {
    level *finest = &flow->level[0], *coarsest = &flow->level[flow->levels - 1];
    smooth_bytes(flow->width, flow->height, a, finest->a);
    smooth_bytes(flow->width, flow->height, b, finest->b);
    for (int i = 1; i < flow->levels; i++) {
        level *fine = &flow->level[i - 1], *coarse = &flow->level[i];
        halve(fine->width, fine->height, fine->a, coarse->a, flow->plane[0]);
        halve(fine->width, fine->height, fine->b, coarse->b, flow->plane[0]);
    }
    size_t bytes = (size_t)coarsest->width * (size_t)coarsest->height * sizeof(float);
    memset(coarsest->u, 0, bytes);
    memset(coarsest->v, 0, bytes);
    for (int i = flow->levels - 1; i >= 0; i--) {
        if (i < flow->levels - 1) grow_flow(&flow->level[i + 1], &flow->level[i]);
        gradient(&flow->level[i]);
        refine(flow, &flow->level[i]);
    }
    size_t pixels = (size_t)flow->width * (size_t)flow->height;
    for (size_t p = 0; p < pixels; p++) out[2 * p] = finest->u[p], out[2 * p + 1] = finest->v[p];
}

/* The backward flow where the pixel lands, interpolated; false outside the image. */
static bool flow_at(const float *flow, int w, int h, float x, float y, float out[2]) {
    if (!(x >= 0 && y >= 0 && x <= (float)(w - 1) && y <= (float)(h - 1))) return false;
    int x0 = (int)x, y0 = (int)y;
    x0 -= x0 == w - 1, y0 -= y0 == h - 1;
    float tx = x - (float)x0, ty = y - (float)y0;
    const float *top = flow + 2 * ((size_t)y0 * w + x0), *bottom = top + 2 * (size_t)w;
    for (int c = 0; c < 2; c++)
        out[c] = (1 - ty) * ((1 - tx) * top[c] + tx * top[c + 2]) +
                 ty * ((1 - tx) * bottom[c] + tx * bottom[c + 2]);
    return true;
}

int64_t lt_flow_consistent(int width, int height, const float *forward, const float *backward,
                           uint8_t *consistent) {
    int64_t count = 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            size_t p = (size_t)y * width + x;
            float u = forward[2 * p], v = forward[2 * p + 1], back[2];
            bool ok = flow_at(backward, width, height, (float)x + u, (float)y + v, back);
            if (ok) {
                float du = u + back[0], dv = v + back[1];
                float lengths = u * u + v * v + back[0] * back[0] + back[1] * back[1];
                ok = du * du + dv * dv < 0.01f * lengths + 0.5f;
            }
            consistent[p] = ok;
            count += ok;
        }
    return count;
}

double lt_flow_mean(const float *flow, const uint8_t *mask, int64_t count) {
    double sum = 0;
    int64_t used = 0;
    for (int64_t p = 0; p < count; p++) {
        if (mask && !mask[p]) continue;
        sum += sqrt((double)flow[2 * p] * flow[2 * p] + (double)flow[2 * p + 1] * flow[2 * p + 1]);
        used++;
    }
    return used ? sum / (double)used : 0;
}

lt_motion lt_flow_motion(lt_flow *flow, const uint8_t *a, const uint8_t *b) {
    int64_t pixels = (int64_t)flow->width * flow->height;
    lt_flow_run(flow, a, b, flow->forward);
    lt_flow_run(flow, b, a, flow->backward);
    int64_t count = lt_flow_consistent(flow->width, flow->height, flow->forward, flow->backward, flow->mask);
    return (lt_motion){lt_flow_mean(flow->forward, flow->mask, pixels), (double)count / (double)pixels};
}

void lt_luma(const uint8_t *rgb, int64_t count, uint8_t *luma) {
    for (int64_t i = 0; i < count; i++) {
        int value = 19595 * rgb[3 * i] + 38470 * rgb[3 * i + 1] + 7471 * rgb[3 * i + 2];
        luma[i] = (uint8_t)((value + 32768) >> 16);
    }
}

double lt_luma_difference(const uint8_t *a, const uint8_t *b, int64_t count) {
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) sum += a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
    return count ? (double)sum / (double)count : 0;
}
