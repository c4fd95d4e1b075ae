/* One transformer block: attention, cross-attention to text, Mix-FFN. */
#include "model/dit/dit_impl.h"

#include "kernels/cross_attention/cross_attention.h"
#include "kernels/linear/linear.h"
#include "kernels/norm/norm.h"

#include <math.h>

lt_status lt_dit_heads(lt_tape *tape, const lt_var *x, int heads, lt_var **out) {
    return lt_tape_var(tape, lt_split(x->value, 2, heads, x->value.shape[2] / heads), false, out);
}

lt_status lt_dit_normalise(lt_tape *tape, lt_var *x, lt_var *weight, lt_var *gain, double eps, int heads,
                           lt_var **out) {
    const int64_t *n = x->value.shape;
    lt_var *normed;
    if (tape->recording) {
        LT_TRY(lt_ag_rms_norm(tape, x, weight, eps, &normed));
        return LT_AG_RESHAPE(tape, normed, out, n[0], n[1], heads, n[2] / heads);
    }
    lt_rms_norm_args args = {.x = x->value, .weight = weight->value, .y = x->value, .eps = eps};
    if (gain) args.gain = gain->value;
    LT_TRY(lt_rms_norm_forward(tape->ctx, &args));
    return lt_dit_heads(tape, x, heads, out);
}

lt_status lt_dit_scale(lt_tape *tape, const lt_var *x, double eps, lt_tensor *scale) {
    LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(tape->ctx), scale, x->value.shape[0], x->value.shape[1]));
    lt_rms_scale_args args = {.x = x->value, .scale = *scale, .eps = eps};
    return lt_rms_scale_forward(tape->ctx, &args);
}

/* Keys and values of the text, once per layer: k normalised [B, L, H, D], v a view of the projection. Where nothing is recorded, k
 * has the weights of q's norm as well: scores are the same, and q, which is long, needs its factors only. */
static lt_status text_keys(lt_tape *tape, const lt_dit_step *step, lt_var **k, lt_var **v) {
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    const lt_dit_config *c = &step->pass->dit->config;
    int64_t X = (int64_t)c->cross_heads * c->cross_head_dim;
    lt_var *kv, *parts[2];
    LT_TRY(lt_ag_linear(tape, step->pass->text, l->cross_kv_w, l->cross_kv_b, &kv));
    lt_tensor views[2] = {lt_slice(kv->value, 2, 0, X),
                          lt_split(lt_slice(kv->value, 2, X, X), 2, c->cross_heads, c->cross_head_dim)};
    LT_TRY(lt_tape_views(tape, kv, 2, views, parts));
    *v = parts[1];
    return lt_dit_normalise(tape, parts[0], l->cross_k_norm, l->cross_q_norm, c->qk_eps, c->cross_heads, k);
}

/* q normalised, or, where nothing is recorded, as projected, with the factors that it lacks. */
static lt_status normalise_cross_q(lt_tape *tape, const lt_dit_step *step, lt_var *projected, lt_var **q,
                                   lt_tensor *scale) {
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    const lt_dit_config *c = &step->pass->dit->config;
    if (tape->recording)
        return lt_dit_normalise(tape, projected, l->cross_q_norm, NULL, c->qk_eps, c->cross_heads, q);
    LT_TRY(lt_dit_scale(tape, projected, c->qk_eps, scale));
    return lt_dit_heads(tape, projected, c->cross_heads, q);
}

