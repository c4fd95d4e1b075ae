/* Properties of the cache: what is read, what stays, and that nothing else does. */
#include "model/cache/testing.h"

static const char *const policies[] = {"keep-all", "window",    "sink:n=2", "random", "random:mode=uniform",
                                       "key-norm", "read-mass", "learned"};
enum { POLICIES = sizeof policies / sizeof *policies };

static void run_stream(world *w, const char *spec, int budget, int layers, int batch, int64_t blocks,
                       bool scorer) {
    world_open(w, LT_BACKEND_CPU, "cpu");
    world_cache(w, spec, budget, layers, batch, true);
    if (scorer) world_scorer(w, layers, false);
    CHECK_OK(world_stream(w, blocks));
}

static void run_whole(world *w, const char *spec, int budget, int layers, int batch, int64_t blocks,
                      bool scorer) {
    world_open(w, LT_BACKEND_CPU, "cpu");
    world_cache(w, spec, budget, layers, batch, false);
    if (scorer) world_scorer(w, layers, false);
    CHECK_OK(world_whole(w, blocks, false, NULL, NULL));
}

static void keep_all_is_the_left_fold_of_all_blocks_bit_for_bit(void) {
    world w;
    run_stream(&w, "keep-all", 9, 2, 2, 12, false);
    for (int l = 0; l < 2; l++)
        for (int b = 0; b < 2; b++) {
            float sum[WORLD_STATE] = {0};
            for (int block = 0; block < 12; block++) {
                double state[WORLD_STATE], *read = world_read(&w, block, l, b);
                world_state(&w, l, b, block, 0, state);
                for (int i = 0; i < WORLD_STATE; i++) {
                    sum[i] = block ? sum[i] + (float)state[i] : (float)state[i];
                    CHECK(read[i] == sum[i]);
                }
            }
            CHECK(lt_cache_entries(&w.cache, l, b)->count == 1);
        }
    world_close(&w);
}

static void with_room_for_all_every_policy_reads_the_same_bits_as_keep_all(void) {
    world all;
    run_stream(&all, "keep-all", 1, 2, 2, 10, false);
    for (int p = 0; p < POLICIES; p++)
        for (int content = 0; content < 2; content++) {
            char spec[128];
            world streamed, whole;
            snprintf(spec, sizeof spec, "%s%sread=%s", policies[p], strchr(policies[p], ':') ? "," : ":",
                     content ? "content" : "one");
            run_stream(&streamed, spec, 10, 2, 2, 10, true);
            run_whole(&whole, spec, 10, 2, 2, 10, true);
            CHECK(world_same_reads(&all, &streamed, 10));
            CHECK(world_same_reads(&all, &whole, 10));
            world_close(&streamed);
            world_close(&whole);
        }
    world_close(&all);
}

static void an_untrained_scorer_is_window_bit_for_bit(void) {
    world window, learned;
    run_stream(&window, "window", 3, 2, 2, 20, false);
    run_stream(&learned, "learned:read=content", 3, 2, 2, 20, true);
    CHECK(world_same_reads(&window, &learned, 20));
    world_close(&learned);
    run_stream(&learned, "learned:read=age,scope=model", 3, 2, 2, 20, true);
    CHECK(world_same_reads(&window, &learned, 20));
    world_close(&learned);
    world_close(&window);
}

static void walking_block_by_block_and_all_at_once_are_the_same_bits(void) {
    const char *specs[] = {"window",
                           "none",
                           "sink:n=2,consolidate=ema,alpha=0.3",
                           "random:consolidate=nearest",
                           "key-norm:consolidate=decay",
                           "read-mass",
                           "read-mass:consolidate=sum",
                           "random:mode=uniform,scope=model"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        world streamed, whole;
        run_stream(&streamed, specs[i], 3, 2, 2, 20, false);
        run_whole(&whole, specs[i], 3, 2, 2, 20, false);
        CHECK(world_same_reads(&streamed, &whole, 20));
        for (int b = 0; b < 2; b++) {
            const lt_entries *a = lt_cache_entries(&streamed.cache, 1, b),
                             *c = lt_cache_entries(&whole.cache, 1, b);
            CHECK(a->count == c->count);
            for (int k = 0; k < a->count; k++)
                CHECK(a->items[k].id == c->items[k].id && a->items[k].read_mass == c->items[k].read_mass);
        }
        world_close(&streamed);
        world_close(&whole);
    }
}

