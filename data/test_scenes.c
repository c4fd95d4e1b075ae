#include "data/flow.h"
#include "data/scenes.h"
#include "data/shots.h"
#include "tests/harness.h"

enum { W = 64, H = 64, PIXELS = W * H };

typedef struct drawn {
    lt_scenes_spec spec;
    lt_clip clip;
    uint8_t *rgb;
    float *flow;
} drawn;

static drawn draw(lt_scenes_spec spec, uint64_t index) {
    size_t pixels = (size_t)spec.frames * (size_t)spec.width * (size_t)spec.height;
    drawn d = {.spec = spec, .rgb = malloc(3 * pixels), .flow = malloc(2 * pixels * sizeof(float))};
    CHECK_OK(lt_scenes_clip(&spec, index, d.rgb, d.flow, &d.clip));
    return d;
}

static void drop(drawn *d) { free(d->rgb), free(d->flow); }

static lt_scenes_spec spec_of(uint64_t seed, double speed) {
    lt_scenes_spec spec = lt_scenes_default();
    spec.seed = seed, spec.speed = speed, spec.frames = 64;
    return spec;
}

static double difference(const drawn *d, int64_t f, int64_t g) {
    uint8_t a[PIXELS], b[PIXELS];
    lt_luma(d->rgb + 3 * PIXELS * f, PIXELS, a);
    lt_luma(d->rgb + 3 * PIXELS * g, PIXELS, b);
    return lt_luma_difference(a, b, PIXELS);
}