/* [G, T, cross heads * cross head size], in e4m3 where the projection that alone reads it is. */
static lt_status attend_text(lt_tape *tape, const lt_dit_step *step, lt_var *q, lt_tensor q_scale, lt_var *k,
                             lt_var *v, lt_var **out) {
    const lt_dit_pass *p = step->pass;
    const int64_t *n = q->value.shape, shape[] = {n[0], n[1], n[2] * n[3]};
    bool rounded = !tape->recording && !lt_is_empty(&p->dit->layers[step->layer].cross_out_w->scale);
    lt_var *o;
    if (!rounded) {
        LT_TRY(lt_ag_cross_attention(tape, q, q_scale, k, v, p->in.mask, &o));
        return lt_tape_reshape(tape, o, out, 3, shape);
    }
    LT_TRY(lt_tape_new(tape, lt_ctx_e4m3_dtype(tape->ctx), false, out, 3, shape));
    LT_TRY(lt_tensor_new(tape->step, lt_ctx_sum_dtype(tape->ctx), &(*out)->scale, 2, shape));
    lt_cross_attention_args args = {
        .q = q->value, .k = k->value, .v = v->value, .mask = p->in.mask, .scale = 1 / sqrt((double)n[3])};
    args.q_scale = q_scale;
    args.o = lt_split((*out)->value, 2, n[2], n[3]), args.o_scale = (*out)->scale;
    return lt_cross_attention_forward(tape->ctx, &args);
}

/* Up to the projection. */
static lt_status cross_attention(lt_tape *tape, const lt_dit_step *step, lt_var *x, lt_var **out) {
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    lt_var *projected, *q, *k, *v;
    lt_tensor scale = {0};
    LT_TRY(text_keys(tape, step, &k, &v));
    lt_dit_begin(tape, step, LT_DIT_CROSS_Q);
    LT_TRY(lt_ag_linear(tape, x, l->cross_q_w, l->cross_q_b, &projected));
    lt_dit_begin(tape, step, LT_DIT_CROSS_Q_NORM);
    LT_TRY(normalise_cross_q(tape, step, projected, &q, &scale));
    lt_dit_begin(tape, step, LT_DIT_CROSS);
    return attend_text(tape, step, q, scale, k, v, out);
}

enum { SHIFT_ATTN, SCALE_ATTN, GATE_ATTN, SHIFT_FFN, SCALE_FFN, GATE_FFN };

/* The norm of the stream before a branch, with the shift and scale at `mod`. It may lie in pass->normed already (`made`). */
static lt_status norm_stream(lt_tape *tape, const lt_dit_step *step, lt_dit_value value, lt_var *x,
                             lt_var *const *mod, bool made, lt_var **out) {
    const lt_dit_pass *p = step->pass;
    double eps = p->dit->config.norm_eps;
    *out = p->normed;
    if (!p->normed) {
        lt_dit_begin(tape, step, value);
        return lt_ag_norm_modulate(tape, x, mod[0], mod[1], eps, out);
    }
    if (made) return LT_OK;
    lt_norm_modulate_args args = {
        .x = x->value, .shift = mod[0]->value, .scale = mod[1]->value, .y = p->normed->value, .eps = eps};
    args.y_scale = p->normed->scale;
    return lt_norm_modulate_forward(tape->ctx, &args);
}

/* A branch joins the stream. Where nothing is recorded, the norm that comes next (shift and scale at `mod`; NULL: none) is made in
 * the same pass over memory. */
static lt_status add_branch(lt_tape *tape, const lt_dit_step *step, lt_var *x, lt_var *branch, lt_var *gate,
                            lt_var *const *mod, lt_var **out) {
    lt_dit_pass *p = step->pass;
    if (!p->normed || !mod) return lt_ag_gated_residual(tape, x, branch, gate, out);
    return lt_ag_gated_residual_norm(tape, x, branch, gate, mod[0], mod[1], p->dit->config.norm_eps, out,
                                     &p->normed);
}

/* Whether x1 is rounded, for cross-attention's q alone, to where the norm lay that qkv has read by then. */
static bool rounds_x1(const lt_dit_step *step) {
    const lt_dit_pass *p = step->pass;
    const lt_var *q = p->dit->layers[step->layer].cross_q_w;
    return p->normed && !lt_is_empty(&p->normed->scale) && !lt_is_empty(&q->scale);
}

