#include "infer/cache_shape.h"
#include "infer/eval_table.h"
#include "infer/paired.h"
#include "infer/testing_data.h"
#include "model/text/testing.h"

enum { BLOCKS = 6, DRAWS = 4, CELLS = BLOCKS * LT_EVAL_BINS * DRAWS };

static lt_model *model;
static lt_dataset *set;

static lt_eval_options small(void) {
    lt_eval_options o = lt_eval_default();
    o.blocks = BLOCKS, o.clips = 2;
    return o;
}

/* All samples of a run, in the order they came. */
typedef struct record {
    lt_eval_sample items[8 * CELLS * 8];
    int count;
} record;

static lt_status keep(const lt_eval_sample *sample, void *user) {
    record *r = user;
    if (r->count < (int)(sizeof r->items / sizeof *r->items)) r->items[r->count++] = *sample;
    return LT_OK;
}

static const lt_eval_sample *find(const record *r, int spec, int64_t order, int block, int bin, int draw) {
    for (int i = 0; i < r->count; i++) {
        const lt_eval_sample *s = &r->items[i];
        if (s->spec == spec && s->order == order && s->block == block && s->bin == bin && s->draw == draw)
            return s;
    }
    return NULL;
}

static void policies_differ_only_where_an_eviction_is_in_force(void) {
    static record r;
    lt_cache_spec specs[] = {test_spec("window", 2), test_spec("sink", 2), test_spec("keep-all", 1),
                             test_spec("window", BLOCKS)};
    lt_eval_options o = small();
    r.count = 0;
    CHECK_OK(lt_evaluate(model, set, &o, specs, 4, keep, &r));
    CHECK(r.count == 4 * 4 * CELLS);
    int differ = 0;
    for (int i = 0; i < r.count; i++) {
        const lt_eval_sample *s = &r.items[i], *w = find(&r, 0, s->order, s->block, s->bin, s->draw);
        CHECK(s->clip == w->clip && s->t == w->t && s->gaussian == w->gaussian && isfinite(s->loss));
        CHECK(s->evicting == (s->block > specs[s->spec].budget));
        if (s->spec == 1 && !s->evicting) CHECK(s->loss == w->loss);
        if (s->spec == 1 && s->evicting) differ += s->loss != w->loss;
        /* A budget that holds everything reads the same sum as keep-all. */
        if (s->spec == 3) CHECK(s->loss == find(&r, 2, s->order, s->block, s->bin, s->draw)->loss);
    }
    CHECK(differ > 4 * (BLOCKS - 3) * LT_EVAL_BINS * DRAWS * 9 / 10);
}

static void times_fill_every_stratum_once(void) {
    static record r;
    lt_cache_spec spec = test_spec("none", 0);
    lt_eval_options o = small();
    r.count = 0;
    CHECK_OK(lt_evaluate(model, set, &o, &spec, 1, keep, &r));
    for (int i = 0; i < r.count; i++) {
        const lt_eval_sample *s = &r.items[i];
        double at = s->t * LT_EVAL_BINS;
        CHECK((int)floor(at) == s->bin && (int)floor((at - s->bin) * DRAWS) == s->draw);
        for (int k = 0; k < i; k++) CHECK(r.items[k].t != s->t || r.items[k].draw == s->draw);
    }
}

static void the_batch_does_not_change_the_losses(void) {
    static record one, three;
    lt_cache_spec spec = test_spec("window", 1);
    lt_eval_options o = small();
    one.count = three.count = 0;
    o.batch = 1;
    CHECK_OK(lt_evaluate(model, set, &o, &spec, 1, keep, &one));
    o.batch = 3;
    CHECK_OK(lt_evaluate(model, set, &o, &spec, 1, keep, &three));
    CHECK(one.count == three.count);
    for (int i = 0; i < one.count; i++) {
        const lt_eval_sample *a = &one.items[i], *b = find(&three, 0, a->order, a->block, a->bin, a->draw);
        CHECK(a->t == b->t);
        CHECK_NEAR(a->loss, b->loss, 1e-4 * a->loss);
    }
}

