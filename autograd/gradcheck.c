#include "autograd/gradcheck.h"

#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUTS = 512 };

static double weight_of(int64_t i) {
    const lt_rng_key key = {.seed = 1, .purpose = LT_RNG_TEST};
    return lt_rng_normal(&key, i);
}

/* One evaluation; vars of the inputs are returned so that the caller can read their gradients. */
static lt_status evaluate(const lt_gradcheck *c, bool recording, lt_var **vars, lt_var **out) {
    lt_tape_reset(c->tape);
    c->tape->recording = recording;
    for (int i = 0; i < c->count; i++) LT_TRY(lt_tape_var(c->tape, c->inputs[i], true, &vars[i]));
    return c->function(c->tape, vars, c->user, out);
}

static lt_status loss(const lt_gradcheck *c, double *value) {
    lt_var *vars[MAX_INPUTS], *out;
    LT_TRY(evaluate(c, false, vars, &out));
    LT_CHECK(lt_is_contiguous(&out->value), LT_FAILED, "gradcheck: the output must be contiguous");
    const double *y = out->value.data;
    *value = 0;
    for (int64_t i = 0; i < lt_numel(&out->value); i++) *value += y[i] * weight_of(i);
    return LT_OK;
}

static lt_status analytic(const lt_gradcheck *c, double **grads) {
    lt_var *vars[MAX_INPUTS], *out;
    lt_tensor seed;
    LT_TRY(evaluate(c, true, vars, &out));
    LT_TRY(lt_tensor_new(c->tape->step, LT_F64, &seed, out->value.ndim, out->value.shape));
    for (int64_t i = 0; i < lt_numel(&seed); i++) ((double *)seed.data)[i] = weight_of(i);
    LT_TRY(lt_tape_seed(c->tape, out, seed));
    LT_TRY(lt_tape_backward(c->tape));
    for (int i = 0; i < c->count; i++) {
        size_t bytes = lt_nbytes(&c->inputs[i]);
        grads[i] = calloc(1, bytes);
        LT_CHECK(grads[i], LT_FAILED, "gradcheck: out of memory");
        if (vars[i]->has_grad) memcpy(grads[i], vars[i]->grad.data, bytes);
    }
    return LT_OK;
}

static lt_status compare_gradient(const lt_gradcheck *c, int input, const double *grad, double *error) {
    double *x = c->inputs[input].data, step = c->step > 0 ? c->step : 1e-5, difference = 0, reference = 0;
    int64_t n = lt_numel(&c->inputs[input]);
    int64_t stride = c->samples > 0 && n > c->samples ? n / c->samples : 1;
    for (int64_t k = 0; k < n; k += stride) {
        double kept = x[k], above, below;
        x[k] = kept + step;
        LT_TRY(loss(c, &above));
        x[k] = kept - step;
        LT_TRY(loss(c, &below));
        x[k] = kept;
        double numeric = (above - below) / (2 * step);
        difference += (numeric - grad[k]) * (numeric - grad[k]);
        reference += numeric * numeric;
    }
    *error = reference > 0 ? sqrt(difference / reference) : (difference > 0 ? INFINITY : 0);
    if (isnan(*error)) *error = INFINITY;
    return LT_OK;
}

lt_status lt_gradcheck_run(const lt_gradcheck *c, double *worst) {
    double *grads[MAX_INPUTS] = {0};
    LT_CHECK(c->count <= MAX_INPUTS, LT_FAILED, "gradcheck: %d inputs, at most %d", c->count, MAX_INPUTS);
    lt_status status = analytic(c, grads);
    *worst = 0;
    for (int i = 0; status == LT_OK && i < c->count; i++) {
        double error;
        status = compare_gradient(c, i, grads[i], &error);
        if (status == LT_OK && error > *worst) *worst = error;
    }
    for (int i = 0; i < c->count; i++) free(grads[i]);
    return status;
}
