/* What a policy keeps of each entry lives, moves, merges, is saved and goes with it. */
#include "model/cache/testing.h"

#include <unistd.h>

enum { FIRST, SEEN, KEPT };

/* Notes the commit that wrote an entry, and counts the commits since. */
static lt_status age_update(const lt_policy_view *view) {
    for (int i = 0; i < view->entries; i++) {
        float *own = view->state + i * KEPT;
        if (own[SEEN]++ == 0) own[FIRST] = (float)view->ids[i];
    }
    return LT_OK;
}

/* Every third entry goes last, so that not only the oldest go; else the oldest by its own count. */
static lt_status age_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) {
        const float *own = view->state + i * KEPT;
        out[i] = fmodf(own[FIRST], 3) == 0 ? 1000 + own[FIRST] : -own[SEEN];
    }
    return LT_OK;
}

static const lt_policy ageing = {.name = "window",
                                 .score = age_score,
                                 .update = age_update,
                                 .state = KEPT,
                                 .fixed_budget = -1,
                                 .consolidate = "drop"};

static void open_ageing(world *w, const char *spec, int budget, int layers, int batch, bool slots) {
    world_open(w, LT_BACKEND_CPU, "cpu");
    world_cache(w, spec, budget, layers, batch, slots);
    for (int b = 0; b < batch; b++) w->cache.spec[b].policy = &ageing;
}

static const float *state_of(const world *w, int layer, int sequence, int entry) {
    lt_entries *list = lt_cache_entries((lt_cache *)&w->cache, layer, sequence);
    return lt_entry_state(&w->cache, list, entry);
}

static void state_stays_with_its_entry(void) {
    for (int slots = 0; slots < 2; slots++) {
        world w;
        open_ageing(&w, "window", 4, 2, 2, slots);
        if (slots) CHECK_OK(world_stream(&w, 20));
        else CHECK_OK(world_whole(&w, 20, false, NULL, NULL));
        for (int l = 0; l < 2; l++)
            for (int b = 0; b < 2; b++) {
                const lt_entries *list = lt_cache_entries(&w.cache, l, b);
                CHECK(list->count == 4 && list->items[0].id == 12 && list->items[1].id == 15 &&
                      list->items[2].id == 18 && list->items[3].id == 19);
                for (int i = 0; i < list->count; i++) {
                    const float *own = state_of(&w, l, b, i);
                    CHECK(own[FIRST] == (float)list->items[i].id);
                    CHECK(own[SEEN] == (float)(20 - list->items[i].id));
                }
            }
        world_close(&w);
    }
}

/* Ghosts and several entries a commit: they move past each other. */
static void state_stays_with_its_entry_among_ghosts(void) {
    world w;
    open_ageing(&w, "window", 3, 1, 1, false);
    w.frames = 3;
    w.cache.ghosts = true;
    CHECK_OK(world_whole(&w, 6, false, NULL, NULL));
    const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
    CHECK(list->count == 18);
    for (int i = 0; i < list->count; i++) CHECK(state_of(&w, 0, 0, i)[FIRST] == (float)list->items[i].id);
    world_close(&w);
}

/* What a victim had is folded in by the mean, weighted by tokens, or by the policy's own rule. */
static void largest(float *target, int target_tokens, const float *victim, int victim_tokens) {
    CHECK(target_tokens > 0 && victim_tokens == 6);
    for (int i = 0; i < KEPT; i++) target[i] = fmaxf(target[i], victim[i]);
}
static lt_status first_goes(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) out[i] = (float)view->ids[i];
    return LT_OK;
}

static void state_is_merged_with_its_entry(void) {
    for (int own_rule = 0; own_rule < 2; own_rule++) {
        lt_policy merging = ageing;
        world w;
        merging.score = first_goes;
        if (own_rule) merging.merge = largest;
        open_ageing(&w, "window:consolidate=sum", 2, 1, 1, true);
        w.cache.spec[0].policy = &merging;
        CHECK_OK(world_stream(&w, 3)); /* 0 is added to 1 */
        const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
        const float *merged = state_of(&w, 0, 0, 0), *newest = state_of(&w, 0, 0, 1);
        CHECK(list->count == 2 && list->items[0].tokens == 12 && list->items[0].merges == 1);
        CHECK(merged[FIRST] == (own_rule ? 1 : 0.5f) && merged[SEEN] == (own_rule ? 3 : 2.5f));
        CHECK(newest[FIRST] == 2 && newest[SEEN] == 1);
        world_close(&w);
    }
}

