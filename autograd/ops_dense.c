/* Linear, norms, embedding, patchify, loss. */
#include "autograd/ops.h"

#include "kernels/embedding/embedding.h"
#include "kernels/linear/linear.h"
#include "kernels/loss/loss.h"
#include "kernels/norm/norm.h"
#include "kernels/patchify/patchify.h"

#include <string.h>

typedef struct linear_saved {
    lt_var *x, *w, *b, *y;
} linear_saved;

static lt_status linear_backward(lt_tape *tape, void *memory) {
    linear_saved *s = memory;
    bool accumulate_db;
    lt_linear_backward_args args = {.dy = lt_tape_grad_of(s->y), .x = s->x->value, .w = s->w->value};
    if (lt_is_empty(&args.dy)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->x, &args.dx, &args.accumulate_dx));
    LT_TRY(lt_tape_grad_slot(tape, s->w, &args.dw, &args.accumulate_dw));
    LT_TRY(lt_tape_grad_slot(tape, s->b, &args.db, &accumulate_db));
    if (lt_is_empty(&args.dw)) args.accumulate_dw = accumulate_db;
    return lt_linear_backward(tape->ctx, &args);
}

lt_status lt_ag_linear(lt_tape *tape, lt_var *x, lt_var *w, lt_var *b, lt_var **out) {
    lt_var *inputs[] = {x, w, b};
    bool wants = lt_tape_wants(tape, 3, inputs);
    int64_t shape[LT_MAX_DIMS];
    memcpy(shape, x->value.shape, sizeof shape);
    shape[x->value.ndim - 1] = w->value.shape[0];
    lt_dtype dtype = lt_is_empty(&x->scale) ? x->value.dtype : lt_ctx_dtype(tape->ctx);
    LT_TRY(lt_tape_new(tape, dtype, wants, out, x->value.ndim, shape));
    lt_linear_args args = {.x = x->value, .w = w->value, .y = (*out)->value, .scale = w->scale};
    args.x_scale = x->scale;
    if (b) args.b = b->value;
    LT_TRY(LT_TAPE_RUN(tape, LINEAR, args));
    if (!wants) return LT_OK;
    linear_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (linear_saved){x, w, b, *out};
    return lt_tape_push(tape, linear_backward, s);
}

typedef struct norm_saved {
    lt_var *x, *shift, *scale, *y;
    double eps;
} norm_saved;

static lt_status norm_backward(lt_tape *tape, void *memory) {
    norm_saved *s = memory;
    bool accumulate_scale;
    lt_norm_modulate_backward_args args = {.dy = lt_tape_grad_of(s->y), .x = s->x->value, .eps = s->eps};
    if (lt_is_empty(&args.dy)) return LT_OK;
    if (s->scale) args.scale = s->scale->value;
    LT_TRY(lt_tape_grad_slot(tape, s->x, &args.dx, &args.accumulate_dx));
    LT_TRY(lt_tape_grad_slot(tape, s->shift, &args.dshift, &args.accumulate_dmod));
    LT_TRY(lt_tape_grad_slot(tape, s->scale, &args.dscale, &accumulate_scale));
    return lt_norm_modulate_backward(tape->ctx, &args);
}

lt_status lt_ag_norm_modulate(lt_tape *tape, lt_var *x, lt_var *shift, lt_var *scale, double eps,
                              lt_var **out) {
    lt_var *inputs[] = {x, shift, scale};
    bool wants = lt_tape_wants(tape, 3, inputs);
    LT_TRY(lt_tape_new(tape, x->value.dtype, wants, out, x->value.ndim, x->value.shape));
    lt_norm_modulate_args args = {.x = x->value, .y = (*out)->value, .eps = eps};
    if (shift) args.shift = shift->value, args.scale = scale->value;
    LT_TRY(LT_TAPE_RUN(tape, NORM_MODULATE, args));
    if (!wants) return LT_OK;
    norm_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (norm_saved){x, shift, scale, *out, eps};
    return lt_tape_push(tape, norm_backward, s);
}