static void folding_victims_in_by_sum_or_nearest_reads_the_sum_of_all(void) {
    const char *specs[] = {"window:consolidate=sum", "window:consolidate=nearest", "random:consolidate=sum",
                           "key-norm:consolidate=nearest"};
    world all;
    run_stream(&all, "keep-all", 1, 1, 2, 40, false);
    for (int i = 0; i < 4; i++) {
        world merged;
        double difference = 0, size = 0;
        run_stream(&merged, specs[i], 3, 1, 2, 40, false);
        for (int k = 0; k < 40 * 2 * WORLD_STATE; k++) {
            difference += pow(all.reads[k] - merged.reads[k], 2);
            size += pow(all.reads[k], 2);
        }
        CHECK(sqrt(difference / size) < 1e-6);
        int64_t tokens = 0, merges = 0;
        for (int k = 0; k < 3; k++) {
            const lt_entry *e = &lt_cache_entries(&merged.cache, 0, 0)->items[k];
            tokens += e->tokens, merges += 1 + e->merges;
        }
        CHECK(tokens == 40 * 6 && merges == 40);
        world_close(&merged);
    }
    world_close(&all);
}

static void none_reads_the_block_alone(void) {
    world w;
    run_stream(&w, "none", 5, 2, 1, 5, false);
    for (int block = 0; block < 5; block++) {
        double state[WORLD_STATE], *read = world_read(&w, block, 1, 0);
        world_state(&w, 1, 0, block, 0, state);
        for (int i = 0; i < WORLD_STATE; i++) CHECK(read[i] == (float)state[i]);
    }
    CHECK(lt_cache_entries(&w.cache, 0, 0)->count == 0 && lt_cache_slot_bytes(&w.cache) == 0);
    CHECK(lt_cache_entries(&w.cache, 0, 0)->committed == 5);
    world_close(&w);
}

static void a_dropping_policy_holds_exactly_the_states_it_names(void) {
    for (int p = 1; p < POLICIES; p++) {
        world w;
        run_stream(&w, policies[p], 4, 2, 2, 50, true);
        for (int i = 0; i < 4; i++) {
            const lt_entry *e = &lt_cache_entries(&w.cache, 1, 1)->items[i];
            double state[WORLD_STATE], S[WORLD_STATE], z[WORLD_STATE];
            world_state(&w, 1, 1, e->id, 0, state);
            CHECK_OK(lt_host_read(&w.ctx, &e->S, S));
            CHECK_OK(lt_host_read(&w.ctx, &e->z, z));
            for (int k = 0; k < WORLD_STATE; k++) CHECK((float)state[k] == (k < 32 ? S[k] : z[k - 32]));
            CHECK(e->block == e->id && e->first_frame == e->id && e->last_frame == e->id);
        }
        world_close(&w);
    }
}

static void S_and_z_never_separate(void) {
    const char *rules[] = {"drop", "sum", "ema,alpha=0.7", "nearest", "decay,gamma=0.8"};
    for (int p = 1; p < POLICIES; p++)
        for (int rule = 0; rule < 5; rule++) {
            char spec[128];
            world w;
            snprintf(spec, sizeof spec, "%s%sread=age,consolidate=%s", policies[p],
                     strchr(policies[p], ':') ? "," : ":", rules[rule]);
            world_open(&w, LT_BACKEND_NAIVE, "cpu");
            world_cache(&w, spec, 3, 1, 1, true);
            world_scorer(&w, 1, true);
            w.tied = true;
            CHECK_OK(world_stream(&w, 30));
            for (int block = 0; block < 30; block++)
                for (int row = 0; row < 8; row++) {
                    const double *read = world_read(&w, block, 0, 0);
                    double sum = 0, size = 0;
                    for (int i = 0; i < 4; i++) sum += read[row * 4 + i], size += fabs(read[row * 4 + i]);
                    CHECK_NEAR(read[32 + row], sum, 1e-12 * (1 + size));
                }
            world_close(&w);
        }
}

