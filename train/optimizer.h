/* AdamW and the EMA over the trainable parameters of a model, in one call (kernels/optimizer). */
#ifndef LT_TRAIN_OPTIMIZER_H
#define LT_TRAIN_OPTIMIZER_H

#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_optimizer {
    lt_tensor control;             /* [3], compute dtype: norm, factor, finite; lives in session->run */
    lt_tensor *grads;              /* list for the norm; lives in host memory */
    struct lt_adamw_param *params; /* list for the update; the same */
} lt_optimizer;

/* Takes the control tensor from `run`. Call it in a session's setup. */
lt_status lt_optimizer_init(lt_optimizer *optimizer, lt_session *session);
void lt_optimizer_free(lt_optimizer *optimizer);

/* Norm of all gradients and whether they are finite; the update that follows clips by it, or does nothing. Parameters
 * that nothing reached count as zero (call lt_params_fill_grads before). */
lt_status lt_optimizer_norm(lt_optimizer *optimizer, lt_session *session, double clip_norm, double *norm,
                            bool *finite);

/* One step at learning rate `lr`; `step` from 1 (bias correction). Weight decay applies where lt_param.decay says
 * so. */
lt_status lt_optimizer_update(const lt_optimizer *optimizer, lt_session *session,
                              const lt_train_config *config, double lr, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