static lt_status add_attention(lt_tape *tape, lt_dit_step *step, lt_var *branch) {
    lt_var *gate = step->mod[GATE_ATTN], *codes = step->pass->normed;
    if (!rounds_x1(step)) return lt_ag_gated_residual(tape, step->x, branch, gate, &step->x1);
    lt_gated_residual_args args = {
        .x = step->x->value, .h = branch->value, .gate = gate->value, .y = step->x1->value};
    args.codes = codes->value, args.codes_scale = codes->scale;
    return lt_gated_residual_forward(tape->ctx, &args);
}

static lt_status layer_modulation(lt_tape *tape, const lt_dit_pass *p, int layer, lt_var **mod) {
    lt_var *table;
    LT_TRY(lt_ag_add_broadcast(tape, p->dit->layers[layer].table, p->modulation, &table));
    return lt_tape_unstack(tape, table, 1, mod);
}

/* The projection and its sum with the stream. Gradients do not read what the projection gives: it lives for the sum alone. */
static lt_status add_cross(lt_tape *tape, lt_dit_step *step, lt_var *attended) {
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    lt_var *branch;
    size_t far = tape->step->far;
    lt_dit_begin(tape, step, LT_DIT_CROSS_SUM);
    if (tape->fate == LT_VALUE_KEPT) lt_tape_value(tape, LT_DIT_CROSS_SUM, LT_VALUE_SPENT);
    LT_TRY(lt_ag_linear(tape, attended, l->cross_out_w, l->cross_out_b, &branch));
    LT_TRY(add_branch(tape, step, step->x1, branch, NULL, step->mod + SHIFT_FFN, &step->x2));
    LT_TRY(lt_tape_forget(tape, far));
    lt_dit_small(tape);
    return LT_OK;
}

/* ---- a layer ----------------------------------------------------------------------------------------------------- */

const char *const lt_dit_value_names[LT_DIT_VALUES] = {
    "norm_attn", "qkv",       "qk",       "attn",   "attn_out", "attn_sum", "cross_q", "cross_q_norm",
    "cross",     "cross_sum", "norm_ffn", "expand", "glu",      "project",  "temporal"};

void lt_dit_begin(lt_tape *tape, const lt_dit_step *step, lt_dit_value value) {
    bool kept = step->layer < step->pass->keep.layers[value];
    lt_tape_value(tape, (int)value, kept ? LT_VALUE_KEPT : LT_VALUE_AGAIN);
}

void lt_dit_small(lt_tape *tape) { lt_tape_value(tape, 0, LT_VALUE_KEPT); }

static lt_status attention_branch(lt_tape *tape, void *user) {
    lt_dit_step *step = user;
    lt_var *h, *branch;
    LT_TRY(norm_stream(tape, step, LT_DIT_NORM_ATTN, step->x, step->mod + SHIFT_ATTN, step->layer > 0, &h));
    LT_TRY(lt_dit_attention(tape, step, h, &branch));
    lt_dit_begin(tape, step, LT_DIT_ATTN_SUM);
    LT_TRY(add_attention(tape, step, branch));
    lt_dit_small(tape);
    lt_dit_report("attn", step->layer, step->x1);
    return LT_OK;
}

static lt_status cross_branch(lt_tape *tape, void *user) {
    lt_dit_step *step = user;
    lt_var *attended;
    LT_TRY(cross_attention(tape, step, rounds_x1(step) ? step->pass->normed : step->x1, &attended));
    LT_TRY(add_cross(tape, step, attended));
    lt_dit_report("cross", step->layer, step->x2);
    return LT_OK;
}

static lt_status ffn_branch(lt_tape *tape, void *user) {
    lt_dit_step *step = user;
    const lt_dit_pass *p = step->pass;
    bool goes_on = p->normed && step->layer + 1 < p->dit->config.layers;
    lt_var *h, *branch, *next[6];
    LT_TRY(norm_stream(tape, step, LT_DIT_NORM_FFN, step->x2, step->mod + SHIFT_FFN, true, &h));
    LT_TRY(lt_dit_ffn(tape, step, h, &branch));
    lt_dit_small(tape);
    if (goes_on) LT_TRY(layer_modulation(tape, p, step->layer + 1, next));
    LT_TRY(add_branch(tape, step, step->x2, branch, step->mod[GATE_FFN], goes_on ? next + SHIFT_ATTN : NULL,
                      &step->out));
    lt_dit_report("ffn", step->layer, step->out);
    return LT_OK;
}

