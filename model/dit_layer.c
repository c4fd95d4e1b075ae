/* One transformer block: attention, cross-attention to text, Mix-FFN. */
#include "model/dit_internal.h"

#include <math.h>

/* [.., C] as heads: a contiguous var under another shape. */
static lt_status as_heads(lt_tape *tape, lt_var *x, int heads, int dim, lt_var **out) {
    const int64_t *n = x->value.shape;
    return LT_AG_RESHAPE(tape, x, out, n[0], n[1], heads, dim);
}

/* Keys and values of the text, once per layer: k normalised [B, L, H, D], v a view of the projection. */
static lt_status text_keys(lt_tape *tape, const lt_dit_step *step, lt_var **k, lt_var **v) {
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    const lt_dit_config *c = &step->pass->dit->config;
    int64_t X = (int64_t)c->cross_heads * c->cross_head_dim;
    lt_var *kv, *parts[2], *normed;
    LT_TRY(lt_ag_linear(tape, step->pass->text, l->cross_kv_w, l->cross_kv_b, &kv));
    lt_tensor views[2] = {lt_slice(kv->value, 2, 0, X),
                          lt_split(lt_slice(kv->value, 2, X, X), 2, c->cross_heads, c->cross_head_dim)};
    LT_TRY(lt_tape_views(tape, kv, 2, views, parts));
    LT_TRY(lt_ag_rms_norm(tape, parts[0], l->cross_k_norm, c->qk_eps, &normed));
    *v = parts[1];
    return as_heads(tape, normed, c->cross_heads, c->cross_head_dim, k);
}

static lt_status cross_attention(lt_tape *tape, const lt_dit_step *step, lt_var *x, lt_var **out) {
    const lt_dit_layer *l = &step->pass->dit->layers[step->layer];
    const lt_dit_config *c = &step->pass->dit->config;
    const int64_t *n = x->value.shape;
    lt_var *q, *normed, *k, *v, *o, *flat;
    LT_TRY(text_keys(tape, step, &k, &v));
    LT_TRY(lt_ag_linear(tape, x, l->cross_q_w, l->cross_q_b, &q));
    LT_TRY(lt_ag_rms_norm(tape, q, l->cross_q_norm, c->qk_eps, &normed));
    LT_TRY(as_heads(tape, normed, c->cross_heads, c->cross_head_dim, &q));
    LT_TRY(lt_ag_cross_attention(tape, q, k, v, step->pass->in.mask, &o));
    LT_TRY(LT_AG_RESHAPE(tape, o, &flat, n[0], n[1], (int64_t)c->cross_heads * c->cross_head_dim));
    return lt_ag_linear(tape, flat, l->cross_out_w, l->cross_out_b, out);
}

lt_status lt_dit_layer_run(lt_tape *tape, void *user) {
    enum { SHIFT_ATTN, SCALE_ATTN, GATE_ATTN, SHIFT_FFN, SCALE_FFN, GATE_FFN };
    lt_dit_step *step = user;
    const lt_dit_pass *p = step->pass;
    double eps = p->dit->config.norm_eps;
    lt_var *table, *mod[6], *h, *branch, *x1 = NULL, *x2 = NULL;
    LT_TRY(lt_ag_add_broadcast(tape, p->dit->layers[step->layer].table, p->modulation, &table));
    LT_TRY(lt_tape_unstack(tape, table, 1, mod));

    LT_TRY(lt_ag_norm_modulate(tape, step->x, mod[SHIFT_ATTN], mod[SCALE_ATTN], eps, &h));
    LT_TRY(lt_dit_attention(tape, step, h, &branch));
    LT_TRY(lt_ag_gated_residual(tape, step->x, branch, mod[GATE_ATTN], &x1));
    lt_dit_report("attn", step->layer, x1);

    LT_TRY(cross_attention(tape, step, x1, &branch));
    LT_TRY(lt_ag_gated_residual(tape, x1, branch, NULL, &x2));
    lt_dit_report("cross", step->layer, x2);

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

lt_status lt_dit_ffn(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    const lt_dit_pass *p = step->pass;
    const lt_dit_layer *l = &p->dit->layers[step->layer];
    int64_t G = p->groups, F = p->grid[0], pixels = p->grid[1] * p->grid[2];
    lt_tensor first = {0};
    lt_var *x, *y, *tail;
    LT_TRY(lt_ag_linear(tape, h, l->expand_w, l->expand_b, &x));
    int64_t wide = x->value.shape[2];
    LT_TRY(LT_AG_RESHAPE(tape, x, &y, G * F, p->grid[1], p->grid[2], wide));
    LT_TRY(lt_ag_glu_depthwise(tape, y, l->depth_w, l->depth_b, &x));
    LT_TRY(LT_AG_RESHAPE(tape, x, &y, G, p->tokens, wide / 2));
    LT_TRY(lt_ag_linear(tape, y, l->project_w, NULL, &x));
    LT_TRY(LT_AG_RESHAPE(tape, x, &y, G, F, pixels, p->width));
    if (p->in.cache) first = lt_cache_tail(p->in.cache, step->layer);
    LT_TRY(lt_ag_tail(tape, y, p->in.blocks, p->in.streams, p->in.commit_stream, first, &tail));
    LT_TRY(write_tail(tape, step, y));
    LT_TRY(lt_ag_temporal_conv(tape, y, tail, l->temporal_w, &x));
    return LT_AG_RESHAPE(tape, x, out, G, p->tokens, p->width);
}
