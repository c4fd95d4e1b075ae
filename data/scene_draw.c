#include "data/scene_draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.141592653589793

static const char *const shape_names[] = {"disc", "square", "triangle", "ring", "cross"};
static const char *const pattern_names[] = {"", "striped ", "dotted ", "checkered "};
static const struct {
    const char *name;
    float rgb[3];
} colours[] = {{"red", {214, 48, 44}},     {"green", {60, 160, 70}},   {"blue", {48, 92, 214}},
               {"yellow", {240, 210, 60}}, {"orange", {238, 140, 40}}, {"purple", {134, 66, 170}},
               {"cyan", {64, 200, 208}},   {"pink", {240, 140, 180}},  {"white", {242, 242, 238}},
               {"black", {28, 28, 32}}};
enum { SHAPES = 5, PATTERNS = 4, COLOURS = 10 };

static double magnification(const lt_scene *scene, double t) {
    return exp(scene->zoom_depth * sin(scene->zoom_rate * t + scene->phase));
}

static double colour_distance(const float a[3], const float b[3]) {
    double sum = 0;
    for (int c = 0; c < 3; c++) sum += (a[c] - b[c]) * (a[c] - b[c]);
    return sum;
}

/* Of three colours drawn, the one that stands out most from the ground. */
static void draw_paint(lt_sprite *s, lt_draw *draw, const float ground[3]) {
    s->colour = lt_draw_below(draw, COLOURS);
    for (int i = 0; i < 2; i++) {
        int other = lt_draw_below(draw, COLOURS);
        if (colour_distance(colours[other].rgb, ground) > colour_distance(colours[s->colour].rgb, ground))
            s->colour = other;
    }
    float brightness = (float)lt_draw_range(draw, 0.9, 1.05),
          contrast = (float)lt_draw_range(draw, 0.45, 0.6);
    const float *base = colours[s->colour].rgb;
    bool dark = base[0] + base[1] + base[2] < 240;
    for (int c = 0; c < 3; c++) {
        s->paint[0][c] = fminf(brightness * base[c], 255);
        s->paint[1][c] =
            dark ? s->paint[0][c] + contrast * (255 - s->paint[0][c]) : contrast * s->paint[0][c];
    }
}

static void draw_sprite(const lt_scene *scene, lt_sprite *s, lt_draw *draw, const float ground[3]) {
    double unit = scene->width < scene->height ? scene->width : scene->height;
    double half[2] = {0.5 * scene->width / unit, 0.5 * scene->height / unit};
    s->shape = lt_draw_below(draw, SHAPES), s->pattern = lt_draw_below(draw, PATTERNS);
    s->radius = lt_draw_range(draw, 0.11, 0.2);
    draw_paint(s, draw, ground);
    double heading = lt_draw_range(draw, 0, 2 * PI), speed = lt_draw_range(draw, 0.06, 0.18);
    s->phase = lt_draw_range(draw, 0, 2 * PI);
    bool orbits = lt_draw_below(draw, 2) == 1;
    double sense = lt_draw_below(draw, 2) ? 1 : -1;
    for (int i = 0; i < 2; i++) {
        s->limit[i] = half[i] - 0.75 * s->radius;
        if (orbits) {
            s->from[i] = lt_draw_range(draw, -0.4, 0.4) * half[i];
            s->speed[i] = lt_draw_range(draw, 0.12, 0.28);
        } else {
            s->from[i] = lt_draw_range(draw, -1, 1) * s->limit[i];
            s->speed[i] = speed * (i ? sin(heading) : cos(heading));
        }
    }
    s->rate = orbits ? sense * speed / (0.5 * (s->speed[0] + s->speed[1])) : 0;
    s->angle = lt_draw_range(draw, 0, 2 * PI), s->spin = lt_draw_range(draw, -0.6, 0.6);
}

static void draw_camera(lt_scene *scene, lt_draw *draw) {
    int kind = lt_draw_below(draw, 5); /* three of five pan, one zooms, one stands still */
    double heading = 0.5 * PI * lt_draw_below(draw, 4) + lt_draw_range(draw, -0.3, 0.3);
    double speed = lt_draw_range(draw, 0.03, 0.1);
    scene->phase = lt_draw_range(draw, 0, 2 * PI);
    scene->zoom_rate = lt_draw_range(draw, 0.4, 0.9);
    scene->zoom_depth = kind == 3 ? lt_draw_range(draw, 0.12, 0.22) : 0;
    scene->pan[0] = kind < 3 ? speed * cos(heading) : 0;
    scene->pan[1] = kind < 3 ? speed * sin(heading) : 0;
}

