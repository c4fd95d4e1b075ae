/* Block linear attention and cross-attention. */
#include "autograd/ops.h"

#include "kernels/cross_attention/cross_attention.h"

#include <math.h>
#include <string.h>

typedef struct state_saved {
    lt_var *k, *v, *whole_S, *whole_z;
    lt_rope rope;
    lt_segment_box box;
    int count;
    lt_var **S, **z;
} state_saved;

static lt_status state_backward(lt_tape *tape, void *memory) {
    state_saved *s = memory;
    bool any_S, any_z;
    LT_TRY(lt_tape_join(tape, s->whole_S, s->count, s->S, &any_S));
    LT_TRY(lt_tape_join(tape, s->whole_z, s->count, s->z, &any_z));
    if (!any_S || !any_z) return LT_OK; /* every consumer writes both */
    lt_attn_state_backward_args args = {.k = s->k->value,
                                        .v = s->v->value,
                                        .rope = s->rope,
                                        .box = s->box,
                                        .dS = s->whole_S->grad,
                                        .dz = s->whole_z->grad};
    LT_TRY(lt_tape_grad_slot(tape, s->k, &args.dk, &args.accumulate_dk));
    LT_TRY(lt_tape_grad_slot(tape, s->v, &args.dv, &args.accumulate_dv));
    return lt_attn_state_backward(tape->ctx, &args);
}

lt_status lt_ag_attn_state(lt_tape *tape, lt_var *k, lt_var *v, const lt_rope *rope, lt_segment_box box,
                           lt_var **S, lt_var **z) {
    lt_var *inputs[] = {k, v}, *whole_S, *whole_z;
    bool wants = lt_tape_wants(tape, 2, inputs);
    int64_t G = k->value.shape[0], H = k->value.shape[2], D = k->value.shape[3],
            E = lt_segment_count(rope, box);
    lt_dtype dtype = lt_ctx_sum_dtype(tape->ctx);
    LT_TRY(lt_tape_new(tape, dtype, wants, &whole_S, LT_DIMS(G, E, H, D, D)));
    LT_TRY(lt_tape_new(tape, dtype, wants, &whole_z, LT_DIMS(G, E, H, D)));
    lt_attn_state_args args = {
        .k = k->value, .v = v->value, .rope = *rope, .box = box, .S = whole_S->value, .z = whole_z->value};
    LT_TRY(lt_attn_state_forward(tape->ctx, &args));
    for (int64_t i = 0; i < G * E; i++) {
        lt_tensor part_S = lt_select(LT_RESHAPE(whole_S->value, G * E, H, D, D), 0, i);
        LT_TRY(lt_tape_part(tape, whole_S, part_S, &S[i]));
        LT_TRY(lt_tape_part(tape, whole_z, lt_select(LT_RESHAPE(whole_z->value, G * E, H, D), 0, i), &z[i]));
    }
    if (!wants) return LT_OK;
    state_saved *s = lt_tape_saved(tape, sizeof *s + 2 * G * E * sizeof *S);
    if (!s) return LT_FAILED;
    lt_var **parts = (lt_var **)(s + 1);
    *s = (state_saved){k, v, whole_S, whole_z, *rope, box, (int)(G * E), parts, parts + G * E};
    memcpy(s->S, S, G * E * sizeof *S);
    memcpy(s->z, z, G * E * sizeof *z);
    return lt_tape_push(tape, state_backward, s);
}

typedef struct combine_saved {
    int count, weighted;
    lt_var **S, **z, *weights, *sum_S, *sum_z;
    lt_tensor *tensors; /* 4 * count: S, z, dS, dz for the backward call */
    bool *accumulate;
} combine_saved;

