#include "kernels/op.h"

#include "core/io.h"

#include <stdio.h>

#define LT_OP(ID, name)                                                                                      \
    lt_status lt_##name##_describe(const lt_ctx *ctx, const void *args, lt_cost *cost);                      \
    lt_status lt_##name##_naive(lt_ctx *ctx, const void *args, void *workspace);                             \
    lt_status lt_##name##_cpu(lt_ctx *ctx, const void *args, void *workspace);
#include "kernels/ops.def"
#undef LT_OP

#ifdef LT_WITH_CUDA
#    define LT_OP_CUDA(ID, name) lt_status lt_##name##_cuda(lt_ctx *ctx, const void *args, void *workspace);
#    include "kernels/ops_cuda.def"
#    undef LT_OP_CUDA
#endif

static const lt_op ops[] = {
#define LT_OP(ID, name)                                                                                      \
    [LT_OP_##ID] = {#name,                                                                                   \
                    lt_##name##_describe,                                                                    \
                    {[LT_BACKEND_NAIVE] = lt_##name##_naive, [LT_BACKEND_CPU] = lt_##name##_cpu}},
#include "kernels/ops.def"
#undef LT_OP
#ifdef LT_WITH_CUDA
#    define LT_OP_CUDA(ID, name) [LT_OP_##ID].run[LT_BACKEND_CUDA] = lt_##name##_cuda,
#    include "kernels/ops_cuda.def"
#    undef LT_OP_CUDA
#endif
};

static const char *const backend_names[LT_BACKEND_COUNT] = {[LT_BACKEND_NAIVE] = "naive",
                                                            [LT_BACKEND_CPU] = "cpu",
                                                            [LT_BACKEND_NULL] = "null",
                                                            [LT_BACKEND_CUDA] = "cuda"};

const lt_op *lt_op_at(lt_op_id id) { return (int)id >= 0 && id < LT_OP_COUNT ? &ops[id] : NULL; }

lt_dtype lt_ctx_sum_dtype(const lt_ctx *ctx) { return ctx->backend == LT_BACKEND_NAIVE ? LT_F64 : LT_F32; }
lt_dtype lt_ctx_dtype(const lt_ctx *ctx) {
    return ctx->backend != LT_BACKEND_NAIVE && ctx->dtype == LT_BF16 ? LT_BF16 : lt_ctx_sum_dtype(ctx);
}

lt_dtype lt_ctx_e4m3_dtype(const lt_ctx *ctx) { return ctx->backend == LT_BACKEND_NAIVE ? LT_F64 : LT_E4M3; }

static void count(lt_meter *meter, lt_op_id id, const lt_cost *cost) {
    meter->op[id].calls++;
    meter->op[id].flops += cost->flops;
    meter->op[id].bytes += cost->bytes;
    meter->flops += cost->flops;
    meter->bytes += cost->bytes;
}

/* Runs the backend's function and, with --sync, waits so that a late device error gets the name of its op. */
static lt_status launch(lt_ctx *ctx, const lt_op *op, const void *args, void *workspace) {
    lt_status status = op->run[ctx->backend](ctx, args, workspace);
    if (status == LT_OK && ctx->sync) {
        status = lt_device_synchronize(ctx->device, ctx->stream);
        if (status != LT_OK) ctx->sticky = status;
    }
    if (status != LT_OK && ctx->backend == LT_BACKEND_CUDA) ctx->sticky = status;
    return status == LT_OK ? LT_OK : lt_fail_in(status, "op %s", op->name);
}

/* Checks and costs the call, finds it a workspace, runs it. */
static lt_status run(lt_ctx *ctx, lt_op_id id, const lt_op *op, const void *args) {
    bool runs = ctx->backend != LT_BACKEND_NULL && !lt_device_is_null(ctx->device);
    LT_CHECK(!runs || op->run[ctx->backend], LT_UNAVAILABLE, "op %s: not available on backend %s", op->name,
             backend_names[ctx->backend]);
    lt_cost cost = {0};
    LT_TRY(op->describe(ctx, args, &cost));
    if (ctx->meter) count(ctx->meter, id, &cost);
    if (cost.workspace == 0) return runs ? launch(ctx, op, args, NULL) : LT_OK;

    LT_CHECK(ctx->scratch, LT_FAILED,
             "op %s: needs %zu bytes of workspace, but its context has no scratch arena", op->name,
             cost.workspace);
    void *workspace;
    size_t mark = lt_arena_mark(ctx->scratch);
    lt_status status = lt_arena_alloc(ctx->scratch, cost.workspace, &workspace);
    if (status != LT_OK) return lt_fail_in(status, "op %s", op->name);
    if (runs) status = launch(ctx, op, args, workspace);
    lt_arena_release(ctx->scratch, mark);
    return status;
}

lt_status lt_op_run(lt_ctx *ctx, lt_op_id id, const void *args) {
    const lt_op *op = lt_op_at(id);
    LT_CHECK(op, LT_FAILED, "there is no op number %d", (int)id);
    LT_CHECK(ctx->sticky == LT_OK, ctx->sticky, "op %s was not run: the device failed before it", op->name);
    if (!ctx->meter || !ctx->meter->timed) return run(ctx, id, op, args);
    double start = lt_seconds();
    lt_status status = run(ctx, id, op, args);
    ctx->meter->op[id].seconds += lt_seconds() - start;
    return status;
}

static void shape_text(char *text, size_t size, lt_dtype dtype, int ndim, const int64_t *shape) {
    size_t used = (size_t)snprintf(text, size, "%s[", lt_dtype_name(dtype));
    for (int i = 0; i < ndim && used < size; i++) {
        const char *comma = i ? "," : "";
        if (shape[i] < 0) used += (size_t)snprintf(text + used, size - used, "%s*", comma);
        else used += (size_t)snprintf(text + used, size - used, "%s%lld", comma, (long long)shape[i]);
    }
    if (used < size) snprintf(text + used, size - used, "]");
}

lt_status lt_expect(const char *op, const char *operand, const lt_tensor *t, lt_dtype dtype, bool optional,
                    int ndim, const int64_t *shape) {
    if (optional && lt_is_empty(t)) return LT_OK;
    bool fits = !lt_is_empty(t) && t->dtype == dtype && t->ndim == ndim;
    for (int i = 0; fits && i < ndim; i++) fits = shape[i] < 0 || t->shape[i] == shape[i];
    if (fits) return LT_OK;
    char wanted[160], found[160] = "an empty tensor";
    shape_text(wanted, sizeof wanted, dtype, ndim, shape);
    if (!lt_is_empty(t)) lt_tensor_text(t, found, sizeof found);
    return lt_fail(LT_FAILED, "op %s: operand %s is %s, expected %s", op, operand, found, wanted);
}

lt_status lt_expect_rows(const char *op, const char *operand, const lt_tensor *t, int inner) {
    int64_t rows, columns, ld;
    if (lt_is_empty(t) || lt_as_rows(t, inner, &rows, &columns, &ld)) return LT_OK;
    char found[160];
    return lt_fail(
        LT_FAILED,
        "op %s: operand %s %s is not rows of %d contiguous dimension%s at one distance; copy it first", op,
        operand, lt_tensor_text(t, found, sizeof found), inner, inner == 1 ? "" : "s");
}

lt_status lt_expect_matrix(const char *op, const char *operand, const lt_tensor *t, lt_dtype dtype,
                           bool optional, int64_t rows, int64_t columns) {
    if (optional && lt_is_empty(t)) return LT_OK;
    bool fits = !lt_is_empty(t) && t->dtype == dtype && t->ndim >= 1 && t->shape[t->ndim - 1] == columns;
    if (fits && rows >= 0) fits = lt_numel(t) == rows * columns;
    if (fits) return lt_expect_rows(op, operand, t, 1);
    char found[160] = "an empty tensor", wanted[32] = "any number of";
    if (!lt_is_empty(t)) lt_tensor_text(t, found, sizeof found);
    if (rows >= 0) snprintf(wanted, sizeof wanted, "%lld", (long long)rows);
    return lt_fail(LT_FAILED, "op %s: operand %s is %s, expected %s[...,%lld] with %s rows", op, operand,
                   found, lt_dtype_name(dtype), (long long)columns, wanted);
}
