/* For tests of whole models. */
#ifndef LT_MODEL_TESTING_H
#define LT_MODEL_TESTING_H

#include "core/rng.h"
#include "model/params.h"
#include "tests/harness.h"

#include <math.h>

/* Matrices that start at zero would hide what comes before them: they get normals of the size of other matrices'
 * values. */
static inline void test_fill_zeros(lt_params *params) {
    for (int i = 0; i < params->published_count; i++) {
        const lt_published *p = &params->published[i];
        if (p->init != LT_INIT_ZERO || p->ndim < 2) continue;
        lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = 100 + (uint64_t)i};
        double *values = malloc((size_t)p->count * sizeof *values), inner = (double)(p->count / p->shape[0]);
#pragma omp parallel for schedule(static)
        for (int64_t k = 0; k < p->count; k++) values[k] = lt_rng_normal(&key, k) / sqrt(3 * inner);
        CHECK_OK(lt_params_set(params, LT_COPY_VALUE, p, values));
        free(values);
    }
}

#endif
