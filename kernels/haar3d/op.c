#include "kernels/dense.h"
#include "kernels/haar3d/haar3d.h"

lt_status lt_haar3d_describe(const lt_ctx *ctx, const void *args, lt_cost *cost) {
    const lt_haar3d_args *a = args;
    const char *op = "haar3d";
    LT_TRY(LT_EXPECT_DENSE(op, "rgb", &a->rgb, LT_U8, false, -1, -1, -1, 3));
    const int64_t *s = a->rgb.shape;
    LT_CHECK(s[0] % LT_HAAR3D_T == 0 && s[1] % LT_HAAR3D_H == 0 && s[2] % LT_HAAR3D_W == 0, LT_FAILED,
             "op %s: %lld frames of %lld x %lld do not divide into cells of 2 x 4 x 4", op, (long long)s[0],
             (long long)s[1], (long long)s[2]);
    LT_TRY(LT_EXPECT_DENSE(op, "latents", &a->latents, lt_ctx_sum_dtype(ctx), false, s[0] / LT_HAAR3D_T,
                           s[1] / LT_HAAR3D_H, s[2] / LT_HAAR3D_W, -1));
    int64_t channels = a->latents.shape[3];
    LT_CHECK(channels == LT_HAAR3D_KEPT || channels == LT_HAAR3D_CELL, LT_FAILED,
             "op %s: %lld channels of latents, expected %d or %d", op, (long long)channels, LT_HAAR3D_KEPT,
             LT_HAAR3D_CELL);
    cost->flops = 15 * (double)lt_numel(&a->rgb); /* 5 levels of 2, 3 of the colours, 2 of the scale */
    cost->bytes = (double)(lt_nbytes(&a->rgb) + lt_nbytes(&a->latents));
    return LT_OK;
}

lt_status lt_haar3d(lt_ctx *ctx, const lt_haar3d_args *args) { return lt_op_run(ctx, LT_OP_HAAR3D, args); }
