#include "kernels/dense.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/elementwise/strips.h"

/* With the shape of `like`. */
static lt_status expect_like(const char *op, const char *operand, const lt_tensor *t, lt_dtype dtype,
                             bool optional, const lt_tensor *like) {
    return lt_expect_dense(op, operand, t, dtype, optional, like->ndim, like->shape);
}

static void charge(lt_dtype dtype, lt_cost *cost, double elements, double flops, double tensors) {
    cost->flops = flops * elements;
    cost->bytes = tensors * elements * (double)lt_dtype_size(dtype);
}

/* For operands that follow x: an activation, or something of the dtype of sums. */
static lt_dtype dtype_of(const lt_ctx *ctx, const lt_tensor *x) {
    return x->dtype == lt_ctx_sum_dtype(ctx) ? x->dtype : lt_ctx_dtype(ctx);
}

/* Partial sums of fast backends. */
static void reserve_partial_sums(const lt_ctx *ctx, lt_cost *cost, int64_t values, size_t size) {
    if (ctx->backend != LT_BACKEND_NAIVE) cost->workspace = (size_t)values * size;
}

static lt_status expect_kind(const char *op, lt_unary kind) {
    LT_CHECK((unsigned)kind < LT_UNARY_COUNT, LT_FAILED, "op %s: there is no function number %d", op,
             (int)kind);
    return LT_OK;
}

lt_status lt_unary_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_unary_args *a = args;
    LT_TRY(expect_kind("unary", a->kind));
    lt_dtype dtype = dtype_of(ctx, &a->x);
    LT_TRY(expect_like("unary", "x", &a->x, dtype, false, &a->x));
    LT_TRY(expect_like("unary", "y", &a->y, dtype, false, &a->x));
    charge(dtype, cost, (double)lt_numel(&a->x), 10, 2);
    return LT_OK;
}

lt_status lt_unary_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_unary_backward_args *a = args;
    LT_TRY(expect_kind("unary_backward", a->kind));
    lt_dtype dtype = dtype_of(ctx, &a->x);
    LT_TRY(expect_like("unary_backward", "x", &a->x, dtype, false, &a->x));
    LT_TRY(expect_like("unary_backward", "dy", &a->dy, dtype, false, &a->x));
    LT_TRY(expect_like("unary_backward", "dx", &a->dx, dtype, false, &a->x));
    charge(dtype, cost, (double)lt_numel(&a->x), 14, a->accumulate_dx ? 4 : 3);
    return LT_OK;
}

/* [G, M, C] or [G, 1, C]. */
static lt_status expect_broadcast(const lt_ctx *ctx, const char *op, const char *operand, const lt_tensor *t,
                                  bool optional, const int64_t *shape) {
    int64_t one[3] = {shape[0], 1, shape[2]};
    bool single = !lt_is_empty(t) && t->ndim == 3 && t->shape[1] == 1;
    return lt_expect_dense(op, operand, t, lt_ctx_sum_dtype(ctx), optional, 3, single ? one : shape);
}

lt_status lt_add_broadcast_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_add_broadcast_args *a = args;
    const char *op = "add_broadcast";
    LT_TRY(LT_EXPECT_DENSE(op, "y", &a->y, lt_ctx_sum_dtype(ctx), false, -1, -1, -1));
    LT_TRY(lt_expect_dense(op, "a", &a->a, lt_ctx_sum_dtype(ctx), false, 2, a->y.shape + 1));
    LT_TRY(expect_broadcast(ctx, op, "b", &a->b, false, a->y.shape));
    charge(lt_ctx_sum_dtype(ctx), cost, (double)lt_numel(&a->y), 1, a->b.shape[1] == 1 ? 1 : 2);
    cost->bytes += (double)lt_nbytes(&a->a);
    return LT_OK;
}

