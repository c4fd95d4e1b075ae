/* The executor of inference, no-grad: the residual stream stays in place, the norm that a branch reads is fused into
 * the sum before it, q and k get their norms as attention loads them, operands of FP8 GEMMs are quantised by whoever
 * writes them, and the wide values of the Mix-FFN exist for a few frames at a time. */
#include "kernels/cross_attention/cross_attention.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"
#include "model/dit/dit_impl.h"

#include <math.h>

static bool is_fp8(const lt_linear_layer *layer) { return !lt_is_empty(&layer->w->scale); }

/* One place for what the branches read, FP8 where the GEMMs behind both norms are. */
static lt_status infer_begin(lt_tape *tape, lt_dit_pass *p, const lt_tensor *x) {
    const lt_dit_layer *l = &p->dit->layers[0];
    bool fp8 = is_fp8(&l->qkv) && is_fp8(&l->expand);
    lt_dtype dtype = fp8 ? lt_ctx_e4m3_dtype(tape->ctx) : x->dtype, sum = lt_ctx_sum_dtype(tape->ctx);
    p->ready = false;
    LT_TRY(lt_tape_new(tape, dtype, false, &p->operand, x->ndim, x->shape));
    return fp8 ? lt_tensor_new(tape->step, sum, &p->operand->scale, 2, x->shape) : LT_OK;
}

static lt_status infer_stream(lt_tape *tape, lt_var *x, lt_var **out) {
    (void)tape;
    *out = x;
    return LT_OK;
}

/* ---- into and out of a branch ------------------------------------------------------------------------------------ */

/* Whether cross-attention's q reads the stream in FP8, from where the norm lay that qkv has read by then. */
static bool cross_reads_fp8(const lt_dit_step *step) {
    return !lt_is_empty(&step->pass->operand->scale) && is_fp8(&step->weights->cross_q);
}

static lt_status infer_enter(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch, lt_var **h) {
    lt_dit_pass *p = step->pass;
    bool ready = p->ready;
    *h = p->operand;
    if (branch == LT_DIT_BRANCH_CROSS) {
        if (!cross_reads_fp8(step)) *h = step->x[branch];
        return LT_OK;
    }
    p->ready = false;
    if (ready) return LT_OK;
    lt_var *const *mod = step->mod + (branch == LT_DIT_BRANCH_ATTN ? LT_DIT_SHIFT_ATTN : LT_DIT_SHIFT_FFN);
    lt_norm_modulate_args args = {.x = step->x[branch]->value,
                                  .shift = mod[0]->value,
                                  .scale = mod[1]->value,
                                  .y = p->operand->value,
                                  .y_scale = p->operand->scale,
                                  .eps = p->dit->config.norm_eps};
    return lt_norm_modulate_forward(tape->ctx, &args);
}

/* The sum with attention, and where cross-attention's q reads it in FP8, the same quantised. */
static lt_status leave_attention(lt_tape *tape, lt_dit_step *step, lt_var *h) {
    lt_var *x = step->x[LT_DIT_BRANCH_ATTN], **out = &step->x[LT_DIT_BRANCH_ATTN + 1];
    lt_var *gate = step->mod[LT_DIT_GATE_ATTN], *operand = step->pass->operand;
    if (!cross_reads_fp8(step)) return lt_ag_gated_residual(tape, x, h, gate, out);
    lt_gated_residual_args args = {.x = x->value,
                                   .h = h->value,
                                   .gate = gate->value,
                                   .y = (*out)->value,
                                   .codes = operand->value,
                                   .codes_scale = operand->scale};
    return lt_gated_residual_forward(tape->ctx, &args);
}

/* The sum with a branch and the norm that the next one reads, with the shift and scale at `mod`, in one pass over
 * memory. */
static lt_status leave_to_norm(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch, lt_var *h,
                               lt_var *gate, lt_var *const *mod) {
    lt_dit_pass *p = step->pass;
    p->ready = true;
    return lt_ag_gated_residual_norm(tape, step->x[branch], h, gate, mod[0], mod[1], p->dit->config.norm_eps,
                                     &step->x[branch + 1], &p->operand);
}

