#include "core/parallel.h"
#include "kernels/embedding/ids.h"
#include "kernels/rows.h"

#include <string.h>

lt_status lt_embedding_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_embedding_args *a = args;
    LT_TRY(lt_embedding_check_ids("embedding", &a->ids, a->table.shape[0]));
    const int32_t *ids = a->ids.data;
    int64_t channels = a->table.shape[1];
    for (int64_t i = 0; i < a->ids.shape[0]; i++)
        memcpy((float *)a->y.data + i * channels, (const float *)a->table.data + ids[i] * channels,
               (size_t)channels * sizeof(float));
    return LT_OK;
}

/* Threads share the columns, never the rows: each sum runs in the order of i. */
lt_status lt_embedding_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    enum { COLUMNS = 64 };
    const lt_embedding_backward_args *a = args;
    LT_TRY(lt_embedding_check_ids("embedding_backward", &a->ids, a->dtable.shape[0]));
    if (!a->accumulate_dtable) memset(a->dtable.data, 0, lt_nbytes(&a->dtable));
    const int32_t *ids = a->ids.data;
    int64_t channels = a->dtable.shape[1], count = a->ids.shape[0];
#pragma omp parallel for schedule(static) num_threads(lt_threads()) if (channels * count >= LT_PARALLEL_FROM)
    for (int64_t first = 0; first < channels; first += COLUMNS) {
        int64_t end = first + COLUMNS < channels ? first + COLUMNS : channels;
        for (int64_t i = 0; i < count; i++) {
            const float *dy = (const float *)a->dy.data + i * channels;
            float *row = (float *)a->dtable.data + ids[i] * channels;
            for (int64_t c = first; c < end; c++) row[c] += dy[c];
        }
    }
    return LT_OK;
}