lt_status lt_scene_init(lt_scene *scene, const lt_rng_key *key, int width, int height) {
    lt_draw draw = {.key = *key};
    *scene = (lt_scene){.width = width, .height = height, .side = 2 * (width < height ? width : height)};
    size_t texels = (size_t)scene->side * (size_t)scene->side;
    scene->tile = malloc(3 * texels * sizeof(float));
    LT_CHECK(scene->tile, LT_FAILED, "scene of %d x %d: out of memory", width, height);
    float ground[3];
    scene->family = lt_draw_below(&draw, LT_TEXTURE_FAMILIES);
    draw_camera(scene, &draw);
    lt_texture_fill(scene->family, &draw, scene->side, scene->tile, ground);
    scene->sprites = 1 + lt_draw_below(&draw, LT_SCENE_SPRITES);
    for (int i = 0; i < scene->sprites; i++) draw_sprite(scene, &scene->sprite[i], &draw, ground);
    return LT_OK;
}

void lt_scene_free(lt_scene *scene) {
    free(scene->tile);
    scene->tile = NULL;
}

/* x goes back and forth between -limit and limit. */
static double bounce(double x, double limit) {
    double period = 4 * limit, phase = fmod(x + limit, period);
    if (phase < 0) phase += period;
    return (phase < 2 * limit ? phase : period - phase) - limit;
}

static void sprite_position(const lt_sprite *s, double t, double out[2]) {
    if (s->rate != 0) {
        out[0] = s->from[0] + s->speed[0] * cos(s->rate * t + s->phase);
        out[1] = s->from[1] + s->speed[1] * sin(s->rate * t + s->phase);
    } else
        for (int i = 0; i < 2; i++) out[i] = bounce(s->from[i] + s->speed[i] * t, s->limit[i]);
}

static float box_distance(float x, float y, float half_x, float half_y) {
    float dx = fabsf(x) - half_x, dy = fabsf(y) - half_y;
    float ox = fmaxf(dx, 0), oy = fmaxf(dy, 0);
    return sqrtf(ox * ox + oy * oy) + fminf(fmaxf(dx, dy), 0);
}

/* Signed distance to the outline of a shape of radius 1; negative inside. */
static float shape_distance(int shape, float x, float y) {
    switch (shape) {
    case 0: return sqrtf(x * x + y * y) - 1;
    case 1: return box_distance(x, y, 0.78f, 0.78f);
    case 2: return fmaxf(0.8660254f * fabsf(x) + 0.5f * y, -y) - 0.5f;
    case 3: return fabsf(sqrtf(x * x + y * y) - 0.7f) - 0.28f;
    default: return fminf(box_distance(x, y, 0.95f, 0.32f), box_distance(x, y, 0.32f, 0.95f));
    }
}

static float unit(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

/* Share of the second paint at a point of a sprite of radius 1. */
static float pattern_value(int pattern, float x, float y) {
    switch (pattern) {
    case 0: return unit(0.18f * (1 + x - y));
    case 1: return unit(0.5f + 1.4f * sinf(6.5f * x));
    case 2: return unit(1.8f * (cosf(6.5f * x) + cosf(6.5f * y)) - 0.9f);
    default: return unit(0.5f + 2.2f * sinf(4.8f * x) * sinf(4.8f * y));
    }
}

/* One sprite into the image. The box covers its circle of radius 1.15, which every shape fits in. */
static void draw_one(const lt_scene *scene, const lt_sprite *s, double t, double next, uint8_t *rgb,
                     float *flow) {
    const int w = scene->width, h = scene->height;
    const float pixels = (float)(w < h ? w : h), r = (float)s->radius * pixels;
    double now[2], then[2];
    sprite_position(s, t, now), sprite_position(s, next, then);
    const float cx = 0.5f * (float)w + (float)now[0] * pixels, cy = 0.5f * (float)h + (float)now[1] * pixels;
    const float move_x = (float)(then[0] - now[0]) * pixels, move_y = (float)(then[1] - now[1]) * pixels;
    const float cosine = (float)cos(s->angle + s->spin * t), sine = (float)sin(s->angle + s->spin * t);
    const float turn_c = (float)cos(s->spin * (next - t)) - 1, turn_s = (float)sin(s->spin * (next - t));
    const float reach = 1.15f * r + 1;
    int x0 = (int)fmaxf(cx - reach, 0), y0 = (int)fmaxf(cy - reach, 0);
    int x1 = (int)fminf(cx + reach + 1, (float)w), y1 = (int)fminf(cy + reach + 1, (float)h);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) {
            float px = (float)x + 0.5f - cx, py = (float)y + 0.5f - cy;
            float qx = (cosine * px + sine * py) / r, qy = (cosine * py - sine * px) / r;
            float cover = unit(0.5f - r * shape_distance(s->shape, qx, qy));
            if (cover <= 0) continue;
            float second = pattern_value(s->pattern, qx, qy);
            size_t p = (size_t)y * (size_t)w + (size_t)x;
            for (int c = 0; c < 3; c++) {
                float paint = s->paint[0][c] + second * (s->paint[1][c] - s->paint[0][c]);
                rgb[3 * p + c] = (uint8_t)((1 - cover) * (float)rgb[3 * p + c] + cover * paint + 0.5f);
            }
            if (!flow || cover < 0.5f) continue;
            flow[2 * p] = move_x + turn_c * px - turn_s * py;
            flow[2 * p + 1] = move_y + turn_s * px + turn_c * py;
        }
}

