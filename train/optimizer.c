#include "train/optimizer.h"

#include "infer/transfer.h"
#include "kernels/optimizer/optimizer.h"

#include <math.h>
#include <stdlib.h>

lt_status lt_optimizer_init(lt_optimizer *optimizer, lt_session *session) {
    *optimizer = (lt_optimizer){0};
    LT_TRY(LT_NEW(&session->run, lt_ctx_sum_dtype(&session->ctx), &optimizer->control, 3));
    optimizer->grads = calloc((size_t)session->model->params.count, sizeof *optimizer->grads);
    optimizer->params = calloc((size_t)session->model->params.count, sizeof *optimizer->params);
    LT_CHECK(optimizer->grads && optimizer->params, LT_FAILED, "out of memory for the list of parameters");
    return LT_OK;
}

void lt_optimizer_free(lt_optimizer *optimizer) {
    free(optimizer->grads);
    free(optimizer->params);
    *optimizer = (lt_optimizer){0};
}

lt_status lt_optimizer_norm(lt_optimizer *optimizer, lt_session *session, double clip_norm, double *norm,
                            bool *finite) {
    const lt_params *params = &session->model->params;
    int count = 0;
    for (int i = 0; i < params->count; i++)
        if (params->items[i]->var.needs_grad) optimizer->grads[count++] = params->items[i]->var.grad;
    lt_grad_norm_args args = {.count = count,
                              .grads = optimizer->grads,
                              .scale = 1,
                              .max_norm = clip_norm,
                              .control = optimizer->control};
    LT_TRY(lt_grad_norm(&session->ctx, &args));
    float control[3] = {0, 0, 1};
    LT_TRY(lt_get_floats(&session->ctx, &session->step, optimizer->control, control));
    *norm = control[0];
    *finite = control[2] != 0;
    return LT_OK;
}

/* While there are few steps the average reaches back over a tenth of them only, so that it forgets the initial
 * values. */
static double warm_decay(int64_t step) { return (1.0 + (double)step) / (10.0 + (double)step); }

lt_status lt_optimizer_update(const lt_optimizer *optimizer, lt_session *session,
                              const lt_train_config *config, double lr, int64_t step) {
    const lt_params *params = &session->model->params;
    lt_adamw_args args = {.params = optimizer->params,
                          .control = optimizer->control,
                          .lr = lr,
                          .beta1 = config->beta1,
                          .beta2 = config->beta2,
                          .eps = config->eps,
                          .weight_decay = config->weight_decay,
                          .ema_decay = fmin(config->ema_decay, warm_decay(step)),
                          .step = step};
    for (int i = 0; i < params->count; i++) {
        const lt_param *p = params->items[i];
        if (!p->var.needs_grad) continue;
        bool works = !lt_is_empty(&p->master);
        optimizer->params[args.count++] = (lt_adamw_param){.param = works ? p->master : p->var.value,
                                                           .copy = works ? p->var.value : (lt_tensor){0},
                                                           .grad = p->var.grad,
                                                           .m = p->m,
                                                           .v = p->v,
                                                           .ema = p->ema,
                                                           .decays = p->decay};
    }
    return lt_adamw(&session->ctx, &args);
}