static void the_bytes_of_the_state_are_counted(void) {
    world with, without;
    lt_cache_spec spec;
    world_open(&with, LT_BACKEND_CPU, "cpu");
    world_open(&without, LT_BACKEND_CPU, "cpu");
    world_cache(&without, "window", 400, 3, 1, false);
    lt_policy large = ageing;
    large.state = LT_POLICY_STATE;
    spec = without.cache.spec[0];
    spec.policy = &large;
    CHECK_OK(lt_cache_init(&with.cache, &without.cache.shape, &spec, &with.run));
    int64_t more = lt_cache_metadata_bytes(&with.cache) - lt_cache_metadata_bytes(&without.cache);
    int64_t values = 3 * without.cache.shape.capacity * LT_POLICY_STATE;
    CHECK(more == values * (int64_t)sizeof(float));
    lt_cache_free(&with.cache);
    large.state = LT_POLICY_STATE + 1;
    CHECK_FAILS(lt_cache_init(&with.cache, &without.cache.shape, &spec, &with.run), LT_USAGE, "at most 16");
    world_close(&with);
    world_close(&without);
}

static void a_saved_cache_goes_on_with_the_state_of_its_entries(void) {
    char name[64];
    world a, b;
    snprintf(name, sizeof name, "%s/longtake-state-%d.safetensors", P_tmpdir, (int)getpid());
    open_ageing(&a, "window", 4, 2, 1, true);
    open_ageing(&b, "window", 4, 2, 1, true);
    CHECK_OK(world_stream(&a, 11));
    CHECK_OK(lt_cache_save(&a.cache, a.device, name));
    CHECK_OK(lt_cache_load(&b.cache, b.device, name));
    b.block = a.block;
    CHECK_OK(world_stream(&a, 9));
    CHECK_OK(world_stream(&b, 9));
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < 4; i++)
            CHECK(memcmp(state_of(&a, l, 0, i), state_of(&b, l, 0, i), KEPT * sizeof(float)) == 0 &&
                  state_of(&a, l, 0, i)[FIRST] == (float)lt_cache_entries(&b.cache, l, 0)->items[i].id);
    world_close(&b);
    world_open(&b, LT_BACKEND_CPU, "cpu");
    world_cache(&b, "window", 4, 2, 1, true); /* a window that keeps nothing: its file has no such part */
    CHECK_OK(lt_cache_save(&b.cache, b.device, name));
    CHECK_FAILS(lt_cache_load(&a.cache, a.device, name), LT_INPUT, "\"policy_state\" is missing");
    world_close(&a);
    world_close(&b);
    (void)unlink(name);
}

/* Who decides keeps its numbers; who follows loses the same entries and keeps none. */
static void a_follower_loses_what_the_state_of_its_leader_says(void) {
    world w;
    open_ageing(&w, "window", 4, 2, 2, true);
    w.cache.leader[1] = 0;
    CHECK_OK(world_stream(&w, 20));
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < 4; i++) {
            CHECK(lt_cache_entries(&w.cache, l, 1)->items[i].id ==
                  lt_cache_entries(&w.cache, l, 0)->items[i].id);
            CHECK(state_of(&w, l, 0, i)[SEEN] > 0 && state_of(&w, l, 1, i)[SEEN] == 0);
        }
    CHECK(lt_cache_entries(&w.cache, 0, 1)->items[0].id == 12);
    world_close(&w);
}

static void nothing_of_the_state_survives_a_reset(void) {
    world w;
    open_ageing(&w, "window", 4, 1, 1, true);
    CHECK_OK(world_stream(&w, 9));
    lt_cache_reset(&w.cache);
    CHECK_OK(world_stream(&w, 1));
    CHECK(state_of(&w, 0, 0, 0)[FIRST] == 0 && state_of(&w, 0, 0, 0)[SEEN] == 1);
    world_close(&w);
}

static void a_policy_with_state_cannot_take_over_a_video(void) {
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "window", 4, 1, 1, true);
    CHECK_OK(world_stream(&w, 2));
    w.cache.spec[0].policy = &ageing;
    CHECK_FAILS(world_stream(&w, 1), LT_USAGE, "in the middle of a video");
    world_close(&w);
}

int main(int argc, char **argv) {
    RUN(state_stays_with_its_entry);
    RUN(state_stays_with_its_entry_among_ghosts);
    RUN(state_is_merged_with_its_entry);
    RUN(the_bytes_of_the_state_are_counted);
    RUN(a_saved_cache_goes_on_with_the_state_of_its_entries);
    RUN(a_follower_loses_what_the_state_of_its_leader_says);
    RUN(nothing_of_the_state_survives_a_reset);
    RUN(a_policy_with_state_cannot_take_over_a_video);
    return test_end();
}
