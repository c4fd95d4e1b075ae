/* Segments: the lifetime of a transformer block's intermediate values and gradients, and computing values again. */
#include "autograd/tape_internal.h"

#include <stddef.h>
#include <string.h>

/* A call whose result is not kept. */
typedef struct rerun {
    struct rerun *next;
    lt_op_id op;
    max_align_t args[];
} rerun;

typedef struct lt_segment_state {
    lt_segment segment;
    size_t mark;          /* of the step arena while the segment's backward runs */
    size_t far;           /* bytes of the far end that it has used */
    rerun *first, **last; /* what to run again, in order */
} segment_state;

void lt_tape_value(lt_tape *tape, int label, lt_value_fate fate) {
    tape->fate = tape->recording && tape->open ? fate : LT_VALUE_KEPT;
    tape->label = label;
}

lt_status lt_tape_new_far(lt_tape *tape, lt_dtype dtype, lt_tensor *value, int ndim, const int64_t *shape) {
    LT_TRY(lt_tensor_new_far(tape->step, dtype, value, ndim, shape));
    if (tape->step->far > tape->open->far) tape->open->far = tape->step->far;
    if (tape->fate == LT_VALUE_AGAIN) tape->tally[tape->label].bytes += (int64_t)lt_nbytes(value);
    return LT_OK;
}

lt_status lt_tape_forget(lt_tape *tape, size_t far) {
    if (tape->fate == LT_VALUE_AGAIN) tape->tally[tape->label].bytes -= (int64_t)(tape->step->far - far);
    return lt_arena_set_far(tape->step, far);
}

static void tally_call(lt_tape *tape, const lt_meter *meter, double flops, double moved) {
    if (!meter) return;
    tape->tally[tape->label].flops += meter->flops - flops;
    tape->tally[tape->label].moved += meter->bytes - moved;
}

lt_status lt_tape_run(lt_tape *tape, lt_op_id op, const void *args, size_t bytes) {
    if (tape->fate != LT_VALUE_AGAIN) return lt_op_run(tape->ctx, op, args);
    const lt_meter *meter = tape->ctx->meter;
    double flops = meter ? meter->flops : 0, moved = meter ? meter->bytes : 0;
    LT_TRY(lt_op_run(tape->ctx, op, args));
    tally_call(tape, meter, flops, moved);
    rerun *call = lt_tape_saved(tape, sizeof *call + bytes);
    if (!call) return LT_FAILED;
    call->op = op;
    memcpy(call->args, args, bytes);
    *tape->open->last = call;
    tape->open->last = &call->next;
    return LT_OK;
}

/* Gradients that must outlive the segment's backward get their memory before its mark. The carried input's
 * gradient is outputs[0]'s buffer handed on, which already lies below. */
static lt_status reserve_outer_grads(lt_tape *tape, const lt_segment *segment) {
    for (int i = 0; i < segment->input_count; i++) {
        lt_var *var = segment->inputs[i];
        bool handed_on = i == segment->carried && segment->outputs[0]->has_grad;
        if (handed_on || !var || !var->needs_grad || var->has_grad) continue;
        while (var->base) var = var->base;
        if (!lt_is_empty(&var->grad)) continue;
        LT_TRY(lt_tensor_new(tape->step, var->value.dtype, &var->grad, var->value.ndim, var->value.shape));
    }
    return LT_OK;
}

/* The values that were not kept, where they were. */
static lt_status run_again(lt_tape *tape, const segment_state *state) {
    LT_TRY(lt_arena_set_far(tape->step, state->far));
    if (tape->far == state) return LT_OK; /* nothing has run since */
    for (const rerun *call = state->first; call; call = call->next)
        LT_TRY(lt_op_run(tape->ctx, call->op, call->args));
    tape->far = state;
    return LT_OK;
}

/* In the backward pass this comes first: below it stands what must survive. */
static lt_status segment_end(lt_tape *tape, void *saved) {
    segment_state *state = saved;
    LT_TRY(reserve_outer_grads(tape, &state->segment));
    state->mark = lt_arena_mark(tape->step);
    return state->first ? run_again(tape, state) : LT_OK;
}

static lt_status segment_begin(lt_tape *tape, void *saved) {
    segment_state *state = saved;
    lt_arena_release(tape->step, state->mark);
    return state->first ? lt_arena_set_far(tape->step, tape->base_far) : LT_OK;
}

static lt_status run_and_release(lt_tape *tape, const lt_segment *segment) {
    size_t mark = lt_arena_mark(tape->step);
    lt_status status = segment->run(tape, segment->user);
    lt_arena_release(tape->step, mark);
    return status;
}

/* What it has at the far end stays there until the next segment: the last one need not recompute it. */
static lt_status run_outermost(lt_tape *tape, segment_state *state) {
    LT_TRY(lt_arena_set_far(tape->step, tape->base_far));
    tape->open = state;
    lt_status status = state->segment.run(tape, state->segment.user);
    tape->open = NULL;
    tape->fate = LT_VALUE_KEPT;
    tape->far = state;
    return status == LT_OK ? lt_arena_set_far(tape->step, state->far) : status;
}

lt_status lt_tape_segment(lt_tape *tape, const lt_segment *segment) {
    if (!tape->recording) return run_and_release(tape, segment);
    segment_state *state = lt_tape_saved(tape, sizeof *state);
    if (!state) return LT_FAILED;
    state->segment = *segment;
    state->last = &state->first;
    LT_TRY(lt_tape_push(tape, segment_begin, state));
    LT_TRY(tape->open ? segment->run(tape, segment->user) : run_outermost(tape, state));
    return lt_tape_push(tape, segment_end, state);
}