lt_status lt_ag_gated_residual_norm(lt_tape *tape, lt_var *x, lt_var *h, lt_var *gate, lt_var *shift,
                                    lt_var *scale, double eps, lt_var **sum, lt_var **normed) {
    const lt_tensor *v = &x->value;
    if (lt_tape_wants(tape, 5, (lt_var *[]){x, h, gate, shift, scale})) {
        LT_TRY(lt_ag_gated_residual(tape, x, h, gate, sum));
        return lt_ag_norm_modulate(tape, *sum, shift, scale, eps, normed);
    }
    if (!*sum) LT_TRY(lt_tape_new(tape, v->dtype, false, sum, v->ndim, v->shape));
    if (!*normed) LT_TRY(lt_tape_new(tape, v->dtype, false, normed, v->ndim, v->shape));
    lt_gated_residual_norm_args args = {.x = *v, .h = h->value, .sum = (*sum)->value, .eps = eps};
    args.y = (*normed)->value, args.y_scale = (*normed)->scale;
    if (gate) args.gate = gate->value;
    if (shift) args.shift = shift->value, args.scale = scale->value;
    return LT_TAPE_RUN(tape, GATED_RESIDUAL_NORM, args);
}

static lt_status rms_backward(lt_tape *tape, void *memory) {
    norm_saved *s = memory;
    lt_rms_norm_backward_args args = {
        .dy = lt_tape_grad_of(s->y), .x = s->x->value, .weight = s->scale->value, .eps = s->eps};
    if (lt_is_empty(&args.dy)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->x, &args.dx, &args.accumulate_dx));
    LT_TRY(lt_tape_grad_slot(tape, s->scale, &args.dweight, &args.accumulate_dweight));
    return lt_rms_norm_backward(tape->ctx, &args);
}

lt_status lt_ag_rms_norm(lt_tape *tape, lt_var *x, lt_var *weight, double eps, lt_var **out) {
    lt_var *inputs[] = {x, weight};
    bool wants = lt_tape_wants(tape, 2, inputs);
    LT_TRY(lt_tape_new(tape, x->value.dtype, wants, out, x->value.ndim, x->value.shape));
    lt_rms_norm_args args = {.x = x->value, .weight = weight->value, .y = (*out)->value, .eps = eps};
    LT_TRY(LT_TAPE_RUN(tape, RMS_NORM, args));
    if (!wants) return LT_OK;
    norm_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (norm_saved){.x = x, .scale = weight, .y = *out, .eps = eps};
    return lt_tape_push(tape, rms_backward, s);
}

typedef struct embedding_saved {
    lt_tensor ids;
    lt_var *table, *y;
} embedding_saved;

static lt_status embedding_backward(lt_tape *tape, void *memory) {
    embedding_saved *s = memory;
    lt_embedding_backward_args args = {.ids = s->ids, .dy = lt_tape_grad_of(s->y)};
    if (lt_is_empty(&args.dy)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->table, &args.dtable, &args.accumulate_dtable));
    return lt_embedding_backward(tape->ctx, &args);
}

lt_status lt_ag_embedding(lt_tape *tape, lt_tensor ids, lt_var *table, lt_var **out) {
    bool wants = lt_tape_wants(tape, 1, &table);
    const int64_t shape[] = {ids.shape[0], table->value.shape[1]};
    LT_TRY(lt_tape_new(tape, table->value.dtype, wants, out, 2, shape));
    lt_embedding_args args = {.ids = ids, .table = table->value, .y = (*out)->value};
    LT_TRY(LT_TAPE_RUN(tape, EMBEDDING, args));
    if (!wants) return LT_OK;
    embedding_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (embedding_saved){ids, table, *out};
    return lt_tape_push(tape, embedding_backward, s);
}

typedef struct patchify_saved {
    lt_var *from, *to;
    int patch[3];
    bool inverse;
} patchify_saved;

