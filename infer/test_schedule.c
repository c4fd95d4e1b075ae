/* Times of training and sampling. */
#include "infer/schedule.h"
#include "tests/harness.h"

static const lt_rng_key key = {.seed = 5, .purpose = LT_RNG_TIME, .clip = 3, .step = 7};

static void shift_keeps_the_ends_and_moves_the_middle_to_noise(void) {
    CHECK_NEAR(lt_shift_time(0, 3), 0, 0);
    CHECK_NEAR(lt_shift_time(1, 3), 1, 0);
    CHECK_NEAR(lt_shift_time(0.5, 3), 0.75, 1e-15);
    CHECK_NEAR(lt_shift_time(0.3, 1), 0.3, 0);
    CHECK_NEAR(lt_shift_time(lt_shift_time(0.3, 4), 0.25), 0.3, 1e-15);
}

/* The logit of an unshifted time is normal: its first two moments, and its share below the mean. */
static void times_are_logit_normal(void) {
    enum { N = 100000 };
    double sum = 0, squares = 0, below = 0;
    for (int i = 0; i < N; i++) {
        double t = lt_time_logit_normal(&key, (uint64_t)i, 0.5, 1.5, 1);
        CHECK(t > 0 && t < 1);
        double logit = log(t / (1 - t));
        sum += logit, squares += logit * logit, below += logit < 0.5;
    }
    double mean = sum / N;
    CHECK_NEAR(mean, 0.5, 4 * 1.5 / sqrt(N));
    CHECK_NEAR(sqrt(squares / N - mean * mean), 1.5, 4 * 1.5 / sqrt(2.0 * N));
    CHECK_NEAR(below / N, 0.5, 4 * 0.5 / sqrt(N));
}

static void training_times_are_shifted(void) {
    for (uint64_t i = 0; i < 10; i++)
        CHECK_NEAR(lt_time_logit_normal(&key, i, 0, 1, 3),
                   lt_shift_time(lt_time_logit_normal(&key, i, 0, 1, 1), 3), 1e-15);
}

static void same_noise_has_one_time_per_clip(void) {
    double t[12];
    lt_clip_times(LT_NOISE_SAME, &key, 0, 1, 1, 12, t);
    for (int i = 0; i < 12; i++) CHECK(t[i] == t[0]);
    lt_rng_key other = key;
    other.clip++;
    double first = t[0];
    lt_clip_times(LT_NOISE_SAME, &other, 0, 1, 1, 12, t);
    CHECK(t[0] != first);
}

static void independent_noise_has_a_time_per_block(void) {
    double t[12], again[12];
    int falls = 0;
    lt_clip_times(LT_NOISE_INDEPENDENT, &key, 0, 1, 1, 12, t);
    lt_clip_times(LT_NOISE_INDEPENDENT, &key, 0, 1, 1, 12, again);
    for (int i = 0; i < 12; i++) {
        CHECK(t[i] == again[i]);
        for (int j = 0; j < i; j++) CHECK(t[i] != t[j]);
        falls += i > 0 && t[i] < t[i - 1];
    }
    CHECK(falls > 0);
}

static void monotone_noise_never_decreases_and_keeps_the_draws(void) {
    double sorted[12], free_order[12];
    lt_clip_times(LT_NOISE_MONOTONE, &key, 0, 1, 1, 12, sorted);
    lt_clip_times(LT_NOISE_INDEPENDENT, &key, 0, 1, 1, 12, free_order);
    for (int i = 0; i < 12; i++) {
        bool found = false;
        CHECK(i == 0 || sorted[i] >= sorted[i - 1]);
        for (int j = 0; j < 12; j++) found |= free_order[j] == sorted[i];
        CHECK(found);
    }
}

static void the_sampler_walks_from_noise_to_clean(void) {
    double t[21];
    for (int steps = 1; steps <= 20; steps++)
        for (double shift = 0.5; shift < 9; shift *= 2) {
            lt_sampler_grid(steps, shift, t);
            CHECK(t[0] == 1 && t[steps] == 0);
            for (int i = 0; i < steps; i++) CHECK(t[i] > t[i + 1]);
        }
    lt_sampler_grid(4, 1, t);
    for (int i = 0; i <= 4; i++) CHECK_NEAR(t[i], 1 - i / 4.0, 1e-15);
    lt_sampler_grid(2, 3, t);
    CHECK_NEAR(t[1], 0.75, 1e-15);
}

int main(int argc, char **argv) {
    RUN(shift_keeps_the_ends_and_moves_the_middle_to_noise);
    RUN(times_are_logit_normal);
    RUN(training_times_are_shifted);
    RUN(same_noise_has_one_time_per_clip);
    RUN(independent_noise_has_a_time_per_block);
    RUN(monotone_noise_never_decreases_and_keeps_the_draws);
    RUN(the_sampler_walks_from_noise_to_clean);
    return test_end();
}
