/* Activations, broadcasts, residuals, copies. */
#include "autograd/ops.h"

typedef struct unary_saved {
    lt_var *x, *y;
    lt_unary kind;
} unary_saved;

static lt_status unary_backward(lt_tape *tape, void *memory) {
    unary_saved *s = memory;
    lt_unary_backward_args args = {.kind = s->kind, .dy = lt_tape_grad_of(s->y), .x = s->x->value};
    if (lt_is_empty(&args.dy)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->x, &args.dx, &args.accumulate_dx));
    return lt_unary_backward(tape->ctx, &args);
}

lt_status lt_ag_unary(lt_tape *tape, lt_unary kind, lt_var *x, lt_var **out) {
    bool wants = lt_tape_wants(tape, 1, &x);
    LT_TRY(lt_tape_new(tape, x->value.dtype, wants, out, x->value.ndim, x->value.shape));
    lt_unary_args args = {.kind = kind, .x = x->value, .y = (*out)->value};
    LT_TRY(LT_TAPE_RUN(tape, UNARY, args));
    if (!wants) return LT_OK;
    unary_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (unary_saved){x, *out, kind};
    return lt_tape_push(tape, unary_backward, s);
}

static lt_status cast_backward(lt_tape *tape, void *memory) {
    unary_saved *s = memory;
    lt_copy_args args = {.x = lt_tape_grad_of(s->y), .scale = 1};
    if (lt_is_empty(&args.x)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->x, &args.y, &args.accumulate));
    return lt_copy(tape->ctx, &args);
}

lt_status lt_ag_cast(lt_tape *tape, lt_var *x, lt_dtype dtype, lt_var **out) {
    bool wants = lt_tape_wants(tape, 1, &x);
    *out = x;
    if (x->value.dtype == dtype) return LT_OK;
    LT_TRY(lt_tape_new(tape, dtype, wants, out, x->value.ndim, x->value.shape));
    lt_copy_args args = {.x = x->value, .y = (*out)->value, .scale = 1};
    LT_TRY(LT_TAPE_RUN(tape, COPY, args));
    if (!wants) return LT_OK;
    unary_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (unary_saved){x, *out, LT_SILU};
    return lt_tape_push(tape, cast_backward, s);
}

typedef struct binary_saved {
    lt_var *a, *b, *gate, *y;
} binary_saved;

static lt_status add_broadcast_backward(lt_tape *tape, void *memory) {
    binary_saved *s = memory;
    lt_add_broadcast_backward_args args = {.dy = lt_tape_grad_of(s->y)};
    if (lt_is_empty(&args.dy)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->a, &args.da, &args.accumulate_da));
    LT_TRY(lt_tape_grad_slot(tape, s->b, &args.db, &args.accumulate_db));
    return lt_add_broadcast_backward(tape->ctx, &args);
}

lt_status lt_ag_add_broadcast(lt_tape *tape, lt_var *a, lt_var *b, lt_var **out) {
    lt_var *inputs[] = {a, b};
    bool wants = lt_tape_wants(tape, 2, inputs);
    const int64_t shape[] = {b->value.shape[0], a->value.shape[0], a->value.shape[1]};
    LT_TRY(lt_tape_new(tape, a->value.dtype, wants, out, 3, shape));
    lt_add_broadcast_args args = {.a = a->value, .b = b->value, .y = (*out)->value};
    LT_TRY(LT_TAPE_RUN(tape, ADD_BROADCAST, args));
    if (!wants) return LT_OK;
    binary_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (binary_saved){a, b, NULL, *out};
    return lt_tape_push(tape, add_broadcast_backward, s);
}

static lt_status gated_residual_backward(lt_tape *tape, void *memory) {
    binary_saved *s = memory;
    lt_gated_residual_backward_args args = {.dy = lt_tape_grad_of(s->y), .h = s->b->value};
    if (lt_is_empty(&args.dy)) return LT_OK;
    if (s->gate) args.gate = s->gate->value;
    LT_TRY(lt_tape_grad_slot(tape, s->b, &args.dh, &args.accumulate_dh));
    LT_TRY(lt_tape_grad_slot(tape, s->gate, &args.dgate, &args.accumulate_dgate));
    LT_TRY(lt_gated_residual_backward(tape->ctx, &args));
    return lt_tape_grad_move(tape, s->y, s->a);
}

lt_status lt_ag_gated_residual(lt_tape *tape, lt_var *x, lt_var *h, lt_var *gate, lt_var **out) {
    lt_var *inputs[] = {x, h, gate};
    bool wants = lt_tape_wants(tape, 3, inputs);
    if (!*out) LT_TRY(lt_tape_new(tape, x->value.dtype, wants, out, x->value.ndim, x->value.shape));
    lt_gated_residual_args args = {.x = x->value, .h = h->value, .y = (*out)->value};
    if (gate) args.gate = gate->value;
    LT_TRY(LT_TAPE_RUN(tape, GATED_RESIDUAL, args));
    if (!wants) return LT_OK;
    binary_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (binary_saved){x, h, gate, *out};
    return lt_tape_push(tape, gated_residual_backward, s);
}

static lt_status copy_backward(lt_tape *tape, void *memory) {
    binary_saved *s = memory;
    lt_copy_args args = {.x = lt_tape_grad_of(s->y), .scale = 1};
    if (lt_is_empty(&args.x)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->a, &args.y, &args.accumulate));
    return lt_copy(tape->ctx, &args);
}

lt_status lt_ag_copy_into(lt_tape *tape, lt_var *x, lt_tensor to, lt_var **out) {
    bool wants = lt_tape_wants(tape, 1, &x);
    LT_TRY(lt_tape_var(tape, to, wants, out));
    lt_copy_args args = {.x = x->value, .y = to, .scale = 1};
    LT_TRY(LT_TAPE_RUN(tape, COPY, args));
    if (!wants) return LT_OK;
    binary_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (binary_saved){.a = x, .y = *out};
    return lt_tape_push(tape, copy_backward, s);
}

lt_status lt_ag_copy(lt_tape *tape, lt_var *x, lt_var **out) {
    lt_var *to;
    LT_TRY(lt_tape_new(tape, x->value.dtype, false, &to, x->value.ndim, x->value.shape));
    return lt_ag_copy_into(tape, x, to->value, out);
}
