#include "infer/paired.h"

#include "infer/bootstrap.h"
#include "infer/student.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOW, HIGH };

/* ---- units ----------------------------------------------------------------------------------------------- */

/* A sample, its group and its seed: their names first, then their numbers from 0 on. */
typedef struct sample {
    uint64_t group, seed;
    double value;
} sample;

static int by_group(const void *a, const void *b) {
    const sample *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->seed != y->seed) return x->seed < y->seed ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static int by_seed(const void *a, const void *b) {
    const sample *x = a, *y = b;
    if (x->seed != y->seed) return x->seed < y->seed ? -1 : 1;
    return (x->group > y->group) - (x->group < y->group);
}

/* Sorted by group and value, so that sums do not depend on the order in which samples came. */
static void number_units(sample *s, int64_t count, int *groups, int *seeds) {
    uint64_t last = 0;
    *groups = *seeds = 0;
    qsort(s, (size_t)count, sizeof *s, by_seed);
    for (int64_t i = 0; i < count; last = s[i].seed, s[i++].seed = (uint64_t)*seeds - 1)
        *seeds += i == 0 || s[i].seed != last;
    qsort(s, (size_t)count, sizeof *s, by_group);
    for (int64_t i = 0; i < count; last = s[i].group, s[i++].group = (uint64_t)*groups - 1)
        *groups += i == 0 || s[i].group != last;
}

/* Residuals and sizes of the groups, of the seeds, and of the cells (group, seed), in this order. */
typedef struct units {
    int groups, seeds;
    int64_t samples;
    lt_bootstrap_group *group, *seed, *cell;
} units;

static lt_status add_up(const sample *s, int64_t count, double mean, units *u) {
    size_t cells = u->seeds > 1 ? (size_t)u->groups * (size_t)u->seeds : 0;
    u->samples = count;
    u->group = calloc((size_t)u->groups + (size_t)u->seeds + cells, sizeof *u->group);
    LT_CHECK(u->group, LT_FAILED, "statistics: out of memory for %d groups", u->groups);
    u->seed = u->group + u->groups, u->cell = u->seed + u->seeds;
    for (int64_t i = 0; i < count; i++) {
        lt_bootstrap_group *of[3] = {&u->group[s[i].group], &u->seed[s[i].seed],
                                     &u->cell[cells ? s[i].group * (uint64_t)u->seeds + s[i].seed : 0]};
        for (int k = 0; k < (cells ? 3 : 2); k++) of[k]->residual += s[i].value - mean, of[k]->size++;
    }
    return LT_OK;
}

/* ---- errors ---------------------------------------------------------------------------------------------- */

/* CR2 (Bell and McCaffrey, Survey Methodology 28, 2002): a unit's residual is divided by sqrt(1 - its share), since the
 * mean leans to large units. */
static double variance(const lt_bootstrap_group *of, int count, int64_t samples) {
    double total = 0, all = (double)samples;
    for (int i = 0; i < count && count > 1; i++)
        total += of[i].residual * of[i].residual / (1 - of[i].size / all);
    return total / (all * all);
}

/* What is left of a cell when its group and its seed are taken off is in the groups' variance already, and no sign that
 * seeds differ. */
static double interaction(const units *u) {
    double total = 0, cells = (double)u->groups * u->seeds, all = (double)u->samples;
    for (int g = 0; g < u->groups; g++)
        for (int s = 0; s < u->seeds; s++) {
            const lt_bootstrap_group *c = &u->cell[g * u->seeds + s];
            double rest = c->residual - c->size * (u->group[g].residual / u->group[g].size +
                                                   u->seed[s].residual / u->seed[s].size);
            total += rest * rest;
        }
    return total * cells / ((u->groups - 1.0) * (u->seeds - 1.0)) / (all * all);
}

/* Degrees of freedom of the CR2 variance where groups differ in size (Bell and McCaffrey, for samples of a group that
 * are all alike, which is the worst case): (sum of the eigenvalues)^2 / sum of their squares of the covariance of the
 * scaled residuals. groups - 1 for equal sizes. Covariance of residuals g and h, with n of N samples, Q = sum n^2: n_g
 * n_h (Q / N^2 - n_g / N - n_h / N), and n_g^2 more where g = h. */
