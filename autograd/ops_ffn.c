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
    LT_TRY(LT_TAPE_RUN(tape, GLU_DEPTHWISE, args));
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
    if (lt_is_empty(&w->scale))
        LT_TRY(lt_tape_new(tape, x->value.dtype, wants, out, x->value.ndim, x->value.shape));
    else LT_TRY(lt_tape_var(tape, x->value, false, out));
    lt_temporal_conv_args args = {.x = x->value, .w = w->value, .y = (*out)->value, .scale = w->scale};
    if (tail) args.tail = tail->value;
    LT_TRY(LT_TAPE_RUN(tape, TEMPORAL_CONV, args));
    if (!wants) return LT_OK;
    conv_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (conv_saved){.x = x, .w = w, .tail = tail, .y = *out};
    return lt_tape_push(tape, temporal_backward, s);
}

typedef struct tail_saved {
    lt_var *h, *tail;
    int blocks, streams, commit;
} tail_saved;

/* The last frames that blocks leave behind in one stream, all blocks but the last: [blocks - 1, sequences, P, C]. */
static lt_tensor last_frames(lt_tensor h, int blocks, int streams, int stream) {
    lt_tensor groups =
        lt_split(h, 0, blocks, h.shape[0] / blocks); /* [blocks, streams * sequences, F, P, C] */
    int64_t sequences = groups.shape[1] / streams;
    lt_tensor one = lt_slice(lt_slice(groups, 0, 0, blocks - 1), 1, stream * sequences, sequences);
    return lt_select(one, 2, one.shape[2] - 1);
}

/* The tails of all blocks but the first, [blocks - 1, streams, sequences, P, C]. */
static lt_tensor later_tails(lt_tensor tail, int blocks, int streams) {
    lt_tensor groups = lt_split(tail, 0, blocks, tail.shape[0] / blocks);
    return lt_split(lt_slice(groups, 0, 1, blocks - 1), 1, streams, groups.shape[1] / streams);
}

/* x [n, ...] as [n, count, ...], or at dim 0 as [count, ...]: the same elements `count` times. */
static lt_tensor repeated(lt_tensor x, int dim, int64_t count) {
    lt_tensor y = lt_split(x, dim, 1, x.shape[dim]);
    y.shape[dim] = count;
    y.stride[dim] = 0;
    return y;
}

static lt_status tail_backward(lt_tape *tape, void *memory) {
    tail_saved *s = memory;
    lt_tensor dtail = lt_tape_grad_of(s->tail), dh;
    bool accumulate;
    if (lt_is_empty(&dtail)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->h, &dh, &accumulate));
    LT_CHECK(accumulate, LT_FAILED, "tail: the convolution that reads h must come after its tail");
    lt_tensor later = later_tails(dtail, s->blocks, s->streams);
    for (int stream = 0; stream < s->streams; stream++) {
        lt_copy_args add = {.x = lt_select(later, 1, stream),
                            .y = last_frames(dh, s->blocks, s->streams, s->commit),
                            .scale = 1,
                            .accumulate = true};
        LT_TRY(lt_copy(tape->ctx, &add));
    }
    return LT_OK;
}

/* `from`, or zeros where there is none, for every stream. */
static lt_status fill_tail(lt_tape *tape, lt_tensor from, lt_tensor to) {
    lt_copy_args copy = {.x = lt_is_empty(&from) ? to : from, .y = to, .scale = lt_is_empty(&from) ? 0 : 1};
    return LT_TAPE_RUN(tape, COPY, copy);
}

lt_status lt_ag_tail(lt_tape *tape, lt_var *h, int blocks, int streams, int commit, lt_tensor first,
                     lt_var **out) {
    static const lt_tensor none;
    const int64_t *n = h->value.shape;
    int64_t sequences = n[0] / (blocks * streams);
    bool wants = lt_tape_wants(tape, 1, &h) && blocks > 1 && commit >= 0;
    LT_TRY(lt_tape_new(tape, h->value.dtype, wants, out, LT_DIMS(n[0], n[2], n[3])));
    lt_tensor to = lt_split(lt_slice((*out)->value, 0, 0, streams * sequences), 0, streams, sequences);
    if (!lt_is_empty(&first)) first = repeated(first, 0, streams);
    LT_TRY(fill_tail(tape, first, to));
    if (blocks > 1) {
        lt_tensor from =
            commit < 0 ? none : repeated(last_frames(h->value, blocks, streams, commit), 1, streams);
        LT_TRY(fill_tail(tape, from, later_tails((*out)->value, blocks, streams)));
    }
    if (!wants) return LT_OK;
    tail_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (tail_saved){h, *out, blocks, streams, commit};
    return lt_tape_push(tape, tail_backward, s);
}