lt_status lt_add_broadcast_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_add_broadcast_backward_args *a = args;
    const char *op = "add_broadcast_backward";
    LT_TRY(LT_EXPECT_DENSE(op, "dy", &a->dy, lt_ctx_sum_dtype(ctx), false, -1, -1, -1));
    LT_TRY(lt_expect_dense(op, "da", &a->da, lt_ctx_sum_dtype(ctx), true, 2, a->dy.shape + 1));
    LT_TRY(expect_broadcast(ctx, op, "db", &a->db, true, a->dy.shape));
    charge(lt_ctx_sum_dtype(ctx), cost, (double)lt_numel(&a->dy), 2, 2);
    const int64_t *s = a->dy.shape;
    if (!lt_is_empty(&a->db) && a->db.shape[1] == 1 && ctx->backend != LT_BACKEND_CUDA)
        reserve_partial_sums(ctx, cost, s[0] * lt_pieces(s[1], LT_ROW_PIECE) * s[2], sizeof(float));
    return LT_OK;
}

/* [G, C] whose rows may be strided. */
static lt_status expect_gate(const lt_ctx *ctx, const char *op, const char *operand, const lt_tensor *t,
                             const lt_tensor *like) {
    LT_TRY(LT_EXPECT(op, operand, t, lt_ctx_sum_dtype(ctx), true, like->shape[0], like->shape[2]));
    return lt_expect_rows(op, operand, t, 1);
}

static lt_status expect_codes(const lt_ctx *ctx, const char *op, const lt_gated_residual_args *a,
                              lt_cost *cost) {
    const int64_t *n = a->x.shape;
    LT_CHECK(lt_is_empty(&a->codes) == lt_is_empty(&a->codes_scale), LT_FAILED,
             "op %s: operands codes and codes_scale: one is empty; give both or neither", op);
    LT_TRY(expect_like(op, "codes", &a->codes, lt_ctx_e4m3_dtype(ctx), true, &a->x));
    LT_TRY(LT_EXPECT_DENSE(op, "codes_scale", &a->codes_scale, lt_ctx_sum_dtype(ctx), true, n[0], n[1]));
    if (lt_is_empty(&a->codes)) return LT_OK;
    LT_CHECK(n[2] % 16 == 0, LT_FAILED, "op %s: codes has rows of %lld, expected a multiple of 16", op,
             (long long)n[2]);
    cost->bytes += (double)lt_nbytes(&a->codes) + 4.0 * (double)lt_numel(&a->codes_scale);
    return LT_OK;
}

lt_status lt_gated_residual_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_gated_residual_args *a = args;
    const char *op = "gated_residual";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "x", &a->x, dtype, false, -1, -1, -1));
    LT_TRY(expect_like(op, "h", &a->h, dtype, false, &a->x));
    LT_TRY(expect_like(op, "y", &a->y, dtype, false, &a->x));
    LT_TRY(expect_gate(ctx, op, "gate", &a->gate, &a->x));
    charge(dtype, cost, (double)lt_numel(&a->x), 2, 3);
    return expect_codes(ctx, op, a, cost);
}

lt_status lt_gated_residual_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_gated_residual_backward_args *a = args;
    const char *op = "gated_residual_backward";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    bool gate = !lt_is_empty(&a->dgate);
    LT_TRY(LT_EXPECT_DENSE(op, "dy", &a->dy, dtype, false, -1, -1, -1));
    LT_TRY(expect_like(op, "h", &a->h, dtype, !gate, &a->dy));
    LT_TRY(expect_like(op, "dh", &a->dh, dtype, true, &a->dy));
    LT_TRY(expect_gate(ctx, op, "gate", &a->gate, &a->dy));
    LT_TRY(expect_gate(ctx, op, "dgate", &a->dgate, &a->dy));
    charge(dtype, cost, (double)lt_numel(&a->dy), 3, 1 + gate + !lt_is_empty(&a->dh));
    const int64_t *s = a->dy.shape;
    bool strips = ctx->backend == LT_BACKEND_CUDA;
    int64_t pieces = strips ? lt_strips(s[0], s[1]) : lt_pieces(s[1], LT_ROW_PIECE);
    if (gate) reserve_partial_sums(ctx, cost, s[0] * pieces * s[2], sizeof(float));
    return LT_OK;
}

static bool is_floating(lt_dtype dtype) {
    return dtype == LT_F32 || dtype == LT_F64 || dtype == LT_BF16 || dtype == LT_F16;
}

static bool is_on_cuda(lt_dtype dtype) { return dtype == LT_F32 || dtype == LT_BF16; }

