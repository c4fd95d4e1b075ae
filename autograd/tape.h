/* The tape: records what ran forward so that it can be traversed backward.
 *
 * A var is a tensor and, once something flows into it, its gradient. Operations (autograd/ops.h) allocate
 * their output from the step arena, run the kernel and, when the tape records and an input needs a gradient,
 * push a node. Under no-grad the same calls are plain inference: one model forward serves both.
 *
 * Gradients are written by the first consumer and added to by the later ones, so nothing is cleared
 * beforehand. A residual connection hands its gradient buffer on instead of copying it, so a residual stream
 * owns one.
 *
 * A segment (a transformer block) bounds memory: under no-grad its intermediate values are released when it ends.
 * With recording each value is kept for the backward pass or recomputed in it, as lt_tape_value says. Values that are
 * not kept lie at the far end of the step arena, which the next segment overwrites. Before the segment is traversed
 * backward, the calls that computed them run again in order, on the same inputs, into the same addresses: bit for bit
 * what was there, and nothing else of the segment runs twice. The last segment's values are still there when the
 * backward pass comes to it.
 */
#ifndef LT_AUTOGRAD_TAPE_H
#define LT_AUTOGRAD_TAPE_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_var lt_var;
struct lt_var {
    lt_tensor value;
    lt_tensor grad;  /* empty until written or assigned; same shape and strides as value */
    lt_tensor scale; /* of a matrix in e4m3: one for each row; else empty */
    bool needs_grad;
    bool has_grad; /* grad holds a sum: the next writer adds to it */
    lt_var *base;  /* of a view: whose memory this is; else NULL */
    bool alias;    /* a view of the same elements: shares base's grad state */
};

typedef struct lt_tape lt_tape;
typedef lt_status (*lt_backward_fn)(lt_tape *tape, void *saved);

typedef struct lt_node {
    struct lt_node *previous;
    lt_backward_fn backward;
    void *saved;
} lt_node;

/* What the values of one label that are not kept have taken since lt_tape_init: memory, and what recomputing them
 * costs. */
typedef struct lt_tape_tally {
    int64_t bytes;
    double flops, moved; /* moved: bytes read and written */
} lt_tape_tally;

/* What becomes of a value after the forward pass. */
typedef enum lt_value_fate {
    LT_VALUE_KEPT,
    LT_VALUE_AGAIN, /* recomputed before its segment is traversed backward */
    LT_VALUE_SPENT  /* no backward function reads it */
} lt_value_fate;

enum { LT_TAPE_LABELS = 32 };
struct lt_segment_state;

struct lt_tape {
    lt_ctx *ctx;
    lt_arena *step;             /* values and gradients */
    size_t base_mark, base_far; /* where the step arena stood at init */
    lt_pool pool;               /* nodes and vars */
    lt_node *last;
    bool recording;
    lt_status (*passed)(void *user, int mark); /* of lt_tape_mark; NULL: marks are not kept */
    void *passed_user;
    lt_value_fate fate; /* of values from now on */
    int label;
    struct lt_segment_state *open;      /* the outermost segment that runs now */
    const struct lt_segment_state *far; /* whose values lie at the far end */
    lt_tape_tally tally[LT_TAPE_LABELS];
};

/* The tape borrows ctx and arena. It starts empty and not recording. */
void lt_tape_init(lt_tape *tape, lt_ctx *ctx, lt_arena *step);
/* Forgets nodes and vars and gives the step arena back to where it was at init. Vars from before are invalid.
 */
void lt_tape_reset(lt_tape *tape);
void lt_tape_free(lt_tape *tape);

/* A var around a tensor the caller keeps alive until the tape is reset. */
lt_status lt_tape_var(lt_tape *tape, lt_tensor value, bool needs_grad, lt_var **out);
/* A var with a new, uninitialised value. */
lt_status lt_tape_new(lt_tape *tape, lt_dtype dtype, bool needs_grad, lt_var **out, int ndim,
                      const int64_t *shape);
/* The same elements under another shape (contiguous). Gradients go to the base. In e4m3 the last dimension stays. */
lt_status lt_tape_reshape(lt_tape *tape, lt_var *var, lt_var **out, int ndim, const int64_t *shape);
#define LT_AG_RESHAPE(tape, var, out, ...) lt_tape_reshape((tape), (var), (out), LT_DIMS(__VA_ARGS__))
/* `count` views of `var` that together cover it, without overlap, as vars. `var` itself must then not be used
 * by any other operation. */
