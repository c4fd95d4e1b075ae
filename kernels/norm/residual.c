/* gated_residual_norm in host memory: the two ops one after the other. A GPU saves a pass over memory by doing both at
 * once. */
#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"

static lt_status run_both(lt_ctx *ctx, const lt_gated_residual_norm_args *a, void *workspace,
                          lt_backend backend) {
    lt_kernel_fn add = lt_op_at(LT_OP_GATED_RESIDUAL)->run[backend],
                 norm = lt_op_at(LT_OP_NORM_MODULATE)->run[backend];
    lt_gated_residual_args sum = {.x = a->x, .h = a->h, .gate = a->gate, .y = a->sum};
    lt_norm_modulate_args y = {.x = a->sum, .shift = a->shift, .scale = a->scale, .y = a->y, .eps = a->eps};
    y.y_scale = a->y_scale;
    LT_TRY(add(ctx, &sum, NULL));
    return norm(ctx, &y, workspace);
}

lt_status lt_gated_residual_norm_naive(lt_ctx *ctx, const void *args, void *workspace) {
    return run_both(ctx, args, workspace, LT_BACKEND_NAIVE);
}

lt_status lt_gated_residual_norm_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    return run_both(ctx, args, workspace, LT_BACKEND_CPU);
}
