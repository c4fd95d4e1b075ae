#include "infer/paired.h"

#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Which group or seed each sample belongs to, numbered from 0 in order of first appearance. */
typedef struct factor {
    int *of; /* [samples] */
    int count;
} factor;

typedef struct key {
    uint64_t value;
    int64_t at;
} key;

static int by_value(const void *a, const void *b) {
    const key *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static lt_status number(const uint64_t *names, int64_t count, factor *out) {
    key *keys = malloc((size_t)count * sizeof *keys);
    out->of = calloc((size_t)count, sizeof *out->of);
    out->count = names ? 0 : 1;
    if (!keys || !out->of) {
        free(keys);
        return lt_fail(LT_FAILED, "statistics: out of memory for %lld samples", (long long)count);
    }
    for (int64_t i = 0; names && i < count; i++) keys[i] = (key){names[i], i};
    if (names) qsort(keys, (size_t)count, sizeof *keys, by_value);
    for (int64_t i = 0; names && i < count; i++) {
        if (i == 0 || keys[i].value != keys[i - 1].value) out->count++;
        out->of[keys[i].at] = out->count - 1;
    }
    free(keys);
    return LT_OK;
}

/* Hill, "Algorithm 396: Student's t-quantiles", CACM 13(10), 1970. */
double lt_student_t(double p, int freedom) {
    double n = freedom, half_pi = 1.5707963267948966;
    if (freedom == 1) return cos(p * half_pi) / sin(p * half_pi);
    if (freedom == 2) return sqrt(2 / (p * (2 - p)) - 2);
    double a = 1 / (n - 0.5), b = 48 / (a * a), c = ((20700 * a / b - 98) * a - 16) * a + 96.36;
    double d = ((94.5 / (b + c) - 3) / b + 1) * sqrt(a * half_pi) * n, x = d * p, y = pow(x, 2 / n);
    if (y > 0.05 + a) {
        double low = -8, high = 0; /* the normal quantile at p / 2 */
        for (int i = 0; i < 80; i++) {
            double middle = 0.5 * (low + high);
            if (0.5 * erfc(-middle / sqrt(2.0)) < 0.5 * p) low = middle;
            else high = middle;
        }
        x = low, y = x * x;
        if (freedom < 5) c += 0.3 * (n - 4.5) * (x + 0.6);
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c;
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x;
        y = expm1(a * y * y);
    } else {
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) *
                (n + 1) / (n + 2) +
            1 / y;
    }
    return sqrt(n * y);
}

/* Variance of the mean from the sums of deviations per group. */
static lt_status cluster_variance(const double *x, int64_t count, double mean, const factor *f, double *out) {
    double *sums = calloc((size_t)f->count, sizeof *sums), total = 0;
    LT_CHECK(sums, LT_FAILED, "statistics: out of memory");
    for (int64_t i = 0; i < count; i++) sums[f->of[i]] += x[i] - mean;
    for (int g = 0; g < f->count; g++) total += sums[g] * sums[g];
    free(sums);
    *out = f->count < 2 ? 0 : total * f->count / (f->count - 1) / ((double)count * (double)count);
    return LT_OK;
}

