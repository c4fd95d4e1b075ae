/* Elementary functions that gcc vectorises when they are inlined into a loop: no branches, no calls. For the
 * fast CPU kernels (float32). Relative error below 2e-7 where the result is normal; infinities, NaN and
 * underflow as in libm.
 */
#ifndef LT_KERNELS_VEC_H
#define LT_KERNELS_VEC_H

#include <stdint.h>
#include <string.h>

#define LT_INLINE static inline __attribute__((always_inline))

LT_INLINE float lt_vec_from_bits(int32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* 2^n for n in [-126, 127]; unsigned, because a NaN's n is anything. */
LT_INLINE float lt_vec_power(int32_t n) { return lt_vec_from_bits((int32_t)((uint32_t)(n + 127) << 23)); }

LT_INLINE int32_t lt_vec_bits(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* x = n ln 2 + r with |r| <= ln 2 / 2; n sits in the low mantissa bits of `shifted`. ln 2 is split so that n
 * times its first part is exact. Coefficients: Cephes expf (Moshier). */
LT_INLINE float lt_vec_reduce(float x, int32_t *n) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float shifted = x * 1.44269504088896341f + magic;
    float whole = shifted - magic;
    *n = lt_vec_bits(shifted) - lt_vec_bits(magic);
    return (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
}

/* (exp(r) - 1 - r) / r^2 */
LT_INLINE float lt_vec_exp_tail(float r) {
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    return p * r + 5.0000001201e-1f;
}

/* The clamps let NaN through (a comparison with NaN is false) and leave room for the true overflow and
 * underflow, which the two-step scaling by 2^n brings about. */
LT_INLINE float lt_vec_exp(float x) {
    x = 90.0f < x ? 90.0f : x;
    x = x < -105.0f ? -105.0f : x;
    int32_t n, half;
    float r = lt_vec_reduce(x, &n);
    float p = lt_vec_exp_tail(r) * (r * r) + r + 1.0f;
    half = n >> 1;
    return p * lt_vec_power(half) * lt_vec_power(n - half);
}

/* 1 / (1 + exp(-x)) from exp(-|x|), which never overflows and keeps the relative error of the far left. */
LT_INLINE float lt_vec_sigmoid(float x) {
    float e = lt_vec_exp(x < 0.0f ? x : -x);
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* em / (em + 2) with em = exp(2|x|) - 1, computed without cancellation; 1 in float32 from |x| = 9.02 on. */
LT_INLINE float lt_vec_tanh(float x) {
    float a = x < 0.0f ? -x : x;
    a = 10.0f < a ? 10.0f : a;
    int32_t n;
    float r = lt_vec_reduce(2.0f * a, &n);
    float power = lt_vec_power(n);
    float em = power * (lt_vec_exp_tail(r) * (r * r) + r) + (power - 1.0f);
    float t = em / (em + 2.0f);
    return x < 0.0f ? -t : t;
}

LT_INLINE float lt_vec_silu(float x) { return x * lt_vec_sigmoid(x); }

/* d silu / dx = s (1 + x (1 - s)) */
LT_INLINE float lt_vec_silu_slope(float x) {
    float s = lt_vec_sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}

/* x (1 + tanh u) / 2 = x sigmoid(2 u),  u = sqrt(2 / pi) (x + 0.044715 x^3) */
LT_INLINE float lt_vec_gelu(float x) {
    return x * lt_vec_sigmoid(1.5957691216057308f * x * (1.0f + 0.044715f * (x * x)));
}

LT_INLINE float lt_vec_gelu_slope(float x) {
    float square = x * x;
    float s = lt_vec_sigmoid(1.5957691216057308f * x * (1.0f + 0.044715f * square));
    return s + x * s * (1.0f - s) * (1.5957691216057308f * (1.0f + 0.134145f * square));
}

/* Sums of a row. Sixteen partial sums in a fixed order, so the bits depend on the values and the length
 * alone. */
/* Sums are taken piece by piece: in one run over 18,440 values float32 loses a digit. */
enum { LT_VEC_PIECE = 1024 };

LT_INLINE float lt_vec_sum(const float *x, int64_t n) {
    float sum = 0;
    for (int64_t at = 0; at < n; at += LT_VEC_PIECE) {
        int64_t end = at + LT_VEC_PIECE < n ? at + LT_VEC_PIECE : n;
        float piece = 0;
#pragma omp simd reduction(+ : piece)
        for (int64_t i = at; i < end; i++) piece += x[i];
        sum += piece;
    }
    return sum;
}

LT_INLINE float lt_vec_dot(const float *x, const float *y, int64_t n) {
    float sum = 0;
    for (int64_t at = 0; at < n; at += LT_VEC_PIECE) {
        int64_t end = at + LT_VEC_PIECE < n ? at + LT_VEC_PIECE : n;
        float piece = 0;
#pragma omp simd reduction(+ : piece)
        for (int64_t i = at; i < end; i++) piece += x[i] * y[i];
        sum += piece;
    }
    return sum;
}

#endif