lt_status lt_tape_views(lt_tape *tape, lt_var *var, int count, const lt_tensor *views, lt_var **parts);
/* The slices var[..., i, ...] of dimension `dim`, as such views. */
lt_status lt_tape_unstack(lt_tape *tape, lt_var *var, int dim, lt_var **parts);
/* For operations that hand out parts of one output: completes the whole's gradient once all parts are done.
 * Parts that nobody wrote become zero; *any is false, and nothing was done, when no part has a gradient. */
lt_status lt_tape_join(lt_tape *tape, lt_var *whole, int count, lt_var *const *parts, bool *any);
/* A part of `whole`: a view with a gradient state of its own. */
lt_status lt_tape_part(lt_tape *tape, lt_var *whole, lt_tensor view, lt_var **out);
/* A piece of `whole` that an operation of its own writes: `whole` is what later operations read, and the piece's
 * gradient is that place in the whole's. */
lt_status lt_tape_piece(lt_tape *tape, lt_var *whole, lt_tensor view, lt_var **out);
/* Stops the gradient: the same value, which needs none. */
lt_status lt_tape_detach(lt_tape *tape, const lt_var *var, lt_var **out);

/* For models: the fate of the values of operations from now on, until the next call or the end of the outermost
 * segment. Outside of segments, and under no-grad, all values are kept. `label` is whose tally counts those
 * that are recomputed. */
void lt_tape_value(lt_tape *tape, int label, lt_value_fate fate);
/* Gives back what values of the present fate and label have taken since the arena's `far` was this; nothing reads them
 * any more, here or when their calls run again. */
lt_status lt_tape_forget(lt_tape *tape, size_t far);

/* For operations. Runs the kernel `op`; where its result will be recomputed, remembers the call with its arguments
 * (`bytes` of them; what they point to must live as long as the step). */
lt_status lt_tape_run(lt_tape *tape, lt_op_id op, const void *args, size_t bytes);
#define LT_TAPE_RUN(tape, OP, args) lt_tape_run((tape), LT_OP_##OP, &(args), sizeof(args))
/* Under no-grad: operations are plain inference. */
bool lt_tape_is_no_grad(const lt_tape *tape);
/* True when a node should be pushed for these inputs (NULLs are skipped). */
bool lt_tape_wants(const lt_tape *tape, int count, lt_var *const *inputs);
/* Zeroed memory that lives as long as the node. */
void *lt_tape_saved(lt_tape *tape, size_t bytes);
/* Records that `backward` is to be called with `saved`, after the backward functions of all that is recorded later. */
lt_status lt_tape_push(lt_tape *tape, lt_backward_fn backward, void *saved);
/* Where an operation's backward writes the gradient of `var`, and whether it adds. Empty when var is NULL or
 * needs none. */
lt_status lt_tape_grad_slot(lt_tape *tape, lt_var *var, lt_tensor *grad, bool *accumulate);
/* The gradient that reached an operation's output; empty when none did (then there is nothing to do). */
lt_tensor lt_tape_grad_of(lt_var *var);
/* Makes `grad`, memory that lives as long as the step, the gradient of `var`; adds it where `var` has one
 * already. */
lt_status lt_tape_grad_give(lt_tape *tape, lt_var *var, lt_tensor grad);
/* Gives the gradient of `from` to `to` without a copy where it can; `from` has none afterwards. */
lt_status lt_tape_grad_move(lt_tape *tape, lt_var *from, lt_var *to);

/* Sets dL/dvar. */
lt_status lt_tape_seed(lt_tape *tape, lt_var *var, lt_tensor grad);
/* The backward pass through all nodes, once. */
lt_status lt_tape_backward(lt_tape *tape);
/* A place between operations: the backward pass calls tape->passed, if that is set now, when all that is recorded from
 * here on has gone backward. Gradients of parameters that nothing before uses are final then. */
lt_status lt_tape_mark(lt_tape *tape, int mark);

/* A segment: `run` reads its inputs from `user` and writes its results into `outputs`, whose memory exists
 * before. `inputs` lists every var from outside that may need a gradient (parameters excepted: their
 * gradients have memory). `carried` is the index of the input whose gradient arrives through residual
 * connections from outputs[0], or -1.
 *
 * A segment within a segment bounds the memory of gradients alone; values that are not kept belong to the outer one. */
typedef lt_status (*lt_segment_fn)(lt_tape *tape, void *user);
typedef struct lt_segment {
    lt_segment_fn run;
    void *user; /* must live until the tape is reset: lt_tape_saved */
    int input_count, output_count, carried;
    lt_var **inputs, **outputs;
} lt_segment;
lt_status lt_tape_segment(lt_tape *tape, const lt_segment *segment);

#ifdef __cplusplus
}
#endif
#endif
