/* The middle of the Mix-FFN and its temporal convolution. */
#include "autograd/ops.h"

#include "kernels/glu_depthwise/glu_depthwise.h"
#include "kernels/temporal_conv/temporal_conv.h"

#include <string.h>

typedef struct conv_saved {
    lt_var *x, *w, *b, *tail, *y;
} conv_saved;

static lt_status glu_backward(lt_tape *tape, void *memory) {
    conv_saved *s = memory;
    bool accumulate_db;
    lt_glu_depthwise_backward_args args = {
        .dy = lt_tape_grad_of(s->y), .x = s->x->value, .w = s->w->value, .b = s->b->value};
    if (lt_is_empty(&args.dy)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->x, &args.dx, &args.accumulate_dx));
    LT_TRY(lt_tape_grad_slot(tape, s->w, &args.dw, &args.accumulate_dw));
    LT_TRY(lt_tape_grad_slot(tape, s->b, &args.db, &accumulate_db));
    return lt_glu_depthwise_backward(tape->ctx, &args);
}

lt_status lt_ag_glu_depthwise(lt_tape *tape, lt_var *x, lt_var *w, lt_var *b, lt_var **out) {
    lt_var *inputs[] = {x, w, b};
    bool wants = lt_tape_wants(tape, 3, inputs);
    int64_t shape[LT_MAX_DIMS];
    memcpy(shape, x->value.shape, sizeof shape);
    shape[3] /= 2;
    LT_TRY(lt_tape_new(tape, x->value.dtype, wants, out, 4, shape));
    lt_glu_depthwise_args args = {.x = x->value, .w = w->value, .b = b->value, .y = (*out)->value};
    LT_TRY(lt_glu_depthwise_forward(tape->ctx, &args));
    if (!wants) return LT_OK;
    conv_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (conv_saved){.x = x, .w = w, .b = b, .y = *out};
    return lt_tape_push(tape, glu_backward, s);
}

static lt_status temporal_backward(lt_tape *tape, void *memory) {
    conv_saved *s = memory;
    lt_temporal_conv_backward_args args = {.dy = lt_tape_grad_of(s->y), .x = s->x->value, .w = s->w->value};
    if (lt_is_empty(&args.dy)) return LT_OK;
    if (s->tail) args.tail = s->tail->value;
    LT_TRY(lt_tape_grad_slot(tape, s->x, &args.dx, &args.accumulate_dx));
    LT_TRY(lt_tape_grad_slot(tape, s->tail, &args.dtail, &args.accumulate_dtail));
    LT_TRY(lt_tape_grad_slot(tape, s->w, &args.dw, &args.accumulate_dw));
    return lt_temporal_conv_backward(tape->ctx, &args);
}

lt_status lt_ag_temporal_conv(lt_tape *tape, lt_var *x, lt_var *tail, lt_var *w, lt_var **out) {
    lt_var *inputs[] = {x, tail, w};
    bool wants = lt_tape_wants(tape, 3, inputs);
    LT_TRY(lt_tape_new(tape, x->value.dtype, wants, out, x->value.ndim, x->value.shape));
    lt_temporal_conv_args args = {.x = x->value, .w = w->value, .y = (*out)->value};
    if (tail) args.tail = tail->value;
    LT_TRY(lt_temporal_conv_forward(tape->ctx, &args));
    if (!wants) return LT_OK;
    conv_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (conv_saved){.x = x, .w = w, .tail = tail, .y = *out};
    return lt_tape_push(tape, temporal_backward, s);
}
