/* What a victim leaves behind, in numbers, and what is recorded of a merged entry. */
#include "model/cache/testing.h"

enum { BLOCKS = 4 }; /* with a budget of 3, the last one evicts */

/* The states of the entries after the last block, and those of all blocks. */
typedef struct outcome {
    world w;
    int count;
    double entry[BLOCKS][WORLD_STATE], state[BLOCKS][WORLD_STATE];
} outcome;

static lt_entries *run(outcome *o, const char *spec, bool slots) {
    world *w = &o->w;
    world_open(w, LT_BACKEND_NAIVE, "cpu");
    world_cache(w, spec, 3, 1, 1, slots);
    if (slots) CHECK_OK(world_stream(w, BLOCKS));
    else CHECK_OK(world_whole(w, BLOCKS, false, NULL, NULL));
    lt_entries *list = lt_cache_entries(&w->cache, 0, 0);
    o->count = list->count;
    for (int i = 0; i < list->count; i++) {
        CHECK_OK(lt_host_read(&w->ctx, &list->items[i].S, o->entry[i]));
        CHECK_OK(lt_host_read(&w->ctx, &list->items[i].z, o->entry[i] + 32));
    }
    for (int b = 0; b < BLOCKS; b++) world_state(w, 0, 0, b, 0, o->state[b]);
    return list;
}

/* Entry `at` is x * block a + y * block b. */
static void check_entry(const outcome *o, int at, double x, int a, double y, int b) {
    for (int i = 0; i < WORLD_STATE; i++)
        CHECK_NEAR(o->entry[at][i], x * o->state[a][i] + y * o->state[b][i], 1e-14);
}

static void rule_folds(const char *spec, double x, int a, double y, int b) {
    for (int slots = 0; slots < 2; slots++) {
        outcome o;
        lt_entries *list = run(&o, spec, slots);
        CHECK(o.count == 3 && list->victims == 1);
        check_entry(&o, 0, x, a, y, b);
        check_entry(&o, 1, 1, 2, 0, 0);
        check_entry(&o, 2, 1, 3, 0, 0);
        world_close(&o.w);
    }
}

static void the_oldest_victim_goes_into_the_next_newer_one(void) {
    rule_folds("window:consolidate=sum", 1, 0, 1, 1);
    rule_folds("window:consolidate=ema,alpha=0.8", 1 - 0.8, 0, 0.8, 1);
    rule_folds("window:consolidate=decay,gamma=0.75", 0.75, 0, 1, 1);
}

static void any_other_victim_goes_into_its_older_neighbour(void) {
    rule_folds("sink:consolidate=sum", 1, 0, 1, 1);
    rule_folds("sink:consolidate=ema,alpha=0.8", 0.8, 0, 1 - 0.8, 1);
    rule_folds("sink:consolidate=decay,gamma=0.75", 0.75, 0, 1, 1);
}

static double cosine(const double *a, const double *b) {
    double sum = 0;
    for (int h = 0; h < WORLD_H; h++) {
        double ab = 0, aa = 0, bb = 0;
        for (int i = h * WORLD_D; i < (h + 1) * WORLD_D; i++)
            ab += a[32 + i] * b[32 + i], aa += a[32 + i] * a[32 + i], bb += b[32 + i] * b[32 + i];
        sum += ab / sqrt(aa * bb) / WORLD_H;
    }
    return sum;
}

static void nearest_takes_the_most_similar_z(void) {
    int not_neighbour = 0;
    for (int shift = 0; shift < 20; shift++) {
        outcome o = {0};
        world *w = &o.w;
        world_open(w, LT_BACKEND_NAIVE, "cpu");
        world_cache(w, "window:consolidate=nearest", 3, 1, 1, true);
        w->shift = shift;
        CHECK_OK(world_stream(w, BLOCKS));
        const lt_entries *list = lt_cache_entries(&w->cache, 0, 0);
        int best = 1;
        for (int b = 0; b < BLOCKS; b++) world_state(w, 0, 0, b, 0, o.state[b]);
        for (int b = 2; b < BLOCKS; b++)
            if (cosine(o.state[0], o.state[b]) > cosine(o.state[0], o.state[best])) best = b;
        for (int i = 0; i < 3; i++) CHECK(list->items[i].merges == (i + 1 == best));
        CHECK_OK(lt_host_read(&w->ctx, &list->items[best - 1].S, o.entry[0]));
        CHECK_OK(lt_host_read(&w->ctx, &list->items[best - 1].z, o.entry[0] + 32));
        check_entry(&o, 0, 1, 0, 1, best);
        not_neighbour += best != 1;
        world_close(w);
    }
    CHECK(not_neighbour > 3);
}

static void a_merged_entry_covers_both(void) {
    outcome o;
    lt_entries *list = run(&o, "window:consolidate=sum", true);
    const lt_entry *e = &list->items[0];
    CHECK(e->id == 1 && e->first_id == 0 && e->first_frame == 0 && e->last_frame == 1 && e->block == 1);
    CHECK(e->tokens == 12 && e->merges == 1 && e->motion == 0.5f); /* motion 0 and 1 */
    world_close(&o.w);
}

static void a_sink_that_took_victims_in_stays(void) {
    world w;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "sink:consolidate=ema", 3, 1, 1, true);
    CHECK_OK(world_stream(&w, 30));
    const lt_entry *e = lt_cache_entries(&w.cache, 0, 0)->items;
    CHECK(e[0].first_id == 0 && e[0].id == 27 && e[0].merges == 27 && e[1].id == 28 && e[2].id == 29);
    world_close(&w);
}

static void several_victims_of_one_block_fold_one_after_the_other(void) {
    for (int slots = 0; slots < 2; slots++) {
        world w;
        double state[WORLD_STATE], found[WORLD_STATE], sum[WORLD_STATE] = {0};
        world_open(&w, LT_BACKEND_NAIVE, "cpu");
        w.frames = 4;
        world_cache(&w, "window:consolidate=sum", 1, 1, 1, slots);
        if (slots) CHECK_OK(world_stream(&w, 3));
        else CHECK_OK(world_whole(&w, 3, false, NULL, NULL));
        const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
        CHECK(list->count == 1 && list->items[0].tokens == 72 && list->items[0].merges == 11);
        CHECK(list->items[0].first_frame == 0 && list->items[0].last_frame == 11);
        for (int i = 0; i < 12; i++) {
            world_state(&w, 0, 0, i / 4, i % 4, state);
            for (int k = 0; k < WORLD_STATE; k++) sum[k] += state[k];
        }
        CHECK_OK(lt_host_read(&w.ctx, &list->items[0].S, found));
        CHECK_OK(lt_host_read(&w.ctx, &list->items[0].z, found + 32));
        for (int k = 0; k < WORLD_STATE; k++) CHECK(found[k] == sum[k]);
        world_close(&w);
    }
}

int main(int argc, char **argv) {
    RUN(the_oldest_victim_goes_into_the_next_newer_one);
    RUN(any_other_victim_goes_into_its_older_neighbour);
    RUN(nearest_takes_the_most_similar_z);
    RUN(a_merged_entry_covers_both);
    RUN(a_sink_that_took_victims_in_stays);
    RUN(several_victims_of_one_block_fold_one_after_the_other);
    return test_end();
}
