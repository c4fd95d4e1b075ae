#include "kernels/dense.h"
#include "kernels/embedding/embedding.h"

static double gathered_bytes(const lt_tensor *ids, const lt_tensor *rows) {
    return (double)lt_nbytes(ids) + 2 * (double)lt_nbytes(rows);
}

lt_status lt_embedding_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_embedding_args *a = args;
    const char *op = "embedding";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "ids", &a->ids, LT_I32, false, -1));
    LT_TRY(LT_EXPECT_DENSE(op, "table", &a->table, dtype, false, -1, -1));
    LT_TRY(LT_EXPECT_DENSE(op, "y", &a->y, dtype, false, a->ids.shape[0], a->table.shape[1]));
    cost->bytes = gathered_bytes(&a->ids, &a->y);
    return LT_OK;
}

lt_status lt_embedding_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_embedding_backward_args *a = args;
    const char *op = "embedding_backward";
    lt_dtype dtype = lt_ctx_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "ids", &a->ids, LT_I32, false, -1));
    LT_TRY(LT_EXPECT_DENSE(op, "dtable", &a->dtable, dtype, false, -1, -1));
    LT_TRY(LT_EXPECT_DENSE(op, "dy", &a->dy, dtype, false, a->ids.shape[0], a->dtable.shape[1]));
    cost->flops = (double)lt_numel(&a->dy);
    cost->bytes = gathered_bytes(&a->ids, &a->dy) + (double)lt_nbytes(&a->dy) +
                  (a->accumulate_dtable ? 0 : (double)lt_nbytes(&a->dtable));
    return LT_OK;
}

lt_status lt_embedding_forward(lt_ctx *ctx, const lt_embedding_args *args) {
    return lt_op_run(ctx, LT_OP_EMBEDDING, args);
}

lt_status lt_embedding_backward(lt_ctx *ctx, const lt_embedding_backward_args *args) {
    return lt_op_run(ctx, LT_OP_EMBEDDING_BACKWARD, args);
}