/* A value of the residual stream within the layer. Where nothing is recorded, the stream stays where it is. */
static lt_status stream_value(lt_tape *tape, const lt_dit_step *step, lt_dit_value value, lt_var **out) {
    const lt_tensor *x = &step->x->value;
    *out = step->out;
    if (!tape->recording) return LT_OK;
    lt_dit_begin(tape, step, value);
    LT_TRY(lt_tape_new(tape, x->dtype, true, out, x->ndim, x->shape));
    lt_dit_small(tape);
    return LT_OK;
}

/* A branch is a segment of its own: its gradients give way to those of the next. `modulation`: any of its vectors. */
static lt_status run_branch(lt_tape *tape, lt_dit_step *step, int branch, lt_var *modulation) {
    static const lt_segment_fn run[] = {attention_branch, cross_branch, ffn_branch};
    lt_var *const from[] = {step->x, step->x1, step->x2}, **to[] = {&step->x1, &step->x2, &step->out};
    step->branch_inputs[branch][0] = from[branch];
    step->branch_inputs[branch][1] = modulation;
    lt_segment segment = {.run = run[branch],
                          .user = step,
                          .input_count = 2,
                          .inputs = step->branch_inputs[branch],
                          .output_count = 1,
                          .outputs = to[branch],
                          .carried = 0};
    return lt_tape_segment(tape, &segment);
}

lt_status lt_dit_layer_run(lt_tape *tape, void *user) {
    lt_dit_step *step = user;
    const lt_dit_pass *p = step->pass;
    LT_TRY(layer_modulation(tape, p, step->layer, step->mod));
    LT_TRY(stream_value(tape, step, LT_DIT_ATTN_SUM, &step->x1));
    LT_TRY(run_branch(tape, step, 0, step->mod[SHIFT_ATTN]));
    LT_TRY(stream_value(tape, step, LT_DIT_CROSS_SUM, &step->x2));
    LT_TRY(run_branch(tape, step, 1, p->text));
    return run_branch(tape, step, 2, step->mod[SHIFT_FFN]);
}

static lt_status write_tail(lt_tape *tape, const lt_dit_step *step, lt_var *h) {
    const lt_dit_input *in = &step->pass->in;
    if (!in->cache || in->commit_stream < 0 || tape->recording) return LT_OK;
    lt_tensor to = lt_cache_tail_memory(in->cache, step->layer);
    if (lt_is_empty(&to)) return LT_OK;
    int64_t last = ((int64_t)(in->blocks - 1) * in->streams + in->commit_stream) * in->batch;
    lt_tensor group = lt_slice(h->value, 0, last, in->batch);
    lt_copy_args copy = {.x = lt_select(group, 1, h->value.shape[1] - 1), .y = to, .scale = 1};
    return lt_copy(tape->ctx, &copy);
}

/* Expansion, depthwise convolution and gate of whole frames: [frames, pixels, C] -> [frames, pixels, R]. */
static lt_status widen(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    const lt_dit_pass *p = step->pass;
    const lt_dit_layer *l = &p->dit->layers[step->layer];
    int64_t frames = h->value.shape[0], pixels = p->grid[1] * p->grid[2];
    lt_var *x, *y;
    lt_dit_begin(tape, step, LT_DIT_EXPAND);
    LT_TRY(lt_ag_linear(tape, h, l->expand_w, l->expand_b, &x));
    int64_t wide = x->value.shape[2];
    LT_TRY(LT_AG_RESHAPE(tape, x, &y, frames, p->grid[1], p->grid[2], wide));
    lt_dit_begin(tape, step, LT_DIT_GLU);
    LT_TRY(lt_ag_glu_depthwise(tape, y, l->depth_w, l->depth_b, &x));
    return LT_AG_RESHAPE(tape, x, out, frames, pixels, wide / 2);
}

