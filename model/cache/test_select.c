/* Who goes: scores to victims, and the scores of the policies themselves. */
#include "model/cache/testing.h"

/* Which ids are left of 0..n-1 when these scores decide, oldest first. */
static int survivors(const char *spec_text, int budget, int n, const double *scores, int *left) {
    lt_cache_spec spec;
    enum { MOST = 32 };
    lt_entry items[MOST];
    int victim[MOST], target[MOST], index[MOST], count = 0;
    double cosine[MOST * MOST] = {0};
    bool gone[MOST];
    lt_entries list = {.count = n, .items = items, .victim = victim, .target = target};
    lt_decision d = {.capacity = MOST, .candidates = n, .index = index, .score = (double *)scores};
    d.cosine = cosine;
    d.gone = gone;
    memset(items, 0, sizeof items);
    for (int i = 0; i < n; i++) index[i] = i, items[i].id = i;
    CHECK_OK(lt_cache_spec_parse(spec_text, budget, &spec));
    lt_decision_select(&d, &spec, &list);
    for (int i = 0; i < n; i++)
        if (!gone[i]) left[count++] = i;
    return count;
}

static void the_top_scores_stay(void) {
    lt_rng_key key = {.seed = 5, .purpose = LT_RNG_TEST};
    for (int round = 0; round < 200; round++) {
        double scores[20];
        int left[32], n = 2 + round % 19, budget = round % n + 1;
        for (int i = 0; i < n; i++) scores[i] = lt_rng_normal(&key, (uint64_t)(round * 32 + i));
        CHECK(survivors("window:protect=0", budget, n, scores, left) == budget);
        double worst = INFINITY;
        for (int i = 0; i < budget; i++) worst = fmin(worst, scores[left[i]]);
        for (int i = 0, k = 0; i < n; i++) {
            if (k < budget && left[k] == i) k++;
            else CHECK(scores[i] < worst);
        }
    }
}

static void ties_evict_the_oldest(void) {
    double equal[6] = {1, 1, 1, 1, 1, 1}, two[6] = {3, 1, 2, 1, 2, 1};
    int left[32];
    CHECK(survivors("window:protect=0", 2, 6, equal, left) == 2 && left[0] == 4 && left[1] == 5);
    CHECK(survivors("window:protect=0", 4, 6, two, left) == 4 && left[1] == 2 && left[2] == 4 &&
          left[3] == 5);
}

static void the_newest_are_protected(void) {
    double falling[6] = {5, 4, 3, 2, 1, 0};
    int left[32];
    CHECK(survivors("window", 2, 6, falling, left) == 2 && left[0] == 0 && left[1] == 5);
    CHECK(survivors("window:protect=2", 3, 6, falling, left) == 3 && left[0] == 0 && left[1] == 4);
    CHECK(survivors("window:protect=0", 2, 6, falling, left) == 2 && left[0] == 0 && left[1] == 1);
    CHECK(survivors("window:protect=9", 2, 6, falling, left) == 2 && left[0] == 4 && left[1] == 5);
    CHECK(survivors("none", 0, 6, falling, left) == 0);
}

static void a_score_that_is_not_a_number_goes_first(void) {
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "learned", 2, 1, 1, true);
    world_scorer(&w, 1, true);
    double nan[LT_SCORER_HIDDEN];
    for (int i = 0; i < LT_SCORER_HIDDEN; i++) nan[i] = NAN;
    CHECK_OK(lt_params_set(&w.params, LT_COPY_VALUE, lt_params_find(&w.params, "scorer.keep.b1"), nan));
    CHECK_OK(world_stream(&w, 6));
    const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
    CHECK(list->count == 2 && list->items[0].id == 4 && list->items[1].id == 5);
    world_close(&w);
}

static void one_score_that_is_not_a_number_goes_before_all_numbers(void) {
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "key-norm", 4, 1, 1, true);
    w.nudged_block = 2, w.nudged = WORLD_STATE - 1, w.nudge = NAN;
    CHECK_OK(world_stream(&w, 5));
    const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
    CHECK(list->items[0].id == 0 && list->items[1].id == 1 && list->items[2].id == 3 &&
          list->items[3].id == 4);
    world_close(&w);
}

static void kept_ids(world *w, const char *spec, int budget, int64_t blocks, int64_t *ids) {
    world_cache(w, spec, budget, 1, 1, true);
    CHECK_OK(world_stream(w, blocks));
    const lt_entries *list = lt_cache_entries(&w->cache, 0, 0);
    CHECK(list->count == budget);
    for (int i = 0; i < list->count; i++) ids[i] = list->items[i].id;
}

static void hand_made_policies_keep_what_they_say(void) {
    world w;
    int64_t ids[8];
    world_open(&w, LT_BACKEND_CPU, "cpu");
    kept_ids(&w, "window", 3, 20, ids);
    CHECK(ids[0] == 17 && ids[1] == 18 && ids[2] == 19);
    kept_ids(&w, "sink:n=2", 4, 20, ids);
    CHECK(ids[0] == 0 && ids[1] == 1 && ids[2] == 18 && ids[3] == 19);
    kept_ids(&w, "sink:n=9", 3, 20, ids);
    CHECK(ids[0] == 0 && ids[1] == 1 && ids[2] == 19);
    world_close(&w);
}

