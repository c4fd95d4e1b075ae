/* What intervals and verdicts are worth, by simulation with the very functions that every table uses. As a test: a part
 * of the grid with bounds. With "full TRIALS PART PARTS": all of it, field by field, as docs/verdicts.md shows it; the
 * fields are shared among processes by their number (scripts/calibrate_verdicts.sh). */
#include "core/rng.h"
#include "infer/paired.h"
#include "tests/harness.h"

enum { MOST = 40 * 8 * 3, MOST_ROWS = 24 };

/* ---- differences ----------------------------------------------------------------------------------------- */

typedef enum law { NORMAL, T3, EXPONENTIAL, LOGNORMAL, LAWS } law;
static const char *const law_names[LAWS] = {"normal", "t3", "exponential", "lognormal"};
static const double deviations[LAWS] = {1, 1.7320508075688772, 1, 2.1611974158950877};

static uint64_t trial_number; /* every trial has its own numbers */
static uint64_t drawn;

static double normal(void) {
    lt_rng_key key = {.seed = 20, .purpose = LT_RNG_TEST, .clip = trial_number};
    return (double)lt_rng_normal(&key, drawn++);
}

static double uniform(void) {
    lt_rng_key key = {.seed = 20, .purpose = LT_RNG_TEST, .clip = trial_number, .step = 1};
    return lt_rng_uniform(&key, drawn++) + 0x1p-54;
}

/* Mean 0. */
static double value_of(law l) {
    if (l == NORMAL) return normal();
    if (l == EXPONENTIAL) return -log(uniform()) - 1;
    if (l == LOGNORMAL) return exp(normal()) - 1.6487212707001282;
    double squares = 0, x = normal();
    for (int i = 0; i < 3; i++) {
        double y = normal();
        squares += y * y;
    }
    return x / sqrt(squares / 3);
}

/* What groups are made of. Between groups, samples vary as the law says; `within` is how much they vary inside a group,
 * `seeds` how much training seeds and their interplay with groups add, as shares of the deviation between groups. */
typedef struct design {
    const char *name;
    int least, most; /* samples of a group; drawn between them where most > 4, else in turn */
    double within;
    int seeds;
    double by_seed, by_cell;
} design;

static const design designs[] = {{"equal", 1, 1, 0, 1, 0, 0},
                                 {"1 to 4", 1, 4, 0, 1, 0, 0},
                                 {"1 to 8", 1, 8, 0, 1, 0, 0},
                                 {"nested 1-4", 1, 4, 1, 1, 0, 0},
                                 {"3 seeds, equal", 1, 1, 0, 3, 0, 0.5},
                                 {"3 seeds, far", 1, 1, 0, 3, 1, 0.5}};
enum { DESIGNS = sizeof designs / sizeof *designs };

static double x[MOST];
static uint64_t group[MOST], seed[MOST];

/* Differences with mean `shift` of the row's groups; rows of a table share their groups' sizes. */
static int64_t make(const design *d, law l, int groups, double shift) {
    double of_seed[3] = {0};
    int64_t n = 0;
    for (int s = 0; s < d->seeds; s++) of_seed[s] = d->seeds > 1 ? d->by_seed * normal() : 0;
    for (int g = 0; g < groups; g++) {
        lt_rng_key sizes = {.seed = 21, .purpose = LT_RNG_TEST, .clip = trial_number};
        int size = d->most > 4 ? d->least + (int)lt_rng_below(&sizes, (uint64_t)g, d->most - d->least + 1)
                               : d->least + g % (d->most - d->least + 1);
        double of_group = value_of(l);
        for (int s = 0; s < d->seeds; s++) {
            double of_cell = d->seeds > 1 ? of_seed[s] + d->by_cell * normal() : 0;
            for (int k = 0; k < size; k++, n++) {
                x[n] = shift + of_group + of_cell + (d->within > 0 ? d->within * value_of(l) : 0);
                group[n] = (uint64_t)g * 7919, seed[n] = (uint64_t)s;
            }
        }
    }
    return n;
}

static lt_paired of(const design *d, law l, int groups, double shift, uint64_t bootstrap) {
    lt_paired p = {0};
    int64_t n = make(d, l, groups, shift);
    CHECK_OK(lt_paired_of(x, group, d->seeds > 1 ? seed : NULL, n, bootstrap, &p));
    return p;
}

/* ---- what is counted ------------------------------------------------------------------------------------- */

typedef struct tally {
    double coverage, above, below; /* shares: interval holds the truth, lies above it, below it */
    double width;                  /* mean, over 2 * 1.96 true errors where those are known */
} tally;

