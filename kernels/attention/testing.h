/* Inside kernels/attention: what its tests share. */
#ifndef LT_KERNELS_ATTENTION_TESTING_H
#define LT_KERNELS_ATTENTION_TESTING_H

#include "kernels/attention/attention.h"
#include "kernels/check.h"
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

/* z is a sum of features: its elements are positive. */
static inline void make_positive(lt_tensor t) {
    for (int64_t i = 0; i < lt_numel(&t); i++) lt_check_set(&t, i, 0.2 + fabs(lt_check_get(&t, i)));
}

#endif
