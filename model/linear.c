#include "model/linear.h"

#include "autograd/ops.h"
#include "kernels/linear/linear.h"

static lt_status check_adapter(const lt_linear_layer *l, const lt_var *x) {
    LT_CHECK(!l->down == !l->up, LT_FAILED, "linear: an adapter has two matrices");
    LT_CHECK(!l->down || lt_is_empty(&x->scale), LT_FAILED,
             "linear: an adapter on a layer whose operand is quantised; merge it into the weight first");
    return LT_OK;
}

/* [..., C] as the [1, rows, C] that the sum with an adapter takes. */
static lt_status as_rows(lt_tape *tape, lt_var *x, lt_var **out) {
    int64_t C = x->value.shape[x->value.ndim - 1];
    return LT_AG_RESHAPE(tape, x, out, 1, lt_numel(&x->value) / C, C);
}

static lt_status add_adapter(lt_tape *tape, const lt_linear_layer *l, lt_var *x, lt_var *y, lt_var **out) {
    lt_var *narrow, *wide, *rows[2], *sum = NULL;
    LT_TRY(lt_ag_linear(tape, x, l->down, NULL, &narrow));
    LT_TRY(lt_ag_linear(tape, narrow, l->up, NULL, &wide));
    LT_TRY(as_rows(tape, y, &rows[0]));
    LT_TRY(as_rows(tape, wide, &rows[1]));
    LT_TRY(lt_ag_gated_residual(tape, rows[0], rows[1], NULL, &sum));
    return lt_tape_reshape(tape, sum, out, y->value.ndim, y->value.shape);
}

lt_status lt_linear_apply(lt_tape *tape, const lt_linear_layer *l, lt_var *x, lt_var **out) {
    lt_var *y;
    LT_TRY(check_adapter(l, x));
    if (!l->down) return lt_ag_linear(tape, x, l->w, l->b, out);
    LT_TRY(lt_ag_linear(tape, x, l->w, l->b, &y));
    return add_adapter(tape, l, x, y, out);
}

lt_status lt_linear_write(lt_tape *tape, const lt_linear_layer *l, const lt_var *x, lt_tensor y) {
    lt_linear_args args = {
        .x = x->value, .w = l->w->value, .y = y, .scale = l->w->scale, .x_scale = x->scale};
    LT_TRY(check_adapter(l, x));
    if (l->b) args.b = l->b->value;
    LT_TRY(lt_linear_forward(tape->ctx, &args));
    if (!l->down) return LT_OK;
    lt_tensor narrow;
    int64_t shape[LT_MAX_DIMS];
    for (int i = 0; i < x->value.ndim; i++) shape[i] = x->value.shape[i];
    shape[x->value.ndim - 1] = l->down->value.shape[0];
    LT_TRY(lt_tensor_new(tape->step, x->value.dtype, &narrow, x->value.ndim, shape));
    lt_linear_args down = {.x = x->value, .w = l->down->value, .y = narrow};
    lt_linear_args up = {.x = narrow, .w = l->up->value, .y = y, .accumulate = true};
    LT_TRY(lt_linear_forward(tape->ctx, &down));
    return lt_linear_forward(tape->ctx, &up);
}
