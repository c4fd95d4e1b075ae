/* The arithmetic of core/rng.h, for one value: Philox4x32-10, and Box-Muller in float64. The CPU and CUDA
 * compile this very file, so their bits are equal.
 *
 * What makes them equal: only +, -, *, /, sqrt, conversions and explicit fma, each of which IEEE 754 rounds
 * in one way; and the result of a * is never an operand of a plain + or -, so a compiler that contracts a * b + c
 * (nvcc does, gcc may) finds nothing to contract. Only -ffast-math would break it. Polynomials are Taylor
 * series, cut where the next term is below a quarter of an ulp on the reduced range; functions are right to
 * about 5e-16 relative.
 */
#ifndef LT_CORE_RNG_MATH_H
#define LT_CORE_RNG_MATH_H

#include "core/rng.h"
#include <math.h>
#include <string.h>

#if defined(__CUDACC__)
#    define LT_HD __host__ __device__
#else
#    define LT_HD
#endif

/* Four words of the bijection. */
typedef struct lt_words {
    uint32_t w[4];
} lt_words;

LT_HD static inline lt_words lt_philox_words(lt_words c, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * c.w[0];
        uint64_t product1 = (uint64_t)0xCD9E8D57u * c.w[2];
        lt_words next = {{(uint32_t)(product1 >> 32) ^ c.w[1] ^ key0, (uint32_t)product1,
                          (uint32_t)(product0 >> 32) ^ c.w[3] ^ key1, (uint32_t)product0}};
        c = next;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return c;
}

/* What a stream's values are; each kind has its own words, so mixing kinds under one lt_rng_key is safe. */
enum { LT_RNG_WORDS = 0, LT_RNG_PAIRS = 1, LT_RNG_NORMALS = 2 };

/* An lt_rng_key made ready: everything about a counter but the index. See core/rng.h for the layout. */
typedef struct lt_rng_stream {
    uint32_t key[2], block, step, salt;
} lt_rng_stream;

LT_HD static inline lt_rng_stream lt_rng_open(const lt_rng_key *key, uint32_t kind) {
    lt_words c = {
        {(uint32_t)key->clip, (uint32_t)(key->clip >> 32), key->purpose, kind | (key->block >> 24 << 8)}};
    lt_words d = lt_philox_words(c, (uint32_t)key->seed, (uint32_t)(key->seed >> 32));
    lt_rng_stream stream = {{d.w[0], d.w[1]}, key->block << 8, key->step, d.w[2]};
    return stream;
}

LT_HD static inline lt_words lt_rng_words(const lt_rng_stream *stream, uint64_t group) {
    lt_words c = {
        {(uint32_t)group, (uint32_t)(group >> 32 & 0xff) | stream->block, stream->step, stream->salt}};
    return lt_philox_words(c, stream->key[0], stream->key[1]);
}

/* -2 ln u for u = (word + 1/2) / 2^32. With u = 2^e m, m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1) and z
 * = s^2: ln m = 2 atanh(s) = 2 s (1 + z/3 + z^2/5 + ...), where z < 0.0295. */
LT_HD static inline double lt_minus_two_log(uint32_t word) {
    double u = ((double)word + 0.5) * 0x1p-32, m;
    uint64_t bits, above;
    memcpy(&bits, &u, sizeof bits);
    above = bits - 0x3fe6a09e667f3bcdu; /* the bits of sqrt(1/2) */
    int32_t exponent = (int32_t)(above >> 32) >> 20;
    bits -= above & 0xfff0000000000000u;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double series = 1.0 / 19;
    series = fma(series, z, 1.0 / 17);
    series = fma(series, z, 1.0 / 15);
    series = fma(series, z, 1.0 / 13);
    series = fma(series, z, 1.0 / 11);
    series = fma(series, z, 1.0 / 9);
    series = fma(series, z, 1.0 / 7);
    series = fma(series, z, 1.0 / 5);
    series = fma(series, z, 1.0 / 3);
    double half_log_m = fma(s * z, series, s);
    return -2.0 * fma((double)exponent, 0x1.62e42fefa39efp-1, 2.0 * half_log_m);
}

/* cos and sin of 2 pi (word + 1/2) / 2^32. The nearest quarter turn is taken off in integers, which is exact;
 * what is left is within pi/4 of zero. */
LT_HD static inline void lt_cos_sin_turn(uint32_t word, double *cosine, double *sine) {
    uint32_t quarter = (word + 0x20000000u) >> 30;
    int32_t rest = (int32_t)(word - (quarter << 30));
    double x = ((double)rest + 0.5) * 0x1.921fb54442d18p-30; /* 2 pi / 2^32 */
    double z = x * x;
    double s = -1.0 / 1307674368000;
    s = fma(s, z, 1.0 / 6227020800);
    s = fma(s, z, -1.0 / 39916800);
    s = fma(s, z, 1.0 / 362880);
    s = fma(s, z, -1.0 / 5040);
    s = fma(s, z, 1.0 / 120);
    s = fma(s, z, -1.0 / 6);
    s = fma(x * z, s, x);
    double c = 1.0 / 20922789888000;
    c = fma(c, z, -1.0 / 87178291200);
    c = fma(c, z, 1.0 / 479001600);
    c = fma(c, z, -1.0 / 3628800);
    c = fma(c, z, 1.0 / 40320);
    c = fma(c, z, -1.0 / 720);
    c = fma(c, z, 1.0 / 24);
    c = fma(c, z, -0.5);
    c = fma(c, z, 1.0);
    double swapped_c = quarter & 1 ? s : c, swapped_s = quarter & 1 ? c : s;
    *cosine = (quarter + 1) & 2 ? -swapped_c : swapped_c;
    *sine = quarter & 2 ? -swapped_s : swapped_s;
}

/* Box and Muller, "A note on the generation of random normal deviates", 1958: two normals from two words. */
LT_HD static inline void lt_box_muller(uint32_t radius_word, uint32_t angle_word, float *first,
                                       float *second) {
    double cosine, sine, radius = sqrt(lt_minus_two_log(radius_word));
    lt_cos_sin_turn(angle_word, &cosine, &sine);
    *first = (float)(radius * cosine);
    *second = (float)(radius * sine);
}

/* The normals 4 group .. 4 group + 3 of a stream opened as LT_RNG_NORMALS. */
LT_HD static inline void lt_normals4(const lt_rng_stream *stream, uint64_t group, float out[4]) {
    lt_words words = lt_rng_words(stream, group);
    lt_box_muller(words.w[0], words.w[1], &out[0], &out[1]);
    lt_box_muller(words.w[2], words.w[3], &out[2], &out[3]);
}

#endif
