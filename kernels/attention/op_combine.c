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

lt_status lt_attn_combine_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_combine_args *a = untyped;
    const char *op = "attn_combine";
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(expect_sizes(op, a->count, a->weighted, &a->out_S));
    LT_CHECK(a->S && a->z, LT_FAILED, "op %s: no list of sources", op);
    int64_t H = a->out_S.shape[0], D = a->out_S.shape[1];
    LT_TRY(LT_EXPECT_DENSE(op, "out_S", &a->out_S, dtype, false, H, D, D));
    LT_TRY(LT_EXPECT_DENSE(op, "out_z", &a->out_z, dtype, false, H, D));
    for (int e = 0; e < a->count; e++)
        LT_TRY(expect_source(op, e, "S", &a->S[e], "z", &a->z[e], dtype, false, H, D));
    LT_TRY(LT_EXPECT_DENSE(op, "weights", &a->weights, dtype, true, a->weighted, H));
    double elements = (double)H * (D * D + D);
    *cost = (lt_cost){2 * a->count * elements, (a->count + 1) * elements * lt_dtype_size(dtype), 0};
    return LT_OK;
}

lt_status lt_attn_combine_forward(lt_ctx *ctx, const lt_attn_combine_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_COMBINE, args);
}

lt_status lt_attn_combine_backward_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_combine_backward_args *a = untyped;
    const char *op = "attn_combine_backward";
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(expect_sizes(op, a->count, a->weighted, &a->dS));
    int64_t H = a->dS.shape[0], D = a->dS.shape[1];
    LT_TRY(LT_EXPECT_DENSE(op, "dS", &a->dS, dtype, false, H, D, D));
    LT_TRY(LT_EXPECT_DENSE(op, "dz", &a->dz, dtype, false, H, D));
    LT_TRY(LT_EXPECT_DENSE(op, "weights", &a->weights, dtype, true, a->weighted, H));
    LT_TRY(LT_EXPECT_DENSE(op, "dweights", &a->dweights, dtype, true, a->weighted, H));
    bool wants_w = !lt_is_empty(&a->dweights);
    LT_CHECK(!wants_w || (a->S && a->z), LT_FAILED, "op %s: dweights needs the sources S and z", op);
    double moved = 1, flops = 0;
    for (int e = 0; e < a->count; e++) {
        bool sources = wants_w && e < a->weighted;
        if (sources) LT_TRY(expect_source(op, e, "S", &a->S[e], "z", &a->z[e], dtype, false, H, D));
        const lt_tensor *dS_e = a->dS_e ? &a->dS_e[e] : NULL, *dz_e = a->dz_e ? &a->dz_e[e] : NULL;
        LT_TRY(expect_source(op, e, "dS_e", dS_e, "dz_e", dz_e, dtype, true, H, D));
        bool spreads = dS_e && !lt_is_empty(dS_e);
        flops += 2 * sources + 2 * spreads;
        moved += sources + spreads * (a->accumulate && a->accumulate[e] ? 2 : 1);
    }
    double elements = (double)H * (D * D + D);
    *cost = (lt_cost){flops * elements, moved * elements * lt_dtype_size(dtype), 0};
    return LT_OK;
}

lt_status lt_attn_combine_backward(lt_ctx *ctx, const lt_attn_combine_backward_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_COMBINE_BACKWARD, args);
}
