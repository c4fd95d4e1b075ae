#include "core/rng.h"
#include "core/rng_math.h"
#include "tests/harness.h"
#include <omp.h>

static const lt_rng_key test_key = {
    .seed = 20250924, .purpose = LT_RNG_TEST, .clip = 7, .block = 3, .step = 11};

/* Random123, tests/kat_vectors, lines "philox4x32 10". */
static void philox_matches_the_published_vectors(void) {
    static const uint32_t vectors[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
         0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
         0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        lt_philox(vectors[i], vectors[i] + 4, out);
        CHECK(memcmp(out, vectors[i] + 6, sizeof out) == 0);
    }
}

/* The layout written in rng.h, step by step. */
static void counters_are_packed_as_documented(void) {
    lt_rng_key key = {
        .seed = 0x1122334455667788, .purpose = 9, .clip = 0xaabbccddeeff0011, .block = 0x7f123456, .step = 5};
    const uint64_t index = (1ull << 40) + 4 * 77 + 2;
    const uint32_t seed[2] = {0x55667788, 0x11223344}, first[4] = {0xeeff0011, 0xaabbccdd, 9, 0x7f00};
    uint32_t d[4], out[4];
    lt_philox(first, seed, d);
    const uint32_t second[4] = {(uint32_t)(index / 4), (uint32_t)(index / 4 >> 32) | 0x12345600, 5, d[2]};
    lt_philox(second, d, out);
    CHECK(lt_rng_u32(&key, index) == out[2]);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* 32-bit values of 4,096 neighbouring streams, two at a time: 64 bits collide by chance once in 2^41. */
static void neighbouring_streams_share_nothing(void) {
    enum { SIDE = 4, STREAMS = SIDE * SIDE * SIDE * SIDE * SIDE * SIDE };
    uint64_t *seen = malloc(STREAMS * sizeof *seen);
    for (int i = 0; i < STREAMS; i++) {
        static const uint64_t clips[SIDE] = {0, 1, 1ull << 32, 1ull << 63};
        static const uint32_t blocks[SIDE] = {0, 1, 1u << 23, 1u << 24};
        static const uint64_t groups[SIDE] = {0, 1, 1ull << 32, 1ull << 38};
        lt_rng_key key = {.seed = (uint64_t)(i % 4),
                          .purpose = 1 + (uint32_t)(i / 4 % 4),
                          .clip = clips[i / 16 % 4],
                          .block = blocks[i / 64 % 4],
                          .step = (uint32_t)(i / 256 % 4)};
        uint64_t index = 4 * groups[i / 1024];
        seen[i] = (uint64_t)lt_rng_u32(&key, index) << 32 | lt_rng_u32(&key, index + 1);
    }
    qsort(seen, STREAMS, sizeof *seen, by_value);
    int repeated = 0;
    for (int i = 1; i < STREAMS; i++) repeated += seen[i] == seen[i - 1];
    CHECK(repeated == 0);
    free(seen);
}

static void kinds_of_values_use_different_words(void) {
    uint64_t words = (uint64_t)lt_rng_u32(&test_key, 1) << 32 | lt_rng_u32(&test_key, 0);
    CHECK((double)(words >> 11) * 0x1p-53 != lt_rng_uniform(&test_key, 0));
}

static void logarithm_is_right_to_a_few_ulp(void) {
    double worst = 0;
    for (uint64_t i = 0; i < 3000000; i++) {
        uint32_t word = i < 1000000   ? (uint32_t)i
                        : i < 2000000 ? (uint32_t) - (int64_t)(i - 999999)
                                      : lt_rng_u32(&test_key, i);
        long double u = ((long double)word + 0.5L) * 0x1p-32L, wanted = -2.0L * logl(u);
        worst = fmax(worst, (double)fabsl(lt_minus_two_log(word) / wanted - 1));
    }
    CHECK_NEAR(worst, 0, 1e-15);
}

static void cosine_and_sine_are_right_to_a_few_ulp(void) {
    const long double turn = 6.283185307179586476925286766559005768L;
    double worst = 0;
    for (uint64_t i = 0; i < 3000000; i++) {
        uint32_t near = (uint32_t)(i % 8) << 29,
                 word = i < 2000000 ? near + (uint32_t)(i / 8) - 125000 : lt_rng_u32(&test_key, i);
        /* libm sees the angle reduced to an eighth of a turn, where its argument has no rounding to speak of.
         */
        uint32_t quarter = (word + 0x20000000u) >> 30;
        long double x = ((long double)(int32_t)(word - (quarter << 30)) + 0.5L) * turn * 0x1p-32L;
        long double c = quarter & 1 ? -sinl(x) : cosl(x), s = quarter & 1 ? cosl(x) : sinl(x),
                    sign = quarter & 2 ? -1 : 1;
        double cosine, sine;
        lt_cos_sin_turn(word, &cosine, &sine);
        worst = fmax(worst, (double)fabsl(cosine / (sign * c) - 1));
        worst = fmax(worst, (double)fabsl(sine / (sign * s) - 1));
    }
    CHECK_NEAR(worst, 0, 1e-15);
    double cosine, sine;
    lt_cos_sin_turn(0x55555555u, &cosine, &sine); /* a third of a turn, not reduced by hand */
    CHECK_NEAR(cosine, -0.5, 1e-9);
    CHECK_NEAR(sine, sqrt(0.75), 1e-9);
}

static void extreme_words_give_finite_normals(void) {
    static const uint32_t edges[] = {0,          1,          0x1fffffff, 0x20000000, 0x3fffffff,
                                     0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (size_t j = 0; j < sizeof edges / sizeof *edges; j++) {
            float a, b;
            lt_box_muller(edges[i], edges[j], &a, &b);
            CHECK(isfinite(a) && isfinite(b) && fabsf(a) < 6.77f && fabsf(b) < 6.77f);
        }
}

static void filling_equals_the_scalar_normals(void) {
    static const int64_t counts[] = {0, 1, 3, 4, 5, 255, 256, 257, 1023, 20001};
    float *out = malloc(20003 * sizeof *out);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (uint64_t first = 0; first < 1030; first += first < 9 ? 1 : 255) {
            int64_t count = counts[c], wrong = 0;
            memset(out, 0xff, 20003 * sizeof *out);
            lt_rng_fill_normal(&test_key, first, count, out + 1);
            for (int64_t i = 0; i < count; i++) {
                float one =
                    i < 2000 || i > count - 600 ? lt_rng_normal(&test_key, first + (uint64_t)i) : out[1 + i];
                wrong += memcmp(&one, &out[1 + i], sizeof one) != 0;
            }
            CHECK(wrong == 0 && isnan(out[0]) && isnan(out[1 + count]));
        }
    free(out);
}

static void normals_do_not_depend_on_threads_and_never_change(void) {
    enum { COUNT = 1000000 };
    float *out = malloc(COUNT * sizeof *out);
    int before = omp_get_max_threads();
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        memset(out, 0, COUNT * sizeof *out);
        lt_rng_fill_normal(&test_key, 0, COUNT, out);
        CHECK(lt_hash(out, COUNT * sizeof *out, LT_HASH_SEED) == 0xaf206a11f4799216ull);
    }
    omp_set_num_threads(before);
    free(out);
}

static int by_float(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Standard errors of the moments of n normals: 1/n, 2/n, 15/n - ..., 96/n; every bound is 4.5 of them. */
static void four_million_normals_are_normal(void) {
    enum { COUNT = 4000000 };
    float *x = malloc(COUNT * sizeof *x);
    lt_rng_fill_normal(&test_key, 1 << 20, COUNT, x);
    double sum[5] = {0}, lag = 0, beyond3 = 0, beyond5 = 0, distance = 0;
    for (int64_t i = 0; i < COUNT; i++) {
        double v = x[i], power = 1;
        for (int p = 1; p <= 4; p++) sum[p] += power *= v;
        if (i) lag += v * x[i - 1];
        beyond3 += fabs(v) > 3;
        beyond5 += fabs(v) > 5;
    }
    const double sigma = 4.5 / sqrt(COUNT);
    CHECK_NEAR(sum[1] / COUNT, 0, sigma);
    CHECK_NEAR(sum[2] / COUNT, 1, sigma * sqrt(2));
    CHECK_NEAR(sum[3] / COUNT, 0, sigma * sqrt(15));
    CHECK_NEAR(sum[4] / COUNT, 3, sigma * sqrt(96));
    CHECK_NEAR(lag / COUNT, 0, sigma);
    CHECK_NEAR(beyond3 / COUNT, 0.0026998, sigma * sqrt(0.0027));
    CHECK(beyond5 <= 10); /* 2.3 are expected */
    qsort(x, COUNT, sizeof *x, by_float);
    for (int64_t i = 0; i < COUNT; i++) {
        double below = 0.5 * erfc(-x[i] / sqrt(2));
        distance = fmax(distance, fmax(below - (double)i / COUNT, (double)(i + 1) / COUNT - below));
    }
    CHECK(distance * sqrt(COUNT) < 1.95); /* Kolmogorov-Smirnov, 0.1 % */
    CHECK(distance * sqrt(COUNT) > 0.2);  /* closer than chance allows: not random either */
    free(x);
}

static void integers_below_a_bound_are_uniform(void) {
    int64_t hits[7] = {0};
    for (uint64_t i = 0; i < 70000; i++) {
        int64_t value = lt_rng_below(&test_key, i, 7);
        bool inside = value >= 0 && value < 7;
        CHECK(inside);
        if (inside) hits[value]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 7; i++) chi2 += (double)((hits[i] - 10000) * (hits[i] - 10000)) / 10000;
    CHECK(chi2 < 22.5); /* 6 degrees of freedom, 0.1 % */
    CHECK(lt_rng_below(&test_key, 0, 0) == 0 && lt_rng_below(&test_key, 0, -5) == 0);
    for (uint64_t i = 0; i < 100; i++) CHECK(lt_rng_below(&test_key, i, 1) == 0);
    for (uint64_t i = 0; i < 100; i++) CHECK(lt_rng_below(&test_key, i, INT64_MAX) >= 0);
}

static void uniforms_fill_the_unit_interval(void) {
    double sum = 0, low = 1, high = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        double value = lt_rng_uniform(&test_key, i);
        sum += value, low = fmin(low, value), high = fmax(high, value);
    }
    CHECK(low >= 0 && high < 1 && low < 1e-4 && high > 0.9999);
    CHECK_NEAR(sum / 100000, 0.5, 4.5 * sqrt(1.0 / 12 / 100000));
}

static void permutations_hold_each_index_once_and_are_fair(void) {
    int64_t order[100], sum = 0, moved = 0;
    lt_rng_permutation(&test_key, 100, order);
    bool seen[100] = {false};
    for (int i = 0; i < 100; i++) {
        bool inside = order[i] >= 0 && order[i] < 100;
        CHECK(inside && !seen[order[i]]);
        if (inside) seen[order[i]] = true;
        sum += order[i], moved += order[i] != i;
    }
    CHECK(sum == 4950 && moved > 80);
    int hits[24] = {0};
    for (uint32_t step = 0; step < 24000; step++) {
        lt_rng_key key = test_key;
        key.step = step;
        lt_rng_permutation(&key, 4, order);
        int a = (int)order[0], b = (int)order[1] - (order[1] > a), c = (order[2] > order[3]);
        hits[a * 6 + b * 2 + c]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 24; i++) chi2 += (hits[i] - 1000) * (hits[i] - 1000) / 1000.0;
    CHECK(chi2 < 49.7); /* 23 degrees of freedom, 0.1 % */
    lt_rng_permutation(&test_key, 0, order);
}

/* From the FNV authors' test vectors, draft-eastlake-fnv. */
static void hash_is_fnv_1a(void) {
    CHECK(lt_hash("", 0, LT_HASH_SEED) == 0xcbf29ce484222325ull);
    CHECK(lt_hash("a", 1, LT_HASH_SEED) == 0xaf63dc4c8601ec8cull);
    CHECK(lt_hash("foobar", 6, LT_HASH_SEED) == 0x85944171f73967e8ull);
    CHECK(lt_hash("bar", 3, lt_hash("foo", 3, LT_HASH_SEED)) == 0x85944171f73967e8ull);
}

int main(int argc, char **argv) {
    RUN(philox_matches_the_published_vectors);
    RUN(counters_are_packed_as_documented);
    RUN(neighbouring_streams_share_nothing);
    RUN(kinds_of_values_use_different_words);
    RUN(logarithm_is_right_to_a_few_ulp);
    RUN(cosine_and_sine_are_right_to_a_few_ulp);
    RUN(extreme_words_give_finite_normals);
    RUN(filling_equals_the_scalar_normals);
    RUN(normals_do_not_depend_on_threads_and_never_change);
    RUN(four_million_normals_are_normal);
    RUN(integers_below_a_bound_are_uniform);
    RUN(uniforms_fill_the_unit_interval);
    RUN(permutations_hold_each_index_once_and_are_fair);
    RUN(hash_is_fnv_1a);
    return test_end();
}
