#include "infer/evaluate_rollout.h"
#include "infer/testing_data.h"

static lt_model *model;
static lt_dataset *set;

enum { MOST = 64, BLOCK = 4, SIZE = 16 * 24 * 3 };
typedef struct record {
    lt_rollout_sample items[MOST];
    uint64_t made[MOST], real[MOST]; /* hashes of the videos without their first frame */
    bool copies, starts_right;
    int count;
} record;

static lt_status keep(const lt_rollout_sample *s, void *user) {
    record *r = user;
    if (r->count == MOST) return LT_OK;
    r->items[r->count] = *s;
    r->made[r->count] = lt_hash(s->made + SIZE, (size_t)(s->frames - 1) * SIZE, LT_HASH_SEED);
    r->real[r->count] = lt_hash(s->real + SIZE, (size_t)(s->frames - 1) * SIZE, LT_HASH_SEED);
    r->starts_right = r->starts_right && memcmp(s->made, s->real, SIZE) == 0;
    if (s->row == 2 + LT_BASELINE_COPY) /* context of 2 blocks, 4 generated: the copy repeats itself */
        r->copies = r->copies &&
                    memcmp(s->made + SIZE, s->made + (1 + 2 * BLOCK) * SIZE, 2 * BLOCK * SIZE) == 0 &&
                    memcmp(s->made, s->made + 2 * BLOCK * SIZE, SIZE) == 0;
    r->count++;
    return LT_OK;
}

static lt_rollout_options small(void) {
    lt_rollout_options o = lt_rollout_default();
    o.clips.clips = 2, o.blocks = 4, o.stream.steps = 2;
    return o;
}

static void policies_continue_the_same_clips_with_the_same_noise(void) {
    static record r;
    lt_cache_spec specs[] = {test_spec("window", 1), test_spec("window", 9)};
    lt_rollout_options o = small();
    r = (record){.copies = true, .starts_right = true};
    CHECK_OK(lt_evaluate_rollout(model, set, &o, specs, 2, keep, &r));
    CHECK(r.count == 4 * (2 + LT_BASELINE_COUNT) && r.copies && r.starts_right);
    CHECK(r.items[0].frames == 4 * BLOCK + 1);
    static record again;
    again = (record){.copies = true, .starts_right = true};
    lt_cache_spec swapped[] = {specs[1], specs[0]};
    CHECK_OK(lt_evaluate_rollout(model, set, &o, swapped, 2, keep, &again));
    for (int i = 0; i < r.count; i++)
        for (int k = 0; k < again.count; k++) {
            const lt_rollout_sample *a = &r.items[i], *b = &again.items[k];
            if (a->order == b->order) CHECK(r.real[i] == again.real[k]);
            if (a->row < 2 && b->row < 2 && a->order == b->order)
                CHECK((r.made[i] == again.made[k]) == (a->row != b->row));
        }
}

static void baselines_have_the_values_they_must_have(void) {
    lt_rollout_table *t;
    lt_rollout_options o = small();
    lt_paired p;
    CHECK_OK(lt_rollout_table_open(0, &t));
    CHECK_OK(lt_evaluate_rollout(model, set, &o, NULL, 0, lt_rollout_table_add, t));
    CHECK_OK(lt_rollout_tables_figure(&t, 1, NULL, LT_BASELINE_FREEZE, -1, LT_METRIC_MOTION, &p));
    CHECK(p.samples > 0 && p.mean == 0);
    CHECK_OK(lt_rollout_tables_figure(&t, 1, NULL, LT_BASELINE_FREEZE, -1, LT_METRIC_FROZEN, &p));
    CHECK(p.samples == 4 && p.mean == 1);
    CHECK_OK(lt_rollout_tables_figure(&t, 1, "calm", LT_BASELINE_COPY, -1, LT_METRIC_LOOP_PERIOD, &p));
    CHECK(p.samples == 2);
    CHECK_NEAR(p.mean, 8 / 16.0, 1e-9);
    CHECK_OK(
        lt_rollout_tables_figure(&t, 1, "calm", LT_BASELINE_COPY, LT_BASELINE_FREEZE, LT_METRIC_MOTION, &p));
    CHECK(p.samples == 2 && p.mean > 0);
    CHECK_OK(lt_rollout_tables_figure(&t, 1, "night", LT_BASELINE_COPY, -1, LT_METRIC_MOTION, &p));
    CHECK(p.samples == 0);
    lt_rollout_table_close(t);
}

static void policies_of_all_kinds_can_be_rolled_out(void) {
    static record r;
    lt_cache_spec specs[] = {test_spec("key-norm:scope=model", 2), test_spec("learned:read=content", 2)};
    lt_rollout_options o = small();
    r = (record){0};
    o.clips.clips = 1;
    CHECK_OK(lt_evaluate_rollout(model, set, &o, specs, 2, keep, &r));
    for (int i = 0; i < r.count; i++) CHECK(isfinite(r.items[i].values[LT_METRIC_PSNR]));
    o.clips.role = "train";
    CHECK_FAILS(lt_evaluate_rollout(model, set, &o, specs, 2, keep, &r), LT_USAGE, "--allow-train");
    o = small(), o.blocks = 7;
    CHECK_FAILS(lt_evaluate_rollout(model, set, &o, specs, 2, keep, &r), LT_INPUT, "");
}

int main(int argc, char **argv) {
    char folder[TEST_FOLDER], path[TEST_FOLDER + 16];
    test_make_folder("lt_rollout", folder);
    snprintf(path, sizeof path, "%s/data.h5", folder);
    model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    CHECK_OK(test_dataset_make(path));
    CHECK_OK(lt_dataset_open(path, &set));
    if (!model || !set) return 1;
    test_model_shake(model, 0.1);
    RUN(policies_continue_the_same_clips_with_the_same_noise);
    RUN(baselines_have_the_values_they_must_have);
    RUN(policies_of_all_kinds_can_be_rolled_out);
    lt_dataset_close(set);
    test_model_close(model);
    lt_remove_tree(folder);
    return test_end();
}
