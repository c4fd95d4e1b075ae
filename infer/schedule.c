#include "infer/schedule.h"

#include <math.h>
#include <stdlib.h>

const char *const lt_noise_names[LT_NOISE_COUNT] = {"same", "independent", "monotone"};

double lt_shift_time(double t, double shift) { return shift * t / (1 + (shift - 1) * t); }

double lt_time_logit_normal(const lt_rng_key *key, uint64_t index, double mean, double deviation,
                            double shift) {
    double logit = mean + deviation * (double)lt_rng_normal(key, index);
    return lt_shift_time(1 / (1 + exp(-logit)), shift);
}

static int by_time(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void lt_clip_times(lt_noise_mode mode, const lt_rng_key *key, double mean, double deviation, double shift,
                   int blocks, double *t) {
    for (int i = 0; i < blocks; i++)
        t[i] = lt_time_logit_normal(key, mode == LT_NOISE_SAME ? 0 : (uint64_t)i, mean, deviation, shift);
    if (mode == LT_NOISE_MONOTONE) qsort(t, (size_t)blocks, sizeof *t, by_time);
}

void lt_sampler_grid(int steps, double shift, double *t) {
    for (int i = 0; i <= steps; i++) t[i] = lt_shift_time((double)(steps - i) / steps, shift);
}
