#ifndef LT_KERNELS_OPTIMIZER_COEFFICIENTS_H
#define LT_KERNELS_OPTIMIZER_COEFFICIENTS_H

#include "kernels/optimizer/optimizer.h"

#include <math.h>

/* Of AdamW in float32: computed in float64, rounded once. `shrink` is for parameters that decay. */
typedef struct lt_adamw_coefficients {
    float beta1, rest1, beta2, rest2, shrink, rate, unbias, eps, ema_decay, ema_rest;
} lt_adamw_coefficients;

static inline lt_adamw_coefficients lt_adamw_coefficients_of(const lt_adamw_args *a) {
    double unbias_m = 1 - pow(a->beta1, (double)a->step), unbias_v = 1 - pow(a->beta2, (double)a->step);
    lt_adamw_coefficients k;
    k.beta1 = (float)a->beta1;
    k.rest1 = (float)(1 - a->beta1);
    k.beta2 = (float)a->beta2;
    k.rest2 = (float)(1 - a->beta2);
    k.shrink = (float)(1 - a->lr * a->weight_decay);
    k.rate = (float)(a->lr / unbias_m);
    k.unbias = (float)(1 / sqrt(unbias_v));
    k.eps = (float)a->eps;
    k.ema_decay = (float)a->ema_decay;
    k.ema_rest = (float)(1 - a->ema_decay);
    return k;
}

#endif
