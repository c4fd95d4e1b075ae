#include "kernels/attention/cpu_bytes.h"
#include "kernels/attention/cuda_bytes.h"
#include "kernels/attention/naive_rope.h"
#include "kernels/dense.h"

/* S and z, or their gradients. */
static lt_status expect_sums(const lt_ctx *ctx, const char *op, const char *S_name, const lt_tensor *S,
                             const char *z_name, const lt_tensor *z, const lt_attn_shape *s, int segments) {
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, S_name, S, dtype, false, s->blocks, segments, s->heads, s->dim, s->dim));
    return LT_EXPECT_DENSE(op, z_name, z, dtype, false, s->blocks, segments, s->heads, s->dim);
}

/* `tensors` of [G, T, H, D], and S and z once. A rotation is three operations a channel. */
static void count_cost(const lt_ctx *ctx, const lt_attn_shape *s, int segments, double products,
                       double tensors, lt_cost *cost) {
    double vectors = (double)s->blocks * s->tokens * s->heads, D = s->dim;
    cost->flops = vectors * (products * 2 * D * D + products * 3 * D);
    double states = (double)s->blocks * segments * s->heads;
    cost->bytes = tensors * vectors * D * lt_dtype_size(lt_ctx_dtype(ctx)) +
                  states * (D * D + D) * lt_dtype_size(lt_ctx_sum_dtype(ctx));
}

/* The norm of k that is still to be applied, if any. */
static lt_status expect_norm(const lt_ctx *ctx, const char *op, const lt_attn_state_args *a,
                             const lt_attn_shape *s) {
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_CHECK(lt_is_empty(&a->k_gain) == lt_is_empty(&a->k_scale), LT_FAILED,
             "op %s: k_gain and k_scale go together, but only one of them is empty", op);
    LT_TRY(LT_EXPECT_DENSE(op, "k_gain", &a->k_gain, dtype, true, s->heads, s->dim));
    return LT_EXPECT_DENSE(op, "k_scale", &a->k_scale, dtype, true, s->blocks, s->tokens);
}

lt_status lt_attn_state_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_state_args *a = untyped;
    const char *op = "attn_state";
    lt_attn_shape s;
    LT_TRY(lt_attn_expect_shape(ctx, op, "k", &a->k, &a->rope, &s));
    LT_TRY(lt_attn_expect_cuda(ctx, op, &s, &a->rope));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "v", &a->v, false, &s));
    LT_TRY(lt_attn_expect_box(op, a->box));
    int segments = lt_segment_count(&a->rope, a->box);
    LT_TRY(expect_sums(ctx, op, "S", &a->S, "z", &a->z, &s, segments));
    LT_TRY(expect_norm(ctx, op, a, &s));
    count_cost(ctx, &s, segments, 1, 2, cost);
    if (!lt_is_empty(&a->k_gain)) {
        cost->flops += 2 * (double)lt_numel(&a->k);
        cost->bytes += lt_nbytes(&a->k_gain) + lt_nbytes(&a->k_scale);
    }
    cost->workspace = ctx->backend == LT_BACKEND_NAIVE  ? lt_naive_token_bytes(s.dim)
                      : ctx->backend == LT_BACKEND_CUDA ? lt_attn_state_cuda_bytes(&s, &a->rope, a->box)
                                                        : lt_attn_state_cpu_bytes(&s, &a->rope, a->box);
    return LT_OK;
}

lt_status lt_attn_state_forward(lt_ctx *ctx, const lt_attn_state_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_STATE, args);
}

lt_status lt_attn_state_backward_describe(const lt_ctx *ctx, const void *untyped, lt_cost *cost) {
    const lt_attn_state_backward_args *a = untyped;
    const char *op = "attn_state_backward";
    lt_attn_shape s;
    LT_TRY(lt_attn_expect_shape(ctx, op, "k", &a->k, &a->rope, &s));
    LT_TRY(lt_attn_expect_cuda(ctx, op, &s, &a->rope));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "v", &a->v, false, &s));
    LT_TRY(lt_attn_expect_box(op, a->box));
    int segments = lt_segment_count(&a->rope, a->box);
    LT_TRY(expect_sums(ctx, op, "dS", &a->dS, "dz", &a->dz, &s, segments));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "dk", &a->dk, true, &s));
    LT_TRY(lt_attn_expect_tokens(ctx, op, "dv", &a->dv, true, &s));
    int outputs = !lt_is_empty(&a->dk) + !lt_is_empty(&a->dv);
    int added = (!lt_is_empty(&a->dk) && a->accumulate_dk) + (!lt_is_empty(&a->dv) && a->accumulate_dv);
    count_cost(ctx, &s, segments, outputs, 2 + outputs + added, cost);
    cost->workspace = ctx->backend == LT_BACKEND_NAIVE ? lt_naive_token_bytes(s.dim)
                      : ctx->backend == LT_BACKEND_CUDA
                          ? lt_attn_state_backward_cuda_bytes(&s, &a->rope, a->box)
                          : lt_attn_state_backward_cpu_bytes(&s, &a->rope);
    return LT_OK;
}

lt_status lt_attn_state_backward(lt_ctx *ctx, const lt_attn_state_backward_args *args) {
    return lt_op_run(ctx, LT_OP_ATTN_STATE_BACKWARD, args);
}