static tally cover(const design *d, law l, int groups, int trials) {
    tally t = {0};
    for (int i = 0; i < trials; i++) {
        trial_number++, drawn = 0;
        lt_paired p = of(d, l, groups, 0.3, 0);
        t.above += p.low > 0.3, t.below += p.high < 0.3;
        t.width += (p.high - p.low) / (2 * 1.959964 * deviations[l] / sqrt(groups));
    }
    t.above /= trials, t.below /= trials, t.width /= trials;
    t.coverage = 1 - t.above - t.below;
    return t;
}

/* Share of the tables of `rows` comparisons without a difference that hold a verdict. Rows share a part of what varies,
 * as policies do that are compared with the same reference: correlation 0 or 0.5. */
static double false_tables(const design *d, law l, int groups, int rows, bool alike, int trials) {
    static double shared[MOST];
    int wrong = 0;
    for (int i = 0; i < trials; i++) {
        lt_paired p[MOST_ROWS] = {0}, *table[MOST_ROWS];
        trial_number++, drawn = 0;
        int64_t n = make(d, l, groups, 0);
        memcpy(shared, x, (size_t)n * sizeof *x);
        for (int r = 0; r < rows; r++) {
            make(d, l, groups, 0);
            for (int64_t k = 0; k < n && alike; k++) x[k] += shared[k];
            CHECK_OK(lt_paired_of(x, group, d->seeds > 1 ? seed : NULL, n, 0, &p[r]));
            table[r] = &p[r];
        }
        CHECK_OK(lt_paired_correct(table, rows));
        bool found = false;
        for (int r = 0; r < rows; r++)
            found = found || strcmp(lt_paired_verdict(&p[r], true), "not distinguishable") != 0;
        wrong += found;
    }
    return (double)wrong / trials;
}

/* How often a difference as large as the mean of what `detectable` says is found in a table of `rows`, the others
 * without one; in the worse direction of the two. */
static double power(const design *d, law l, int groups, int rows, int trials) {
    double detectable = 0, worst = 1;
    for (int way = 0; way < 3; way++) {
        int found = 0;
        for (int i = 0; i < trials; i++) {
            lt_paired p[MOST_ROWS] = {0}, *table[MOST_ROWS];
            trial_number++, drawn = 0;
            for (int r = 0; r < rows; r++)
                p[r] = of(d, l, groups,
                          r || !way  ? 0
                          : way == 1 ? detectable
                                     : -detectable,
                          0),
                table[r] = &p[r];
            CHECK_OK(lt_paired_correct(table, rows));
            if (!way) detectable += p[0].detectable / trials;
            found += strcmp(lt_paired_verdict(&p[0], false), way == 1 ? "better" : "worse") == 0;
        }
        if (way) worst = fmin(worst, (double)found / trials);
    }
    return worst;
}

/* Standard deviation of an interval's end over seeds of the resampling, as a share of the interval's width. */
static double noise(law l, int groups, int trials) {
    enum { AGAIN = 8 };
    double total = 0;
    for (int i = 0; i < trials; i++) {
        double first = 0, sum = 0, squares = 0, width = 0;
        trial_number++;
        for (int k = 0; k < AGAIN; k++) {
            drawn = 0;
            lt_paired p = of(&designs[0], l, groups, 0, (uint64_t)k);
            if (k == 0) first = p.high, width = p.high - p.low;
            sum += p.high - first, squares += (p.high - first) * (p.high - first);
        }
        total += fmax(0, squares / AGAIN - sum * sum / AGAIN / AGAIN) * AGAIN / (AGAIN - 1) / (width * width);
    }
    return sqrt(total / trials);
}

/* ---- the whole grid -------------------------------------------------------------------------------------- */

static const int group_counts[] = {8, 12, 20, 40};
enum { COUNTS = sizeof group_counts / sizeof *group_counts };

static int field, part, parts = 1;

/* Whether the next field is this process's. Its trials have numbers of their own, whoever makes them. */
static bool is_mine(void) {
    trial_number = (uint64_t)++field * 1000000;
    return field % parts == part;
}

/* One line: what, groups of what sizes, differences, how many rows, how many groups, figures. */
static void say(const char *what, const char *sizes, law l, int rows, int groups, const char *figures) {
    printf("%s;%s;%s;%d;%d;%s\n", what, sizes, law_names[l], rows, groups, figures);
    fflush(stdout);
}

