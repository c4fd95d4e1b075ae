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

typedef struct tail_saved {
    lt_var *h, *tail;
    int blocks, streams, commit;
} tail_saved;

/* The last frame of one block in one stream, [sequences, P, C]. */
static lt_tensor last_frame(lt_tensor h, int blocks, int streams, int block, int stream) {
    int64_t sequences = h.shape[0] / (blocks * streams);
    lt_tensor group = lt_slice(h, 0, (block * streams + stream) * sequences, sequences);
    return lt_select(group, 1, h.shape[1] - 1);
}

static lt_status tail_backward(lt_tape *tape, void *memory) {
    tail_saved *s = memory;
    lt_tensor dtail = lt_tape_grad_of(s->tail), dh;
    bool accumulate;
    if (lt_is_empty(&dtail)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->h, &dh, &accumulate));
    LT_CHECK(accumulate, LT_FAILED, "tail: the convolution that reads h must come after its tail");
    int64_t sequences = dtail.shape[0] / (s->blocks * s->streams);
    for (int block = 1; block < s->blocks; block++)
        for (int stream = 0; stream < s->streams; stream++) {
            lt_copy_args add = {.x = lt_slice(dtail, 0, (block * s->streams + stream) * sequences, sequences),
                                .y = last_frame(dh, s->blocks, s->streams, block - 1, s->commit),
                                .scale = 1,
                                .accumulate = true};
            LT_TRY(lt_copy(tape->ctx, &add));
        }
    return LT_OK;
}

static lt_status fill_tail(lt_ctx *ctx, lt_tensor from, lt_tensor to) {
    lt_copy_args copy = {.x = lt_is_empty(&from) ? to : from, .y = to, .scale = lt_is_empty(&from) ? 0 : 1};
    return lt_copy(ctx, &copy);
}

lt_status lt_ag_tail(lt_tape *tape, lt_var *h, int blocks, int streams, int commit, lt_tensor first,
                     lt_var **out) {
    static const lt_tensor none;
    const int64_t *n = h->value.shape;
    int64_t sequences = n[0] / (blocks * streams);
    bool wants = lt_tape_wants(tape, 1, &h) && blocks > 1 && commit >= 0;
    LT_TRY(lt_tape_new(tape, h->value.dtype, wants, out, LT_DIMS(n[0], n[2], n[3])));
    for (int block = 0; block < blocks; block++)
        for (int stream = 0; stream < streams; stream++) {
            lt_tensor to = lt_slice((*out)->value, 0, (block * streams + stream) * sequences, sequences);
            lt_tensor from = block == 0    ? first
                             : commit >= 0 ? last_frame(h->value, blocks, streams, block - 1, commit)
                                           : none;
            LT_TRY(fill_tail(tape->ctx, from, to));
        }
    if (!wants) return LT_OK;
    tail_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (tail_saved){h, *out, blocks, streams, commit};
    return lt_tape_push(tape, tail_backward, s);
}