static void entries_stay_in_time_order(void) {
    const char *specs[] = {"random:consolidate=nearest", "key-norm:consolidate=nearest",
                           "random:consolidate=sum", "read-mass", "key-norm:keep=small,consolidate=ema"};
    for (int i = 0; i < 5; i++) {
        world w;
        world_open(&w, LT_BACKEND_CPU, "cpu");
        w.frames = 3, w.box = (lt_segment_box){1, 2, 3};
        world_cache(&w, specs[i], 5, 1, 1, true);
        for (int block = 0; block < 30; block++) {
            CHECK_OK(world_stream(&w, 1));
            const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
            CHECK(list->count == (block == 0 ? 3 : 5));
            for (int k = 1; k < list->count; k++) CHECK(list->items[k - 1].id < list->items[k].id);
            CHECK(list->items[list->count - 1].id == 3 * block + 2);
        }
        world_close(&w);
    }
}

/* On a GPU after 3, 60 and 300. */
static void bytes_are_the_same_number_after_3_300_and_3000_blocks(void) {
    const char *specs[] = {"keep-all", "window", "learned:scope=model,read=content",
                           "read-mass:consolidate=nearest"};
    for (int i = 0; i < 4; i++) {
        world w;
        int64_t bytes[3][5], at[] = {3, test_times(297, 57), test_times(2700, 240)};
        world_open(&w, LT_BACKEND_CPU, "cpu");
        world_cache(&w, specs[i], 2, 2, 1, true);
        world_scorer(&w, 2, true);
        for (int k = 0; k < 3; k++) {
            CHECK_OK(world_stream(&w, at[k]));
            bytes[k][0] = lt_cache_slot_bytes(&w.cache), bytes[k][1] = lt_cache_tail_bytes(&w.cache);
            bytes[k][2] = lt_cache_metadata_bytes(&w.cache), bytes[k][3] = (int64_t)w.run.peak;
            bytes[k][4] = (int64_t)(w.step.peak + w.scratch.peak);
            for (int m = 0; m < 5; m++) CHECK(bytes[k][m] == bytes[0][m] || (m == 4 && k < 2));
        }
        CHECK(bytes[2][4] == bytes[1][4]);
        int slots = lt_cache_slots_for(&w.cache.spec[0], 1);
        CHECK(bytes[0][0] == slots * lt_entry_bytes(2, WORLD_H, WORLD_D));
        world_close(&w);
    }
}

static void nothing_survives_a_reset(void) {
    const char *specs[] = {"keep-all", "random:mode=uniform", "read-mass:consolidate=ema",
                           "learned:scope=model"};
    for (int i = 0; i < 4; i++) {
        world fresh, reused;
        world_open(&fresh, LT_BACKEND_CPU, "cpu");
        world_cache(&fresh, specs[i], 3, 2, 1, true);
        world_scorer(&fresh, 2, true);
        world_open(&reused, LT_BACKEND_CPU, "cpu");
        world_cache(&reused, specs[i], 3, 2, 1, true);
        world_scorer(&reused, 2, true);
        reused.shift = 1;
        CHECK_OK(world_stream(&reused, 17));
        lt_tensor tail = lt_cache_tail(&reused.cache, 1);
        CHECK(!lt_is_empty(&tail));
        lt_cache_reset(&reused.cache);
        tail = lt_cache_tail(&reused.cache, 1);
        CHECK(lt_is_empty(&tail));
        reused.shift = 0, reused.block = 0;
        CHECK_OK(world_stream(&fresh, 17));
        CHECK_OK(world_stream(&reused, 17));
        CHECK(world_same_reads(&fresh, &reused, 17));
        world_close(&fresh);
        world_close(&reused);
    }
}

