#include "kernels/optimizer/chunks.h"
#include "kernels/optimizer/optimizer.h"

lt_status lt_grad_norm_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_grad_norm_args *a = args;
    double squares = 0;
    for (int t = 0; t < a->count; t++) {
        const double *g = a->grads[t].data;
        for (int64_t i = 0; i < lt_numel(&a->grads[t]); i++) squares += g[i] * g[i];
    }
    lt_norm_control(squares, a->scale, a->max_norm, a->control.data);
    return LT_OK;
}

static void adamw_update_naive(const lt_adamw_args *a, const lt_adamw_param *x) {
    const double *control = a->control.data, *grad = x->grad.data;
    double *p = x->param.data, *m = x->m.data, *v = x->v.data, *ema = x->ema.data;
    double unbias_m = 1 - pow(a->beta1, (double)a->step), unbias_v = 1 - pow(a->beta2, (double)a->step);
    for (int64_t i = 0; i < lt_numel(&x->param); i++) {
        double g = control[1] * grad[i];
        m[i] = a->beta1 * m[i] + (1 - a->beta1) * g;
        v[i] = a->beta2 * v[i] + (1 - a->beta2) * g * g;
        if (x->decays) p[i] -= a->lr * a->weight_decay * p[i];
        p[i] -= a->lr * (m[i] / unbias_m) / (sqrt(v[i] / unbias_v) + a->eps);
        if (ema) ema[i] = a->ema_decay * ema[i] + (1 - a->ema_decay) * p[i];
    }
}

lt_status lt_adamw_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_adamw_args *a = args;
    if (((const double *)a->control.data)[2] == 0) return LT_OK;
    for (int i = 0; i < a->count; i++) adamw_update_naive(a, &a->params[i]);
    return LT_OK;
}
