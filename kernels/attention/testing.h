/* Inside kernels/attention: what its tests share. */
#ifndef LT_KERNELS_ATTENTION_TESTING_H
#define LT_KERNELS_ATTENTION_TESTING_H

#include "kernels/attention/attention.h"
#include "kernels/check.h"
#include "kernels/norm/norm.h"
#include "tests/harness.h"

static const int64_t test_dims[] = {32, 60, 64, 112, 128};
enum { TEST_DIMS = sizeof test_dims / sizeof *test_dims };

/* 1, 63, 500 and 1000 tokens a block, and a case with several spans. */
static const lt_rope test_grids[] = {
    {1, 1, 1, 10000, NULL}, {1, 7, 9, 10000, NULL}, {4, 5, 25, 10000, NULL}, {10, 10, 10, 10000, NULL}};
enum { TEST_GRIDS = sizeof test_grids / sizeof *test_grids };

static inline int64_t tokens_of(lt_rope rope) { return (int64_t)rope.frames * rope.height * rope.width; }

/* Elements [1, 1 + H * D) of the last dimension of [G, T, more], as [G, T, H, D]. */
static inline lt_tensor odd_rows(lt_tensor t, int64_t H, int64_t D) {
    return lt_split(lt_slice(t, 2, 1, H * D), 2, H, D);
}

/* Moves values away from 0, where ReLU has no derivative. */
static inline void leave_kinks(lt_tensor t) {
    for (int64_t i = 0; i < lt_numel(&t); i++) {
        double x = lt_check_get(&t, i);
        if (fabs(x) < 0.02) lt_check_set(&t, i, x < 0 ? x - 0.02 : x + 0.02);
    }
}

/* The RMS norm of [G, T, H, D] over heads and channels, made by the op: what attention may apply as it loads x. */
static inline lt_tensor scale_of(lt_check *c, lt_tensor x) {
    lt_tensor scale = LT_OUT_SUM(c, x.shape[0], x.shape[1]);
    x.ndim = 3, x.shape[2] *= x.shape[3], x.stride[2] = 1;
    lt_rms_scale_args args = {.x = x, .scale = scale, .eps = 1e-5};
    LT_CHECK_RUN(c, lt_rms_scale_forward(&c->ctx, &args));
    return scale;
}

/* The same norm before: [G, T, H, D] in the dtype of activations, rounded to it. */
static inline lt_tensor normalised(lt_check *c, lt_tensor x, lt_tensor gain) {
    int64_t G = x.shape[0], T = x.shape[1], H = x.shape[2], D = x.shape[3];
    lt_tensor y = LT_OUT(c, G, T, H * D);
    x.ndim = 3, x.shape[2] = H * D, x.stride[2] = 1;
    lt_rms_norm_args args = {.x = x, .weight = LT_RESHAPE(gain, H * D), .y = y, .eps = 1e-5};
    LT_CHECK_RUN(c, lt_rms_norm_forward(&c->ctx, &args));
    return LT_RESHAPE(y, G, T, H, D);
}

/* RMS(a - b) / RMS(b). */
static inline double rms_difference(const lt_tensor *a, const lt_tensor *b) {
    double diff = 0, size = 0;
    for (int64_t i = 0; i < lt_numel(a); i++) {
        double x = lt_check_get(a, i), y = lt_check_get(b, i);
        diff += (x - y) * (x - y);
        size += y * y;
    }
    return sqrt(diff / size);
}

/* z is a sum of features: its elements are positive. */
static inline void make_positive(lt_tensor t) {
    for (int64_t i = 0; i < lt_numel(&t); i++) lt_check_set(&t, i, 0.2 + fabs(lt_check_get(&t, i)));
}

#endif