/* An A/A comparison: whatever company a policy is measured in, it differs from itself by exactly nothing. */
static void a_policy_differs_from_itself_by_nothing(void) {
    static record alone, among;
    static double difference[8 * CELLS];
    static uint64_t group[8 * CELLS];
    lt_cache_spec specs[] = {test_spec("sink", 2), test_spec("window", 2), test_spec("none", 0),
                             test_spec("window", 2)};
    lt_eval_options o = small();
    lt_paired p, *table[] = {&p};
    alone.count = among.count = 0;
    CHECK_OK(lt_evaluate(model, set, &o, &specs[1], 1, keep, &alone));
    CHECK_OK(lt_evaluate(model, set, &o, specs, 4, keep, &among));
    for (int i = 0; i < alone.count; i++) {
        const lt_eval_sample *a = &alone.items[i];
        const lt_eval_sample *b = find(&among, 1, a->order, a->block, a->bin, a->draw);
        const lt_eval_sample *c = find(&among, 3, a->order, a->block, a->bin, a->draw);
        difference[i] = a->loss - b->loss, group[i] = (uint64_t)i;
        CHECK(b->loss == c->loss);
    }
    CHECK(alone.count >= LT_PAIRED_MIN_GROUPS);
    CHECK_OK(lt_paired_of(difference, group, NULL, alone.count, 0, &p));
    CHECK_OK(lt_paired_correct(table, 1));
    CHECK(p.mean == 0 && p.low == 0 && p.high == 0 && p.table_low == 0 && p.table_high == 0);
    CHECK(strcmp(lt_paired_verdict(&p, true), "not distinguishable") == 0);
}

static void clips_are_spread_over_domains_and_roles_are_kept_apart(void) {
    lt_eval_options o = small();
    int64_t *clips, count;
    CHECK_OK(lt_eval_clips(model, set, &o, &clips, &count));
    CHECK(count == 4);
    for (int64_t i = 0; i < count; i++) {
        const lt_clip *row = lt_dataset_clip(set, clips[i]);
        CHECK(strcmp(row->role, "test") == 0);
        CHECK(strcmp(row->domain, i < 2 ? "calm" : "dynamic") == 0);
    }
    free(clips);
    o.clips = 0;
    CHECK_OK(lt_eval_clips(model, set, &o, &clips, &count));
    CHECK(count == 14);
    free(clips);
    o.role = "train";
    CHECK_FAILS(lt_eval_clips(model, set, &o, &clips, &count), LT_USAGE, "--allow-train");
    o.allow_train = true;
    CHECK_OK(lt_eval_clips(model, set, &o, &clips, &count));
    CHECK(count == 2);
    free(clips);
    o.blocks = 9;
    CHECK_FAILS(lt_eval_clips(model, set, &o, &clips, &count), LT_INPUT, "");
}

static void what_cannot_be_evaluated_is_said(void) {
    lt_cache_spec spec = test_spec("key-norm:scope=model", 2);
    lt_eval_options o = small();
    CHECK_FAILS(lt_evaluate(model, set, &o, &spec, 1, keep, NULL), LT_USAGE, "scope=layer");
    spec = test_spec("window", 2);
    o.draws = 3;
    CHECK_FAILS(lt_evaluate(model, set, &o, &spec, 1, keep, NULL), LT_USAGE, "3 noise draws");
    o = small(), o.role = "tset";
    CHECK_FAILS(lt_evaluate(model, set, &o, &spec, 1, keep, NULL), LT_USAGE, "tset");
    CHECK_FAILS(lt_evaluate(model, set, &o, &spec, 0, keep, NULL), LT_USAGE, "no policy");
}

static void prompts_are_encoded_once_per_batch_of_clips(void) {
    lt_cache_spec specs[] = {test_spec("window", 1), test_spec("sink", 2)};
    lt_eval_options o = small();
    lt_text_kind counting;
    static record r;
    o.batch = 1;
    r.count = 0;
    const lt_text_kind *before = test_count_encodings(&model->text, &counting);
    CHECK_OK(lt_evaluate(model, set, &o, specs, 2, keep, &r));
    model->text.kind = before;
    int64_t *clips, count;
    CHECK_OK(lt_eval_clips(model, set, &o, &clips, &count));
    CHECK(test_encodings == count);
    free(clips);
}

static void places_follow_the_cuts(void) {
    lt_clip row = {.frames = 40, .cut_count = 3, .cut_frame = {8, 18, 28}, .cut_scene = {1, 0, 2}};
    const lt_eval_place wanted[] = {{-1, -1, 0, 0, false}, {-1, -1, 0, 0, false}, {0, 0, 0, 0, false},
                                    {1, 4, 0, 0, false},   {2, 8, 0, 0, true},    {0, 2, 1, 10, false},
                                    {1, 6, 2, 10, false},  {0, 0, 0, 0, false}};
    for (int block = 0; block < 8; block++) {
        lt_eval_place p = lt_eval_place_of(&row, model, block);
        CHECK(p.since_cut == wanted[block].since_cut && p.frames_since_cut == wanted[block].frames_since_cut);
        CHECK(p.after_return == wanted[block].after_return && p.gap == wanted[block].gap);
        CHECK(p.has_cut == wanted[block].has_cut);
    }
}

