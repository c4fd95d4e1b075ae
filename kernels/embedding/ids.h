/* Range of ids, checked on the host before any row is touched. */
#ifndef LT_KERNELS_EMBEDDING_IDS_H
#define LT_KERNELS_EMBEDDING_IDS_H

#include "kernels/embedding/embedding.h"

static inline lt_status lt_embedding_check_ids(const char *op, const lt_tensor *ids, int64_t rows) {
    const int32_t *id = (const int32_t *)ids->data;
    for (int64_t i = 0; i < ids->shape[0]; i++)
        LT_CHECK(id[i] >= 0 && id[i] < rows, LT_FAILED,
                 "%s: id %d at position %lld is outside the table of %lld rows", op, (int)id[i], (long long)i,
                 (long long)rows);
    return LT_OK;
}

#endif
