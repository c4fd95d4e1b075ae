/* The executor of training: every value is recorded for the backward pass, kept or recomputed as activation
 * checkpointing says. */
#include "model/dit/dit_impl.h"

static lt_status train_begin(lt_tape *tape, lt_dit_pass *pass, const lt_tensor *x) {
    (void)tape, (void)pass, (void)x;
    return LT_OK;
}

static lt_status train_stream(lt_tape *tape, lt_var *x, lt_var **out) {
    return lt_tape_new(tape, x->value.dtype, true, out, x->value.ndim, x->value.shape);
}

static lt_status train_enter(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch, lt_var **h) {
    static const struct {
        lt_dit_value value;
        int shift;
    } norms[] = {[LT_DIT_BRANCH_ATTN] = {LT_DIT_NORM_ATTN, LT_DIT_SHIFT_ATTN},
                 [LT_DIT_BRANCH_FFN] = {LT_DIT_NORM_FFN, LT_DIT_SHIFT_FFN}};
    *h = step->x[branch];
    if (branch == LT_DIT_BRANCH_CROSS) return LT_OK;
    lt_dit_begin(tape, step, norms[branch].value);
    lt_var *const *mod = step->mod + norms[branch].shift;
    return lt_ag_norm_modulate(tape, step->x[branch], mod[0], mod[1], step->pass->dit->config.norm_eps, h);
}

/* A gate's gradient reads what the projection gives. Without a gate nothing does: it lives for the sum alone. */
static lt_status add_projected(lt_tape *tape, lt_dit_step *step, const lt_linear_layer *projection, lt_var *h,
                               lt_var *x, lt_var **out) {
    lt_var *branch;
    size_t far = tape->step->far;
    lt_dit_begin(tape, step, LT_DIT_CROSS_SUM);
    if (tape->fate == LT_VALUE_KEPT) lt_tape_value(tape, LT_DIT_CROSS_SUM, LT_VALUE_SPENT);
    LT_TRY(lt_linear_apply(tape, projection, h, &branch));
    LT_TRY(lt_ag_gated_residual(tape, x, branch, NULL, out));
    return lt_tape_forget(tape, far);
}

static lt_status train_leave(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch,
                             const lt_linear_layer *projection, lt_var *h) {
    lt_var *x = step->x[branch], **out = &step->x[branch + 1];
    if (branch == LT_DIT_BRANCH_CROSS) {
        LT_TRY(add_projected(tape, step, projection, h, x, out));
    } else if (branch == LT_DIT_BRANCH_ATTN) {
        lt_dit_begin(tape, step, LT_DIT_ATTN_OUT);
        LT_TRY(lt_linear_apply(tape, projection, h, &h));
        lt_dit_begin(tape, step, LT_DIT_ATTN_SUM);
        LT_TRY(lt_ag_gated_residual(tape, x, h, step->mod[LT_DIT_GATE_ATTN], out));
    } else LT_TRY(lt_ag_gated_residual(tape, x, h, step->mod[LT_DIT_GATE_FFN], out));
    lt_dit_small(tape);
    return LT_OK;
}

/* x [G, T, C] with RMS norm over all heads, as [G, T, heads, C / heads]. */
static lt_status norm_heads(lt_tape *tape, lt_var *x, lt_var *weight, double eps, int heads, lt_var **out) {
    const int64_t *n = x->value.shape;
    lt_var *normed;
    LT_TRY(lt_ag_rms_norm(tape, x, weight, eps, &normed));
    return LT_AG_RESHAPE(tape, normed, out, n[0], n[1], heads, n[2] / heads);
}

static lt_status train_norm_qk(lt_tape *tape, const lt_dit_step *step, lt_var *q, lt_var *k,
                               lt_dit_qkv *out) {
    const lt_dit_config *c = &step->pass->dit->config;
    LT_TRY(norm_heads(tape, q, step->weights->q_norm, c->qk_eps, c->heads, &out->q));
    return norm_heads(tape, k, step->weights->k_norm, c->qk_eps, c->heads, &out->k);
}

static lt_status train_norm_text_k(lt_tape *tape, const lt_dit_step *step, lt_var *k, lt_dit_cross *out) {
    const lt_dit_config *c = &step->pass->dit->config;
    return norm_heads(tape, k, step->weights->cross_k_norm, c->qk_eps, c->cross_heads, &out->k);
}

static lt_status train_norm_cross_q(lt_tape *tape, const lt_dit_step *step, lt_var *q, lt_dit_cross *out) {
    const lt_dit_config *c = &step->pass->dit->config;
    return norm_heads(tape, q, step->weights->cross_q_norm, c->qk_eps, c->cross_heads, &out->q);
}

static lt_status train_attend_text(lt_tape *tape, const lt_dit_step *step, const lt_dit_cross *in,
                                   lt_var **out) {
    const int64_t *n = in->q->value.shape;
    lt_var *o;
    LT_TRY(lt_ag_cross_attention(tape, in->q, in->q_scale, in->k, in->v, step->pass->in.mask, &o));
    return LT_AG_RESHAPE(tape, o, out, n[0], n[1], n[2] * n[3]);
}

static lt_status train_mix_frames(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    lt_var *x;
    LT_TRY(lt_dit_expand(tape, step, h, &x));
    lt_dit_begin(tape, step, LT_DIT_PROJECT);
    return lt_linear_apply(tape, &step->weights->project, x, out);
}

/* A recorded forward reads its own tails (lt_ag_tail), so that gradients reach them; the cache's stay as they are. */
static lt_status train_commit_tail(lt_tape *tape, const lt_dit_step *step, const lt_var *h) {
    (void)tape, (void)step, (void)h;
    return LT_OK;
}

const lt_dit_executor lt_dit_train = {.begin = train_begin,
                                      .stream = train_stream,
                                      .enter = train_enter,
                                      .leave = train_leave,
                                      .norm_qk = train_norm_qk,
                                      .norm_text_k = train_norm_text_k,
                                      .norm_cross_q = train_norm_cross_q,
                                      .attend_text = train_attend_text,
                                      .mix_frames = train_mix_frames,
                                      .commit_tail = train_commit_tail};
