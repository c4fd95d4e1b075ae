/* A linear layer as a module: y = x w^T + b, with what comes with a weight wherever it is used: the scales of its rows
 * where it is FP8 (w->scale), and a low-rank adapter.
 *
 * An adapter (LoRA, arXiv 2106.09685) adds (x down^T) up^T. The factor alpha / rank of the usual file formats is
 * multiplied into `up` when an adapter is loaded. It runs in the dtype of activations, so a layer whose operand is
 * quantised has none: merge it first.
 */
#ifndef LT_MODEL_LINEAR_H
#define LT_MODEL_LINEAR_H

#include "autograd/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_linear_layer {
    lt_var *w;         /* [M, K] */
    lt_var *b;         /* [M], or NULL */
    lt_var *down, *up; /* [rank, K], [M, rank]: the adapter, or NULL */
} lt_linear_layer;

/* x [..., K] -> [..., M], a new var. Gradients go to x, w, b, down and up where the tape records. */
lt_status lt_linear_apply(lt_tape *tape, const lt_linear_layer *layer, lt_var *x, lt_var **out);
/* No-grad: the same into `y` [..., M], memory of the caller, whose rows may be strided. */
lt_status lt_linear_write(lt_tape *tape, const lt_linear_layer *layer, const lt_var *x, lt_tensor y);

#ifdef __cplusplus
}
#endif
#endif
