#include "infer/transfer.h"

#include "kernels/elementwise/elementwise.h"

/* A null device takes nothing, so there need not be anything to give. */
static lt_status put(const lt_ctx *ctx, lt_tensor *to, const float *host) {
    if (lt_device_is_null(ctx->device)) return LT_OK;
    return lt_tensor_from_host(ctx->device, ctx->stream, to, host);
}

lt_status lt_put_floats(lt_ctx *ctx, lt_arena *temporary, const float *host, lt_tensor to) {
    if (to.dtype == LT_F32) return put(ctx, &to, host);
    size_t mark = lt_arena_mark(temporary);
    lt_copy_args cast = {.y = to, .scale = 1};
    LT_TRY(lt_tensor_new(temporary, LT_F32, &cast.x, to.ndim, to.shape));
    lt_status status = put(ctx, &cast.x, host);
    if (status == LT_OK) status = lt_copy(ctx, &cast);
    lt_arena_release(temporary, mark);
    return status;
}

lt_status lt_get_floats(lt_ctx *ctx, lt_arena *temporary, lt_tensor from, float *host) {
    if (from.dtype == LT_F32) return lt_tensor_to_host(ctx->device, ctx->stream, &from, host);
    size_t mark = lt_arena_mark(temporary);
    lt_copy_args cast = {.x = from, .scale = 1};
    LT_TRY(lt_tensor_new(temporary, LT_F32, &cast.y, from.ndim, from.shape));
    lt_status status = lt_copy(ctx, &cast);
    if (status == LT_OK) status = lt_tensor_to_host(ctx->device, ctx->stream, &cast.y, host);
    lt_arena_release(temporary, mark);
    return status;
}
