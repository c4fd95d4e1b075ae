#include "core/rng.h"
#include "infer/paired.h"
#include "infer/student.h"
#include "tests/harness.h"

enum { MOST = 400 };
static double x[MOST];
static uint64_t group[MOST], seeds[MOST];

static double normal(uint64_t clip, uint64_t index) {
    lt_rng_key key = {.seed = 1, .purpose = LT_RNG_TEST, .clip = clip};
    return (double)lt_rng_normal(&key, index);
}

/* Groups of unequal size whose clips share a skewed group effect. */
static int64_t sample(uint64_t trial, int groups, double shift) {
    int64_t n = 0;
    for (int g = 0; g < groups; g++)
        for (int k = 0; k < 1 + g % 4; k++, n++) {
            group[n] = 1000 + (uint64_t)g * 77;
            x[n] = shift + exp(normal(trial, (uint64_t)g)) - 1.5 + 0.3 * normal(trial, 1000 + (uint64_t)n);
        }
    return n;
}

static lt_paired of(int64_t n) {
    lt_paired p = {0};
    CHECK_OK(lt_paired_of(x, group, NULL, n, 5, &p));
    return p;
}

static void a_mean_of_singletons_has_the_textbook_error(void) {
    double sum = 0, square = 0;
    for (int i = 0; i < 40; i++) {
        group[i] = (uint64_t)i, x[i] = normal(3, (uint64_t)i);
        sum += x[i], square += x[i] * x[i];
    }
    lt_paired p = of(40);
    double mean = sum / 40, error = sqrt((square / 40 - mean * mean) / 39);
    CHECK_NEAR(p.mean, mean, 1e-12);
    CHECK_NEAR(p.standard_error, error, 1e-12);
    CHECK_NEAR(p.freedom, 39, 1e-9);
    CHECK(p.groups == 40 && p.samples == 40 && p.seeds == 1);
    CHECK(p.low <= mean - 2.0226 * error && p.low > mean - 2.5 * error);
    CHECK(p.high >= mean + 2.0226 * error && p.high < mean + 2.5 * error);
}

static void repeating_every_clip_of_a_group_adds_no_certainty(void) {
    for (int i = 0; i < 20; i++) group[i] = (uint64_t)i, x[i] = normal(4, (uint64_t)i);
    lt_paired once = of(20);
    for (int i = 20; i < 200; i++) group[i] = group[i % 20], x[i] = x[i % 20];
    lt_paired ten = of(200);
    CHECK_NEAR(ten.standard_error, once.standard_error, 1e-12);
    CHECK_NEAR(ten.low, once.low, 1e-9);
    CHECK_NEAR(ten.high, once.high, 1e-9);
}

/* One source that holds most clips is not many sources. */
static void a_group_that_holds_most_samples_leaves_few_degrees_of_freedom(void) {
    for (int i = 0; i < 111; i++) group[i] = i < 11 ? (uint64_t)i : 11, x[i] = normal(6, group[i]);
    CHECK(of(111).freedom < 2);
    for (int i = 0; i < 108; i++) group[i] = (uint64_t)i % 12, x[i] = normal(6, (uint64_t)i);
    CHECK_NEAR(of(108).freedom, 11, 1e-9);
}

static bool same(const lt_paired *a, const lt_paired *b) {
    return a->mean == b->mean && a->standard_error == b->standard_error && a->low == b->low &&
           a->high == b->high && a->table_low == b->table_low && a->table_high == b->table_high &&
           a->p == b->p;
}

static void the_order_of_samples_changes_nothing(void) {
    for (int groups = 8; groups < 21; groups += 12) {
        int64_t n = sample(7, groups, 0.1), order[MOST];
        double values[MOST];
        uint64_t names[MOST];
        lt_paired first = of(n);
        lt_rng_key key = {.seed = 3, .purpose = LT_RNG_TEST};
        lt_rng_permutation(&key, n, order);
        memcpy(values, x, sizeof x), memcpy(names, group, sizeof group);
        for (int64_t i = 0; i < n; i++) x[i] = values[order[i]], group[i] = names[order[i]];
        lt_paired second = of(n);
        CHECK(same(&first, &second));
        for (int64_t i = 0; i < n; i++) group[i] = ~group[i] * 31; /* groups of other names */
        second = of(n);
        CHECK_NEAR(second.low, first.low, 1e-9);
        CHECK_NEAR(second.high, first.high, 1e-9);
    }
}

