/* Who goes: scores to victims, and the scores of the policies themselves. */
#include "model/cache/testing.h"

/* Scores of blocks of one commit, by their number. */
static double given[64];
static lt_status given_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) out[i] = (float)given[view->ids[i]];
    return LT_OK;
}
static const lt_policy given_policy = {
    .name = "given", .score = given_score, .fixed_budget = -1, .consolidate = "drop"};

/* n entries that come in one commit, decided by `policy` unless it is NULL. */
static void commit_once(world *w, const char *spec_text, const lt_policy *policy, int budget, int n) {
    w->frames = n;
    world_cache(w, spec_text, budget, 1, 1, true);
    if (policy) w->cache.spec[0].policy = policy;
    CHECK_OK(world_stream(w, 1));
}

/* Which ids are left of 0..n-1 when these scores decide, oldest first. */
static int survivors(const char *spec_text, int budget, int n, const double *scores, int *left) {
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    memcpy(given, scores, (size_t)n * sizeof *scores);
    commit_once(&w, spec_text, &given_policy, budget, n);
    const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
    int count = list->count;
    for (int i = 0; i < count; i++) left[i] = (int)list->items[i].id;
    world_close(&w);
    return count;
}

static void the_top_scores_stay(void) {
    lt_rng_key key = {.seed = 5, .purpose = LT_RNG_TEST};
    for (int round = 0; round < 60; round++) {
        double scores[20] = {0};
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

/* ---- scores are renewed after each victim -------------------------------------------------------------------- */

/* Novelty {0, 0, .9, .8, .7, 1}: 0 and 1 are copies of one state. What is left of a pair is as novel as the newest.
 */
static lt_status twins_score(const lt_policy_view *view, float *out) {
    static const float novelty[6] = {0, 0, .9f, .8f, .7f, 1};
    int twins = 0;
    for (int i = 0; i < view->entries; i++) twins += view->ids[i] < 2;
    for (int i = 0; i < view->entries; i++)
        out[i] = view->ids[i] < 2 && twins < 2 ? 1 : novelty[view->ids[i]];
    return LT_OK;
}
static const lt_policy twins_policy = {
    .name = "twins", .score = twins_score, .fixed_budget = -1, .consolidate = "drop"};

static void one_of_two_twins_survives(void) {
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    commit_once(&w, "window", &twins_policy, 4, 6);
    const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
    CHECK(list->count == 4 && list->items[0].id == 1 && list->items[1].id == 2 && list->items[2].id == 3 &&
          list->items[3].id == 5);
    world_close(&w);
}

static lt_status novelty_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) out[i] = view->features[i][LT_FEATURE_NOVELTY];
    return LT_OK;
}
static const lt_policy novelty_policy = {.name = "novelty",
                                         .score = novelty_score,
                                         .needs = LT_NEED(LT_FEATURE_NOVELTY),
                                         .fixed_budget = -1,
                                         .consolidate = "drop"};

/* Who goes of n states when the least novel goes, one at a time, all layers by their sum: a plain search. The
 * newest stays. */
static void search_novel(const world *w, int layers, int n, int victims, int *victim) {
    double state[2][16][WORLD_STATE];
    bool gone[16] = {0};
    for (int l = 0; l < layers; l++)
        for (int i = 0; i < n; i++) world_state(w, l, 0, 0, i, state[l][i]);
    for (int v = 0; v < victims; v++) {
        double lowest = INFINITY;
        victim[v] = 0;
        for (int i = 0; i < n - 1; i++) {
            double sum = 0;
            for (int l = 0; l < layers; l++) {
                double nearest = -1;
                for (int j = 0; j < n; j++)
                    if (!gone[j] && j != i) nearest = fmax(nearest, world_cosine(state[l][i], state[l][j]));
                sum += (float)(1 - nearest);
            }
            if (!gone[i] && sum < lowest) lowest = sum, victim[v] = i;
        }
        gone[victim[v]] = true;
    }
}

/* States 0 and 1 are equal: of the two the older goes first, and then its twin is compared with those that are
 * left. */
static void the_least_novel_goes_one_at_a_time(void) {
    enum { N = 12, VICTIMS = 8 };
    for (int layers = 1; layers <= 2; layers++) {
        world w;
        int victim[VICTIMS];
        world_open(&w, LT_BACKEND_NAIVE, "cpu");
        w.twins = true, w.frames = N, w.shift = 3;
        world_cache(&w, layers == 2 ? "key-norm:scope=model" : "key-norm", N - VICTIMS, layers, 1, true);
        w.cache.spec[0].policy = &novelty_policy;
        CHECK_OK(world_stream(&w, 1));
        search_novel(&w, layers, N, VICTIMS, victim);
        CHECK(victim[0] == 0 && victim[1] != 1);
        for (int l = 0; l < layers; l++) {
            const lt_entries *list = lt_cache_entries(&w.cache, l, 0);
            CHECK(list->victims == VICTIMS);
            for (int v = 0; v < VICTIMS; v++) CHECK(list->victim[v] == victim[v]);
        }
        world_close(&w);
    }
}