static lt_status mix_frames(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    lt_var *x;
    LT_TRY(widen(tape, step, h, &x));
    lt_dit_begin(tape, step, LT_DIT_PROJECT);
    return lt_ag_linear(tape, x, step->pass->dit->layers[step->layer].project_w, NULL, out);
}

/* As many frames as LT_DIT_WIDE_BYTES allow, in groups of one size as near as can be: small ones are slow. Scales of their pixels begin
 * at multiples of 16 bytes where that can be had: products that cannot read them as they lie are slow too. */
static int64_t frames_at_once(const lt_dit *dit, const lt_var *h, int64_t wide, lt_dtype dtype) {
    int64_t frames = h->value.shape[0], pixels = h->value.shape[1];
    int64_t most = dit->wide_bytes / (pixels * wide * (int64_t)lt_dtype_size(dtype));
    if (most < 1) return 1;
    int64_t groups = (frames + most - 1) / most, even = (frames + groups - 1) / groups;
    int64_t step = lt_is_empty(&h->scale) || pixels % 4 == 0 ? 1 : pixels % 2 == 0 ? 2 : 4;
    int64_t stepped = (even + step - 1) / step * step;
    return stepped <= most ? stepped : most < step ? most : most - most % step;
}

/* Without recording, a few frames at a time: what is wide exists for them alone. Frames do not depend on each other here. */
static lt_status mix_in_groups(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    lt_dtype dtype = lt_ctx_dtype(tape->ctx);
    int64_t frames = h->value.shape[0];
    int64_t most = frames_at_once(step->pass->dit, h, l->expand_w->value.shape[0], dtype);
    LT_TRY(lt_tape_new(tape, dtype, false, out, 3, h->value.shape));
    for (int64_t at = 0; at < frames; at += most) {
        int64_t count = at + most < frames ? most : frames - at;
        size_t mark = lt_arena_mark(tape->step);
        lt_var *some, *wide;
        LT_TRY(lt_tape_var(tape, lt_slice(h->value, 0, at, count), false, &some));
        if (!lt_is_empty(&h->scale))
            some->scale = lt_slice(LT_RESHAPE(h->scale, frames, h->value.shape[1]), 0, at, count);
        LT_TRY(widen(tape, step, some, &wide));
        lt_linear_args project = {.x = wide->value,
                                  .w = l->project_w->value,
                                  .y = lt_slice((*out)->value, 0, at, count),
                                  .scale = l->project_w->scale};
        LT_TRY(lt_linear_forward(tape->ctx, &project));
        lt_arena_release(tape->step, mark);
    }
    return LT_OK;
}

lt_status lt_dit_ffn(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    const lt_dit_pass *p = step->pass;
    const lt_dit_layer *l = &p->dit->layers[step->layer];
    int64_t G = p->groups, F = p->grid[0], pixels = p->grid[1] * p->grid[2];
    lt_tensor first = {0};
    lt_var *x, *y, *tail, *rows;
    LT_TRY(LT_AG_RESHAPE(tape, h, &rows, G * F, pixels, p->width));
    LT_TRY(tape->recording ? mix_frames(tape, step, rows, &x) : mix_in_groups(tape, step, rows, &x));
    LT_TRY(LT_AG_RESHAPE(tape, x, &y, G, F, pixels, p->width));
    lt_dit_small(tape);
    if (p->in.cache) first = lt_cache_tail(p->in.cache, step->layer);
    LT_TRY(lt_ag_tail(tape, y, p->in.blocks, p->in.streams, p->in.commit_stream, first, &tail));
    LT_TRY(write_tail(tape, step, y));
    lt_dit_begin(tape, step, LT_DIT_TEMPORAL);
    LT_TRY(lt_ag_temporal_conv(tape, y, tail, l->temporal_w, &x));
    return LT_AG_RESHAPE(tape, x, out, G, p->tokens, p->width);
}
