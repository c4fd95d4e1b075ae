#include "core/rng.h"
#include "infer/paired.h"
#include "tests/harness.h"

enum { MOST = 400 };
static double x[MOST];
static uint64_t group[MOST], seeds[MOST];

static double normal(uint64_t clip, uint64_t index) {
    lt_rng_key key = {.seed = 1, .purpose = LT_RNG_TEST, .clip = clip};
    return (double)lt_rng_normal(&key, index);
}

/* Groups of unequal size whose clips share a group effect as large as their own. */
static int64_t sample(uint64_t trial, int groups, double shift) {
    int64_t n = 0;
    for (int g = 0; g < groups; g++)
        for (int k = 0; k < 1 + g % 4; k++, n++) {
            group[n] = 1000 + (uint64_t)g * 77;
            x[n] = shift + normal(trial, (uint64_t)g) + normal(trial, 1000 + (uint64_t)n);
        }
    return n;
}

static lt_paired of(int64_t n) {
    lt_paired p = {0};
    CHECK_OK(lt_paired_of(x, group, NULL, n, 5, &p));
    return p;
}

static void quantiles_of_students_t_are_those_of_the_tables(void) {
    CHECK_NEAR(lt_student_t(0.05, 1), 12.7062, 1e-3);
    CHECK_NEAR(lt_student_t(0.05, 2), 4.30265, 1e-4);
    CHECK_NEAR(lt_student_t(0.05, 4), 2.77645, 1e-3);
    CHECK_NEAR(lt_student_t(0.05, 7), 2.36462, 1e-4);
    CHECK_NEAR(lt_student_t(0.05, 30), 2.04227, 1e-4);
    CHECK_NEAR(lt_student_t(0.05, 100000), 1.95999, 1e-4);
    CHECK_NEAR(lt_student_t(0.2, 7), 1.41492, 1e-4);
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
    CHECK(p.groups == 40 && p.samples == 40 && p.seeds == 1);
    CHECK_NEAR(p.low, mean - 2.02 * error, 0.25 * error);
    CHECK_NEAR(p.high, mean + 2.02 * error, 0.25 * error);
    CHECK_NEAR(p.detectable, (2.0227 + 0.8416) * error, 1e-3 * error);
}

static void repeating_every_clip_of_a_group_adds_no_certainty(void) {
    for (int i = 0; i < 20; i++) group[i] = (uint64_t)i, x[i] = normal(4, (uint64_t)i);
    lt_paired once = of(20);
    for (int i = 20; i < 200; i++) group[i] = group[i % 20], x[i] = x[i % 20];
    lt_paired ten = of(200);
    CHECK_NEAR(ten.standard_error, once.standard_error, 1e-12);
    CHECK_NEAR(ten.low, once.low, 1e-12);
    CHECK_NEAR(ten.high, once.high, 1e-12);
}

static void intervals_cover_the_truth_about_95_times_in_100(void) {
    for (int groups = 8; groups <= 32; groups *= 2) {
        int held = 0, trials = 200;
        for (int trial = 0; trial < trials; trial++) {
            lt_paired p = of(sample((uint64_t)(groups * 1000 + trial), groups, 0.3));
            held += p.low <= 0.3 && p.high >= 0.3;
        }
        /* 95 % of 200 is 190 with a standard deviation of 3.1; unequal groups cost the smallest a little. */
        printf("coverage with %d groups: %d of %d\n", groups, held, trials);
        CHECK(held >= 180 && held <= 199);
    }
}

static void without_a_difference_a_verdict_is_rare(void) {
    int found = 0;
    for (int trial = 0; trial < 300; trial++) {
        lt_paired p = of(sample(50000 + (uint64_t)trial, 12, 0));
        found += strcmp(lt_paired_verdict(&p, true), "not distinguishable") != 0;
    }
    printf("false verdicts: %d of 300\n", found);
    CHECK(found <= 12);
}

static void a_detectable_difference_is_found_four_times_in_five(void) {
    int found = 0;
    for (int trial = 0; trial < 100; trial++) {
        lt_paired p = of(sample(60000 + (uint64_t)trial, 16, -2));
        const char *verdict = lt_paired_verdict(&p, true);
        CHECK(strcmp(verdict, "worse") != 0);
        found += strcmp(verdict, "better") == 0;
    }
    CHECK(found >= 80);
}

static void verdicts_say_what_the_data_can(void) {
    lt_paired p = of(sample(1, 7, -50));
    CHECK(strcmp(lt_paired_verdict(&p, true), "insufficient data") == 0);
    p = of(sample(1, 12, -50));
    CHECK(strcmp(lt_paired_verdict(&p, true), "better") == 0);
    CHECK(strcmp(lt_paired_verdict(&p, false), "worse") == 0);
    for (int i = 0; i < 12; i++) group[i] = (uint64_t)i, x[i] = 0;
    p = of(12);
    CHECK(p.low == 0 && p.high == 0 && strcmp(lt_paired_verdict(&p, true), "not distinguishable") == 0);
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
    CHECK(three.high - three.low > 5 * (one.high - one.low));
    CHECK(strcmp(lt_paired_verdict(&three, true), "not distinguishable") == 0);
}

static void values_that_are_no_numbers_are_refused(void) {
    lt_paired p;
    x[0] = 1, x[1] = NAN;
    CHECK_FAILS(lt_paired_of(x, group, NULL, 2, 0, &p), LT_USAGE, "sample 1");
    CHECK_FAILS(lt_paired_of(x, group, NULL, 0, 0, &p), LT_USAGE, "no samples");
    CHECK_OK(lt_paired_of(x, group, NULL, 1, 0, &p));
    CHECK(p.low == 1 && p.high == 1 && isinf(p.detectable));
}

int main(int argc, char **argv) {
    RUN(quantiles_of_students_t_are_those_of_the_tables);
    RUN(a_mean_of_singletons_has_the_textbook_error);
    RUN(repeating_every_clip_of_a_group_adds_no_certainty);
    RUN(intervals_cover_the_truth_about_95_times_in_100);
    RUN(without_a_difference_a_verdict_is_rare);
    RUN(a_detectable_difference_is_found_four_times_in_five);
    RUN(verdicts_say_what_the_data_can);
    RUN(seeds_that_disagree_widen_the_interval);
    RUN(values_that_are_no_numbers_are_refused);
    return test_end();
}
