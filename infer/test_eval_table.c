/* Figures made of losses that are made up, so that every mean is known. */
#include "infer/eval_table.h"
#include "infer/testing.h"

enum { CLIPS = 12, BLOCKS = 6, DRAWS = 4 };

static lt_eval_options options;
static lt_cache_spec specs[3];

/* Policy s has loss 1 + s/10 + clip/100 where it evicts (blocks above 2), and 1 + clip/100 elsewhere. Blocks 4 and 5
 * are the first two after a return. */
static double loss_of(int spec, int64_t clip, int block) {
    return 1 + (block > 2 ? spec / 10.0 : 0) + (double)clip / 100;
}

static lt_status fill(lt_eval_table *table, const double *bonus) {
    lt_clip row = {0};
    for (int64_t c = 0; c < CLIPS; c++)
        for (int s = 0; s < 3; s++)
            for (int i = 0; i < BLOCKS * LT_EVAL_BINS * DRAWS; i++) {
                int block = i / (LT_EVAL_BINS * DRAWS), bin = i / DRAWS % LT_EVAL_BINS, draw = i % DRAWS;
                snprintf(row.domain, sizeof row.domain, "%s", c < 10 ? "calm" : "dynamic");
                snprintf(row.group, sizeof row.group, "group %d", (int)c);
                lt_eval_sample x = {.spec = s, .clip = 100 + c, .order = c, .row = &row, .block = block};
                x.bin = bin, x.draw = draw, x.t = (bin + (draw + 0.5) / DRAWS) / LT_EVAL_BINS;
                x.loss = loss_of(s, c, block) + (bonus ? bonus[s] : 0);
                x.gaussian = 2, x.evicting = block > 2;
                x.place = (lt_eval_place){.since_cut = block - 4, .frames_since_cut = block > 3 ? 0 : -1};
                x.place.after_return = block == 4 ? 1 : block == 5 ? 2 : 0;
                LT_TRY(lt_eval_table_add(&x, table));
            }
    return LT_OK;
}

static lt_eval_table *filled(const double *bonus) {
    lt_eval_table *table = NULL;
    CHECK_OK(lt_eval_table_open(specs, 3, &options, &table));
    CHECK_OK(fill(table, bonus));
    return table;
}

static lt_eval_figures figures_of(const lt_eval_table *t, lt_eval_slice slice, int spec, int reference) {
    lt_eval_figures f;
    CHECK_OK(lt_eval_table_figures(t, &slice, spec, reference, &f));
    return f;
}

static void the_primary_figure_takes_evicting_blocks_in_the_middle_times(void) {
    lt_eval_table *t = filled(NULL);
    lt_eval_figures f = figures_of(t, lt_slice_primary("calm"), 2, 1);
    CHECK(f.clips == 10 && f.groups == 10 && f.reads == 10 * 3);
    CHECK_NEAR(f.loss.mean, 1.2 + 0.045, 1e-6);
    CHECK_NEAR(f.difference.mean, 0.1, 1e-6);
    CHECK_NEAR(f.difference.standard_error, 0, 1e-6);
    CHECK_NEAR(f.gaussian, 2, 1e-6);
    CHECK(strcmp(lt_paired_verdict(&f.difference, true), "worse") == 0);
    f = figures_of(t, lt_slice_all("calm"), 2, 1);
    CHECK(f.reads == 10 * BLOCKS);
    CHECK_NEAR(f.difference.mean, 0.05, 1e-6);
    f = figures_of(t, lt_slice_primary("dynamic"), 0, 1);
    CHECK(f.clips == 2 && strcmp(lt_paired_verdict(&f.difference, true), "insufficient data") == 0);
    f = figures_of(t, lt_slice_primary("night"), 0, 1);
    CHECK(f.clips == 0 && f.reads == 0 && f.loss.mean == 0);
    lt_eval_table_close(t);
}

static void slices_pick_blocks_by_their_place(void) {
    lt_eval_table *t = filled(NULL);
    CHECK(figures_of(t, lt_slice_returns("calm"), 0, -1).reads == 10 * 2);
    lt_eval_slice first = lt_slice_returns("calm");
    first.after_return = 1;
    CHECK(figures_of(t, first, 0, -1).reads == 10);
    CHECK(figures_of(t, lt_slice_since_cut("calm", 1), 0, -1).reads == 10);
    CHECK(figures_of(t, lt_slice_since_cut("calm", 7), 0, -1).reads == 0);
    lt_eval_slice late = lt_slice_all(NULL);
    late.first_block = 5;
    CHECK(figures_of(t, late, 0, -1).reads == CLIPS);
    CHECK(strcmp(lt_eval_table_domain(t, 0), "calm") == 0);
    CHECK(strcmp(lt_eval_table_domain(t, 1), "dynamic") == 0 && !lt_eval_table_domain(t, 2));
    lt_eval_table_close(t);
}

