#include "kernels/attention/attention.h"
#include "kernels/dense.h"

static lt_status expect_vectors(const char *op, const char *list, lt_dtype dtype, int count,
                                const lt_tensor *vectors, int64_t H, int64_t K) {
    for (int i = 0; i < count; i++) {
        lt_status status = LT_EXPECT_DENSE(op, list, &vectors[i], dtype, false, H, K);
        if (status != LT_OK) return lt_fail_in(status, "vector %d", i);
    }
    return LT_OK;
}

lt_status lt_attn_dots_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_dots_args *a = untyped;
    const char *op = "attn_dots";
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_CHECK(a->n > 0 && a->m > 0 && a->A && a->B, LT_FAILED,
             "op %s: %d by %d vectors, expected at least one each", op, a->n, a->m);
    LT_TRY(LT_EXPECT_DENSE(op, "out", &a->out, dtype, false, a->n, a->m, -1));
    int64_t H = a->out.shape[2], K = a->A[0].ndim == 2 ? a->A[0].shape[1] : -1;
    LT_TRY(expect_vectors(op, "A", dtype, a->n, a->A, H, K));
    LT_TRY(expect_vectors(op, "B", dtype, a->m, a->B, H, K));
    double products = (double)a->n * a->m * H * K, elements = (double)(a->n + a->m) * H * K;
    cost->flops = 2 * products;
    cost->bytes = (elements + (double)a->n * a->m * H) * lt_dtype_size(dtype);
    cost->workspace = 0;
    return LT_OK;
}

lt_status lt_attn_dots(lt_ctx *ctx, const lt_attn_dots_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_DOTS, args);
}
