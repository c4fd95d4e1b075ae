/* Block linear attention and cross-attention. */
#include "autograd/ops.h"

#include "kernels/cross_attention/cross_attention.h"

#include <math.h>
#include <string.h>

/* Gradients would need q and k as they were normalised. */
static lt_status expect_no_gradient(const char *op, bool wants, const lt_tensor *norm) {
    LT_CHECK(!wants || lt_is_empty(norm), LT_FAILED,
             "%s: no gradient flows through a norm that is applied on the way; normalise first", op);
    return LT_OK;
}

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

lt_status lt_ag_attn_state(lt_tape *tape, lt_var *k, lt_var *v, const lt_ag_norm *norm, const lt_rope *rope,
                           lt_segment_box box, lt_var **S, lt_var **z) {
    lt_var *inputs[] = {k, v}, *whole_S, *whole_z;
    bool wants = lt_tape_wants(tape, 2, inputs);
    int64_t G = k->value.shape[0], H = k->value.shape[2], D = k->value.shape[3],
            E = lt_segment_count(rope, box);
    lt_dtype dtype = lt_ctx_sum_dtype(tape->ctx);
    LT_TRY(lt_tape_new(tape, dtype, wants, &whole_S, LT_DIMS(G, E, H, D, D)));
    LT_TRY(lt_tape_new(tape, dtype, wants, &whole_z, LT_DIMS(G, E, H, D)));
    lt_attn_state_args args = {
        .k = k->value, .v = v->value, .rope = *rope, .box = box, .S = whole_S->value, .z = whole_z->value};
    if (norm) args.k_gain = norm->gain, args.k_scale = norm->scale;
    LT_TRY(expect_no_gradient("attn_state", wants, &args.k_gain));
    LT_TRY(LT_TAPE_RUN(tape, ATTN_STATE, args));
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
    int count, sources;
    lt_ag_sum *sums;                 /* [count] */
    lt_var **S, **z;                 /* [sources], of one sum after the other */
    lt_tensor *tensors;              /* [4 * sources]: S, z, and, for the backward call, dS, dz */
    lt_attn_sum *args;               /* [count] */
    lt_attn_sum_gradient *gradients; /* [count] */
    bool *accumulate;                /* [sources] */
} combine_saved;

static lt_status source_slots(lt_tape *tape, combine_saved *s, int first, int count) {
    lt_tensor *dS = s->tensors + 2 * s->sources, *dz = dS + s->sources;
    for (int i = first; i < first + count; i++) {
        bool same;
        LT_TRY(lt_tape_grad_slot(tape, s->S[i], &dS[i], &s->accumulate[i]));
        LT_TRY(lt_tape_grad_slot(tape, s->z[i], &dz[i], &same));
    }
    return LT_OK;
}

static lt_status combine_backward(lt_tape *tape, void *memory) {
    combine_saved *s = memory;
    lt_attn_combine_backward_args args = {.sums = s->gradients,
                                          .S = s->tensors,
                                          .z = s->tensors + s->sources,
                                          .dS_e = s->tensors + 2 * s->sources,
                                          .dz_e = s->tensors + 3 * s->sources,
                                          .accumulate = s->accumulate};
    for (int i = s->count - 1; i >= 0; i--) { /* backward, as if each had a node of its own */
        const lt_attn_sum *sum = &s->args[i];
        lt_attn_sum_gradient *g = &s->gradients[args.count];
        *g = (lt_attn_sum_gradient){sum->first, sum->count, sum->weighted, sum->weights};
        g->dS = lt_tape_grad_of(s->sums[i].sum_S);
        g->dz = lt_tape_grad_of(s->sums[i].sum_z);
        if (lt_is_empty(&g->dS) || lt_is_empty(&g->dz)) continue; /* every consumer writes both */
        args.count++;
        LT_TRY(source_slots(tape, s, sum->first, sum->count));
        LT_TRY(lt_tape_grad_slot(tape, s->sums[i].weights, &g->dweights, &g->accumulate_dweights));
    }
    return args.count > 0 ? lt_attn_combine_backward(tape->ctx, &args) : LT_OK;
}

static combine_saved *combine_save(lt_tape *tape, int count, const lt_ag_sum *sums) {
    int n = 0;
    for (int i = 0; i < count; i++) n += sums[i].count;
    combine_saved *s = lt_tape_saved(tape, sizeof *s);
    if (!s || !(s->sums = lt_tape_saved(tape, count * sizeof *s->sums)) ||
        !(s->S = lt_tape_saved(tape, 2 * n * sizeof *s->S)) ||
        !(s->tensors = lt_tape_saved(tape, 4 * n * sizeof *s->tensors)) ||
        !(s->args = lt_tape_saved(tape, count * sizeof *s->args)) ||
        !(s->gradients = lt_tape_saved(tape, count * sizeof *s->gradients)) ||
        !(s->accumulate = lt_tape_saved(tape, n * sizeof *s->accumulate)))
        return NULL;
    s->count = count;
    s->sources = n;
    s->z = s->S + n;
    return s;
}