/* How often each level of a factor is drawn in one resample. */
static void draw(const factor *f, uint64_t seed, uint32_t which, uint32_t resample, int *times) {
    lt_rng_key rng = {.seed = seed, .purpose = LT_RNG_BOOTSTRAP, .block = which, .step = resample};
    memset(times, 0, (size_t)f->count * sizeof *times);
    if (f->count == 1) times[0] = 1;
    else
        for (int i = 0; i < f->count; i++) times[lt_rng_below(&rng, (uint64_t)i, f->count)]++;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* means[LT_PAIRED_RESAMPLES], sorted. */
static void resample(const double *x, int64_t count, const factor factors[2], uint64_t seed, int *times,
                     double *means) {
    int *seed_times = times + factors[0].count;
    for (uint32_t r = 0, tries = 0; r < LT_PAIRED_RESAMPLES; tries++) {
        double sum = 0, weight = 0;
        draw(&factors[0], seed, 0, tries, times);
        draw(&factors[1], seed, 1, tries, seed_times);
        for (int64_t i = 0; i < count; i++) {
            int w = times[factors[0].of[i]] * seed_times[factors[1].of[i]];
            sum += w * x[i], weight += w;
        }
        /* Where groups and seeds are not fully crossed a draw may hold no sample at all; it says nothing. */
        if (weight > 0) means[r++] = sum / weight;
    }
    qsort(means, LT_PAIRED_RESAMPLES, sizeof *means, by_size);
}

static double quantile(const double *sorted, double share) {
    double at = share * (LT_PAIRED_RESAMPLES - 1);
    int low = (int)floor(at);
    int high = low + 1 < LT_PAIRED_RESAMPLES ? low + 1 : low;
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

static lt_status interval(const double *x, int64_t count, const factor factors[2], int units, uint64_t seed,
                          lt_paired *out) {
    double *means = malloc(LT_PAIRED_RESAMPLES * sizeof *means);
    int *times = malloc((size_t)(factors[0].count + factors[1].count) * sizeof *times);
    lt_status status = means && times ? LT_OK : lt_fail(LT_FAILED, "statistics: out of memory");
    if (status == LT_OK) {
        double t = lt_student_t(0.05, units - 1) * sqrt(units / (units - 1.0));
        double tail = 0.5 * erfc(t / sqrt(2.0));
        resample(x, count, factors, seed, times, means);
        out->low = quantile(means, tail);
        out->high = quantile(means, 1 - tail);
    }
    free(means), free(times);
    return status;
}

static lt_status summarise(const double *x, int64_t count, const factor factors[2], uint64_t seed,
                           lt_paired *out) {
    double by_group, by_seed, sum = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i];
    *out = (lt_paired){.samples = count,
                       .groups = factors[0].count,
                       .seeds = factors[1].count,
                       .mean = sum / (double)count,
                       .detectable = INFINITY};
    out->low = out->high = out->mean;
    LT_TRY(cluster_variance(x, count, out->mean, &factors[0], &by_group));
    LT_TRY(cluster_variance(x, count, out->mean, &factors[1], &by_seed));
    out->standard_error = sqrt(by_group + by_seed);
    if (out->groups < 2) return LT_OK;
    int units = out->seeds > 1 && out->seeds < out->groups ? out->seeds : out->groups;
    out->detectable = (lt_student_t(0.05, units - 1) + 0.8416) * out->standard_error;
    return interval(x, count, factors, units, seed, out);
}

lt_status lt_paired_of(const double *difference, const uint64_t *group, const uint64_t *seeds, int64_t count,
                       uint64_t bootstrap_seed, lt_paired *out) {
    LT_CHECK(count > 0, LT_USAGE, "statistics of no samples");
    for (int64_t i = 0; i < count; i++)
        LT_CHECK(isfinite(difference[i]), LT_USAGE, "statistics: sample %lld is %g", (long long)i,
                 difference[i]);
    factor factors[2] = {{0}, {0}};
    lt_status status = number(group, count, &factors[0]);
    if (status == LT_OK) status = number(seeds, count, &factors[1]);
    if (status == LT_OK) status = summarise(difference, count, factors, bootstrap_seed, out);
    free(factors[0].of), free(factors[1].of);
    return status;
}

const char *lt_paired_verdict(const lt_paired *p, bool lower_is_better) {
    if (p->groups < LT_PAIRED_MIN_GROUPS) return "insufficient data";
    if (p->mean == 0 || fabs(p->mean) < p->detectable || (p->low <= 0 && p->high >= 0))
        return "not distinguishable";
    return (p->mean < 0) == lower_is_better ? "better" : "worse";
}