static void print_coverage(int trials) {
    char text[64];
    for (int d = 0; d < DESIGNS; d++)
        for (law l = 0; l < LAWS; l++)
            for (int k = 0; k < COUNTS; k++) {
                if (!is_mine()) continue;
                tally t = cover(&designs[d], l, group_counts[k], trials);
                snprintf(text, sizeof text, "%.1f (%.1f + %.1f)", 100 * t.coverage, 100 * t.above,
                         100 * t.below);
                say("coverage", designs[d].name, l, 1, group_counts[k], text);
                snprintf(text, sizeof text, "%.2f", t.width);
                if (d == 0) say("width", designs[d].name, l, 1, group_counts[k], text);
            }
}

static void print_tables(int trials) {
    static const int rows[] = {1, 6, 24}, share[] = {1, 2, 6};
    char text[64];
    for (int d = 0; d < 2; d++)
        for (law l = 0; l < LAWS; l++)
            for (int r = 0; r < 4; r++)
                for (int k = 0; k < COUNTS; k++) {
                    bool alike = r == 3;
                    int i = alike ? 1 : r;
                    if (!is_mine()) continue;
                    snprintf(text, sizeof text, "%.1f",
                             100 * false_tables(&designs[d], l, group_counts[k], rows[i], alike,
                                                trials / share[i]));
                    say(alike ? "false tables, rows alike" : "false tables", designs[d].name, l, rows[i],
                        group_counts[k], text);
                }
}

static void print_power(int trials) {
    char text[64];
    for (int rows = 1; rows <= 6; rows += 5)
        for (law l = 0; l < LOGNORMAL; l++)
            for (int k = 0; k < COUNTS; k++) {
                if (!is_mine()) continue;
                snprintf(text, sizeof text, "%.0f",
                         100 * power(&designs[0], l, group_counts[k], rows, trials));
                say("power", designs[0].name, l, rows, group_counts[k], text);
            }
    for (int k = 0; k < COUNTS; k++) {
        if (!is_mine()) continue;
        snprintf(text, sizeof text, "%.2f", 100 * noise(EXPONENTIAL, group_counts[k], 40));
        say("noise", designs[0].name, EXPONENTIAL, 1, group_counts[k], text);
    }
}

/* ---- a part of it, with bounds --------------------------------------------------------------------------- */

static bool is_within(const char *what, int d, law l, int groups, double value, double low, double high) {
    printf("%-32s %-16s %-12s %2d groups: %.1f %%\n", what, designs[d].name, law_names[l], groups,
           100 * value);
    return value >= low && value <= high;
}

/* Student's t covers 89 % of exponential differences at 8 groups, as percentiles of the bootstrap did. */
static void intervals_cover_the_truth_whatever_the_differences(void) {
    for (int d = 0; d < 2; d++)
        for (law l = NORMAL; l < LOGNORMAL; l++)
            CHECK(is_within("coverage", d, l, 8, cover(&designs[d], l, 8, 600).coverage, 0.925, 0.98));
    CHECK(is_within("coverage", 4, T3, 12, cover(&designs[4], T3, 12, 300).coverage, 0.925, 0.99));
}

static void at_most_one_table_in_twenty_claims_what_is_not_there(void) {
    for (law l = NORMAL; l < LOGNORMAL; l++)
        CHECK(is_within("false tables of 6 rows", 0, l, 8,
                        false_tables(&designs[0], l, 8, 6, false, l == EXPONENTIAL ? 600 : 150), 0, 0.06));
}

static void the_detectable_difference_is_found_four_times_in_five(void) {
    CHECK(is_within("power, 6 rows", 0, NORMAL, 8, power(&designs[0], NORMAL, 8, 6, 100), 0.75, 1));
    CHECK(is_within("power, 1 row", 0, NORMAL, 20, power(&designs[0], NORMAL, 20, 1, 200), 0.75, 1));
}

static void the_ends_carry_no_noise_of_the_bootstrap(void) {
    CHECK(noise(EXPONENTIAL, 8, 3) == 0);
    CHECK(noise(EXPONENTIAL, 20, 5) < 0.02);
}

int main(int argc, char **argv) {
    if (argc > 4 && strcmp(argv[1], "full") == 0) {
        int trials = atoi(argv[2]);
        part = atoi(argv[3]), parts = atoi(argv[4]);
        print_coverage(trials), print_tables(trials), print_power(trials / 4);
        return 0;
    }
    RUN(intervals_cover_the_truth_whatever_the_differences);
    RUN(at_most_one_table_in_twenty_claims_what_is_not_there);
    RUN(the_detectable_difference_is_found_four_times_in_five);
    RUN(the_ends_carry_no_noise_of_the_bootstrap);
    return test_end();
}
