#include "kernels/dense.h"
#include "kernels/patchify/patchify.h"

lt_status lt_patchify_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_patchify_args *a = args;
    const char *op = "patchify";
    LT_TRY(LT_EXPECT_DENSE(op, "latent", &a->latent, lt_ctx_sum_dtype(ctx), false, -1, -1, -1, -1, -1));
    static const char *const names[3] = {"frames", "rows", "columns"};
    int64_t tokens = 1, width = a->latent.shape[4];
    for (int i = 0; i < 3; i++) {
        int64_t size = a->latent.shape[1 + i];
        LT_CHECK(a->patch[i] > 0 && size % a->patch[i] == 0, LT_FAILED,
                 "op %s: %lld %s do not divide into patches of %d", op, (long long)size, names[i],
                 a->patch[i]);
        tokens *= size / a->patch[i];
        width *= a->patch[i];
    }
    LT_TRY(LT_EXPECT_DENSE(op, "tokens", &a->tokens, lt_ctx_dtype(ctx), false, a->latent.shape[0], tokens,
                           width));
    cost->flops = a->accumulate ? (double)lt_numel(&a->latent) : 0;
    const lt_tensor *to = a->inverse ? &a->latent : &a->tokens;
    cost->bytes =
        (double)(lt_nbytes(&a->latent) + lt_nbytes(&a->tokens) + (a->accumulate ? lt_nbytes(to) : 0));
    return LT_OK;
}

lt_status lt_patchify(lt_ctx *ctx, const lt_patchify_args *args) {
    return lt_op_run(ctx, LT_OP_PATCHIFY, args);
}