static void the_negative_has_the_negative_interval(void) {
    for (int groups = 8; groups < 21; groups += 12) {
        int64_t n = sample(8, groups, 0.2);
        lt_paired plus = of(n);
        for (int64_t i = 0; i < n; i++) x[i] = -x[i];
        lt_paired minus = of(n);
        CHECK(groups == 8 || plus.skew_low != plus.skew_high); /* there is something to mirror */
        CHECK(minus.mean == -plus.mean && minus.low == -plus.high && minus.high == -plus.low &&
              minus.p == plus.p);
    }
}

static void intervals_scale_and_shift_with_the_differences(void) {
    int64_t n = sample(9, 13, 0);
    lt_paired one = of(n);
    for (int64_t i = 0; i < n; i++) x[i] = 8 * x[i];
    lt_paired scaled = of(n);
    CHECK(scaled.low == 8 * one.low && scaled.high == 8 * one.high &&
          scaled.detectable == 8 * one.detectable);
    CHECK_NEAR(scaled.p, one.p, 1e-12);
    for (int64_t i = 0; i < n; i++) x[i] = x[i] / 8 + 3;
    lt_paired shifted = of(n);
    CHECK_NEAR(shifted.low, one.low + 3, 1e-9);
    CHECK_NEAR(shifted.high, one.high + 3, 1e-9);
}

static void a_larger_difference_is_never_less_clear(void) {
    double last = 1;
    bool found = false;
    for (double shift = 0; shift < 12; shift += 0.05) {
        int64_t n = sample(10, 12, 0);
        double mean = of(n).mean;
        for (int64_t i = 0; i < n; i++) x[i] += shift - mean;
        lt_paired p = of(n);
        bool better = strcmp(lt_paired_verdict(&p, false), "better") == 0;
        CHECK(p.p <= last * (1 + 1e-6) && (better || !found) && better == (p.p < 0.05));
        last = p.p, found = better;
    }
    CHECK(found);
}

static void the_verdict_follows_from_the_interval_alone(void) {
    enum { ROWS = 30 };
    lt_paired rows[ROWS], *table[ROWS + 1] = {NULL};
    for (int r = 0; r < ROWS; r++) {
        rows[r] = of(sample(100 + (uint64_t)r, 12, r < 15 ? 0.4 * r : 0));
        table[r + 1] = &rows[r];
    }
    CHECK_OK(lt_paired_correct(table, ROWS + 1));
    int verdicts[2] = {0};
    for (int r = 0; r < ROWS; r++) {
        bool found = strcmp(lt_paired_verdict(&rows[r], true), "not distinguishable") != 0;
        CHECK(found == (rows[r].table_low > 0 || rows[r].table_high < 0));
        CHECK(found == (rows[r].p <= 0.05));
        CHECK(rows[r].table_low < rows[r].low && rows[r].table_high > rows[r].high);
        verdicts[found]++;
    }
    CHECK(verdicts[0] > 0 && verdicts[1] > 0);
}

/* p = 0.01, 0.02, 0.03 alone become 0.03, 0.04, 0.04: all are found, where Bonferroni finds the first only. */
static void holms_correction_is_holms(void) {
    lt_paired rows[3], *table[3];
    const double alone[3] = {0.02, 0.03, 0.01}, corrected[3] = {0.04, 0.04, 0.03};
    for (int r = 0; r < 3; r++) {
        for (int i = 0; i < 10; i++) group[i] = (uint64_t)i, x[i] = (i % 2 ? 1 : -1) * sqrt(0.9);
        double error = 1 / sqrt(10), skew = of(10).skew_low,
               shift = lt_student_quantile(alone[r], 11 / 3.0) * error * skew;
        for (int i = 0; i < 10; i++) x[i] += shift;
        rows[r] = of(10), table[r] = &rows[r];
        CHECK_NEAR(rows[r].p, alone[r], 1e-9);
    }
    double few = rows[0].detectable;
    CHECK_OK(lt_paired_correct(table, 3));
    for (int r = 0; r < 3; r++) {
        CHECK_NEAR(rows[r].p, corrected[r], 1e-9);
        CHECK(strcmp(lt_paired_verdict(&rows[r], true), "worse") == 0);
    }
    CHECK(rows[0].detectable > few);
}

