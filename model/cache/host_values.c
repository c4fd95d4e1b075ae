#include "model/cache/host_values.h"

#include <stdlib.h>

static lt_status check_dtype(const lt_tensor *t) {
    LT_CHECK(t->dtype == LT_F32 || t->dtype == LT_F64, LT_FAILED,
             "host values: found %s, expected f32 or f64", lt_dtype_name(t->dtype));
    return LT_OK;
}

lt_status lt_host_read(const lt_ctx *ctx, const lt_tensor *t, double *values) {
    LT_TRY(check_dtype(t));
    if (t->dtype == LT_F64) return lt_tensor_to_host(ctx->device, ctx->stream, t, values);
    int64_t count = lt_numel(t);
    float *narrow = malloc((size_t)count * sizeof *narrow);
    LT_CHECK(narrow || count == 0, LT_FAILED, "host values: out of memory");
    lt_status status = lt_tensor_to_host(ctx->device, ctx->stream, t, narrow);
    for (int64_t i = 0; status == LT_OK && i < count; i++) values[i] = narrow[i];
    free(narrow);
    return status;
}

lt_status lt_host_write(const lt_ctx *ctx, lt_tensor *t, const double *values) {
    LT_TRY(check_dtype(t));
    if (t->dtype == LT_F64) return lt_tensor_from_host(ctx->device, ctx->stream, t, values);
    int64_t count = lt_numel(t);
    float *narrow = malloc((size_t)count * sizeof *narrow);
    LT_CHECK(narrow || count == 0, LT_FAILED, "host values: out of memory");
    for (int64_t i = 0; i < count; i++) narrow[i] = (float)values[i];
    lt_status status = lt_tensor_from_host(ctx->device, ctx->stream, t, narrow);
    free(narrow);
    return status;
}
