#include "kernels/dense.h"
#include "kernels/optimizer/chunks.h"
#include "kernels/optimizer/optimizer.h"

#include <stdio.h>

lt_status lt_grad_norm_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_grad_norm_args *a = args;
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    int64_t elements = 0, chunks = 0;
    LT_CHECK(a->count >= 0 && (a->count == 0 || a->grads), LT_FAILED, "op grad_norm: a list of %d tensors",
             a->count);
    for (int i = 0; i < a->count; i++) {
        const lt_tensor *g = &a->grads[i];
        char name[32];
        snprintf(name, sizeof name, "grads[%d]", i);
        LT_TRY(lt_expect_dense("grad_norm", name, g, dtype, false, g->ndim, g->shape));
        elements += lt_numel(g);
        chunks += lt_pieces(lt_numel(g), LT_NORM_CHUNK);
    }
    LT_TRY(LT_EXPECT_DENSE("grad_norm", "control", &a->control, dtype, false, 3));
    cost->flops = 2 * (double)elements;
    cost->bytes = (double)elements * (double)lt_dtype_size(dtype);
    if (ctx->backend != LT_BACKEND_NAIVE)
        cost->workspace = (size_t)chunks * sizeof(double) + ((size_t)a->count + 1) * sizeof(int64_t);
    return LT_OK;
}

/* Adds what the update of params[i] costs. */
static lt_status expect_param(const lt_ctx *ctx, const lt_adamw_param *a, int number, lt_cost *cost) {
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    const struct {
        const char *name;
        const lt_tensor *tensor;
    } same[] = {{"param", &a->param}, {"grad", &a->grad}, {"m", &a->m},
                {"v", &a->v},         {"ema", &a->ema},   {"copy", &a->copy}};
    LT_CHECK(lt_is_empty(&a->copy) || lt_ctx_dtype(ctx) == LT_BF16, LT_FAILED,
             "op adamw: operand copy is for bf16 activations; there are none here, so leave it empty");
    for (int i = 0; i < 6; i++) {
        const lt_tensor *t = same[i].tensor;
        bool optional = i >= 4;
        LT_TRY(
            lt_expect_dense("adamw", same[i].name, t, i == 5 ? LT_BF16 : dtype, optional, t->ndim, t->shape));
        LT_CHECK((optional && lt_is_empty(t)) || lt_numel(t) == lt_numel(&a->param), LT_FAILED,
                 "op adamw: operand %s of params[%d] has %lld elements, param has %lld", same[i].name, number,
                 (long long)lt_numel(t), (long long)lt_numel(&a->param));
    }
    double elements = (double)lt_numel(&a->param);
    cost->flops += 14 * elements;
    cost->bytes += (lt_is_empty(&a->ema) ? 7 : 9) * elements * (double)lt_dtype_size(dtype) +
                   (lt_is_empty(&a->copy) ? 0 : elements * (double)lt_dtype_size(LT_BF16));
    return LT_OK;
}

lt_status lt_adamw_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_adamw_args *a = args;
    LT_CHECK(a->count >= 0 && (a->count == 0 || a->params), LT_FAILED, "op adamw: a list of %d parameters",
             a->count);
    for (int i = 0; i < a->count; i++) LT_TRY(expect_param(ctx, &a->params[i], i, cost));
    LT_TRY(LT_EXPECT_DENSE("adamw", "control", &a->control, lt_ctx_sum_dtype(ctx), false, 3));
    LT_CHECK(a->step >= 1, LT_FAILED, "op adamw: step is %lld; the first one is 1", (long long)a->step);
    return LT_OK;
}

lt_status lt_grad_norm(lt_ctx *ctx, const lt_grad_norm_args *args) {
    return lt_op_run(ctx, LT_OP_GRAD_NORM, args);
}
lt_status lt_adamw(lt_ctx *ctx, const lt_adamw_args *args) { return lt_op_run(ctx, LT_OP_ADAMW, args); }
