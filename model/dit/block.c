/* One transformer block in mathematical order: three branches, each x + gate * f(norm(x)). */
#include "model/dit/dit_impl.h"

const char *const lt_dit_value_names[LT_DIT_VALUES] = {
    "norm_attn", "qkv",       "qk",       "attn",   "attn_out", "attn_sum", "cross_q", "cross_q_norm",
    "cross",     "cross_sum", "norm_ffn", "expand", "glu",      "project",  "temporal"};

void lt_dit_begin(lt_tape *tape, const lt_dit_step *step, lt_dit_value value) {
    bool kept = step->layer < step->pass->keep.layers[value];
    lt_tape_value(tape, (int)value, kept ? LT_VALUE_KEPT : LT_VALUE_AGAIN);
}

void lt_dit_small(lt_tape *tape) { lt_tape_value(tape, 0, LT_VALUE_KEPT); }

lt_status lt_dit_modulation(lt_tape *tape, const lt_dit_pass *p, int layer, lt_var **mod) {
    lt_var *table;
    LT_TRY(lt_ag_add_broadcast(tape, p->dit->layers[layer].table, p->modulation, &table));
    return lt_tape_unstack(tape, table, 1, mod);
}

/* ---- the branches ------------------------------------------------------------------------------------------------ */

static lt_status attention_branch(lt_tape *tape, void *user) {
    lt_dit_step *step = user;
    const lt_dit_executor *run = step->pass->run;
    lt_var *h, *o;
    LT_TRY(run->enter(tape, step, LT_DIT_BRANCH_ATTN, &h));
    LT_TRY(lt_dit_attention(tape, step, h, &o));
    LT_TRY(run->leave(tape, step, LT_DIT_BRANCH_ATTN, &step->weights->out, o));
    lt_dit_report(step->pass, "attn", step->layer, step->x[LT_DIT_BRANCH_ATTN + 1]);
    return LT_OK;
}

/* Keys and values of the text, once per layer: k normalised, v a view of the projection. */
static lt_status text_keys_and_values(lt_tape *tape, const lt_dit_step *step, lt_dit_cross *out) {
    const lt_dit_config *c = &step->pass->dit->config;
    int64_t X = (int64_t)c->cross_heads * c->cross_head_dim;
    lt_var *kv, *parts[2];
    LT_TRY(lt_linear_apply(tape, &step->weights->cross_kv, step->pass->text, &kv));
    lt_tensor views[2] = {lt_slice(kv->value, 2, 0, X),
                          lt_split(lt_slice(kv->value, 2, X, X), 2, c->cross_heads, c->cross_head_dim)};
    LT_TRY(lt_tape_views(tape, kv, 2, views, parts));
    out->v = parts[1];
    return step->pass->run->norm_text_k(tape, step, parts[0], out);
}

static lt_status cross_branch(lt_tape *tape, void *user) {
    lt_dit_step *step = user;
    const lt_dit_executor *run = step->pass->run;
    lt_var *h, *q, *o;
    lt_dit_cross cross = {0};
    LT_TRY(text_keys_and_values(tape, step, &cross));
    LT_TRY(run->enter(tape, step, LT_DIT_BRANCH_CROSS, &h));
    lt_dit_begin(tape, step, LT_DIT_CROSS_Q);
    LT_TRY(lt_linear_apply(tape, &step->weights->cross_q, h, &q));
    lt_dit_begin(tape, step, LT_DIT_CROSS_Q_NORM);
    LT_TRY(run->norm_cross_q(tape, step, q, &cross));
    lt_dit_begin(tape, step, LT_DIT_CROSS);
    LT_TRY(run->attend_text(tape, step, &cross, &o));
    LT_TRY(run->leave(tape, step, LT_DIT_BRANCH_CROSS, &step->weights->cross_out, o));
    lt_dit_report(step->pass, "cross", step->layer, step->x[LT_DIT_BRANCH_CROSS + 1]);
    return LT_OK;
}

static lt_status ffn_branch(lt_tape *tape, void *user) {
    lt_dit_step *step = user;
    const lt_dit_executor *run = step->pass->run;
    lt_var *h, *o;
    LT_TRY(run->enter(tape, step, LT_DIT_BRANCH_FFN, &h));
    LT_TRY(lt_dit_ffn(tape, step, h, &o));
    LT_TRY(run->leave(tape, step, LT_DIT_BRANCH_FFN, NULL, o));
    lt_dit_report(step->pass, "ffn", step->layer, step->x[LT_DIT_BRANCH_FFN + 1]);
    return LT_OK;
}

/* ---- the block --------------------------------------------------------------------------------------------------- */

/* A branch is a segment of its own: its gradients give way to those of the next. `modulation`: any of its vectors. */
static lt_status run_branch(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch, lt_var *modulation) {
    static const lt_segment_fn run[] = {attention_branch, cross_branch, ffn_branch};
    step->branch_inputs[branch][0] = step->x[branch];
    step->branch_inputs[branch][1] = modulation;
    lt_segment segment = {.run = run[branch],
                          .user = step,
                          .input_count = 2,
                          .inputs = step->branch_inputs[branch],
                          .output_count = 1,
                          .outputs = &step->x[branch + 1],
                          .carried = 0};
    return lt_tape_segment(tape, &segment);
}

/* Where the stream goes after a branch, as `value`; after the last one that is given. */
static lt_status place_sum(lt_tape *tape, lt_dit_step *step, lt_dit_branch branch, lt_dit_value value) {
    lt_dit_begin(tape, step, value);
    LT_TRY(step->pass->run->stream(tape, step->x[0], &step->x[branch + 1]));
    lt_dit_small(tape);
    return LT_OK;
}

lt_status lt_dit_layer_run(lt_tape *tape, void *user) {
    lt_dit_step *step = user;
    LT_TRY(lt_dit_modulation(tape, step->pass, step->layer, step->mod));
    LT_TRY(place_sum(tape, step, LT_DIT_BRANCH_ATTN, LT_DIT_ATTN_SUM));
    LT_TRY(run_branch(tape, step, LT_DIT_BRANCH_ATTN, step->mod[LT_DIT_SHIFT_ATTN]));
    LT_TRY(place_sum(tape, step, LT_DIT_BRANCH_CROSS, LT_DIT_CROSS_SUM));
    LT_TRY(run_branch(tape, step, LT_DIT_BRANCH_CROSS, step->pass->text));
    return run_branch(tape, step, LT_DIT_BRANCH_FFN, step->mod[LT_DIT_SHIFT_FFN]);
}