/* Patchify is a permutation: its gradient is the inverse one. */
static lt_status patchify_backward(lt_tape *tape, void *memory) {
    patchify_saved *s = memory;
    lt_tensor from, to = lt_tape_grad_of(s->to);
    lt_patchify_args args = {.patch = {s->patch[0], s->patch[1], s->patch[2]}, .inverse = !s->inverse};
    if (lt_is_empty(&to)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->from, &from, &args.accumulate));
    args.latent = s->inverse ? to : from;
    args.tokens = s->inverse ? from : to;
    return lt_patchify(tape->ctx, &args);
}

static lt_status run_patchify(lt_tape *tape, lt_var *from, lt_var *to, const int patch[3], bool inverse) {
    lt_patchify_args args = {.latent = inverse ? to->value : from->value,
                             .tokens = inverse ? from->value : to->value,
                             .patch = {patch[0], patch[1], patch[2]},
                             .inverse = inverse};
    LT_TRY(LT_TAPE_RUN(tape, PATCHIFY, args));
    if (!to->needs_grad) return LT_OK;
    patchify_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (patchify_saved){from, to, {patch[0], patch[1], patch[2]}, inverse};
    return lt_tape_push(tape, patchify_backward, s);
}

lt_status lt_ag_patchify(lt_tape *tape, lt_var *latent, const int patch[3], lt_var **tokens) {
    const int64_t *in = latent->value.shape;
    const int64_t shape[] = {in[0], (in[1] / patch[0]) * (in[2] / patch[1]) * (in[3] / patch[2]),
                             patch[0] * patch[1] * patch[2] * in[4]};
    LT_TRY(lt_tape_new(tape, lt_ctx_dtype(tape->ctx), lt_tape_wants(tape, 1, &latent), tokens, 3, shape));
    return run_patchify(tape, latent, *tokens, patch, false);
}

lt_status lt_ag_unpatchify(lt_tape *tape, lt_var *tokens, const int patch[3], const int64_t grid[3],
                           lt_var **latent) {
    int64_t channels = tokens->value.shape[2] / (patch[0] * patch[1] * patch[2]);
    const int64_t shape[] = {tokens->value.shape[0], grid[0], grid[1], grid[2], channels};
    LT_TRY(lt_tape_new(tape, lt_ctx_sum_dtype(tape->ctx), lt_tape_wants(tape, 1, &tokens), latent, 5, shape));
    return run_patchify(tape, tokens, *latent, patch, true);
}

typedef struct mse_saved {
    lt_var *prediction, *loss;
    lt_tensor target;
} mse_saved;

static lt_status mse_backward(lt_tape *tape, void *memory) {
    mse_saved *s = memory;
    lt_mse_backward_args args = {
        .prediction = s->prediction->value, .target = s->target, .dloss = lt_tape_grad_of(s->loss)};
    if (lt_is_empty(&args.dloss)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->prediction, &args.dprediction, &args.accumulate_dprediction));
    return lt_mse_backward(tape->ctx, &args);
}

lt_status lt_ag_mse_into(lt_tape *tape, lt_var *prediction, lt_tensor target, lt_var *loss) {
    lt_mse_args args = {.prediction = prediction->value, .target = target, .loss = loss->value};
    LT_TRY(LT_TAPE_RUN(tape, MSE, args));
    if (!lt_tape_wants(tape, 1, &prediction)) return LT_OK;
    mse_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (mse_saved){prediction, loss, target};
    return lt_tape_push(tape, mse_backward, s);
}

lt_status lt_ag_mse(lt_tape *tape, lt_var *prediction, lt_tensor target, lt_var **loss) {
    bool wants = lt_tape_wants(tape, 1, &prediction);
    LT_TRY(lt_tape_new(tape, prediction->value.dtype, wants, loss, 1, prediction->value.shape));
    return lt_ag_mse_into(tape, prediction, target, *loss);
}