/* Where pixel i of an axis falls on the tile: its two texels and the share of the second. */
typedef struct tap {
    int first, second;
    float share;
} tap;

static tap tile_tap(const lt_scene *scene, int i, int size, double centre, double zoom) {
    double unit_pixels = 0.5 * scene->side;
    double at = fmod(unit_pixels * centre + (i + 0.5 - 0.5 * size) / zoom, scene->side);
    if (at < 0) at += scene->side;
    tap t = {.first = (int)at};
    t.share = (float)(at - t.first);
    t.first %= scene->side; /* `at` may round up to side */
    t.second = (t.first + 1) % scene->side;
    return t;
}

static void draw_ground(const lt_scene *scene, double t, uint8_t *rgb) {
    const int w = scene->width, h = scene->height;
    const double zoom = magnification(scene, t), cx = scene->pan[0] * t, cy = scene->pan[1] * t;
    enum { STRIP = 512 };
    tap column[STRIP];
    for (int x0 = 0; x0 < w; x0 += STRIP) {
        int count = w - x0 < STRIP ? w - x0 : STRIP;
        for (int x = 0; x < count; x++) column[x] = tile_tap(scene, x0 + x, w, cx, zoom);
        for (int y = 0; y < h; y++) {
            tap line = tile_tap(scene, y, h, cy, zoom);
            const float *top = scene->tile + 3 * (size_t)line.first * (size_t)scene->side;
            const float *bottom = scene->tile + 3 * (size_t)line.second * (size_t)scene->side;
            uint8_t *out = rgb + 3 * ((size_t)y * (size_t)w + (size_t)x0);
            for (int x = 0; x < count; x++)
                for (int c = 0; c < 3; c++) {
                    int a = 3 * column[x].first + c, b = 3 * column[x].second + c;
                    float upper = top[a] + column[x].share * (top[b] - top[a]);
                    float lower = bottom[a] + column[x].share * (bottom[b] - bottom[a]);
                    out[3 * x + c] = (uint8_t)(upper + line.share * (lower - upper) + 0.5f);
                }
        }
    }
}

/* The ground point under a pixel is centre + offset / zoom; it moves to the offset that names it at `next`.
 */
static void ground_flow(const lt_scene *scene, double t, double next, float *flow) {
    const int w = scene->width, h = scene->height;
    const double ratio = magnification(scene, next) / magnification(scene, t), pixels = 0.5 * scene->side;
    const double zoom = magnification(scene, next);
    const double shift_x = scene->pan[0] * (t - next) * zoom * pixels;
    const double shift_y = scene->pan[1] * (t - next) * zoom * pixels;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            float *out = flow + 2 * ((size_t)y * (size_t)w + (size_t)x);
            out[0] = (float)((ratio - 1) * (x + 0.5 - 0.5 * w) + shift_x);
            out[1] = (float)((ratio - 1) * (y + 0.5 - 0.5 * h) + shift_y);
        }
}

void lt_scene_draw(const lt_scene *scene, double seconds, double next, uint8_t *rgb, float *flow) {
    draw_ground(scene, seconds, rgb);
    if (flow) ground_flow(scene, seconds, next, flow);
    for (int i = 0; i < scene->sprites; i++) draw_one(scene, &scene->sprite[i], seconds, next, rgb, flow);
}

static const char *camera_words(const lt_scene *scene) {
    if (scene->zoom_depth > 0) return ", zooming";
    if (scene->pan[0] == 0 && scene->pan[1] == 0) return "";
    if (fabs(scene->pan[0]) > fabs(scene->pan[1]))
        return scene->pan[0] < 0 ? ", panning left" : ", panning right";
    return scene->pan[1] < 0 ? ", panning up" : ", panning down";
}

void lt_scene_caption(const lt_scene *scene, char *text, size_t size) {
    char things[256] = "";
    for (int i = 0; i < scene->sprites; i++) {
        const lt_sprite *s = &scene->sprite[i];
        const char *colour = colours[s->colour].name, *pattern = pattern_names[s->pattern];
        const char *joint = i == 0 ? "" : i == scene->sprites - 1 ? " and " : ", ";
        const char *article = !*pattern && colour[0] == 'o' ? "an" : "a"; /* "an orange disc" */
        size_t used = strlen(things);
        snprintf(things + used, sizeof things - used, "%s%s %s%s %s", joint, article, pattern, colour,
                 shape_names[s->shape]);
    }
    snprintf(text, size, "%s over a %s ground%s", things, lt_texture_name(scene->family),
             camera_words(scene));
}