static void a_comparison_uses_blocks_that_qualify_under_both(void) {
    lt_eval_table *t = NULL;
    lt_clip row = {.domain = "calm", .group = "g"};
    CHECK_OK(lt_eval_table_open(specs, 2, &options, &t));
    for (int s = 0; s < 2; s++)
        for (int block = 0; block < BLOCKS; block++) {
            lt_eval_sample x = {.spec = s, .row = &row, .block = block, .bin = 3, .t = 0.7};
            x.evicting = block > (s ? 4 : 1), x.loss = 10 * s + block;
            CHECK_OK(lt_eval_table_add(&x, t));
        }
    CHECK_NEAR(figures_of(t, lt_slice_primary(NULL), 0, -1).loss.mean, (2 + 3 + 4 + 5) / 4.0, 0);
    CHECK(lt_eval_table_first_block(t) == 5);
    lt_eval_figures f = figures_of(t, lt_slice_primary(NULL), 0, 1);
    CHECK(f.reads == 1 && f.loss.mean == 5 && f.difference.mean == -10);
    lt_eval_table_close(t);
}

static void seeds_are_pooled_crossed_with_groups(void) {
    const double bonus[] = {0, 0.2, 0};
    const lt_eval_table *tables[2] = {filled(NULL), filled(bonus)};
    lt_eval_slice slice = lt_slice_primary("calm");
    lt_eval_figures f;
    CHECK_OK(lt_eval_tables_figures(tables, 2, &slice, 1, 0, &f));
    CHECK(f.clips == 20 && f.groups == 10 && f.difference.seeds == 2 && f.reads == 2 * 10 * 3);
    CHECK_NEAR(f.difference.mean, 0.1 + 0.1, 1e-6);
    CHECK_NEAR(f.difference.standard_error, 0.1, 1e-6); /* the seeds say 0.1 and 0.3 */
    CHECK(strcmp(lt_paired_verdict(&f.difference, true), "not distinguishable") == 0);
    for (int i = 0; i < 2; i++) lt_eval_table_close((lt_eval_table *)tables[i]);
}

static void the_reference_is_the_best_hand_made_policy_of_equal_bytes(void) {
    int reference[3];
    const int64_t same[] = {1000, 1005, 1000}, apart[] = {1000, 2000, 4000};
    const double bonus[] = {0.5, 0.1, -9};
    lt_eval_table *t = filled(bonus);
    CHECK_OK(lt_eval_references((const lt_eval_table *const *)&t, 1, specs, same, 3, reference));
    CHECK(reference[0] == 1 && reference[1] == 1 && reference[2] == 1); /* 2 is learned */
    CHECK_OK(lt_eval_references(NULL, 0, specs, same, 3, reference));
    CHECK(reference[0] == 0 && reference[1] == 0 && reference[2] == 0);
    CHECK_OK(lt_eval_references((const lt_eval_table *const *)&t, 1, specs, apart, 3, reference));
    CHECK(reference[0] == 0 && reference[1] == 1 && reference[2] == -1);
    lt_eval_table_close(t);
}

static void foreign_samples_are_refused(void) {
    lt_eval_table *t = filled(NULL);
    lt_eval_sample x = {.spec = 3};
    CHECK_FAILS(lt_eval_table_add(&x, t), LT_FAILED, "do not belong");
    lt_eval_table_close(t);
}

int main(int argc, char **argv) {
    options = lt_eval_default();
    options.blocks = BLOCKS, options.draws = DRAWS;
    specs[0] = test_spec("window", 2), specs[1] = test_spec("sink", 2), specs[2] = test_spec("learned", 2);
    RUN(the_primary_figure_takes_evicting_blocks_in_the_middle_times);
    RUN(slices_pick_blocks_by_their_place);
    RUN(a_comparison_uses_blocks_that_qualify_under_both);
    RUN(seeds_are_pooled_crossed_with_groups);
    RUN(the_reference_is_the_best_hand_made_policy_of_equal_bytes);
    RUN(foreign_samples_are_refused);
    return test_end();
}
