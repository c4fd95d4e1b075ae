#include "data/flow.h"
#include "data/scenes.h"
#include "data/shots.h"
#include "tests/harness.h"

enum { W = 32, H = 32, PIXELS = W * H, SHOT = 8, SHOTS = 8, FRAMES = SHOT * SHOTS };

static uint8_t rgb[3 * PIXELS * FRAMES];
static float flow[2 * PIXELS * FRAMES];

static lt_scenes_spec planted(uint64_t seed) {
    lt_scenes_spec spec = lt_scenes_default();
    spec.kind = LT_SCENES_PLANTED, spec.seed = seed;
    spec.width = W, spec.height = H, spec.frames = FRAMES, spec.cut_every = SHOT;
    return spec;
}

static lt_clip draw(const lt_scenes_spec *spec, uint64_t index) {
    lt_clip clip = {0};
    CHECK_OK(lt_scenes_clip(spec, index, rgb, flow, &clip));
    return clip;
}

/* Largest difference between two colour channels of a pixel of the frame. */
static int colourfulness(int64_t frame) {
    int most = 0;
    for (const uint8_t *p = rgb + 3 * PIXELS * frame, *end = p + 3 * PIXELS; p < end; p += 3)
        for (int c = 0; c < 3; c++)
            most = abs(p[c] - p[(c + 1) % 3]) > most ? abs(p[c] - p[(c + 1) % 3]) : most;
    return most;
}

static void one_shot_is_marked_and_only_the_last_returns_to_it(void) {
    lt_scenes_spec spec = planted(3);
    int places[SHOTS] = {0};
    for (uint64_t index = 0; index < 40; index++) {
        lt_clip clip = draw(&spec, index);
        CHECK(lt_clip_shot_count(&clip) == SHOTS);
        lt_shot last = lt_clip_shot(&clip, SHOTS - 1);
        CHECK(last.returns && last.scene >= 0 && last.scene <= SHOTS - 4);
        CHECK(last.last_shown == SHOT * (last.scene + 1));
        places[last.scene]++;
        for (int i = 0; i < SHOTS; i++) {
            lt_shot shot = lt_clip_shot(&clip, i);
            bool marked = i == last.scene || i == SHOTS - 1;
            CHECK(i == SHOTS - 1 || (shot.scene == i && !shot.returns));
            for (int64_t f = shot.first; f < shot.end; f++) {
                CHECK((rgb[3 * PIXELS * f] > 240) == marked); /* the frame's corner */
                CHECK(marked ? colourfulness(f) > 20 : colourfulness(f) == 0);
            }
        }
    }
    for (int i = 0; i <= SHOTS - 4; i++) CHECK(places[i] >= 2);
}

static double distance(int64_t f, int64_t g) {
    const uint8_t *a = rgb + 3 * PIXELS * f, *b = rgb + 3 * PIXELS * g;
    double sum = 0;
    for (int i = 0; i < 3 * PIXELS; i++) sum += abs(a[i] - b[i]);
    return sum / (3 * PIXELS);
}

static void the_last_shot_goes_on_where_the_marked_one_stopped(void) {
    lt_scenes_spec spec = planted(4);
    double step = 0, back = 0, other = 0;
    for (uint64_t index = 0; index < 10; index++) {
        lt_clip clip = draw(&spec, index);
        lt_shot last = lt_clip_shot(&clip, SHOTS - 1);
        step += distance(last.first, last.first + 1);
        back += distance(last.last_shown - 1, last.first);
        other += distance(last.first - 1, last.first);
    }
    CHECK(step > 0);
    CHECK(back < 1.5 * step + 0.1);
    CHECK(other > 10 * back);
}

static void clips_follow_from_seed_and_index_and_share_nothing(void) {
    static uint8_t kept[sizeof rgb];
    lt_scenes_spec spec = planted(5), ordinary = lt_scenes_default();
    lt_clip a = draw(&spec, 1);
    memcpy(kept, rgb, sizeof rgb);
    lt_clip again = draw(&spec, 1);
    CHECK(memcmp(kept, rgb, sizeof rgb) == 0 && memcmp(&a, &again, sizeof a) == 0);
    lt_clip b = draw(&spec, 2);
    CHECK(memcmp(kept, rgb, sizeof rgb) != 0);
    CHECK(strcmp(a.group, b.group) != 0 && a.content_hash != b.content_hash);
    ordinary.seed = 5;
    lt_scenes_identify(&ordinary, 1, &b);
    CHECK(strcmp(a.group, b.group) != 0 && a.recipe_hash != b.recipe_hash);
    CHECK(strstr(a.caption, "white frame") != NULL);
}

/* Following the flow explains the next frame. */
static void the_flow_is_that_of_the_tile(void) {
    lt_scenes_spec spec = planted(6);
    spec.speed = 8;
    double still = 0, followed = 0;
    for (uint64_t index = 0; index < 6; index++) {
        lt_clip clip = draw(&spec, index);
        CHECK(clip.flow_px_per_s > 0 && clip.luma_diff > 0);
        for (int64_t f = 0; f < FRAMES; f++)
            CHECK(f % SHOT != SHOT - 1 || lt_flow_mean(flow + 2 * PIXELS * f, NULL, PIXELS) == 0);
        for (int shot = 0; shot < SHOTS - 1; shot++)
            for (int y = 8; y < H - 8; y++)
                for (int x = 8; x < W - 8; x++) {
                    int64_t f = shot * SHOT, at = f * PIXELS + y * W + x;
                    int64_t to = (f + 1) * PIXELS + (y + (int)lrintf(flow[2 * at + 1])) * W + x +
                                 (int)lrintf(flow[2 * at]);
                    still += abs(rgb[3 * at] - rgb[3 * (at + PIXELS)]);
                    followed += abs(rgb[3 * at] - rgb[3 * to]);
                }
    }
    CHECK(followed < 0.75 * still);
}

static void other_sizes_and_lengths_can_be_drawn(void) {
    lt_scenes_spec spec = planted(7);
    lt_clip clip;
    spec.width = 45, spec.height = 17, spec.frames = 12, spec.cut_every = 3;
    CHECK_OK(lt_scenes_clip(&spec, 0, rgb, NULL, &clip));
    CHECK(lt_clip_shot_count(&clip) == 4 && lt_clip_shot(&clip, 3).scene == 0);
}

static void bad_shapes_are_refused(void) {
    lt_scenes_spec spec = planted(0);
    spec.frames = 60;
    CHECK_FAILS(lt_scenes_check(&spec), LT_USAGE, "--frames 60 --cut-every 8");
    spec.frames = 24;
    CHECK_FAILS(lt_scenes_check(&spec), LT_USAGE, "4 whole shots");
    spec.frames = 64, spec.cut_every = 0;
    CHECK_FAILS(lt_scenes_check(&spec), LT_USAGE, "--cut-every 0");
}

int main(int argc, char **argv) {
    RUN(one_shot_is_marked_and_only_the_last_returns_to_it);
    RUN(the_last_shot_goes_on_where_the_marked_one_stopped);
    RUN(clips_follow_from_seed_and_index_and_share_nothing);
    RUN(the_flow_is_that_of_the_tile);
    RUN(other_sizes_and_lengths_can_be_drawn);
    RUN(bad_shapes_are_refused);
    return test_end();
}