/* Puts the sums' sources one after the other. */
static void combine_lay_out(combine_saved *s, const lt_ag_sum *sums) {
    int at = 0;
    for (int i = 0; i < s->count; i++) {
        const lt_ag_sum *sum = &sums[i];
        s->sums[i] = *sum;
        s->args[i] = (lt_attn_sum){at, sum->count, sum->weights ? sum->weighted : 0};
        s->args[i].S = sum->out_S;
        s->args[i].z = sum->out_z;
        if (sum->weights) s->args[i].weights = sum->weights->value;
        for (int e = 0; e < sum->count; e++, at++) {
            s->S[at] = sum->S[e], s->tensors[at] = sum->S[e]->value;
            s->z[at] = sum->z[e], s->tensors[s->sources + at] = sum->z[e]->value;
        }
    }
}

static bool combine_wants(const lt_tape *tape, const lt_ag_sum *sum) {
    return lt_tape_wants(tape, sum->count, sum->S) || lt_tape_wants(tape, sum->count, sum->z) ||
           lt_tape_wants(tape, 1, &sum->weights);
}

lt_status lt_ag_attn_combine(lt_tape *tape, int count, lt_ag_sum *sums) {
    bool any = false;
    for (int i = 0; i < count; i++) {
        bool wants = combine_wants(tape, &sums[i]);
        LT_TRY(lt_tape_var(tape, sums[i].out_S, wants, &sums[i].sum_S));
        LT_TRY(lt_tape_var(tape, sums[i].out_z, wants, &sums[i].sum_z));
        any |= wants;
    }
    combine_saved *s = combine_save(tape, count, sums);
    if (!s) return LT_FAILED;
    combine_lay_out(s, sums);
    lt_attn_combine_args args = {count, s->args, s->tensors, s->tensors + s->sources};
    LT_TRY(LT_TAPE_RUN(tape, ATTN_COMBINE, args));
    return any ? lt_tape_push(tape, combine_backward, s) : LT_OK;
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

lt_status lt_ag_attn_output(lt_tape *tape, lt_var *q, lt_tensor q_gain, lt_var *const *S, lt_var *const *z,
                            lt_tensor all_S, lt_tensor all_z, const lt_rope *rope, lt_var **o, lt_tensor *r) {
    int G = (int)all_S.shape[0];
    bool wants = lt_tape_wants(tape, 1, &q) || lt_tape_wants(tape, G, S) || lt_tape_wants(tape, G, z);
    LT_TRY(expect_no_gradient("attn_output", wants, &q_gain));
    if (!*o) LT_TRY(lt_tape_new(tape, q->value.dtype, wants, o, q->value.ndim, q->value.shape));
    LT_TRY(lt_tensor_new(tape->step, all_z.dtype, r, all_z.ndim, all_z.shape));
    lt_attn_output_args args = {
        .q = q->value, .S = all_S, .z = all_z, .rope = *rope, .o = (*o)->value, .r = *r, .q_gain = q_gain};
    LT_TRY(LT_TAPE_RUN(tape, ATTN_OUTPUT, args));
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

lt_status lt_ag_cross_attention(lt_tape *tape, lt_var *q, lt_tensor q_scale, lt_var *k, lt_var *v,
                                lt_tensor mask, lt_var **o) {
    lt_var *inputs[] = {q, k, v};
    bool wants = lt_tape_wants(tape, 3, inputs);
    const int64_t *n = q->value.shape;
    lt_tensor lse = {0};
    LT_TRY(expect_no_gradient("cross_attention", wants, &q_scale));
    LT_TRY(lt_tape_new(tape, q->value.dtype, wants, o, q->value.ndim, n));
    if (wants) LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(tape->ctx), &lse, n[0], n[2], n[1]));
    lt_cross_attention_args args = {.q = q->value,
                                    .k = k->value,
                                    .v = v->value,
                                    .mask = mask,
                                    .scale = 1 / sqrt((double)n[3]),
                                    .o = (*o)->value,
                                    .lse = lse,
                                    .q_scale = q_scale};
    LT_TRY(LT_TAPE_RUN(tape, CROSS_ATTENTION, args));
    if (!wants) return LT_OK;
    cross_saved *s = lt_tape_saved(tape, sizeof *s);
    if (s) *s = (cross_saved){q, k, v, *o, mask, lse, args.scale};
    return lt_tape_push(tape, cross_backward, s);
}
