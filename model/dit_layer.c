/* One transformer block: attention, cross-attention to text, Mix-FFN. */
#include "model/dit_internal.h"

#include "kernels/linear/linear.h"
#include "kernels/norm/norm.h"

#include <math.h>

lt_status lt_dit_normalise(lt_tape *tape, lt_var *x, lt_var *weight, double eps, int heads, lt_var **out) {
    const int64_t *n = x->value.shape;
    lt_var *normed;
    if (lt_tape_wants(tape, 2, (lt_var *[]){x, weight})) {
        LT_TRY(lt_ag_rms_norm(tape, x, weight, eps, &normed));
        return LT_AG_RESHAPE(tape, normed, out, n[0], n[1], heads, n[2] / heads);
    }
    lt_rms_norm_args args = {.x = x->value, .weight = weight->value, .y = x->value, .eps = eps};
    LT_TRY(lt_rms_norm_forward(tape->ctx, &args));
    return lt_tape_var(tape, lt_split(x->value, 2, heads, n[2] / heads), false, out);
}

/* Keys and values of the text, once per layer: k normalised [B, L, H, D], v a view of the projection. */
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
    return lt_dit_normalise(tape, parts[0], l->cross_k_norm, c->qk_eps, c->cross_heads, k);
}

static lt_status cross_attention(lt_tape *tape, const lt_dit_step *step, lt_var *x, lt_var **out) {
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    const lt_dit_config *c = &step->pass->dit->config;
    const int64_t *n = x->value.shape;
    lt_var *projected, *q, *k, *v, *o, *flat;
    LT_TRY(text_keys(tape, step, &k, &v));
    LT_TRY(lt_ag_linear(tape, x, l->cross_q_w, l->cross_q_b, &projected));
    LT_TRY(lt_dit_normalise(tape, projected, l->cross_q_norm, c->qk_eps, c->cross_heads, &q));
    LT_TRY(lt_ag_cross_attention(tape, q, k, v, step->pass->in.mask, &o));
    LT_TRY(LT_AG_RESHAPE(tape, o, &flat, n[0], n[1], (int64_t)c->cross_heads * c->cross_head_dim));
    return lt_ag_linear(tape, flat, l->cross_out_w, l->cross_out_b, out);
}

/* Where nothing is recorded, a branch gives its memory back once it is added to the stream. */
static void end_branch(lt_tape *tape, size_t mark) {
    if (!tape->recording) lt_arena_release(tape->step, mark);
}

/* The residual stream moves from step->x to step->out; where nothing is recorded it is in `out` after the first branch. */
lt_status lt_dit_layer_run(lt_tape *tape, void *user) {
    enum { SHIFT_ATTN, SCALE_ATTN, GATE_ATTN, SHIFT_FFN, SCALE_FFN, GATE_FFN };
    lt_dit_step *step = user;
    const lt_dit_pass *p = step->pass;
    double eps = p->dit->config.norm_eps;
    lt_var *stream = tape->recording ? NULL : step->out;
    lt_var *table, *mod[6], *h, *branch, *x1 = stream, *x2 = stream;
    LT_TRY(lt_ag_add_broadcast(tape, p->dit->layers[step->layer].table, p->modulation, &table));
    LT_TRY(lt_tape_unstack(tape, table, 1, mod));

    size_t mark = lt_arena_mark(tape->step);
    LT_TRY(lt_ag_norm_modulate(tape, step->x, mod[SHIFT_ATTN], mod[SCALE_ATTN], eps, &h));
    LT_TRY(lt_dit_attention(tape, step, h, &branch));
    LT_TRY(lt_ag_gated_residual(tape, step->x, branch, mod[GATE_ATTN], &x1));
    lt_dit_report("attn", step->layer, x1);
    end_branch(tape, mark);

    LT_TRY(cross_attention(tape, step, x1, &branch));
    LT_TRY(lt_ag_gated_residual(tape, x1, branch, NULL, &x2));
    lt_dit_report("cross", step->layer, x2);
    end_branch(tape, mark);

    LT_TRY(lt_ag_norm_modulate(tape, x2, mod[SHIFT_FFN], mod[SCALE_FFN], eps, &h));
    LT_TRY(lt_dit_ffn(tape, step, h, &branch));
    LT_TRY(lt_ag_gated_residual(tape, x2, branch, mod[GATE_FFN], &step->out));
    lt_dit_report("ffn", step->layer, step->out);
    return LT_OK;
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
    LT_TRY(lt_ag_linear(tape, h, l->expand_w, l->expand_b, &x));
    int64_t wide = x->value.shape[2];
    LT_TRY(LT_AG_RESHAPE(tape, x, &y, frames, p->grid[1], p->grid[2], wide));
    LT_TRY(lt_ag_glu_depthwise(tape, y, l->depth_w, l->depth_b, &x));
    return LT_AG_RESHAPE(tape, x, out, frames, pixels, wide / 2);
}

static lt_status mix_frames(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    lt_var *x;
    LT_TRY(widen(tape, step, h, &x));
    return lt_ag_linear(tape, x, step->pass->dit->layers[step->layer].project_w, NULL, out);
}

/* Without recording, a few frames at a time: what is wide exists for them alone. Frames do not depend on each other here. */
static lt_status mix_in_groups(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    enum { WIDE_BYTES = 256 << 20 }; /* of the expansion; larger groups make products no faster */
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    int64_t frames = h->value.shape[0], row = h->value.shape[1] * l->expand_w->value.shape[0];
    int64_t most = WIDE_BYTES / (row * (int64_t)lt_dtype_size(h->value.dtype));
    if (most < 1) most = 1;
    LT_TRY(lt_tape_new(tape, h->value.dtype, false, out, 3, h->value.shape));
    for (int64_t at = 0; at < frames; at += most) {
        int64_t count = at + most < frames ? most : frames - at;
        size_t mark = lt_arena_mark(tape->step);
        lt_var *some, *wide;
        LT_TRY(lt_tape_var(tape, lt_slice(h->value, 0, at, count), false, &some));
        LT_TRY(widen(tape, step, some, &wide));
        lt_linear_args project = {
            .x = wide->value, .w = l->project_w->value, .y = lt_slice((*out)->value, 0, at, count)};
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
    if (p->in.cache) first = lt_cache_tail(p->in.cache, step->layer);
    LT_TRY(lt_ag_tail(tape, y, p->in.blocks, p->in.streams, p->in.commit_stream, first, &tail));
    LT_TRY(write_tail(tape, step, y));
    LT_TRY(lt_ag_temporal_conv(tape, y, tail, l->temporal_w, &x));
    return LT_AG_RESHAPE(tape, x, out, G, p->tokens, p->width);
}
