#include "kernels/dense.h"
#include "kernels/embedding/embedding.h"

/* Rows of the table that are read or written once per id. */
static double gathered_bytes(const lt_tensor *ids, const lt_tensor *rows, lt_dtype table) {
    return (double)lt_nbytes(ids) + (double)lt_nbytes(rows) +
           (double)lt_numel(rows) * (double)lt_dtype_size(table);
}

/* Of y and dy: float32 too where activations are bf16. */
static lt_dtype gathered_dtype(const lt_ctx *ctx, const lt_tensor *t) {
    return t->dtype == lt_ctx_sum_dtype(ctx) ? t->dtype : lt_ctx_dtype(ctx);
}

lt_status lt_embedding_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_embedding_args *a = args;
    const char *op = "embedding";
    lt_dtype dtype = gathered_dtype(ctx, &a->y), sum = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "ids", &a->ids, LT_I32, false, -1));
    LT_TRY(LT_EXPECT_DENSE(op, "table", &a->table, sum, false, -1, -1));
    LT_TRY(LT_EXPECT_DENSE(op, "y", &a->y, dtype, false, a->ids.shape[0], a->table.shape[1]));
    cost->bytes = gathered_bytes(&a->ids, &a->y, sum);
    return LT_OK;
}

lt_status lt_embedding_backward_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_embedding_backward_args *a = args;
    const char *op = "embedding_backward";
    lt_dtype dtype = gathered_dtype(ctx, &a->dy), sum = lt_ctx_sum_dtype(ctx);
    LT_TRY(LT_EXPECT_DENSE(op, "ids", &a->ids, LT_I32, false, -1));
    LT_TRY(LT_EXPECT_DENSE(op, "dtable", &a->dtable, sum, false, -1, -1));
    LT_TRY(LT_EXPECT_DENSE(op, "dy", &a->dy, dtype, false, a->ids.shape[0], a->dtable.shape[1]));
    cost->flops = (double)lt_numel(&a->dy);
    cost->bytes = gathered_bytes(&a->ids, &a->dy, sum) +
                  (double)lt_numel(&a->dy) * (double)lt_dtype_size(sum) +
                  (a->accumulate_dtable ? 0 : (double)lt_nbytes(&a->dtable));
    return LT_OK;
}

lt_status lt_embedding_forward(lt_ctx *ctx, const lt_embedding_args *args) {
    return lt_op_run(ctx, LT_OP_EMBEDDING, args);
}

lt_status lt_embedding_backward(lt_ctx *ctx, const lt_embedding_backward_args *args) {
    return lt_op_run(ctx, LT_OP_EMBEDDING_BACKWARD, args);
}
