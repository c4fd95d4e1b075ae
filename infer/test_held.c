#include "infer/held.h"
#include "infer/testing_data.h"

static lt_model *model;
static lt_dataset *set, *planted;

enum { SHOTS = 8, PLANTED_CLIPS = 10 };

/* Clips of 8 shots of one block each; all for tests. */
static lt_status make_planted(const char *path) {
    static uint8_t rgb[TEST_CLIP_FRAMES * 16 * 24 * 3];
    lt_scenes_spec scenes = lt_scenes_default();
    lt_dataset_spec spec = {24, 16, 16, false};
    lt_dataset *file;
    scenes.kind = LT_SCENES_PLANTED;
    scenes.width = 24, scenes.height = 16, scenes.frames = TEST_CLIP_FRAMES, scenes.cut_every = 4;
    LT_TRY(lt_dataset_create(path, &spec, &file));
    lt_status status = LT_OK;
    for (uint64_t i = 0; i < PLANTED_CLIPS && status == LT_OK; i++) {
        lt_clip clip;
        status = lt_scenes_clip(&scenes, i, rgb, NULL, &clip);
        snprintf(clip.domain, sizeof clip.domain, "planted");
        snprintf(clip.role, sizeof clip.role, "test");
        if (status == LT_OK) status = lt_dataset_append_frames(file, rgb, NULL, clip.frames);
        if (status == LT_OK) status = lt_dataset_add_clip(file, &clip);
    }
    if (status == LT_OK) status = lt_dataset_commit(file);
    lt_dataset_close(file);
    return status;
}

static lt_held measure(const char *policy, int budget) {
    lt_eval_options o = lt_eval_default();
    lt_cache_spec spec = test_spec(policy, budget);
    lt_held held = {0};
    CHECK_OK(lt_held_measure(model, planted, &o, &spec, &held));
    CHECK(held.clips == PLANTED_CLIPS && held.returns == PLANTED_CLIPS);
    return held;
}

/* How many of the clips have their marked shot among the first `n`. */
static int marked_among(int n) {
    int count = 0;
    for (int64_t i = 0; i < PLANTED_CLIPS; i++)
        count += lt_dataset_clip(planted, i)->cut_scene[SHOTS - 2] < n;
    return count;
}

static void a_window_holds_what_it_can_reach(void) {
    lt_held none = measure("window", 2);
    CHECK(none.layers == 0 && none.error == 0);
    for (int budget = 3; budget < SHOTS; budget += test_times(1, 4)) {
        lt_held held = measure("window", budget);
        CHECK_NEAR(held.layers, 1 - marked_among(SHOTS - 1 - budget) / (double)PLANTED_CLIPS, 1e-12);
        CHECK(held.all == held.layers);
    }
    CHECK(measure("window", SHOTS).layers == 1);
}

static void a_sink_holds_the_first_entries(void) {
    CHECK(marked_among(1) > 0 && marked_among(1) < PLANTED_CLIPS);
    CHECK_NEAR(measure("sink", 2).layers, marked_among(1) / (double)PLANTED_CLIPS, 1e-12);
    CHECK_NEAR(measure("sink:n=3", 4).layers, marked_among(3) / (double)PLANTED_CLIPS, 1e-12);
}

static void keep_all_holds_everything_and_none_nothing(void) {
    lt_held all = measure("keep-all", 1), none = measure("none", 0);
    CHECK(all.layers == 1 && all.all == 1 && all.error == 0);
    CHECK(none.layers == 0 && none.all == 0);
}

static void layers_that_decide_together_hold_together(void) {
    lt_held apart = measure("random", 3), together = measure("random:scope=model", 3);
    CHECK(apart.all <= apart.layers && apart.layers > 0 && apart.layers < 1);
    CHECK(together.all == together.layers);
    CHECK(measure("key-norm:scope=model", 3).returns == PLANTED_CLIPS);
}

/* Shots of two blocks, every return to the shot before the last: its second block is the third last committed. */
static void longer_shots_are_held_by_any_of_their_blocks(void) {
    lt_eval_options o = lt_eval_default();
    lt_held held;
    lt_cache_spec spec = test_spec("window", 2);
    CHECK_OK(lt_held_measure(model, set, &o, &spec, &held));
    CHECK(held.clips == 14 && held.returns == 28 && held.layers == 0);
    spec = test_spec("window", 3);
    CHECK_OK(lt_held_measure(model, set, &o, &spec, &held));
    CHECK(held.layers == 1);
}

static void clips_without_a_return_are_refused(void) {
    lt_eval_options o = lt_eval_default();
    lt_cache_spec spec = test_spec("window", 2);
    lt_held held;
    o.blocks = SHOTS - 1;
    CHECK_FAILS(lt_held_measure(model, planted, &o, &spec, &held), LT_INPUT, "no clip returns");
    o.blocks = SHOTS + 1;
    CHECK_FAILS(lt_held_measure(model, planted, &o, &spec, &held), LT_INPUT, "");
}

int main(int argc, char **argv) {
    char folder[TEST_FOLDER], path[TEST_FOLDER + 16];
    test_make_folder("lt_held", folder);
    model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    snprintf(path, sizeof path, "%s/data.h5", folder);
    CHECK_OK(test_dataset_make(path));
    CHECK_OK(lt_dataset_open(path, &set));
    snprintf(path, sizeof path, "%s/planted.h5", folder);
    CHECK_OK(make_planted(path));
    CHECK_OK(lt_dataset_open(path, &planted));
    if (!model || !set || !planted) return 1;
    test_model_shake(model, 0.1);
    lt_session_poison(true);
    RUN(a_window_holds_what_it_can_reach);
    RUN(a_sink_holds_the_first_entries);
    RUN(keep_all_holds_everything_and_none_nothing);
    RUN(layers_that_decide_together_hold_together);
    RUN(longer_shots_are_held_by_any_of_their_blocks);
    RUN(clips_without_a_return_are_refused);
    lt_dataset_close(set);
    lt_dataset_close(planted);
    test_model_close(model);
    lt_remove_tree(folder);
    return test_end();
}