static lt_status leave_ffn(lt_tape *tape, lt_dit_step *step, lt_var *h) {
    lt_var *next[LT_DIT_MODS], *gate = step->mod[LT_DIT_GATE_FFN];
    if (step->layer + 1 == step->pass->dit->config.layers)
        return lt_ag_gated_residual(tape, step->x[LT_DIT_BRANCH_FFN], h, gate, &step->x[LT_DIT_BRANCHES]);
    LT_TRY(lt_dit_modulation(tape, step->pass, step->layer + 1, next));
    return leave_to_norm(tape, step, LT_DIT_BRANCH_FFN, h, gate, next + LT_DIT_SHIFT_ATTN);
}

static lt_status infer_leave(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch,
                             const lt_linear_layer *projection, lt_var *h) {
    if (projection) LT_TRY(lt_linear_apply(tape, projection, h, &h));
    if (branch == LT_DIT_BRANCH_ATTN) return leave_attention(tape, step, h);
    if (branch == LT_DIT_BRANCH_FFN) return leave_ffn(tape, step, h);
    return leave_to_norm(tape, step, branch, h, NULL, step->mod + LT_DIT_SHIFT_FFN);
}

/* ---- q and k ----------------------------------------------------------------------------------------------------- */

/* x [G, T, C] as [G, T, heads, C / heads]. */
static lt_status split_heads(lt_tape *tape, const lt_var *x, int heads, lt_var **out) {
    return lt_tape_var(tape, lt_split(x->value, 2, heads, x->value.shape[2] / heads), false, out);
}

/* The RMS norm's factor of each token, `scale` [G, T]: attention multiplies as it loads x, which is not written
 * again. */
static lt_status norm_factors(lt_tape *tape, const lt_var *x, double eps, lt_tensor *scale) {
    LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(tape->ctx), scale, x->value.shape[0], x->value.shape[1]));
    lt_rms_scale_args args = {.x = x->value, .scale = *scale, .eps = eps};
    return lt_rms_scale_forward(tape->ctx, &args);
}

static lt_status infer_norm_qk(lt_tape *tape, const lt_dit_step *step, lt_var *q, lt_var *k,
                               lt_dit_qkv *out) {
    const lt_dit_config *c = &step->pass->dit->config;
    out->q_gain = LT_RESHAPE(step->weights->q_norm->value, c->heads, c->head_dim);
    out->k_norm.gain = LT_RESHAPE(step->weights->k_norm->value, c->heads, c->head_dim);
    LT_TRY(norm_factors(tape, k, c->qk_eps, &out->k_norm.scale));
    LT_TRY(split_heads(tape, q, c->heads, &out->q));
    return split_heads(tape, k, c->heads, &out->k);
}

/* In place, with the weights of q's norm as well: scores are the same, and q, which is long, needs its factors only. */
static lt_status infer_norm_text_k(lt_tape *tape, const lt_dit_step *step, lt_var *k, lt_dit_cross *out) {
    const lt_dit_config *c = &step->pass->dit->config;
    lt_rms_norm_args args = {.x = k->value,
                             .weight = step->weights->cross_k_norm->value,
                             .gain = step->weights->cross_q_norm->value,
                             .y = k->value,
                             .eps = c->qk_eps};
    LT_TRY(lt_rms_norm_forward(tape->ctx, &args));
    return split_heads(tape, k, c->cross_heads, &out->k);
}

static lt_status infer_norm_cross_q(lt_tape *tape, const lt_dit_step *step, lt_var *q, lt_dit_cross *out) {
    const lt_dit_config *c = &step->pass->dit->config;
    LT_TRY(norm_factors(tape, q, c->qk_eps, &out->q_scale));
    return split_heads(tape, q, c->cross_heads, &out->q);
}

