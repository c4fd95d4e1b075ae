#include "kernels/attention/attention.h"
#include "kernels/dense.h"

static lt_status expect_sizes(const char *op, int count, int weighted, const lt_tensor *S) {
    LT_CHECK(count > 0, LT_FAILED, "op %s: %d sources, expected at least one", op, count);
    LT_CHECK(weighted >= 0 && weighted <= count, LT_FAILED, "op %s: %d of %d sources have weights", op,
             weighted, count);
    LT_CHECK(S->ndim == 3 && S->shape[0] > 0 && S->shape[1] > 0, LT_FAILED,
             "op %s: S has %d dimensions, expected [heads, d, d] with at least one head and channel", op,
             S->ndim);
    return LT_OK;
}

/* S and z of source `e`, or their gradients; either may be missing from the call. The source is named only when it is
 * wrong: this op runs often on little data. */
static lt_status expect_source(const char *op, int e, const char *S_name, const lt_tensor *S,
                               const char *z_name, const lt_tensor *z, lt_dtype dtype, bool optional,
                               int64_t H, int64_t D) {
    lt_status status = LT_OK;
    if (S) status = LT_EXPECT_DENSE(op, S_name, S, dtype, optional, H, D, D);
    if (z && status == LT_OK) status = LT_EXPECT_DENSE(op, z_name, z, dtype, optional, H, D);
    return status == LT_OK ? LT_OK : lt_fail_in(status, "source %d of a combination", e);
}

static lt_status expect_sum(const char *op, const lt_attn_combine_args *a, const lt_attn_sum *sum,
                            lt_dtype dtype, int64_t H, int64_t D) {
    LT_TRY(expect_sizes(op, sum->count, sum->weighted, &sum->S));
    LT_TRY(LT_EXPECT_DENSE(op, "S of a sum", &sum->S, dtype, false, H, D, D));
    LT_TRY(LT_EXPECT_DENSE(op, "z of a sum", &sum->z, dtype, false, H, D));
    LT_TRY(LT_EXPECT_DENSE(op, "weights", &sum->weights, dtype, true, sum->weighted, H));
    for (int i = 0, e = sum->first; i < sum->count; i++, e++)
        LT_TRY(expect_source(op, i, "S", &a->S[e], "z", &a->z[e], dtype, false, H, D));
    return LT_OK;
}

lt_status lt_attn_combine_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_combine_args *a = untyped;
    const char *op = "attn_combine";
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_CHECK(a->count > 0 && a->sums, LT_FAILED, "op %s: %d combinations, expected at least one", op,
             a->count);
    LT_CHECK(a->S && a->z, LT_FAILED, "op %s: no list of sources", op);
    int64_t H = a->sums[0].S.shape[0], D = a->sums[0].S.shape[1];
    double sources = 0;
    for (int s = 0; s < a->count; s++) {
        LT_TRY(expect_sum(op, a, &a->sums[s], dtype, H, D));
        sources += a->sums[s].count;
    }
    double elements = (double)H * (D * D + D);
    *cost = (lt_cost){2 * sources * elements, (sources + a->count) * elements * lt_dtype_size(dtype), 0};
    return LT_OK;
}

lt_status lt_attn_combine_forward(lt_ctx *ctx, const lt_attn_combine_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_COMBINE, args);
}

/* Adds what one combination's gradient takes to cost->flops and cost->bytes, in passes over a state. */
static lt_status expect_gradient(const char *op, const lt_attn_combine_backward_args *a,
                                 const lt_attn_sum_gradient *sum, lt_dtype dtype, int64_t H, int64_t D,
                                 lt_cost *cost) {
    LT_TRY(expect_sizes(op, sum->count, sum->weighted, &sum->dS));
    LT_TRY(LT_EXPECT_DENSE(op, "dS", &sum->dS, dtype, false, H, D, D));
    LT_TRY(LT_EXPECT_DENSE(op, "dz", &sum->dz, dtype, false, H, D));
    LT_TRY(LT_EXPECT_DENSE(op, "weights", &sum->weights, dtype, true, sum->weighted, H));
    LT_TRY(LT_EXPECT_DENSE(op, "dweights", &sum->dweights, dtype, true, sum->weighted, H));
    bool wants_w = !lt_is_empty(&sum->dweights);
    LT_CHECK(!wants_w || (a->S && a->z), LT_FAILED, "op %s: dweights needs the sources S and z", op);
    cost->bytes++;
    for (int i = 0, e = sum->first; i < sum->count; i++, e++) {
        bool reads = wants_w && i < sum->weighted;
        if (reads) LT_TRY(expect_source(op, i, "S", &a->S[e], "z", &a->z[e], dtype, false, H, D));
        const lt_tensor *dS_e = a->dS_e ? &a->dS_e[e] : NULL, *dz_e = a->dz_e ? &a->dz_e[e] : NULL;
        LT_TRY(expect_source(op, i, "dS_e", dS_e, "dz_e", dz_e, dtype, true, H, D));
        bool spreads = dS_e && !lt_is_empty(dS_e);
        cost->flops += 2 * reads + 2 * spreads;
        cost->bytes += reads + spreads * (a->accumulate && a->accumulate[e] ? 2 : 1);
    }
    return LT_OK;
}

lt_status lt_attn_combine_backward_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_combine_backward_args *a = untyped;
    const char *op = "attn_combine_backward";
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_CHECK(a->count > 0 && a->sums, LT_FAILED, "op %s: %d combinations, expected at least one", op,
             a->count);
    int64_t H = a->sums[0].dS.shape[0], D = a->sums[0].dS.shape[1];
    *cost = (lt_cost){0};
    for (int s = 0; s < a->count; s++) LT_TRY(expect_gradient(op, a, &a->sums[s], dtype, H, D, cost));
    double elements = (double)H * (D * D + D);
    cost->flops *= elements;
    cost->bytes *= elements * lt_dtype_size(dtype);
    return LT_OK;
}

lt_status lt_attn_combine_backward(lt_ctx *ctx, const lt_attn_combine_backward_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_COMBINE_BACKWARD, args);
}
