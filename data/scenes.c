#include "data/scenes.h"

#include "core/rng.h"
#include "data/flow.h"
#include "data/scene_draw.h"
#include "data/scenes_planted.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_SHOTS = LT_CLIP_CUTS + 1,
    CUTTING = 0xFFFFFF, /* the key's block number of the shot list; scenes take 0, 1, ... */
    VERSION = 1         /* part of the recipe: a change of what is drawn gives other hashes */
};

lt_scenes_spec lt_scenes_default(void) {
    return (lt_scenes_spec){.width = 64,
                            .height = 64,
                            .fps = 16,
                            .frames = 96,
                            .speed = 1,
                            .cut_every = 16,
                            .return_gap = 1,
                            .return_rate = 0.8};
}

static int64_t cut_count(const lt_scenes_spec *spec) {
    return spec->cut_every > 0 ? (spec->frames - 1) / spec->cut_every : 0;
}

lt_status lt_scenes_check(const lt_scenes_spec *s) {
    LT_CHECK(s->width >= 16 && s->height >= 16 && s->width <= 4096 && s->height <= 4096, LT_USAGE,
             "--size %dx%d: both sides must be 16 to 4096 pixels", s->width, s->height);
    LT_CHECK(s->fps >= 1 && s->fps <= 240, LT_USAGE, "--fps %g: must be 1 to 240", s->fps);
    LT_CHECK(s->frames >= 1 && s->frames <= 100000, LT_USAGE, "--frames %" PRId64 ": must be 1 to 100000",
             s->frames);
    LT_CHECK(s->speed >= 0 && s->speed <= 100, LT_USAGE, "--speed %g: must be 0 to 100", s->speed);
    LT_CHECK(s->cut_every >= 0, LT_USAGE, "--cut-every %" PRId64 ": must not be negative", s->cut_every);
    LT_CHECK(cut_count(s) <= LT_CLIP_CUTS, LT_USAGE,
             "--frames %" PRId64 " --cut-every %" PRId64 " makes %" PRId64 " cuts; a clip holds at most %d",
             s->frames, s->cut_every, cut_count(s), LT_CLIP_CUTS);
    LT_CHECK(s->return_gap >= 1 && s->return_gap <= 15, LT_USAGE, "--return-gap %d: must be 1 to 15",
             s->return_gap);
    LT_CHECK(s->return_rate >= 0 && s->return_rate <= 1, LT_USAGE, "--return-rate %g: must be 0 to 1",
             s->return_rate);
    return s->kind == LT_SCENES_PLANTED ? lt_planted_check(s) : LT_OK;
}

void lt_scenes_identify(const lt_scenes_spec *s, uint64_t index, lt_clip *clip) {
    char recipe[256];
    const char *kind = s->kind == LT_SCENES_PLANTED ? "planted" : "scenes";
    snprintf(recipe, sizeof recipe,
             "%s %d %dx%d fps %.17g frames %" PRId64 " speed %.17g cut %" PRId64 " gap %d rate %.17g", kind,
             VERSION, s->width, s->height, s->fps, s->frames, s->speed, s->cut_every, s->return_gap,
             s->return_rate);
    snprintf(clip->source, sizeof clip->source, "%s:seed=%" PRIu64 ",index=%" PRIu64, kind, s->seed, index);
    snprintf(clip->group, sizeof clip->group, "%s-%" PRIu64 "-%" PRIu64, kind, s->seed, index);
    clip->recipe_hash = lt_hash(recipe, strlen(recipe), LT_HASH_SEED);
    clip->content_hash = lt_hash(clip->source, strlen(clip->source), clip->recipe_hash);
}

static lt_rng_key scene_key(const lt_scenes_spec *s, uint64_t index, uint32_t block) {
    return (lt_rng_key){.seed = s->seed, .purpose = LT_RNG_SCENE, .clip = index, .block = block};
}

/* The scenes of one clip, of either kind. */
typedef struct cast {
    int scenes, marked; /* marked: of kind planted */
    lt_scene scene[MAX_SHOTS];
    lt_planted_picture picture[MAX_SHOTS];
} cast;

static lt_status cast_open(cast *c, const lt_scenes_spec *s, uint64_t index) {
    for (int i = 0; i < c->scenes; i++) {
        lt_rng_key key = scene_key(s, index, (uint32_t)i);
        if (s->kind == LT_SCENES_PLANTED) LT_TRY(lt_planted_init(&c->picture[i], &key, s, i == c->marked));
        else LT_TRY(lt_scene_init(&c->scene[i], &key, s->width, s->height));
    }
    return LT_OK;
}

static void cast_close(cast *c) {
    for (int i = 0; i < c->scenes; i++) lt_scene_free(&c->scene[i]), lt_planted_free(&c->picture[i]);
}

static void cast_draw(const cast *c, lt_scenes_kind kind, int scene, double now, double next, uint8_t *rgb,
                      float *flow) {
    if (kind == LT_SCENES_PLANTED) lt_planted_draw(&c->picture[scene], now, next, rgb, flow);
    else lt_scene_draw(&c->scene[scene], now, next, rgb, flow);
}

