#include "core/rng_math.h"
#include "kernels/dense.h"
#include "kernels/random/random.h"

lt_status lt_normals_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_normals_args *a = args;
    LT_TRY(LT_EXPECT_DENSE("normals", "y", &a->y, lt_ctx_sum_dtype(ctx), false, -1, -1));
    LT_CHECK(a->keys || a->y.shape[0] == 0, LT_FAILED, "op normals: no keys for %lld rows",
             (long long)a->y.shape[0]);
    double values = (double)lt_numel(&a->y);
    cost->flops = 60 * values; /* ten rounds of Philox for four values, and Box-Muller's polynomials */
    cost->bytes = (double)lt_nbytes(&a->y);
    if (ctx->backend == LT_BACKEND_CUDA) cost->workspace = (size_t)a->y.shape[0] * sizeof(lt_rng_stream);
    return LT_OK;
}

lt_status lt_normals_fill(lt_ctx *ctx, const lt_normals_args *args) {
    return lt_op_run(ctx, LT_OP_NORMALS, args);
}