static void a_follower_loses_the_same_entries_as_its_leader(void) {
    const char *specs[] = {"random", "key-norm", "key-norm:consolidate=nearest", "learned:scope=model"};
    for (int i = 0; i < 4; i++)
        for (int leading = 0; leading < 2; leading++) {
            world w;
            int differ = 0;
            world_open(&w, LT_BACKEND_CPU, "cpu");
            world_cache(&w, specs[i], 3, 2, 2, true);
            world_scorer(&w, 2, true);
            w.cache.sequence[1] = 99;
            if (leading) w.cache.leader[1] = 0;
            CHECK_OK(world_stream(&w, 40));
            for (int l = 0; l < 2; l++)
                for (int k = 0; k < 3; k++) {
                    const lt_entry *a = &lt_cache_entries(&w.cache, l, 0)->items[k];
                    const lt_entry *b = &lt_cache_entries(&w.cache, l, 1)->items[k];
                    differ += a->id != b->id || a->merges != b->merges || a->first_id != b->first_id;
                }
            CHECK(leading ? differ == 0 : differ > 0);
            world_close(&w);
        }
}

static void with_scope_model_all_layers_evict_together_by_the_mean_score(void) {
    enum { LAYERS = 3, BLOCKS = 25 };
    world w;
    run_stream(&w, "key-norm:scope=model,protect=0", 4, LAYERS, 1, BLOCKS, false);
    double norm[BLOCKS], worst = INFINITY;
    for (int b = 0; b < BLOCKS; b++) {
        norm[b] = 0;
        for (int l = 0; l < LAYERS; l++) {
            double state[WORLD_STATE], square = 0;
            world_state(&w, l, 0, b, 0, state);
            for (int i = 32; i < WORLD_STATE; i++) square += state[i] * state[i];
            norm[b] += sqrt(square);
        }
    }
    const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
    for (int k = 0; k < 4; k++) worst = fmin(worst, norm[list->items[k].id]);
    for (int b = 0; b < BLOCKS; b++) {
        bool kept = false;
        for (int k = 0; k < 4; k++) kept |= list->items[k].id == b;
        CHECK(kept || norm[b] < worst);
    }
    for (int l = 1; l < LAYERS; l++)
        for (int k = 0; k < 4; k++) CHECK(lt_cache_entries(&w.cache, l, 0)->items[k].id == list->items[k].id);
    world_close(&w);
}

static void ghosts_do_not_change_a_bit(void) {
    const char *specs[] = {"window", "random", "read-mass", "key-norm:read=content", "none"};
    for (int i = 0; i < 5; i++) {
        world plain = {0}, haunted = {0};
        for (int ghosts = 0; ghosts < 2; ghosts++) {
            world *w = ghosts ? &haunted : &plain;
            world_open(w, LT_BACKEND_CPU, "cpu");
            world_cache(w, specs[i], 2, 1, 2, false);
            world_scorer(w, 1, true);
            w->cache.ghosts = ghosts;
            CHECK_OK(world_whole(w, 12, false, NULL, NULL));
        }
        CHECK(world_same_reads(&plain, &haunted, 12));
        const lt_entries *list = lt_cache_entries(&haunted.cache, 0, 1);
        int alive = 0;
        for (int k = 0; k < list->count; k++) alive += !list->items[k].ghost;
        CHECK(list->count == 12 && alive == lt_cache_entries(&plain.cache, 0, 1)->count);
        world_close(&plain);
        world_close(&haunted);
    }
}

static void read_mass_is_the_mean_share_of_attention(void) {
    world w;
    run_stream(&w, "read-mass", 8, 1, 1, 6, false);
    const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
    double mass[6];
    for (int b = 0; b < 6; b++) {
        double state[WORLD_STATE];
        world_state(&w, 0, 0, b, 0, state);
        mass[b] = 0;
        for (int i = 0; i < 8; i++) mass[b] += state[32 + i] * (1 + i % 3);
    }
    for (int e = 0; e < 5; e++) {
        double share = 0;
        for (int reader = e + 1; reader < 6; reader++) {
            double total = 0;
            for (int b = 0; b <= reader; b++) total += mass[b];
            share += mass[e] / total;
        }
        CHECK_NEAR(list->items[e].read_mass, share, 1e-6);
        CHECK(list->items[e].reads == 5 - e);
    }
    world_close(&w);
}

