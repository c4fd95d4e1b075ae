#include "kernels/attention/cpu_bytes.h"
#include "kernels/attention/cuda_bytes.h"
#include "kernels/attention/naive_rope.h"
#include "kernels/dense.h"

static lt_status expect_read(const lt_ctx *ctx, const char *op, const lt_tensor *q, const lt_tensor *S,
                             const lt_tensor *z, const lt_rope *rope, lt_attn_shape *s) {
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(lt_attn_expect_shape(ctx, op, "q", q, rope, s));
    LT_TRY(lt_attn_expect_cuda(ctx, op, s, rope));
    LT_TRY(LT_EXPECT_DENSE(op, "S", S, dtype, false, s->blocks, s->heads, s->dim, s->dim));
    return LT_EXPECT_DENSE(op, "z", z, dtype, false, s->blocks, s->heads, s->dim);
}

/* `gemms` of [T, D] by [D, D] a head, `tensors` of [G, T, H, D] and `sums` of S and z moved. */
static void count_cost(const lt_ctx *ctx, const lt_attn_shape *s, double gemms, double tensors, double sums,
                       lt_cost *cost) {
    double heads = (double)s->blocks * s->heads, vectors = heads * s->tokens, D = s->dim;
    cost->flops = vectors * gemms * (2 * D * D + 6 * D);
    cost->bytes = tensors * vectors * D * lt_dtype_size(lt_ctx_dtype(ctx)) +
                  sums * heads * (D * D + D) * lt_dtype_size(lt_ctx_sum_dtype(ctx));
}

static size_t output_bytes(const lt_ctx *ctx, const lt_attn_shape *s, const lt_attn_output_args *a) {
    if (ctx->backend == LT_BACKEND_NAIVE) return lt_naive_token_bytes(s->dim);
    if (ctx->backend == LT_BACKEND_CUDA) return lt_attn_output_cuda_bytes(s, &a->rope, !lt_is_empty(&a->r));
    return lt_attn_output_cpu_bytes(s, &a->rope);
}

lt_status lt_attn_output_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_output_args *a = untyped;
    const char *op = "attn_output";
    lt_attn_shape s;
    LT_TRY(expect_read(ctx, op, &a->q, &a->S, &a->z, &a->rope, &s));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "o", &a->o, false, &s));
    LT_TRY(LT_EXPECT_DENSE(op, "r", &a->r, lt_ctx_sum_dtype(ctx), true, s.blocks, s.heads, s.dim));
    LT_TRY(LT_EXPECT_DENSE(op, "q_gain", &a->q_gain, lt_ctx_sum_dtype(ctx), true, s.heads, s.dim));
    count_cost(ctx, &s, 1, 2, 1, cost);
    if (!lt_is_empty(&a->q_gain)) {
        cost->flops += (double)lt_numel(&a->q);
        cost->bytes += lt_nbytes(&a->q_gain);
    }
    cost->workspace = output_bytes(ctx, &s, a);
    return LT_OK;
}

lt_status lt_attn_output_forward(lt_ctx *ctx, const lt_attn_output_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_OUTPUT, args);
}

static size_t output_backward_bytes(const lt_ctx *ctx, const lt_attn_shape *s,
                                    const lt_attn_output_backward_args *a) {
    if (ctx->backend == LT_BACKEND_NAIVE)
        return lt_naive_token_bytes(s->dim) + 2 * (size_t)s->dim * sizeof(double);
    if (ctx->backend == LT_BACKEND_CUDA)
        return lt_attn_output_backward_cuda_bytes(s, &a->rope, !lt_is_empty(&a->dS));
    return lt_attn_output_backward_cpu_bytes(s, &a->rope);
}

lt_status lt_attn_output_backward_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_output_backward_args *a = untyped;
    const char *op = "attn_output_backward";
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    lt_attn_shape s;
    LT_TRY(expect_read(ctx, op, &a->q, &a->S, &a->z, &a->rope, &s));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "dout", &a->dout, false, &s));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "dq", &a->dq, true, &s));
    LT_TRY(LT_EXPECT_DENSE(op, "dS", &a->dS, dtype, true, s.blocks, s.heads, s.dim, s.dim));
    LT_TRY(LT_EXPECT_DENSE(op, "dz", &a->dz, dtype, true, s.blocks, s.heads, s.dim));
    bool wants_q = !lt_is_empty(&a->dq), wants_S = !lt_is_empty(&a->dS);
    LT_CHECK(wants_S == !lt_is_empty(&a->dz), LT_FAILED,
             "op %s: dS and dz go together, but only one of them is empty", op);
    count_cost(ctx, &s, 1 + wants_S, 2 + wants_q * (1 + a->accumulate_dq),
               1 + wants_S * (1 + a->accumulate_dS), cost);
    cost->workspace = output_backward_bytes(ctx, &s, a);
    return LT_OK;
}

lt_status lt_attn_output_backward(lt_ctx *ctx, const lt_attn_output_backward_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_OUTPUT_BACKWARD, args);
}
