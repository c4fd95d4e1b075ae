/* Segments: the lifetime of a transformer block's intermediate values, with or without recomputation. */
#include "autograd/tape.h"

typedef struct segment_state {
    lt_segment segment;
    size_t mark; /* of the step arena while the segment's backward runs */
} segment_state;

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

/* In the backward walk this comes first: below it stands what must survive. */
static lt_status segment_end(lt_tape *tape, void *saved) {
    segment_state *state = saved;
    LT_TRY(reserve_outer_grads(tape, &state->segment));
    state->mark = lt_arena_mark(tape->step);
    return LT_OK;
}

static lt_status segment_begin(lt_tape *tape, void *saved) {
    segment_state *state = saved;
    lt_arena_release(tape->step, state->mark);
    return LT_OK;
}

static lt_status segment_recompute(lt_tape *tape, void *saved) {
    segment_state *state = saved;
    lt_node *before = tape->last;
    LT_TRY(segment_end(tape, state));
    tape->last = NULL;
    tape->recording = true;
    lt_status status = state->segment.run(tape, state->segment.user);
    if (status == LT_OK) status = lt_tape_backward(tape);
    tape->recording = false;
    tape->last = before;
    lt_arena_release(tape->step, state->mark);
    return status;
}

static lt_status run_and_release(lt_tape *tape, const lt_segment *segment) {
    bool recording = tape->recording;
    size_t mark = lt_arena_mark(tape->step);
    tape->recording = false;
    lt_status status = segment->run(tape, segment->user);
    tape->recording = recording;
    lt_arena_release(tape->step, mark);
    return status;
}

lt_status lt_tape_segment(lt_tape *tape, const lt_segment *segment) {
    if (!tape->recording) return run_and_release(tape, segment);
    segment_state *state = lt_tape_saved(tape, sizeof *state);
    if (!state) return LT_FAILED;
    state->segment = *segment;
    if (segment->recompute) {
        LT_TRY(run_and_release(tape, segment));
        return lt_tape_push(tape, segment_recompute, state);
    }
    LT_TRY(lt_tape_push(tape, segment_begin, state));
    LT_TRY(segment->run(tape, segment->user));
    return lt_tape_push(tape, segment_end, state);
}
