#include "infer/bootstrap.h"

#include "core/rng.h"

#include <math.h>
#include <stdlib.h>

/* What a group adds to the sums over a resample, and those sums. */
typedef struct sums {
    double residual, size, squares, cross, sizes; /* r, n, r r, r n, n n */
} sums;

typedef struct outcome {
    double t, weight;
} outcome;

typedef struct resampler {
    const sums *groups;
    int count;
    outcome *outcomes;
    int64_t made;
} resampler;

static inline void add(sums *s, const sums *g) {
    s->residual += g->residual, s->size += g->size;
    s->squares += g->squares, s->cross += g->cross, s->sizes += g->sizes;
}

static void record(resampler *r, const sums *s, double weight) {
    double mean = s->residual / s->size;
    double variance = s->squares - 2 * mean * s->cross + mean * mean * s->sizes;
    double error = sqrt(variance * r->count / (r->count - 1.0)) / s->size;
    double t = variance > 1e-12 * s->squares ? mean / error : mean == 0 ? 0 : copysign(INFINITY, mean);
    r->outcomes[r->made++] = (outcome){t, weight};
}

/* Every way to draw `left` more groups from those from `at` on; `weight` is 1 over the product of the factorials so
 * far. */
static void enumerate(resampler *r, int at, int left, double weight, sums so_far) {
    for (int times = 0; times <= left; times++) {
        if (times > 1) weight /= times;
        if (at < r->count - 1) enumerate(r, at + 1, left - times, weight, so_far);
        else if (times == left) record(r, &so_far, weight);
        add(&so_far, &r->groups[at]);
    }
}

/* One draw takes 32 random bits. */
static void draw(resampler *r, int64_t resamples, uint64_t seed) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int64_t i = 0; i < resamples; i++) {
        uint32_t words[4] = {0};
        sums s = {0};
        for (int k = 0; k < r->count; k++) {
            const uint32_t counter[4] = {(uint32_t)i, (uint32_t)(k / 4), LT_RNG_BOOTSTRAP, 0};
            if (k % 4 == 0) lt_philox(counter, key, words);
            add(&s, &r->groups[((uint64_t)words[k % 4] * (uint64_t)r->count) >> 32]);
        }
        record(r, &s, 1);
    }
}

static int by_residual(const void *a, const void *b) {
    const lt_bootstrap_group *x = a, *y = b;
    if (x->residual != y->residual) return x->residual < y->residual ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}

static double middle_of_three(double a, double b, double c) { return fmax(fmin(a, b), fmin(fmax(a, b), c)); }

/* The smallest t at or below which lies at least `share` of all weight: quickselect, which leaves the outcomes partly
 * sorted. */
static double quantile(outcome *o, int64_t count, double share) {
    int64_t first = 0, end = count;
    double total = 0;
    for (int64_t i = 0; i < count; i++) total += o[i].weight;
    double wanted = share * total;
    while (end - first > 1) {
        double pivot = middle_of_three(o[first].t, o[first + (end - first) / 2].t, o[end - 1].t), below = 0,
               at = 0;
        int64_t low = first, same = first, high = end; /* [first, low): below the pivot, [low, same): equal */
        while (same < high) {
            outcome x = o[same];
            if (x.t < pivot) o[same++] = o[low], o[low++] = x, below += x.weight;
            else if (x.t > pivot) o[same] = o[--high], o[high] = x;
            else same++, at += x.weight;
        }
        if (wanted <= below) end = low;
        else if (wanted <= below + at || high == end) return pivot;
        else wanted -= below + at, first = high;
    }
    return o[first].t;
}

/* C(2 n - 1, n): multisets of n of n groups. */
static int64_t all_resamples(int n) {
    int64_t ways = 1;
    for (int i = 1; i <= n; i++) ways = ways * (n - 1 + i) / i;
    return ways;
}

/* Fewer for very many groups, whose quantiles are close to those of a normal distribution: 4 million draws at most. */
static int64_t enough_resamples(int groups) {
    int64_t most = 4000000 / groups, least = LT_BOOTSTRAP_RESAMPLES / 5;
    return most > LT_BOOTSTRAP_RESAMPLES ? LT_BOOTSTRAP_RESAMPLES : most < least ? least : most;
}

lt_status lt_bootstrap_t(lt_bootstrap_group *groups, int count, double tail, uint64_t seed, double *low,
                         double *high) {
    bool exact = count <= LT_BOOTSTRAP_EXACT;
    int64_t resamples = exact ? all_resamples(count) : enough_resamples(count);
    sums *each = malloc((size_t)count * sizeof *each);
    resampler r = {each, count, malloc((size_t)resamples * sizeof *r.outcomes), 0};
    bool enough = each && r.outcomes;
    if (enough) {
        qsort(groups, (size_t)count, sizeof *groups, by_residual);
        for (int g = 0; g < count; g++) {
            double x = groups[g].residual, n = groups[g].size;
            each[g] = (sums){x, n, x * x, x * n, n * n};
        }
        if (exact) enumerate(&r, 0, count, 1, (sums){0});
        else draw(&r, resamples, seed);
        *low = quantile(r.outcomes, r.made, tail), *high = quantile(r.outcomes, r.made, 1 - tail);
    }
    free(each), free(r.outcomes);
    return enough ? LT_OK
                  : lt_fail(LT_FAILED, "statistics: out of memory for %lld resamples", (long long)resamples);
}