lt_status lt_copy_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_copy_args *a = args;
    LT_TRY(lt_expect("copy", "x", &a->x, a->x.dtype, false, a->x.ndim, a->x.shape));
    LT_TRY(lt_expect("copy", "y", &a->y, a->y.dtype, false, a->x.ndim, a->x.shape));
    LT_CHECK(is_floating(a->x.dtype) && is_floating(a->y.dtype), LT_FAILED,
             "op copy: from %s to %s: both must be f32, f64, bf16 or f16", lt_dtype_name(a->x.dtype),
             lt_dtype_name(a->y.dtype));
    bool narrow = is_on_cuda(a->x.dtype) && is_on_cuda(a->y.dtype);
    LT_CHECK(ctx->backend != LT_BACKEND_CUDA || narrow, LT_FAILED,
             "op copy: from %s to %s: on cuda both must be f32 or bf16", lt_dtype_name(a->x.dtype),
             lt_dtype_name(a->y.dtype));
    double elements = (double)lt_numel(&a->x);
    cost->flops = elements * ((a->scale != 1) + a->accumulate);
    cost->bytes =
        elements * (double)(lt_dtype_size(a->x.dtype) + lt_dtype_size(a->y.dtype) * (a->accumulate ? 2 : 1));
    return LT_OK;
}

lt_status lt_mix_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_mix_args *a = args;
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE("mix", "a", &a->a, dtype, false, -1, -1));
    LT_TRY(expect_like("mix", "b", &a->b, dtype, false, &a->a));
    LT_TRY(expect_like("mix", "y", &a->y, dtype, false, &a->a));
    LT_TRY(lt_expect_dense("mix", "alpha", &a->alpha, dtype, false, 1, a->a.shape));
    LT_TRY(lt_expect_dense("mix", "beta", &a->beta, dtype, false, 1, a->a.shape));
    charge(dtype, cost, (double)lt_numel(&a->a), 3, 3);
    return LT_OK;
}

lt_status lt_sum_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_sum_args *a = args;
    lt_dtype dtype = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE("sum", "x", &a->x, dtype, false, -1, -1));
    LT_TRY(lt_expect_dense("sum", "y", &a->y, dtype, false, 1, a->x.shape));
    charge(dtype, cost, (double)lt_numel(&a->x), 1, 1);
    reserve_partial_sums(ctx, cost, a->x.shape[0] * lt_pieces(a->x.shape[1], LT_PIECE), sizeof(double));
    return LT_OK;
}

lt_status lt_unary_forward(lt_ctx *ctx, const lt_unary_args *args) {
    return lt_op_run(ctx, LT_OP_UNARY, args);
}
lt_status lt_unary_backward(lt_ctx *ctx, const lt_unary_backward_args *args) {
    return lt_op_run(ctx, LT_OP_UNARY_BACKWARD, args);
}
lt_status lt_add_broadcast_forward(lt_ctx *ctx, const lt_add_broadcast_args *args) {
    return lt_op_run(ctx, LT_OP_ADD_BROADCAST, args);
}
lt_status lt_add_broadcast_backward(lt_ctx *ctx, const lt_add_broadcast_backward_args *args) {
    return lt_op_run(ctx, LT_OP_ADD_BROADCAST_BACKWARD, args);
}
lt_status lt_gated_residual_forward(lt_ctx *ctx, const lt_gated_residual_args *args) {
    return lt_op_run(ctx, LT_OP_GATED_RESIDUAL, args);
}
lt_status lt_gated_residual_backward(lt_ctx *ctx, const lt_gated_residual_backward_args *args) {
    return lt_op_run(ctx, LT_OP_GATED_RESIDUAL_BACKWARD, args);
}
lt_status lt_copy(lt_ctx *ctx, const lt_copy_args *args) { return lt_op_run(ctx, LT_OP_COPY, args); }
lt_status lt_mix(lt_ctx *ctx, const lt_mix_args *args) { return lt_op_run(ctx, LT_OP_MIX, args); }
lt_status lt_sum(lt_ctx *ctx, const lt_sum_args *args) { return lt_op_run(ctx, LT_OP_SUM, args); }