static double degrees_of_freedom(const units *u) {
    double all = (double)u->samples, squares = 0, trace = 0, products = 0;
    for (int g = 0; g < u->groups; g++) squares += u->group[g].size * u->group[g].size / (all * all);
    for (int g = 0; g < u->groups; g++) {
        double a = u->group[g].size / all;
        for (int h = 0; h < u->groups; h++) {
            double b = u->group[h].size / all;
            double covariance = a * b * (squares - a - b) + (g == h ? a * a : 0);
            products += covariance * covariance / ((1 - a) * (1 - b));
            trace += g == h ? covariance / (1 - a) : 0;
        }
    }
    return trace * trace / products;
}

/* ---- intervals of any level ------------------------------------------------------------------------------ */

/* A table's intervals are made with about a third of the degrees of freedom: far out, the t statistic of skewed
 * differences has tails as heavy as that (docs/verdicts.md). */
static double freedom_of(const lt_paired *p, bool of_table) {
    return of_table ? (p->freedom + 2) / 3 : p->freedom;
}

static double half_width(const lt_paired *p, int side, double level, bool of_table) {
    double groups = 0, seeds = 0, freedom = freedom_of(p, of_table);
    if (p->group_error > 0)
        groups =
            p->group_error * lt_student_quantile(level, freedom) * (side == LOW ? p->skew_low : p->skew_high);
    if (p->seed_error > 0) seeds = p->seed_error * lt_student_quantile(level, p->seeds - 1);
    return hypot(groups, seeds);
}

/* The level at which the table's interval ends at 0. */
static double level_of(const lt_paired *p) {
    int side = p->mean > 0 ? LOW : HIGH;
    double reach = fabs(p->mean);
    if (reach == 0) return 1;
    if (p->group_error == 0 && p->seed_error == 0) return 0;
    if (p->seed_error == 0)
        return lt_student_tails(reach / (p->group_error * (side == LOW ? p->skew_low : p->skew_high)),
                                freedom_of(p, true));
    double low = -700, high = 0; /* of its logarithm */
    for (int i = 0; i < 60; i++) {
        double middle = 0.5 * (low + high);
        if (half_width(p, side, exp(middle), true) > reach) low = middle;
        else high = middle;
    }
    return exp(high);
}

/* The true difference at which a table's interval leaves 0 out with probability 0.8: both the mean and the width
 * vary. */
static double detectable_at(const lt_paired *p, double level) {
    double width = fmax(half_width(p, LOW, level, true), half_width(p, HIGH, level, true));
    double deviation = hypot(p->standard_error, width / sqrt(2 * p->freedom));
    return width + lt_student_quantile(0.4, p->freedom) * deviation;
}

static void set_table(lt_paired *p, double level, double hardest_level, double adjusted) {
    p->table_low = p->mean - half_width(p, LOW, level, true);
    p->table_high = p->mean + half_width(p, HIGH, level, true);
    p->detectable = detectable_at(p, hardest_level);
    p->p = fmin(1, adjusted);
}

/* How far the skew of the groups moves the ends of an interval. Groups and ends change sides where the skew is
 * negative, so that the interval of -x is minus that of x, to the bit. */
static lt_status measure_skew(const units *u, uint64_t seed, lt_paired *p) {
    enum { MOST = 20 };
    double cubes = 0, plain = 0, low, high, level = 0.05, all = (double)u->samples;
    for (int g = 0; g < u->groups; g++) cubes += pow(u->group[g].residual, 3);
    double sign = cubes < 0 ? -1 : 1;
    for (int g = 0; g < u->groups; g++) {
        u->group[g].residual *= sign;
        plain += u->group[g].residual * u->group[g].residual;
    }
    LT_TRY(lt_bootstrap_t(u->group, u->groups, 0.5 * level, seed, &low, &high));
    plain = sqrt(plain * u->groups / (u->groups - 1.0)) / all;
    double t = lt_student_quantile(level, p->freedom) * p->group_error;
    low = fmin(MOST, fmax(1, -low * plain / t)), high = fmin(MOST, fmax(1, high * plain / t));
    p->skew_low = sign > 0 ? high : low, p->skew_high = sign > 0 ? low : high;
    return LT_OK;
}

