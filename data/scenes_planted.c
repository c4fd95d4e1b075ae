#include "data/scenes_planted.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEAST_SHOTS = 4, WHITE = 245 };

lt_status lt_planted_check(const lt_scenes_spec *s) {
    int64_t shots = s->cut_every > 0 ? s->frames / s->cut_every : 1;
    LT_CHECK(s->cut_every > 0 && s->frames % s->cut_every == 0 && shots >= LEAST_SHOTS, LT_USAGE,
             "--kind planted --frames %" PRId64 " --cut-every %" PRId64
             ": the frames must make at least %d whole shots, as in --frames 64 --cut-every 8",
             s->frames, s->cut_every, LEAST_SHOTS);
    return LT_OK;
}

int lt_planted_cutting(const lt_scenes_spec *s, lt_draw *draw, lt_clip *clip, int *marked) {
    int shots = (int)(s->frames / s->cut_every);
    *marked = lt_draw_below(draw, shots - 3);
    clip->cut_count = shots - 1;
    for (int shot = 1; shot < shots; shot++) {
        clip->cut_frame[shot - 1] = (int32_t)(shot * s->cut_every);
        clip->cut_scene[shot - 1] = shot == shots - 1 ? *marked : shot;
    }
    snprintf(clip->caption, sizeof clip->caption,
             "%d dark grey pictures, and among them coloured fields in a white frame, shown again at the end",
             shots - 2);
    return shots - 1;
}

/* A texture without colour, 20 % of its contrast, about a dark grey of its own. */
static void fill_dark(lt_planted_picture *p, lt_draw *draw) {
    float mean[3];
    lt_texture_fill(lt_draw_below(draw, LT_TEXTURE_FAMILIES), draw, p->side, p->tile, mean);
    float grey = (float)lt_draw_range(draw, 30, 70), middle = (mean[0] + mean[1] + mean[2]) / 3;
    for (int64_t i = 0; i < (int64_t)p->side * p->side; i++) {
        float *texel = p->tile + 3 * i;
        float shade = (texel[0] + texel[1] + texel[2]) / 3 - middle;
        for (int c = 0; c < 3; c++) texel[c] = grey + 0.2f * shade;
    }
}

/* Two by two fields. */
static void fill_fields(lt_planted_picture *p, lt_draw *draw) {
    float colour[2][2][3];
    for (int i = 0; i < 12; i++) colour[i / 6][i / 3 % 2][i % 3] = (float)lt_draw_range(draw, 90, 250);
    for (int y = 0; y < p->side; y++)
        for (int x = 0; x < p->side; x++)
            for (int c = 0; c < 3; c++)
                p->tile[3 * ((int64_t)y * p->side + x) + c] = colour[2 * y / p->side][2 * x / p->side][c];
}

lt_status lt_planted_init(lt_planted_picture *p, const lt_rng_key *key, const lt_scenes_spec *spec,
                          bool marked) {
    lt_draw draw = {.key = *key};
    int side = spec->width < spec->height ? spec->width : spec->height;
    *p = (lt_planted_picture){
        .width = spec->width, .height = spec->height, .side = side, .frame = marked ? side / 8 : 0};
    p->tile = malloc(3 * (size_t)side * (size_t)side * sizeof *p->tile);
    LT_CHECK(p->tile, LT_FAILED, "scenes: out of memory for a picture of %d x %d texels", side, side);
    double angle = lt_draw_range(&draw, 0, 6.283185307179586), pace = lt_draw_range(&draw, 0.03, 0.1) * side;
    p->pan[0] = pace * cos(angle), p->pan[1] = pace * sin(angle);
    if (marked) fill_fields(p, &draw);
    else fill_dark(p, &draw);
    return LT_OK;
}

void lt_planted_free(lt_planted_picture *p) { free(p->tile); }

/* Where x lies on a circle of `side` texels: between `*low` and `*high`, at the returned share of the way. */
static float between(double x, int side, int *low, int *high) {
    double floor_x = floor(x), wrapped = fmod(floor_x, side);
    *low = (int)(wrapped < 0 ? wrapped + side : wrapped);
    *high = (*low + 1) % side;
    return (float)(x - floor_x);
}

static void sample_picture(const lt_planted_picture *p, double x, double y, uint8_t rgb[3]) {
    int x0, x1, y0, y1;
    float u = between(x, p->side, &x0, &x1), v = between(y, p->side, &y0, &y1);
    const float *row0 = p->tile + 3 * (int64_t)y0 * p->side, *row1 = p->tile + 3 * (int64_t)y1 * p->side;
    for (int c = 0; c < 3; c++) {
        float top = row0[3 * x0 + c] + u * (row0[3 * x1 + c] - row0[3 * x0 + c]);
        float bottom = row1[3 * x0 + c] + u * (row1[3 * x1 + c] - row1[3 * x0 + c]);
        rgb[c] = (uint8_t)lrintf(fminf(fmaxf(top + v * (bottom - top), 0), 255));
    }
}

static bool on_frame(const lt_planted_picture *p, int x, int y) {
    return x < p->frame || y < p->frame || x >= p->width - p->frame || y >= p->height - p->frame;
}

void lt_planted_draw(const lt_planted_picture *p, double seconds, double next, uint8_t *rgb, float *flow) {
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            int64_t at = (int64_t)y * p->width + x;
            bool still = on_frame(p, x, y);
            if (still) rgb[3 * at] = rgb[3 * at + 1] = rgb[3 * at + 2] = WHITE;
            else sample_picture(p, x - p->pan[0] * seconds, y - p->pan[1] * seconds, rgb + 3 * at);
            for (int c = 0; flow && c < 2; c++)
                flow[2 * at + c] = still ? 0 : (float)(p->pan[c] * (next - seconds));
        }
}