/* Against the same thing measured: the residual of the best linear prediction of n - x from x_t. */
static void the_gaussian_denoiser_has_its_closed_form(void) {
    enum { N = 200000 };
    lt_rng_key key = {.seed = 2, .purpose = LT_RNG_TEST};
    for (int i = 0; i < 3; i++) {
        double v = i == 0 ? 1 : i == 1 ? 0.3 : 4, t = 0.3 + 0.25 * i, uy = 0, yy = 0, uu = 0;
        for (uint64_t k = 0; k < N; k++) {
            double x = sqrt(v) * (double)lt_rng_normal(&key, 2 * k),
                   n = (double)lt_rng_normal(&key, 2 * k + 1);
            double y = (1 - t) * x + t * n, u = n - x;
            uy += u * y, yy += y * y, uu += u * u;
        }
        double measured = (uu - uy * uy / yy) / N, loss = lt_gaussian_denoiser_loss(t, &v, 1);
        CHECK_NEAR(measured, loss, 0.01 * loss);
    }
    double pair[2] = {1, 4};
    CHECK_NEAR(lt_gaussian_denoiser_loss(0.5, pair, 2), (2 + 3.2) / 2, 1e-12);
    CHECK_NEAR(lt_gaussian_denoiser_loss(1, pair, 2), 2.5, 1e-12);
    pair[0] = 0;
    CHECK_NEAR(lt_gaussian_denoiser_loss(0, pair, 1), 1, 0);
}

static void bytes_count_slots_and_state_and_keep_the_rest_apart(void) {
    lt_policy_bytes window, sink, learned, none;
    lt_cache_spec specs[] = {test_spec("window", 3), test_spec("sink", 3),
                             test_spec("learned:read=content", 3), test_spec("none", 0)};
    CHECK_OK(lt_eval_bytes(model, &specs[0], &window));
    CHECK_OK(lt_eval_bytes(model, &specs[1], &sink));
    CHECK_OK(lt_eval_bytes(model, &specs[2], &learned));
    CHECK_OK(lt_eval_bytes(model, &specs[3], &none));
    CHECK(window.slots == 3 * lt_entry_bytes(2, 2, 16) && none.slots == 0);
    CHECK(window.tail > 0 && window.tail == none.tail && window.metadata > 0);
    CHECK(window.scorer == 0 && learned.scorer > 0);
    CHECK(lt_equal_bytes(lt_policy_cache_bytes(&window), lt_policy_cache_bytes(&sink)));
    CHECK(!lt_equal_bytes(lt_policy_cache_bytes(&window), lt_policy_cache_bytes(&none)));
    CHECK(lt_equal_bytes(1000, 1010) && !lt_equal_bytes(1000, 1011));
    CHECK(lt_spec_is_hand_made(&specs[1]) && !lt_spec_is_hand_made(&specs[2]));
}

static void a_budget_takes_what_the_clip_can_fill(void) {
    lt_eval_options o = small();
    lt_cache_spec fits = test_spec("window", BLOCKS), asked = test_spec("window", 9999);
    lt_session_plan least, most;
    CHECK_OK(lt_evaluate_measure(model, &o, &fits, 1, &least));
    CHECK_OK(lt_evaluate_measure(model, &o, &asked, 1, &most));
    CHECK(least.run_bytes > 0 && most.run_bytes == least.run_bytes && most.step_bytes == least.step_bytes);
    lt_cache_spec of_blocks = lt_spec_for_blocks(model, &asked, BLOCKS);
    CHECK(of_blocks.budget == BLOCKS && lt_spec_for_blocks(model, &fits, 1000).budget == BLOCKS);
}

int main(int argc, char **argv) {
    char folder[TEST_FOLDER], path[TEST_FOLDER + 16];
    test_make_folder("lt_evaluate", folder);
    snprintf(path, sizeof path, "%s/data.h5", folder);
    model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    CHECK_OK(test_dataset_make(path));
    CHECK_OK(lt_dataset_open(path, &set));
    if (!model || !set) return 1;
    test_model_shake(model, 0.1);
    lt_session_poison(true);
    RUN(a_policy_differs_from_itself_by_nothing);
    RUN(a_budget_takes_what_the_clip_can_fill);
    RUN(policies_differ_only_where_an_eviction_is_in_force);
    RUN(times_fill_every_stratum_once);
    RUN(the_batch_does_not_change_the_losses);
    RUN(clips_are_spread_over_domains_and_roles_are_kept_apart);
    RUN(what_cannot_be_evaluated_is_said);
    RUN(prompts_are_encoded_once_per_batch_of_clips);
    RUN(places_follow_the_cuts);
    RUN(the_gaussian_denoiser_has_its_closed_form);
    RUN(bytes_count_slots_and_state_and_keep_the_rest_apart);
    lt_dataset_close(set);
    test_model_close(model);
    lt_remove_tree(folder);
    return test_end();
}