static void verdicts_say_what_the_data_can(void) {
    lt_paired p = of(sample(1, 7, -50));
    CHECK(strcmp(lt_paired_verdict(&p, true), "insufficient data") == 0);
    CHECK(isnan(p.low) && isnan(p.high) && isnan(p.standard_error) && isnan(p.detectable) && isnan(p.p));
    p = of(sample(1, 12, -50));
    CHECK(strcmp(lt_paired_verdict(&p, true), "better") == 0);
    CHECK(strcmp(lt_paired_verdict(&p, false), "worse") == 0);
}

static void no_difference_at_all_is_exactly_none(void) {
    for (int i = 0; i < 12; i++) group[i] = (uint64_t)i, x[i] = 0;
    lt_paired p = of(12);
    CHECK(p.mean == 0 && p.low == 0 && p.high == 0 && p.table_low == 0 && p.table_high == 0 && p.p == 1);
    CHECK(strcmp(lt_paired_verdict(&p, true), "not distinguishable") == 0);
    for (int i = 0; i < 12; i++)
        x[i] = i == 3 ? 1 : 0; /* resamples without the one have no error: the end is far, not infinite */
    p = of(12);
    CHECK(isfinite(p.low) && isfinite(p.high) &&
          strcmp(lt_paired_verdict(&p, true), "not distinguishable") == 0);
}

static void seeds_that_disagree_widen_the_interval(void) {
    lt_paired one, three;
    for (int i = 0; i < 60; i++) {
        group[i] = (uint64_t)(i % 20), seeds[i] = (uint64_t)(i / 20);
        x[i] = 0.1 * normal(9, (uint64_t)i) + ((double)seeds[i] - 1);
    }
    CHECK_OK(lt_paired_of(x, group, NULL, 60, 5, &one));
    CHECK_OK(lt_paired_of(x, group, seeds, 60, 5, &three));
    CHECK(three.seeds == 3 && three.mean == one.mean);
    /* The means of 3 seeds that lie 1 apart: t of 2 degrees of freedom x 1 / sqrt(3). */
    CHECK_NEAR(three.high - three.mean, 4.303 / sqrt(3), 0.1);
    CHECK(strcmp(lt_paired_verdict(&three, true), "not distinguishable") == 0);
}

static void seeds_that_agree_cost_little(void) {
    lt_paired one, three;
    for (int i = 0; i < 60; i++) {
        group[i] = (uint64_t)(i % 20), seeds[i] = (uint64_t)(i / 20);
        x[i] = normal(9, (uint64_t)(i % 20)) + 0.05 * normal(10, (uint64_t)i);
    }
    CHECK_OK(lt_paired_of(x, group, NULL, 60, 5, &one));
    CHECK_OK(lt_paired_of(x, group, seeds, 60, 5, &three));
    CHECK(three.high - three.low < 1.1 * (one.high - one.low));
}

static void values_that_are_no_numbers_are_refused(void) {
    lt_paired p;
    x[0] = 1, x[1] = NAN;
    CHECK_FAILS(lt_paired_of(x, group, NULL, 2, 0, &p), LT_USAGE, "sample 1");
    CHECK_FAILS(lt_paired_of(x, group, NULL, 0, 0, &p), LT_USAGE, "no samples");
    CHECK_OK(lt_paired_of(x, group, NULL, 1, 0, &p));
    CHECK(p.mean == 1 && isnan(p.low) && isnan(p.standard_error));
}

int main(int argc, char **argv) {
    RUN(a_mean_of_singletons_has_the_textbook_error);
    RUN(repeating_every_clip_of_a_group_adds_no_certainty);
    RUN(a_group_that_holds_most_samples_leaves_few_degrees_of_freedom);
    RUN(the_order_of_samples_changes_nothing);
    RUN(the_negative_has_the_negative_interval);
    RUN(intervals_scale_and_shift_with_the_differences);
    RUN(a_larger_difference_is_never_less_clear);
    RUN(the_verdict_follows_from_the_interval_alone);
    RUN(holms_correction_is_holms);
    RUN(verdicts_say_what_the_data_can);
    RUN(no_difference_at_all_is_exactly_none);
    RUN(seeds_that_disagree_widen_the_interval);
    RUN(seeds_that_agree_cost_little);
    RUN(values_that_are_no_numbers_are_refused);
    return test_end();
}