/* With one victim a commit, nothing is scored twice. */
static int scored;
static lt_status counting_score(const lt_policy_view *view, float *out) {
    scored++;
    for (int i = 0; i < view->entries; i++) out[i] = (float)view->ids[i];
    return LT_OK;
}
static void as_often_as_victims_go_entries_are_scored(void) {
    static const lt_policy counting = {
        .name = "counting", .score = counting_score, .fixed_budget = -1, .consolidate = "drop"};
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "window", 3, 1, 1, true);
    w.cache.spec[0].policy = &counting;
    scored = 0;
    CHECK_OK(world_stream(&w, 10));
    CHECK(scored == 7);
    scored = 0;
    commit_once(&w, "window", &counting, 2, 9);
    CHECK(scored == 7);
    world_close(&w);
}

/* ---- only what is needed is computed ------------------------------------------------------------------------- */

static uint64_t shown; /* bits as in lt_policy.needs: what was not 0 */
static lt_status noting_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) {
        for (int f = 0; f < LT_FEATURE_COUNT; f++)
            if (view->features[i][f] != 0) shown |= LT_NEED(f);
        out[i] = (float)view->ids[i];
    }
    if (view->similarity) shown |= LT_NEED_SIMILARITY;
    return LT_OK;
}

/* What a policy with these needs is shown in a stream of 8 blocks, and how many dot products were asked of the
 * device. */
static int64_t asked_for(uint64_t needs) {
    lt_policy noting = {.name = "noting", .score = noting_score, .needs = needs, .consolidate = "drop"};
    lt_meter meter = {0};
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "window", 3, 1, 1, true);
    w.cache.spec[0].policy = &noting;
    w.ctx.meter = &meter;
    shown = 0;
    CHECK_OK(world_stream(&w, 8));
    world_close(&w);
    return meter.op[LT_OP_ATTN_DOTS].calls;
}

static void what_a_policy_does_not_need_is_not_computed(void) {
    CHECK(asked_for(0) == 0 && shown == 0);
    CHECK(asked_for(LT_NEED(LT_FEATURE_AGE)) == 0 && shown == LT_NEED(LT_FEATURE_AGE));
    CHECK(asked_for(LT_NEED(LT_FEATURE_Z_NORM)) == 5 && shown == LT_NEED(LT_FEATURE_Z_NORM));
    CHECK(asked_for(LT_NEED_SIMILARITY) == 5 && shown == LT_NEED_SIMILARITY);
    CHECK(asked_for(LT_NEED(LT_FEATURE_READ_MASS)) == 7 && shown == LT_NEED(LT_FEATURE_READ_MASS));
    CHECK(asked_for(LT_NEED_ALL_FEATURES) > 5 && (shown & ~LT_NEED_ALL_FEATURES) == 0);
    for (int f = 0; f <= LT_FEATURE_MOTION; f++) /* everything is dropped: there are no merges */
        CHECK(((shown & LT_NEED(f)) != 0) == (f != LT_FEATURE_MERGES));
}

static lt_status similar_score(const lt_policy_view *view, float *out) {
    int n = view->entries;
    for (int i = 0; i < n; i++) {
        float nearest = -1;
        for (int j = 0; j < n; j++) {
            CHECK(view->similarity[i * n + j] == view->similarity[j * n + i]);
            if (j != i) nearest = fmaxf(nearest, view->similarity[i * n + j]);
        }
        CHECK_NEAR(view->similarity[i * n + i], 1, 1e-6);
        CHECK_NEAR(1 - nearest, view->features[i][LT_FEATURE_NOVELTY], 1e-6);
        CHECK_NEAR(view->similarity[i * n + n - 1], view->features[i][LT_FEATURE_RECENCY], 1e-6);
        out[i] = -nearest;
    }
    return LT_OK;
}

static void similarity_is_the_cosine_of_each_pair_in_every_view(void) {
    static const lt_policy similar = {.name = "similar",
                                      .score = similar_score,
                                      .needs = LT_NEED_SIMILARITY | LT_NEED(LT_FEATURE_NOVELTY) |
                                               LT_NEED(LT_FEATURE_RECENCY),
                                      .consolidate = "drop"};
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    w.frames = 3;
    world_cache(&w, "window", 4, 2, 1, true);
    w.cache.spec[0].policy = &similar;
    CHECK_OK(world_stream(&w, 6));
    world_close(&w);
}

/* ---- policies ------------------------------------------------------------------------------------------------ */

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

/* Who is left of 20 blocks, whose motion is 0, 1, 2, 3, 4, 0, 1, ...: as many as the budget. */
static const struct {
    const char *spec;
    int budget;
    int64_t left[8];
} who_stays[] = {
    {"window", 3, {17, 18, 19}},
    {"sink:n=2", 4, {0, 1, 18, 19}},
    {"sink:n=9", 3, {0, 1, 19}},
};

static void hand_made_policies_keep_what_they_say(void) {
    world w;
    int64_t ids[8];
    world_open(&w, LT_BACKEND_CPU, "cpu");
    for (size_t i = 0; i < sizeof who_stays / sizeof *who_stays; i++) {
        kept_ids(&w, who_stays[i].spec, who_stays[i].budget, 20, ids);
        for (int k = 0; k < who_stays[i].budget; k++) CHECK(ids[k] == who_stays[i].left[k]);
    }
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
    RUN(one_of_two_twins_survives);
    RUN(the_least_novel_goes_one_at_a_time);
    RUN(as_often_as_victims_go_entries_are_scored);
    RUN(what_a_policy_does_not_need_is_not_computed);
    RUN(similarity_is_the_cosine_of_each_pair_in_every_view);
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
