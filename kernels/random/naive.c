#include "kernels/random/random.h"

lt_status lt_normals_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_normals_args *a = args;
    double *y = a->y.data;
    int64_t n = a->y.shape[1];
    for (int64_t g = 0; g < a->y.shape[0]; g++)
        for (int64_t i = 0; i < n; i++) y[g * n + i] = (double)lt_rng_normal(&a->keys[g], (uint64_t)i);
    return LT_OK;
}
