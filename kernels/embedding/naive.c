#include "kernels/embedding/ids.h"

lt_status lt_embedding_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_embedding_args *a = args;
    LT_TRY(lt_embedding_check_ids("embedding", &a->ids, a->table.shape[0]));
    const int32_t *ids = a->ids.data;
    const double *table = a->table.data;
    double *y = a->y.data;
    int64_t channels = a->table.shape[1];
    for (int64_t i = 0; i < a->ids.shape[0]; i++)
        for (int64_t c = 0; c < channels; c++) y[i * channels + c] = table[ids[i] * channels + c];
    return LT_OK;
}

lt_status lt_embedding_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_embedding_backward_args *a = args;
    LT_TRY(lt_embedding_check_ids("embedding_backward", &a->ids, a->dtable.shape[0]));
    const int32_t *ids = a->ids.data;
    const double *dy = a->dy.data;
    double *dtable = a->dtable.data;
    int64_t channels = a->dtable.shape[1];
    for (int64_t i = 0; i < lt_numel(&a->dtable) && !a->accumulate_dtable; i++) dtable[i] = 0;
    for (int64_t i = 0; i < a->ids.shape[0]; i++)
        for (int64_t c = 0; c < channels; c++) dtable[ids[i] * channels + c] += dy[i * channels + c];
    return LT_OK;
}