/* Compares who is kept with a plain search over all blocks, by the norm of z. */
static void key_norm_keeps_the_largest_or_smallest_of_all(void) {
    for (int small = 0; small < 2; small++) {
        world w;
        int64_t ids[8];
        world_open(&w, LT_BACKEND_CPU, "cpu");
        kept_ids(&w, small ? "key-norm:keep=small" : "key-norm", 4, 30, ids);
        double norm[30], worst = INFINITY;
        for (int b = 0; b < 30; b++) {
            double state[WORLD_STATE], square = 0;
            world_state(&w, 0, 0, b, 0, state);
            for (int i = WORLD_H * WORLD_D * WORLD_D; i < WORLD_STATE; i++) square += state[i] * state[i];
            norm[b] = small ? -square : square;
        }
        for (int i = 0; i < 3; i++) worst = fmin(worst, norm[ids[i]]);
        for (int b = 0; b < 29; b++) CHECK(norm[b] <= worst || b == ids[0] || b == ids[1] || b == ids[2]);
        CHECK(ids[3] == 29);
        world_close(&w);
    }
}

/* Chi-square of how often each of 20 entries is among the 4 that stay beside the newest. */
static void the_reservoir_is_a_uniform_sample(void) {
    enum { BLOCKS = 21, KEPT = 4 };
    const int videos = test_times(2000, 200);
    world w;
    int hits[BLOCKS] = {0};
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "random", KEPT + 1, 1, 1, true);
    for (int video = 0; video < videos; video++) {
        lt_cache_reset(&w.cache);
        w.cache.sequence[0] = (uint64_t)video;
        w.block = 0;
        CHECK_OK(world_stream(&w, BLOCKS));
        const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
        for (int i = 0; i < KEPT; i++) hits[list->items[i].id]++;
        CHECK(list->items[KEPT].id == BLOCKS - 1);
    }
    double expected = (double)videos * KEPT / (BLOCKS - 1), chi = 0;
    for (int i = 0; i < BLOCKS - 1; i++) chi += (hits[i] - expected) * (hits[i] - expected) / expected;
    chi *= 19.0 / 20 / (1 - KEPT / 20.0); /* drawn without return */
    CHECK(chi < 43.8 && chi > 5.4);       /* 19 degrees of freedom, 0.1 % on either side */
    world_close(&w);
}

/* Every older entry is equally likely to be the one that goes, whatever its age. */
static void uniform_victims_do_not_depend_on_age(void) {
    enum { KEPT = 4 };
    const int videos = test_times(2000, 200);
    world w;
    int gone[KEPT] = {0};
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "random:mode=uniform", KEPT, 1, 1, true);
    for (int video = 0; video < videos; video++) {
        lt_cache_reset(&w.cache);
        w.cache.sequence[0] = (uint64_t)video;
        w.block = 0;
        CHECK_OK(world_stream(&w, 12));
        gone[lt_cache_entries(&w.cache, 0, 0)->victim[0]]++;
    }
    double expected = videos / (double)KEPT, chi = 0;
    for (int i = 0; i < KEPT; i++) chi += (gone[i] - expected) * (gone[i] - expected) / expected;
    CHECK(chi < 16.3); /* 3 degrees of freedom, 0.1 % */
    world_close(&w);
}

static void random_layers_differ_unless_the_scope_is_the_model(void) {
    for (int model = 0; model < 2; model++) {
        world w;
        int differ = 0;
        world_open(&w, LT_BACKEND_CPU, "cpu");
        world_cache(&w, model ? "random:scope=model" : "random", 3, 4, 1, true);
        CHECK_OK(world_stream(&w, 30));
        for (int l = 1; l < 4; l++)
            for (int i = 0; i < 3; i++)
                differ += lt_cache_entries(&w.cache, l, 0)->items[i].id !=
                          lt_cache_entries(&w.cache, 0, 0)->items[i].id;
        CHECK(model ? differ == 0 : differ > 0);
        world_close(&w);
    }
}

static void learned_without_a_scorer_is_refused(void) {
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "learned", 2, 1, 1, true);
    CHECK_FAILS(world_stream(&w, 4), LT_USAGE, "no scorer");
    world_cache(&w, "window:read=content", 2, 1, 1, true);
    CHECK_FAILS(world_stream(&w, 4), LT_USAGE, "no scorer");
    world_close(&w);
}

int main(int argc, char **argv) {
    RUN(the_top_scores_stay);
    RUN(ties_evict_the_oldest);
    RUN(the_newest_are_protected);
    RUN(a_score_that_is_not_a_number_goes_first);
    RUN(one_score_that_is_not_a_number_goes_before_all_numbers);
    RUN(hand_made_policies_keep_what_they_say);
    RUN(key_norm_keeps_the_largest_or_smallest_of_all);
    RUN(the_reservoir_is_a_uniform_sample);
    RUN(uniform_victims_do_not_depend_on_age);
    RUN(random_layers_differ_unless_the_scope_is_the_model);
    RUN(learned_without_a_scorer_is_refused);
    return test_end();
}