/* Which scene each shot shows: a shot either returns to the scene shown return_gap + 1 shots ago, or shows a
 * new one. Returns how many scenes there are. */
static int draw_cutting(const lt_scenes_spec *s, lt_draw *draw, lt_clip *clip) {
    int scene[MAX_SHOTS] = {0}, scenes = 1;
    clip->cut_count = (int32_t)cut_count(s);
    for (int shot = 1; shot <= clip->cut_count; shot++) {
        int back = shot - s->return_gap - 1;
        bool returns = back >= 0 && lt_draw_range(draw, 0, 1) < s->return_rate;
        scene[shot] = returns ? scene[back] : scenes++;
        clip->cut_frame[shot - 1] = (int32_t)(shot * s->cut_every);
        clip->cut_scene[shot - 1] = scene[shot];
    }
    return scenes;
}

static void write_caption(const lt_scene *scene, int scenes, lt_clip *clip) {
    char text[sizeof clip->caption] = "";
    for (int i = 0; i < scenes; i++) {
        size_t used = strlen(text);
        char one[512];
        lt_scene_caption(&scene[i], one, sizeof one);
        if (used + strlen(one) + 8 >= sizeof text) break; /* whole scenes only */
        snprintf(text + used, sizeof text - used, "%s%s", i ? "; then " : "", one);
    }
    lt_copy_text(clip->caption, sizeof clip->caption, text);
}

/* Sums of the true motion and of the luma difference over the pairs of consecutive frames inside shots. */
typedef struct sums {
    double flow, luma;
    int64_t pairs;
    uint8_t *luma_last, *luma_now;
    float *flow_row; /* one frame's flow when the caller wants none */
} sums;

static void draw_frames(const lt_scenes_spec *s, const cast *c, const lt_clip *clip, uint8_t *rgb,
                        float *flow, sums *sum) {
    const int64_t pixels = (int64_t)s->width * s->height;
    int64_t shown[MAX_SHOTS] = {0}; /* frames of each scene so far */
    int shot = 0, current = 0;
    for (int64_t f = 0; f < s->frames; f++) {
        bool first = f == 0;
        if (shot < clip->cut_count && f == clip->cut_frame[shot])
            current = clip->cut_scene[shot++], first = true;
        bool last = f == s->frames - 1 || (shot < clip->cut_count && f + 1 == clip->cut_frame[shot]);
        double now = s->speed * (double)shown[current] / s->fps;
        double next = s->speed * (double)++shown[current] / s->fps;
        float *out = flow ? flow + 2 * pixels * f : sum->flow_row;
        uint8_t *frame = rgb + 3 * pixels * f;
        cast_draw(c, s->kind, current, now, next, frame, out);
        if (last) memset(out, 0, 2 * (size_t)pixels * sizeof *out);
        else sum->flow += lt_flow_mean(out, NULL, pixels), sum->pairs++;
        uint8_t *swap = sum->luma_last;
        sum->luma_last = sum->luma_now, sum->luma_now = swap;
        lt_luma(frame, pixels, sum->luma_now);
        if (!first) sum->luma += lt_luma_difference(sum->luma_last, sum->luma_now, pixels);
    }
}

static lt_status draw_clip(const lt_scenes_spec *s, const cast *c, uint8_t *rgb, float *flow, lt_clip *clip) {
    size_t pixels = (size_t)s->width * (size_t)s->height;
    sums sum = {.luma_last = malloc(pixels),
                .luma_now = malloc(pixels),
                .flow_row = malloc(2 * pixels * sizeof(float))};
    bool ok = sum.luma_last && sum.luma_now && sum.flow_row;
    if (ok) draw_frames(s, c, clip, rgb, flow, &sum);
    free(sum.luma_last), free(sum.luma_now), free(sum.flow_row);
    LT_CHECK(ok, LT_FAILED, "scenes: out of memory for frames of %dx%d", s->width, s->height);
    clip->flow_px_per_s = sum.pairs ? sum.flow / (double)sum.pairs * s->fps : 0;
    clip->luma_diff = sum.pairs ? sum.luma / (double)sum.pairs : 0;
    return LT_OK;
}

lt_status lt_scenes_clip(const lt_scenes_spec *spec, uint64_t index, uint8_t *rgb, float *flow,
                         lt_clip *clip) {
    LT_TRY(lt_scenes_check(spec));
    *clip = (lt_clip){.frames = spec->frames, .fps = spec->fps, .flags = LT_CLIP_SYNTHETIC};
    if (flow) clip->flags |= LT_CLIP_HAS_FLOW;
    lt_scenes_identify(spec, index, clip);
    cast c = {0};
    lt_draw draw = {.key = scene_key(spec, index, CUTTING)};
    c.scenes = spec->kind == LT_SCENES_PLANTED ? lt_planted_cutting(spec, &draw, clip, &c.marked)
                                               : draw_cutting(spec, &draw, clip);
    lt_status status = cast_open(&c, spec, index);
    if (status == LT_OK && spec->kind == LT_SCENES_RETURNS) write_caption(c.scene, c.scenes, clip);
    if (status == LT_OK) status = draw_clip(spec, &c, rgb, flow, clip);
    cast_close(&c);
    return status;
}