/* Sequences that keep, fold and weigh differently, some of them led, in one call for all and in one for each. */
static void sequences_that_come_together_are_what_each_is_alone(void) {
    const char *specs[] = {"keep-all:consolidate=decay",
                           "learned:read=content",
                           "window:consolidate=ema,alpha=0.7",
                           "key-norm:consolidate=nearest,read=age",
                           "read-mass:read=content,consolidate=sum",
                           "random"};
    enum { COUNT = 6 };
    for (int way = 0; way < 4;
         way++) { /* with slots, without; each with segments of one frame of two, or not */
        world w[2];
        for (int i = 0; i < 2; i++) {
            world_open(&w[i], LT_BACKEND_NAIVE, "cpu");
            w[i].together = i;
            w[i].frames = 1 + way % 2;
            world_cache(&w[i], "window", 3, 2, COUNT, way < 2);
            world_scorer(&w[i], 2, true);
            for (int b = 0; b < COUNT; b++)
                CHECK_OK(lt_cache_spec_parse(specs[b], 3 - b % 2, &w[i].cache.spec[b]));
            w[i].cache.leader[5] = 3;
            CHECK_OK(way < 2 ? world_stream(&w[i], 9) : world_whole(&w[i], 9, false, NULL, NULL));
        }
        CHECK(world_same_reads(&w[0], &w[1], 9));
        for (int b = 0; b < 2 * COUNT; b++) {
            const lt_entries *one = &w[0].cache.lists[b], *all = &w[1].cache.lists[b];
            CHECK(one->count == all->count);
            for (int e = 0; e < one->count; e++) {
                const lt_entry *x = &one->items[e], *y = &all->items[e];
                CHECK(x->id == y->id && x->read_mass == y->read_mass && x->score == y->score);
            }
        }
        world_close(&w[0]);
        world_close(&w[1]);
    }
}

typedef struct seen {
    int commits, reads, victims, gradients;
    int64_t last_victim;
} seen;

static void saw_commit(const lt_commit_event *e, void *user) {
    seen *s = user;
    s->commits++;
    s->victims += e->victims;
    if (e->victims) s->last_victim = e->victim_ids[0];
    CHECK(e->present[e->count - 1].id == e->commit && e->present[0].features[LT_FEATURE_Z_NORM] > 0);
    CHECK(e->present[e->count - 1].features[LT_FEATURE_AGE] == 0);
    CHECK_NEAR(e->present[e->count - 1].features[LT_FEATURE_RECENCY], 1, 1e-6);
}
static void saw_read(const lt_read_event *e, void *user) {
    ((seen *)user)->reads++;
    CHECK(e->count <= 2 && !e->weights);
}

static void an_observer_sees_every_decision_and_read(void) {
    world w;
    seen s = {0};
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "window", 2, 3, 2, true);
    w.cache.leader[1] = 0;
    w.cache.observer = (lt_cache_observer){.on_commit = saw_commit, .on_read = saw_read, .user = &s};
    CHECK_OK(world_stream(&w, 10));
    CHECK(s.commits == 60 && s.reads == 60 && s.victims == 8 * 6 && s.last_victim == 7);
    world_close(&w);
}

static void everything_walks_on_without_memory(void) {
    const char *specs[] = {"learned:scope=model,read=content", "read-mass:consolidate=nearest,read=age",
                           "keep-all"};
    for (int i = 0; i < 3; i++) {
        world w;
        world_open(&w, LT_BACKEND_NULL, "null");
        world_cache(&w, specs[i], 3, 2, 1, true);
        world_scorer(&w, 2, false);
        CHECK_OK(world_stream(&w, 10));
        CHECK(lt_cache_entries(&w.cache, 1, 0)->count == (i == 2 ? 1 : 3));
        world_cache(&w, "learned:read=content", 3, 2, 1, false);
        w.cache.scorer = &w.scorer;
        w.tape.recording = true;
        CHECK_OK(world_whole(&w, 10, true, NULL, NULL));
        world_close(&w);
    }
}

