#include "kernels/attention/attention.h"
#include "kernels/dense.h"

static lt_status expect_pair(const char *op, int i, lt_dtype dtype, const lt_tensor *A, const lt_tensor *B,
                             int64_t H) {
    int64_t K = A->ndim == 2 ? A->shape[1] : -1;
    lt_status status = LT_EXPECT_DENSE(op, "A", A, dtype, false, H, K);
    if (status == LT_OK) status = LT_EXPECT_DENSE(op, "B", B, dtype, false, H, K);
    return status == LT_OK ? LT_OK : lt_fail_in(status, "pair %d", i);
}

lt_status lt_attn_dots_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_dots_args *a = untyped;
    const char *op = "attn_dots";
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_CHECK(a->count > 0 && a->A && a->B, LT_FAILED, "op %s: %d pairs, expected at least one", op, a->count);
    LT_TRY(LT_EXPECT_DENSE(op, "out", &a->out, dtype, false, a->count, -1));
    int64_t H = a->out.shape[1];
    double products = 0;
    for (int i = 0; i < a->count; i++) {
        LT_TRY(expect_pair(op, i, dtype, &a->A[i], &a->B[i], H));
        products += (double)lt_numel(&a->A[i]);
    }
    cost->flops = 2 * products;
    cost->bytes = (2 * products + (double)lt_numel(&a->out)) * (double)lt_dtype_size(dtype);
    cost->workspace = 0;
    return LT_OK;
}

lt_status lt_attn_dots(lt_ctx *ctx, const lt_attn_dots_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_DOTS, args);
}