static lt_status combine_backward(lt_tape *tape, void *memory) {
    combine_saved *s = memory;
    int n = s->count;
    lt_tensor *S = s->tensors, *z = S + n, *dS = z + n, *dz = dS + n;
    lt_attn_combine_backward_args args = {.count = n,
                                          .weighted = s->weighted,
                                          .S = S,
                                          .z = z,
                                          .dS_e = dS,
                                          .dz_e = dz,
                                          .dS = lt_tape_grad_of(s->sum_S),
                                          .dz = lt_tape_grad_of(s->sum_z),
                                          .accumulate = s->accumulate};
    if (lt_is_empty(&args.dS) || lt_is_empty(&args.dz)) return LT_OK; /* every consumer writes both */
    for (int i = 0; i < n; i++) {
        bool same;
        S[i] = s->S[i]->value;
        z[i] = s->z[i]->value;
        LT_TRY(lt_tape_grad_slot(tape, s->S[i], &dS[i], &s->accumulate[i]));
        LT_TRY(lt_tape_grad_slot(tape, s->z[i], &dz[i], &same));
    }
    if (s->weights) {
        args.weights = s->weights->value;
        LT_TRY(lt_tape_grad_slot(tape, s->weights, &args.dweights, &args.accumulate_dweights));
    }
    return lt_attn_combine_backward(tape->ctx, &args);
}

static combine_saved *combine_save(lt_tape *tape, int n) {
    size_t bytes = sizeof(combine_saved) + n * (2 * sizeof(lt_var *) + 4 * sizeof(lt_tensor) + sizeof(bool));
    combine_saved *s = lt_tape_saved(tape, bytes);
    if (!s) return NULL;
    s->count = n;
    s->tensors = (lt_tensor *)(s + 1);
    s->S = (lt_var **)(s->tensors + 4 * n);
    s->z = s->S + n;
    s->accumulate = (bool *)(s->z + n);
    return s;
}

static bool combine_wants(const lt_tape *tape, int count, lt_var *const *S, lt_var *const *z,
                          lt_var *weights) {
    return lt_tape_wants(tape, count, S) || lt_tape_wants(tape, count, z) || lt_tape_wants(tape, 1, &weights);
}

lt_status lt_ag_attn_combine(lt_tape *tape, int count, lt_var *const *S, lt_var *const *z, int weighted,
                             lt_var *weights, lt_tensor out_S, lt_tensor out_z, lt_var **sum_S,
                             lt_var **sum_z) {
    bool wants = combine_wants(tape, count, S, z, weights);
    LT_TRY(lt_tape_var(tape, out_S, wants, sum_S));
    LT_TRY(lt_tape_var(tape, out_z, wants, sum_z));
    combine_saved *s = combine_save(tape, count);
    if (!s) return LT_FAILED;
    s->weighted = weights ? weighted : 0;
    s->weights = weights;
    s->sum_S = *sum_S;
    s->sum_z = *sum_z;
    for (int i = 0; i < count; i++) {
        s->S[i] = S[i], s->tensors[i] = S[i]->value;
        s->z[i] = z[i], s->tensors[count + i] = z[i]->value;
    }
    lt_attn_combine_args args = {.count = count,
                                 .weighted = s->weighted,
                                 .S = s->tensors,
                                 .z = s->tensors + count,
                                 .out_S = out_S,
                                 .out_z = out_z};
    if (weights) args.weights = weights->value;
    LT_TRY(lt_attn_combine_forward(tape->ctx, &args));
    return wants ? lt_tape_push(tape, combine_backward, s) : LT_OK;
}

typedef struct output_saved {
    lt_var *q, *o, **S, **z;
    lt_tensor all_S, all_z;
    lt_rope rope;
} output_saved;

static lt_status output_backward(lt_tape *tape, void *memory) {
    output_saved *s = memory;
    lt_attn_output_backward_args args = {
        .q = s->q->value, .S = s->all_S, .z = s->all_z, .rope = s->rope, .dout = lt_tape_grad_of(s->o)};
    if (lt_is_empty(&args.dout)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->q, &args.dq, &args.accumulate_dq));
    int G = (int)s->all_S.shape[0];
    bool wants = false;
    for (int g = 0; g < G; g++) wants |= s->S[g]->needs_grad;
    if (wants) {
        LT_TRY(lt_tensor_new(tape->step, s->all_S.dtype, &args.dS, s->all_S.ndim, s->all_S.shape));
        LT_TRY(lt_tensor_new(tape->step, s->all_z.dtype, &args.dz, s->all_z.ndim, s->all_z.shape));
    }
    LT_TRY(lt_attn_output_backward(tape->ctx, &args));
    for (int g = 0; wants && g < G; g++) {
        LT_TRY(lt_tape_grad_give(tape, s->S[g], lt_select(args.dS, 0, g)));
        LT_TRY(lt_tape_grad_give(tape, s->z[g], lt_select(args.dz, 0, g)));
    }
    return LT_OK;
}