static lt_status find_interval(const units *u, uint64_t seed, lt_paired *p) {
    p->freedom = degrees_of_freedom(u);
    p->group_error = sqrt(variance(u->group, u->groups, u->samples));
    if (u->seeds > 1) p->seed_error = sqrt(fmax(0, variance(u->seed, u->seeds, u->samples) - interaction(u)));
    p->standard_error = hypot(p->group_error, p->seed_error);
    if (p->group_error > 0) LT_TRY(measure_skew(u, seed, p));
    p->low = p->mean - half_width(p, LOW, 0.05, false);
    p->high = p->mean + half_width(p, HIGH, 0.05, false);
    set_table(p, 0.05, 0.05, level_of(p));
    return LT_OK;
}

static lt_status summarise(sample *s, int64_t count, uint64_t seed, lt_paired *p) {
    units u = {0};
    double sum = 0;
    number_units(s, count, &u.groups, &u.seeds);
    for (int64_t i = 0; i < count; i++) sum += s[i].value;
    *p = (lt_paired){.samples = count, .groups = u.groups, .seeds = u.seeds, .mean = sum / (double)count};
    p->skew_low = p->skew_high = 1;
    p->standard_error = p->low = p->high = p->table_low = p->table_high = p->p = p->detectable = NAN;
    if (u.groups < LT_PAIRED_MIN_GROUPS) return LT_OK;
    lt_status status = add_up(s, count, p->mean, &u);
    if (status == LT_OK) status = find_interval(&u, seed, p);
    free(u.group);
    return status;
}

lt_status lt_paired_of(const double *difference, const uint64_t *group, const uint64_t *seeds, int64_t count,
                       uint64_t bootstrap_seed, lt_paired *out) {
    LT_CHECK(count > 0, LT_USAGE, "statistics of no samples");
    for (int64_t i = 0; i < count; i++)
        LT_CHECK(isfinite(difference[i]), LT_USAGE, "statistics: sample %lld is %g", (long long)i,
                 difference[i]);
    sample *samples = malloc((size_t)count * sizeof *samples);
    LT_CHECK(samples, LT_FAILED, "statistics: out of memory for %lld samples", (long long)count);
    for (int64_t i = 0; i < count; i++) samples[i] = (sample){group[i], seeds ? seeds[i] : 0, difference[i]};
    lt_status status = summarise(samples, count, bootstrap_seed, out);
    free(samples);
    return status;
}

/* ---- tables ---------------------------------------------------------------------------------------------- */

typedef struct entry {
    lt_paired *paired;
    double level;
} entry;

static int by_level(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return (x->level > y->level) - (x->level < y->level);
}

/* Holm, Scandinavian Journal of Statistics 6, 1979: the k-th smallest of m is tested at 0.05 / (m - k), k from 0, until
 * one fails; those after it keep the level it failed at. */
lt_status lt_paired_correct(lt_paired *const *table, int count) {
    entry *entries = malloc(((size_t)count + 1) * sizeof *entries);
    int m = 0;
    LT_CHECK(entries, LT_FAILED, "statistics: out of memory for %d comparisons", count);
    for (int i = 0; i < count; i++)
        if (table[i] && table[i]->groups >= LT_PAIRED_MIN_GROUPS)
            entries[m++] = (entry){table[i], level_of(table[i])};
    qsort(entries, (size_t)m, sizeof *entries, by_level);
    double adjusted = 0, level = 0;
    bool failed = false;
    for (int k = 0; k < m; k++) {
        adjusted = fmax(adjusted, entries[k].level * (m - k));
        if (!failed) level = 0.05 / (m - k);
        failed = failed || entries[k].level > level;
        set_table(entries[k].paired, level, 0.05 / m, adjusted);
    }
    free(entries);
    return LT_OK;
}

const char *lt_paired_verdict(const lt_paired *p, bool lower_is_better) {
    if (p->groups < LT_PAIRED_MIN_GROUPS) return "insufficient data";
    if (p->mean == 0 || (p->table_low <= 0 && p->table_high >= 0)) return "not distinguishable";
    return (p->mean < 0) == lower_is_better ? "better" : "worse";
}
