#include "kernels/attention/grid.h"
#include "kernels/cross_attention/cpu_parts.h"
#include "kernels/cross_attention/cuda_split.h"
#include "kernels/dense.h"

#include <math.h>

static lt_status expect_inputs(const lt_ctx *ctx, const char *op, const lt_tensor *q, const lt_tensor *k,
                               const lt_tensor *v, const lt_tensor *mask, double scale, lt_cross_shape *out) {
    LT_TRY(lt_attn_expect_tokens(ctx, op, "q", q, false, &(lt_attn_shape){-1, -1, -1, -1}));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "k", k, false, &(lt_attn_shape){-1, -1, q->shape[2], q->shape[3]}));
    *out = lt_cross_shape_of(q, k);
    lt_attn_shape text = {out->B, out->L, out->H, out->D};
    LT_CHECK(out->G > 0 && out->B > 0 && out->T > 0 && out->H > 0 && out->D > 0 && out->L > 0, LT_FAILED,
             "op %s: %lld groups of %lld queries, %lld text tokens, %lld heads of %lld channels, expected at "
             "least "
             "one of each",
             op, (long long)out->G, (long long)out->T, (long long)out->L, (long long)out->H,
             (long long)out->D);
    LT_CHECK(out->G % out->B == 0, LT_FAILED,
             "op %s: %lld groups of queries for %lld texts, expected a multiple", op, (long long)out->G,
             (long long)out->B);
    LT_TRY(lt_attn_expect_tokens(ctx, op, "v", v, false, &text));
    LT_CHECK(isfinite(scale), LT_FAILED, "op %s: scale is %g, expected a number", op, scale);
    LT_CHECK(ctx->backend != LT_BACKEND_CUDA || out->D <= LT_CROSS_CUDA_DIM, LT_FAILED,
             "op %s: heads of %lld channels, expected at most %d on CUDA", op, (long long)out->D,
             LT_CROSS_CUDA_DIM);
    return LT_EXPECT_DENSE(op, "mask", mask, lt_ctx_sum_dtype(ctx), true, out->B, out->L);
}

/* `gemms` of queries with keys or values; `video` and `text` tensors moved. About 12 operations an
 * exponential. */
static void count_cost(const lt_ctx *ctx, const lt_cross_shape *s, double gemms, double video, double text,
                       lt_cost *cost) {
    double heads = (double)s->G * s->H, pairs = heads * s->T * s->L;
    cost->flops = pairs * (gemms * 2 * s->D + 12);
    cost->bytes = (heads * (video * s->T * s->D + s->T) + text * s->B * s->H * s->L * s->D) *
                  lt_dtype_size(lt_ctx_dtype(ctx));
}

/* o, in e4m3 where there is a scale for each of its rows: it takes `saved` bytes less than an activation, and
 * `workspace` for what is found of each text. */
static lt_status expect_result(const lt_ctx *ctx, const lt_cross_attention_args *a, const lt_cross_shape *s,
                               double *saved, size_t *workspace) {
    const char *op = "cross_attention";
    *saved = 0, *workspace = 0;
    if (lt_is_empty(&a->o_scale))
        return lt_attn_expect_tokens(ctx, op, "o", &a->o, false, &(lt_attn_shape){s->G, s->T, s->H, s->D});
    lt_dtype dtype = lt_ctx_e4m3_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "o", &a->o, dtype, false, s->G, s->T, s->H, s->D));
    LT_TRY(LT_EXPECT_DENSE(op, "o_scale", &a->o_scale, lt_ctx_sum_dtype(ctx), false, s->G, s->T));
    LT_CHECK(s->H * s->D % 16 == 0, LT_FAILED, "op %s: o in e4m3 has rows of %lld, expected a multiple of 16",
             op, (long long)(s->H * s->D));
    *saved = (double)lt_numel(&a->o) * (double)(lt_dtype_size(lt_ctx_dtype(ctx)) - lt_dtype_size(dtype)) -
             (double)lt_nbytes(&a->o_scale);
    if (ctx->backend == LT_BACKEND_CUDA) *workspace = lt_cross_largest_bytes(s->B);
    else *workspace = (size_t)s->B * lt_dtype_size(lt_ctx_sum_dtype(ctx));
    return LT_OK;
}

lt_status lt_cross_attention_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_cross_attention_args *a = untyped;
    const char *op = "cross_attention";
    lt_cross_shape s;
    double saved;
    size_t largest;
    LT_TRY(expect_inputs(ctx, op, &a->q, &a->k, &a->v, &a->mask, a->scale, &s));
    LT_TRY(expect_result(ctx, a, &s, &saved, &largest));
    LT_TRY(LT_EXPECT_DENSE(op, "lse", &a->lse, lt_ctx_sum_dtype(ctx), true, s.G, s.H, s.T));
    LT_TRY(LT_EXPECT_DENSE(op, "q_scale", &a->q_scale, lt_ctx_sum_dtype(ctx), true, s.G, s.T));
    count_cost(ctx, &s, 2, 2, 2, cost);
    cost->bytes -= saved;
    if (!lt_is_empty(&a->q_scale)) cost->bytes += lt_nbytes(&a->q_scale);
    if (ctx->backend == LT_BACKEND_NAIVE) cost->workspace = (size_t)s.L * sizeof(double);
    else cost->workspace = ctx->backend == LT_BACKEND_CUDA ? 0 : lt_cross_attention_cpu_bytes(&s);
    cost->workspace += largest;
    return LT_OK;
}

lt_status lt_cross_attention_forward(lt_ctx *ctx, const lt_cross_attention_args *args) {
    return lt_op_run(ctx, LT_OP_CROSS_ATTENTION, args);
}

lt_status lt_cross_attention_backward_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_cross_attention_backward_args *a = untyped;
    const char *op = "cross_attention_backward";
    lt_cross_shape s;
    LT_TRY(expect_inputs(ctx, op, &a->q, &a->k, &a->v, &a->mask, a->scale, &s));
    lt_attn_shape video = {s.G, s.T, s.H, s.D}, text = {s.B, s.L, s.H, s.D};
    LT_TRY(lt_attn_expect_tokens(ctx, op, "o", &a->o, false, &video));
    LT_TRY(LT_EXPECT_DENSE(op, "lse", &a->lse, lt_ctx_sum_dtype(ctx), false, s.G, s.H, s.T));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "dout", &a->dout, false, &video));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "dq", &a->dq, true, &video));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "dk", &a->dk, true, &text));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "dv", &a->dv, true, &text));
    bool wants_q = !lt_is_empty(&a->dq), wants_text = !lt_is_empty(&a->dk);
    LT_CHECK(wants_text == !lt_is_empty(&a->dv), LT_FAILED,
             "op %s: dk and dv go together, but only one of them is empty", op);
    count_cost(ctx, &s, 2 + wants_q + 2 * wants_text, 3 + wants_q * (1 + a->accumulate_dq),
               2 + 2 * wants_text * (1 + a->accumulate_dkv), cost);
    if (ctx->backend == LT_BACKEND_NAIVE) cost->workspace = (size_t)s.L * sizeof(double);
    else if (ctx->backend == LT_BACKEND_CUDA)
        cost->workspace = lt_cross_attention_backward_cuda_bytes(&a->q, &a->k, wants_text);
    else cost->workspace = lt_cross_attention_backward_cpu_bytes(&s);
    return LT_OK;
}

lt_status lt_cross_attention_backward(lt_ctx *ctx, const lt_cross_attention_backward_args *args) {
    return lt_op_run(ctx, LT_OP_CROSS_ATTENTION_BACKWARD, args);
}