lt_status lt_ag_attn_output(lt_tape *tape, lt_var *q, lt_var *const *S, lt_var *const *z, lt_tensor all_S,
                            lt_tensor all_z, const lt_rope *rope, lt_var **o, lt_tensor *r) {
    int G = (int)all_S.shape[0];
    bool wants = lt_tape_wants(tape, 1, &q) || lt_tape_wants(tape, G, S) || lt_tape_wants(tape, G, z);
    if (!*o) LT_TRY(lt_tape_new(tape, q->value.dtype, wants, o, q->value.ndim, q->value.shape));
    LT_TRY(lt_tensor_new(tape->step, all_z.dtype, r, all_z.ndim, all_z.shape));
    lt_attn_output_args args = {
        .q = q->value, .S = all_S, .z = all_z, .rope = *rope, .o = (*o)->value, .r = *r};
    LT_TRY(lt_attn_output_forward(tape->ctx, &args));
    if (!wants) return LT_OK;
    output_saved *s = lt_tape_saved(tape, sizeof *s + 2 * G * sizeof *S);
    if (!s) return LT_FAILED;
    *s = (output_saved){q, *o, (lt_var **)(s + 1), (lt_var **)(s + 1) + G, all_S, all_z, *rope};
    memcpy(s->S, S, G * sizeof *S);
    memcpy(s->z, z, G * sizeof *z);
    return lt_tape_push(tape, output_backward, s);
}

typedef struct cross_saved {
    lt_var *q, *k, *v, *o;
    lt_tensor mask, lse;
    double scale;
} cross_saved;

static lt_status cross_backward(lt_tape *tape, void *memory) {
    cross_saved *s = memory;
    bool accumulate_v;
    lt_cross_attention_backward_args args = {.q = s->q->value,
                                             .k = s->k->value,
                                             .v = s->v->value,
                                             .mask = s->mask,
                                             .o = s->o->value,
                                             .lse = s->lse,
                                             .dout = lt_tape_grad_of(s->o),
                                             .scale = s->scale};
    if (lt_is_empty(&args.dout)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->q, &args.dq, &args.accumulate_dq));
    LT_TRY(lt_tape_grad_slot(tape, s->k, &args.dk, &args.accumulate_dkv));
    LT_TRY(lt_tape_grad_slot(tape, s->v, &args.dv, &accumulate_v));
    return lt_cross_attention_backward(tape->ctx, &args);
}

lt_status lt_ag_cross_attention(lt_tape *tape, lt_var *q, lt_var *k, lt_var *v, lt_tensor mask, lt_var **o) {
    lt_var *inputs[] = {q, k, v};
    bool wants = lt_tape_wants(tape, 3, inputs);
    const int64_t *n = q->value.shape;
    lt_tensor lse = {0};
    LT_TRY(lt_tape_new(tape, q->value.dtype, wants, o, q->value.ndim, n));
    if (wants) LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(tape->ctx), &lse, n[0], n[2], n[1]));
    lt_cross_attention_args args = {.q = q->value,
                                    .k = k->value,
                                    .v = v->value,
                                    .mask = mask,
                                    .scale = 1 / sqrt((double)n[3]),
                                    .o = (*o)->value,
                                    .lse = lse};
    LT_TRY(lt_cross_attention_forward(tape->ctx, &args));
    if (!wants) return LT_OK;
    cross_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (cross_saved){q, k, v, *o, mask, lse, args.scale};
    return lt_tape_push(tape, cross_backward, s);
}