static lt_status infer_attend_text(lt_tape *tape, const lt_dit_step *step, const lt_dit_cross *in,
                                   lt_var **out) {
    const int64_t *n = in->q->value.shape, shape[] = {n[0], n[1], n[2] * n[3]};
    lt_tensor mask = step->pass->in.mask;
    lt_var *o;
    if (!is_fp8(&step->weights->cross_out)) {
        LT_TRY(lt_ag_cross_attention(tape, in->q, in->q_scale, in->k, in->v, mask, &o));
        return lt_tape_reshape(tape, o, out, 3, shape);
    }
    LT_TRY(lt_tape_new(tape, lt_ctx_e4m3_dtype(tape->ctx), false, out, 3, shape));
    LT_TRY(lt_tensor_new(tape->step, lt_ctx_sum_dtype(tape->ctx), &(*out)->scale, 2, shape));
    lt_cross_attention_args args = {.q = in->q->value,
                                    .k = in->k->value,
                                    .v = in->v->value,
                                    .mask = mask,
                                    .scale = 1 / sqrt((double)n[3]),
                                    .q_scale = in->q_scale,
                                    .o = lt_split((*out)->value, 2, n[2], n[3]),
                                    .o_scale = (*out)->scale};
    return lt_cross_attention_forward(tape->ctx, &args);
}

/* ---- Mix-FFN ----------------------------------------------------------------------------------------------------- */

/* As many frames as wide_bytes allow, in groups of one size as near as can be: small ones are slow. Scales of their
 * pixels begin at multiples of 16 bytes where that can be had: GEMMs that cannot load them as they lie are slow too. */
static int64_t frames_at_once(const lt_dit *dit, const lt_var *h, int64_t wide, lt_dtype dtype) {
    int64_t frames = h->value.shape[0], pixels = h->value.shape[1];
    int64_t most = dit->wide_bytes / (pixels * wide * (int64_t)lt_dtype_size(dtype));
    if (most < 1) return 1;
    int64_t groups = (frames + most - 1) / most, even = (frames + groups - 1) / groups;
    int64_t step = lt_is_empty(&h->scale) || pixels % 4 == 0 ? 1 : pixels % 2 == 0 ? 2 : 4;
    int64_t stepped = (even + step - 1) / step * step;
    return stepped <= most ? stepped : most < step ? most : most - most % step;
}

/* Frames do not depend on each other here. */
static lt_status infer_mix_frames(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    const lt_dit_layer *l = step->weights;
    lt_dtype dtype = lt_ctx_dtype(tape->ctx);
    int64_t frames = h->value.shape[0];
    int64_t most = frames_at_once(step->pass->dit, h, l->expand.w->value.shape[0], dtype);
    LT_TRY(lt_tape_new(tape, dtype, false, out, 3, h->value.shape));
    for (int64_t at = 0; at < frames; at += most) {
        int64_t count = at + most < frames ? most : frames - at;
        size_t mark = lt_arena_mark(tape->step);
        lt_var *some, *wide;
        LT_TRY(lt_tape_var(tape, lt_slice(h->value, 0, at, count), false, &some));
        if (!lt_is_empty(&h->scale))
            some->scale = lt_slice(LT_RESHAPE(h->scale, frames, h->value.shape[1]), 0, at, count);
        LT_TRY(lt_dit_expand(tape, step, some, &wide));
        LT_TRY(lt_linear_write(tape, &l->project, wide, lt_slice((*out)->value, 0, at, count)));
        lt_arena_release(tape->step, mark);
    }
    return LT_OK;
}

static lt_status infer_commit_tail(lt_tape *tape, const lt_dit_step *step, const lt_var *h) {
    const lt_dit_input *in = &step->pass->in;
    if (!in->cache || in->commit_stream < 0) return LT_OK;
    lt_tensor to = lt_cache_tail_memory(in->cache, step->layer);
    if (lt_is_empty(&to)) return LT_OK;
    int64_t last = ((int64_t)(in->blocks - 1) * in->streams + in->commit_stream) * in->batch;
    lt_tensor group = lt_slice(h->value, 0, last, in->batch);
    lt_copy_args copy = {.x = lt_select(group, 1, h->value.shape[1] - 1), .y = to, .scale = 1};
    return lt_copy(tape->ctx, &copy);
}

const lt_dit_executor lt_dit_infer = {.begin = infer_begin,
                                      .stream = infer_stream,
                                      .enter = infer_enter,
                                      .leave = infer_leave,
                                      .norm_qk = infer_norm_qk,
                                      .norm_text_k = infer_norm_text_k,
                                      .norm_cross_q = infer_norm_cross_q,
                                      .attend_text = infer_attend_text,
                                      .mix_frames = infer_mix_frames,
                                      .commit_tail = infer_commit_tail};