static void what_cannot_work_is_refused(void) {
    world w;
    lt_var *S, *z;
    lt_cache other;
    lt_cache_spec spec;
    world_open(&w, LT_BACKEND_CPU, "cpu");
    world_cache(&w, "read-mass:scope=model", 2, 1, 1, false);
    CHECK_FAILS(world_whole(&w, 4, false, NULL, NULL), LT_USAGE, "block by block with slots");
    world_cache(&w, "read-mass:scope=model", 2, 1, 1, true);
    CHECK_OK(lt_cache_layer_begin(&w.cache, &w.tape, 0));
    CHECK_OK(world_visit(&w, 0, 0, 0, false, &S, &z));
    CHECK_FAILS(world_visit(&w, 0, 0, 1, false, &S, &z), LT_USAGE, "one block at a time");
    CHECK_FAILS(lt_cache_save(&w.cache, w.device, "unwritten"), LT_FAILED, "middle of a forward");
    world_cache(&w, "window", 2, 1, 1, true);
    w.tape.recording = true;
    CHECK_FAILS(world_stream(&w, 1), LT_FAILED, "cannot commit into slots");
    w.tape.recording = false;
    w.cache.ghosts = true;
    CHECK_FAILS(world_stream(&w, 1), LT_USAGE, "ghosts need a cache without slots");
    w.cache.ghosts = false;
    CHECK_OK(lt_cache_spec_parse("window", 5, &w.cache.spec[0]));
    CHECK_FAILS(world_stream(&w, 4), LT_USAGE,
                "2 slots, but window with a budget of 5 and 1 entries a block needs 5");
    w.cache.leader[0] = 3;
    CHECK_FAILS(world_stream(&w, 1), LT_USAGE, "cannot follow 3");
    world_cache(&w, "window", 70, 1, 1, false);
    CHECK_FAILS(world_whole(&w, WORLD_BLOCKS + 1, false, NULL, NULL), LT_FAILED, "room for 64");
    CHECK_OK(lt_cache_spec_parse("window", 5, &spec));
    lt_cache_shape shape = {.layers = 1, .batch = 1, .heads = 2, .head_dim = 4, .slots = 4, .capacity = 9};
    CHECK_FAILS(lt_cache_init(&other, &shape, &spec, &w.run), LT_USAGE, "needs 5");
    shape.slots = 10;
    CHECK_FAILS(lt_cache_init(&other, &shape, &spec, &w.run), LT_USAGE, "need room too");
    shape.slots = 5, shape.heads = 0;
    CHECK_FAILS(lt_cache_init(&other, &shape, &spec, &w.run), LT_USAGE, "0 heads");
    shape.heads = 2;
    CHECK_FAILS(lt_cache_init(&other, &shape, &spec, NULL), LT_FAILED, "run arena");
    world_close(&w);
}

int main(int argc, char **argv) {
    RUN(keep_all_is_the_left_fold_of_all_blocks_bit_for_bit);
    RUN(with_room_for_all_every_policy_reads_the_same_bits_as_keep_all);
    RUN(an_untrained_scorer_is_window_bit_for_bit);
    RUN(walking_block_by_block_and_all_at_once_are_the_same_bits);
    RUN(folding_victims_in_by_sum_or_nearest_reads_the_sum_of_all);
    RUN(none_reads_the_block_alone);
    RUN(a_dropping_policy_holds_exactly_the_states_it_names);
    RUN(S_and_z_never_separate);
    RUN(entries_stay_in_time_order);
    RUN(bytes_are_the_same_number_after_3_300_and_3000_blocks);
    RUN(nothing_survives_a_reset);
    RUN(a_follower_loses_the_same_entries_as_its_leader);
    RUN(with_scope_model_all_layers_evict_together_by_the_mean_score);
    RUN(ghosts_do_not_change_a_bit);
    RUN(read_mass_is_the_mean_share_of_attention);
    RUN(sequences_that_come_together_are_what_each_is_alone);
    RUN(an_observer_sees_every_decision_and_read);
    RUN(everything_walks_on_without_memory);
    RUN(what_cannot_work_is_refused);
    return test_end();
}