static void a_clip_is_a_function_of_seed_and_index(void) {
    lt_scenes_spec spec = spec_of(3, 1);
    drawn a = draw(spec, 5), b = draw(spec, 6), again = draw(spec, 5);
    spec.seed = 4;
    drawn c = draw(spec, 5);
    size_t bytes = 3 * PIXELS * (size_t)spec.frames;
    CHECK(memcmp(a.rgb, again.rgb, bytes) == 0);
    CHECK(memcmp(a.flow, again.flow, 2 * PIXELS * (size_t)spec.frames * sizeof(float)) == 0);
    CHECK(memcmp(&a.clip, &again.clip, sizeof a.clip) == 0);
    CHECK(memcmp(a.rgb, b.rgb, bytes) != 0 && memcmp(a.rgb, c.rgb, bytes) != 0);
    CHECK(a.clip.content_hash != b.clip.content_hash && a.clip.content_hash != c.clip.content_hash);
    CHECK(strcmp(a.clip.group, b.clip.group) != 0 && strcmp(a.clip.group, c.clip.group) != 0);
    drop(&a), drop(&b), drop(&c), drop(&again);
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* Median distance of true and estimated flow at frame f: the estimate blurs the outlines of moving sprites,
 * which the median leaves out. */
static double flow_error(const drawn *d, int64_t f, lt_flow *estimator) {
    static uint8_t a[PIXELS], b[PIXELS];
    static float forward[2 * PIXELS], error[PIXELS];
    lt_luma(d->rgb + 3 * PIXELS * f, PIXELS, a);
    lt_luma(d->rgb + 3 * PIXELS * (f + 1), PIXELS, b);
    lt_flow_run(estimator, a, b, forward);
    const float *truth = d->flow + 2 * PIXELS * f;
    for (int p = 0; p < PIXELS; p++)
        error[p] = hypotf(forward[2 * p] - truth[2 * p], forward[2 * p + 1] - truth[2 * p + 1]);
    qsort(error, PIXELS, sizeof *error, by_value);
    return error[PIXELS / 2];
}

/* A ground of stripes does not show motion along them. */
static bool ground_is_striped(const drawn *d) {
    const char *found = strstr(d->clip.caption, "over a striped"), *next = strstr(d->clip.caption, "; then");
    return found && (!next || found < next);
}

/* In clips where the camera moves, so that most pixels do. */
static void true_flow_agrees_with_estimated_flow(void) {
    static const double speeds[] = {2, 5};
    lt_flow *estimator = NULL;
    CHECK_OK(lt_flow_open(W, H, &estimator));
    for (int k = 0; k < 2; k++) {
        double error = 0, length = 0;
        int moving = 0;
        for (uint64_t index = 0; index < 24; index++) {
            drawn d = draw(spec_of(9, speeds[k]), index);
            double mean = lt_flow_mean(d.flow + 2 * PIXELS * 5, NULL, PIXELS);
            if (mean > 0.1 * speeds[k] && !ground_is_striped(&d))
                error += flow_error(&d, 5, estimator), length += mean, moving++;
            drop(&d);
        }
        printf("speed %g, %d clips: true flow %.3f px per frame, median error of the estimate %.3f px\n",
               speeds[k], moving, length / moving, error / moving);
        CHECK(moving >= 8 && error < 0.15 * length);
    }
    lt_flow_close(estimator);
}

/* Looking one frame ahead along the true flow must explain the next frame: sampled at the displaced place, it
 * differs far less from this frame than without. */
static void following_the_true_flow_finds_the_same_colour(void) {
    double still = 0, followed = 0;
    for (uint64_t index = 0; index < 12; index++) {
        drawn d = draw(spec_of(2, 4), index);
        const uint8_t *now = d.rgb + 3 * PIXELS * 5, *next = now + 3 * PIXELS;
        const float *flow = d.flow + 2 * PIXELS * 5;
        for (int p = 0; p < PIXELS; p++) {
            int x = (int)lrintf((float)(p % W) + flow[2 * p]),
                y = (int)lrintf((float)(p / W) + flow[2 * p + 1]);
            if (x < 0 || y < 0 || x >= W || y >= H) continue;
            for (int c = 0; c < 3; c++) {
                still += abs(now[3 * p + c] - next[3 * p + c]);
                followed += abs(now[3 * p + c] - next[3 * (y * W + x) + c]);
            }
        }
        drop(&d);
    }
    CHECK(followed < 0.6 * still);
}

static void returns_go_on_where_the_scene_was_left(void) {
    int returns = 0;
    double step = 0, back = 0, cut = 0;
    for (uint64_t index = 0; index < 10; index++) {
        drawn d = draw(spec_of(1, 1), index);
        for (int i = 1; i < lt_clip_shot_count(&d.clip); i++) {
            lt_shot shot = lt_clip_shot(&d.clip, i);
            if (!shot.returns) continue;
            CHECK(shot.first - shot.last_shown == 16);
            returns++;
            step += d.clip.luma_diff;
            back += difference(&d, shot.last_shown - 1, shot.first);
            cut += difference(&d, shot.first - 1, shot.first);
        }
        drop(&d);
    }
    printf("%d returns: to the scene's last frame %.2f, per ordinary step %.2f, across the cut %.2f luma "
           "codes\n",
           returns, back / returns, step / returns, cut / returns);
    CHECK(returns >= 10);
    CHECK(back < 1.5 * step);
    CHECK(cut > 8 * back);
}

static void flow_and_motion_stop_at_cuts(void) {
    drawn d = draw(spec_of(9, 4), 1);
    double sum = 0;
    for (int64_t f = 0; f < d.spec.frames; f++) {
        double mean = lt_flow_mean(d.flow + 2 * PIXELS * f, NULL, PIXELS);
        CHECK((mean == 0) == (f % 16 == 15));
        sum += mean;
    }
    CHECK_NEAR(d.clip.flow_px_per_s, 16 * sum / 60, 1e-9); /* 4 shots of 15 steps */
    drop(&d);
}

static void shots_tell_cuts_and_returns(void) {
    lt_scenes_spec spec = spec_of(1, 1);
    spec.return_gap = 2, spec.return_rate = 1, spec.cut_every = 8;
    drawn d = draw(spec, 0);
    static const int scene[] = {0, 1, 2, 0, 1, 2, 0, 1};
    CHECK(lt_clip_shot_count(&d.clip) == 8);
    for (int i = 0; i < 8; i++) {
        lt_shot shot = lt_clip_shot_at(&d.clip, 8 * i + 3);
        CHECK(shot.index == i && shot.first == 8 * i && shot.end == 8 * i + 8 && shot.scene == scene[i]);
        CHECK(shot.returns == (i >= 3) && shot.last_shown == (i >= 3 ? 8 * (i - 2) : -1));
    }
    CHECK(lt_clip_shot_at(&d.clip, 8).index == 1 && lt_clip_shot_at(&d.clip, 7).index == 0);
    CHECK(lt_clip_shot_at(&d.clip, 1000).index == 7 && lt_clip_shot_at(&d.clip, -1).index == 0);
    drop(&d);
    spec.cut_every = 0;
    d = draw(spec, 0);
    CHECK(lt_clip_shot_count(&d.clip) == 1 && lt_clip_shot_at(&d.clip, 60).end == 64);
    drop(&d);
}

static void speed_scales_motion_and_keeps_the_scene(void) {
    lt_scenes_spec spec = spec_of(8, 0);
    spec.cut_every = 0, spec.frames = 8;
    for (uint64_t index = 0; index < 6; index++) {
        spec.speed = 0;
        drawn still = draw(spec, index);
        spec.speed = 1;
        drawn slow = draw(spec, index);
        spec.speed = 3;
        drawn fast = draw(spec, index);
        CHECK_NEAR(still.clip.flow_px_per_s, 0, 0);
        CHECK_NEAR(still.clip.luma_diff, 0, 0);
        CHECK(memcmp(slow.rgb, fast.rgb, 3 * PIXELS) == 0);
        CHECK(memcmp(slow.rgb + 9 * PIXELS, fast.rgb + 3 * PIXELS, 3 * PIXELS) == 0);
        CHECK_NEAR(fast.clip.flow_px_per_s / slow.clip.flow_px_per_s, 3, 0.5);
        CHECK(strcmp(slow.clip.group, fast.clip.group) == 0 &&
              slow.clip.recipe_hash != fast.clip.recipe_hash);
        drop(&still), drop(&slow), drop(&fast);
    }
}

static void odd_and_wide_frames_can_be_drawn(void) {
    lt_scenes_spec spec = spec_of(1, 2);
    spec.width = 97, spec.height = 33, spec.frames = 20;
    drawn d = draw(spec, 2);
    CHECK(strstr(d.clip.caption, " over a ") != NULL);
    CHECK(d.clip.flow_px_per_s > 0 && d.clip.luma_diff > 0);
    drop(&d);
}

static void bad_specs_are_refused(void) {
    lt_scenes_spec spec = lt_scenes_default();
    lt_clip clip;
    spec.width = 8;
    CHECK_FAILS(lt_scenes_clip(&spec, 0, NULL, NULL, &clip), LT_USAGE, "--size 8x64");
    spec = lt_scenes_default(), spec.cut_every = 4;
    CHECK_FAILS(lt_scenes_check(&spec), LT_USAGE, "makes 23 cuts");
    spec = lt_scenes_default(), spec.speed = NAN;
    CHECK_FAILS(lt_scenes_check(&spec), LT_USAGE, "--speed");
    spec = lt_scenes_default(), spec.return_gap = 0;
    CHECK_FAILS(lt_scenes_check(&spec), LT_USAGE, "--return-gap 0");
}

int main(int argc, char **argv) {
    RUN(a_clip_is_a_function_of_seed_and_index);
    RUN(true_flow_agrees_with_estimated_flow);
    RUN(following_the_true_flow_finds_the_same_colour);
    RUN(returns_go_on_where_the_scene_was_left);
    RUN(flow_and_motion_stop_at_cuts);
    RUN(shots_tell_cuts_and_returns);
    RUN(speed_scales_motion_and_keeps_the_scene);
    RUN(odd_and_wide_frames_can_be_drawn);
    RUN(bad_specs_are_refused);
    return test_end();
}
