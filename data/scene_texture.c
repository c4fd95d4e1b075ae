#include "data/scene_texture.h"

#include <math.h>

#define TWO_PI 6.283185307179586

double lt_draw_range(lt_draw *draw, double low, double high) {
    return low + (high - low) * lt_rng_uniform(&draw->key, draw->index++);
}

int lt_draw_below(lt_draw *draw, int bound) { return (int)lt_rng_below(&draw->key, draw->index++, bound); }

enum { LATTICE = 32, MAX_WAVES = 8, MAX_POINTS = 20 };

/* What a family drew; a texture is a function of it and of a point of the unit square, periodic with
 * period 1. */
typedef struct recipe {
    int waves, points, cells;
    float kx[MAX_WAVES], ky[MAX_WAVES], phase[MAX_WAVES], weight[MAX_WAVES];
    float px[MAX_POINTS], py[MAX_POINTS];
    float hardness;
    float noise[LATTICE][LATTICE];
} recipe;

static float unit(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static float wave(const recipe *r, int i, float x, float y) {
    return cosf((float)TWO_PI * (r->kx[i] * x + r->ky[i] * y) + r->phase[i]);
}

/* Periodic value noise of `cells` lattice cells per side, 0..1. */
static float value_noise(const recipe *r, int cells, float x, float y) {
    float fx = x * (float)cells, fy = y * (float)cells;
    int x0 = (int)fx, y0 = (int)fy;
    float tx = fx - (float)x0, ty = fy - (float)y0;
    tx = tx * tx * (3 - 2 * tx), ty = ty * ty * (3 - 2 * ty);
    int x1 = (x0 + 1) % cells, y1 = (y0 + 1) % cells;
    x0 %= cells, y0 %= cells;
    float top = r->noise[y0][x0] + tx * (r->noise[y0][x1] - r->noise[y0][x0]);
    float bottom = r->noise[y1][x0] + tx * (r->noise[y1][x1] - r->noise[y1][x0]);
    return top + ty * (bottom - top);
}

static float rippled(const recipe *r, float x, float y) {
    float sum = 0, weights = 0;
    for (int i = 0; i < r->waves; i++) sum += r->weight[i] * wave(r, i, x, y), weights += r->weight[i];
    return unit(0.5f + 0.8f * sum / weights);
}

static float checkered(const recipe *r, float x, float y) {
    float n = (float)TWO_PI * (float)r->cells;
    return unit(0.5f + r->hardness * sinf(n * x) * sinf(n * y));
}

static float striped(const recipe *r, float x, float y) {
    return unit(0.5f + r->hardness * wave(r, 0, x, y));
}

static float cloudy(const recipe *r, float x, float y) {
    float sum =
        0.5f * value_noise(r, 4, x, y) + 0.3f * value_noise(r, 8, x, y) + 0.2f * value_noise(r, 16, x, y);
    return unit(2 * sum - 0.5f);
}

static float dotted(const recipe *r, float x, float y) {
    float fx = x * (float)r->cells, fy = y * (float)r->cells;
    fx -= floorf(fx) + 0.5f, fy -= floorf(fy) + 0.5f;
    return unit((0.36f - sqrtf(fx * fx + fy * fy)) * 2 * r->hardness + 0.5f);
}

/* Distance to the nearest of a few points on the torus (Worley, "A cellular texture basis function", 1996).
 */
static float cellular(const recipe *r, float x, float y) {
    float nearest = 2, second = 2;
    for (int i = 0; i < r->points; i++) {
        float dx = fabsf(x - r->px[i]), dy = fabsf(y - r->py[i]);
        dx = dx > 0.5f ? 1 - dx : dx, dy = dy > 0.5f ? 1 - dy : dy;
        float d = sqrtf(dx * dx + dy * dy);
        if (d < nearest) second = nearest, nearest = d;
        else if (d < second) second = d;
    }
    return unit(9 * (second - nearest));
}

static float rolling(const recipe *r, float x, float y) {
    return unit(0.5f + 0.35f * wave(r, 0, x, y) + 0.35f * wave(r, 1, x, y));
}

typedef struct family {
    const char *name;
    float (*value)(const recipe *r, float x, float y);
    float fewest, most; /* periods of the structure per tile */
} family;

static const family families[LT_TEXTURE_FAMILIES] = {
    {"rippled", rippled, 2, 9}, {"checkered", checkered, 3, 6}, {"striped", striped, 5, 12},
    {"cloudy", cloudy, 1, 4},   {"dotted", dotted, 6, 12},      {"pebbled", cellular, 1, 4},
    {"rolling", rolling, 1, 4}};

const char *lt_texture_name(int index) { return families[index].name; }

static void draw_recipe(const family *f, lt_draw *draw, recipe *r) {
    r->waves = 5 + lt_draw_below(draw, MAX_WAVES - 4);
    for (int i = 0; i < MAX_WAVES; i++) {
        double angle = lt_draw_range(draw, 0, TWO_PI), k = lt_draw_range(draw, f->fewest, f->most);
        r->kx[i] = (float)round(k * cos(angle)), r->ky[i] = (float)round(k * sin(angle));
        r->phase[i] = (float)lt_draw_range(draw, 0, TWO_PI);
        r->weight[i] = 1.0f / (float)(2 + (int)k);
    }
    r->cells = (int)lt_draw_range(draw, f->fewest, f->most + 1);
    r->hardness = (float)lt_draw_range(draw, 0.7, 2.0);
    r->points = MAX_POINTS - lt_draw_below(draw, 8);
    for (int i = 0; i < MAX_POINTS; i++) {
        r->px[i] = (float)lt_draw_range(draw, 0, 1);
        r->py[i] = (float)lt_draw_range(draw, 0, 1);
    }
    for (int i = 0; i < LATTICE * LATTICE; i++)
        r->noise[i / LATTICE][i % LATTICE] = (float)lt_draw_range(draw, 0, 1);
}

/* Colour from hue (0..1), saturation and value, 0..255. */
static void from_hsv(double hue, double saturation, double value, float rgb[3]) {
    for (int c = 0; c < 3; c++) {
        double k = fmod(5 - 2 * c + 6 * hue, 6), m = fmin(fmin(k, 4 - k), 1);
        rgb[c] = (float)(255 * value * (1 - saturation * fmax(m, 0)));
    }
}

void lt_texture_fill(int index, lt_draw *draw, int side, float *tile, float mean[3]) {
    const family *f = &families[index];
    recipe r;
    draw_recipe(f, draw, &r);
    float dark[3], light[3];
    double hue = lt_draw_range(draw, 0, 1);
    from_hsv(hue, lt_draw_range(draw, 0.2, 0.7), lt_draw_range(draw, 0.2, 0.45), dark);
    from_hsv(fmod(hue + lt_draw_range(draw, 0.9, 1.25), 1), lt_draw_range(draw, 0.1, 0.6),
             lt_draw_range(draw, 0.6, 0.95), light);
    double sum[3] = {0};
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            float u = (float)x / (float)side, v = (float)y / (float)side;
            float t = f->value(&r, u, v), shade = 0.88f + 0.24f * value_noise(&r, 16, u, v);
            float *out = tile + 3 * ((size_t)y * (size_t)side + (size_t)x);
            for (int c = 0; c < 3; c++) {
                out[c] = fminf(shade * (dark[c] + t * (light[c] - dark[c])), 255);
                sum[c] += out[c];
            }
        }
    for (int c = 0; c < 3; c++) mean[c] = (float)(sum[c] / ((double)side * side));
}
