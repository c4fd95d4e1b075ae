/* The forward pass from latents to velocity: embeddings, one segment per transformer block, projection. */
#include "model/dit/dit_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void lt_dit_report(const lt_dit_pass *pass, const char *what, int layer, const lt_var *value) {
    char name[64];
    if (!pass->in.probe) return;
    if (layer < 0) snprintf(name, sizeof name, "%s", what);
    else snprintf(name, sizeof name, "%d.%s", layer, what);
    pass->in.probe(name, &value->value, pass->in.probe_user);
}

static lt_status check_input(const lt_dit *dit, const lt_dit_input *in) {
    const lt_dit_config *c = &dit->config;
    const int64_t *n = in->latent->value.shape;
    LT_CHECK(in->batch > 0 && in->streams > 0 && in->blocks > 0, LT_FAILED, "dit: an empty batch");
    LT_CHECK(in->latent->value.ndim == 5 && n[0] == (int64_t)in->batch * in->streams * in->blocks &&
                 n[4] == c->in_channels,
             LT_FAILED, "dit: the latent has %lld groups of %lld channels, expected %d and %d",
             (long long)n[0], (long long)n[4], in->batch * in->streams * in->blocks, c->in_channels);
    LT_CHECK(in->commit_stream < in->streams, LT_FAILED, "dit: stream %d of %d commits", in->commit_stream,
             in->streams);
    for (int i = 0; i < 3; i++)
        LT_CHECK(n[1 + i] > 0 && n[1 + i] % c->patch[i] == 0, LT_USAGE,
                 "the latent's size %lld x %lld x %lld (frames, height, width) is not a multiple of the "
                 "patch %d x %d x %d",
                 (long long)n[1], (long long)n[2], (long long)n[3], c->patch[0], c->patch[1], c->patch[2]);
    LT_CHECK(in->blocks == 1 || n[1] == c->block_frames, LT_FAILED, "dit: blocks of %lld frames, expected %d",
             (long long)n[1], c->block_frames);
    return LT_OK;
}

/* What all layers share; it lives as long as the tape's step because the backward pass may come back to it. */
static lt_status open_forward(const lt_dit *dit, lt_tape *tape, const lt_dit_input *in, lt_dit_pass **out) {
    const lt_dit_config *c = &dit->config;
    const int64_t *n = in->latent->value.shape;
    lt_dit_pass *p = lt_tape_saved(tape, sizeof *p);
    if (!p) return LT_FAILED;
    *p = (lt_dit_pass){.dit = dit,
                       .run = lt_tape_is_no_grad(tape) ? &lt_dit_infer : &lt_dit_train,
                       .in = *in,
                       .groups = (int)n[0],
                       .width = lt_dit_width(c)};
    for (int i = 0; i < 3; i++) p->grid[i] = n[1 + i] / c->patch[i];
    p->tokens = p->grid[0] * p->grid[1] * p->grid[2];
    int64_t *first = lt_tape_saved(tape, p->groups * sizeof *first);
    double *t = lt_tape_saved(tape, p->groups * sizeof *t);
    float *motion = lt_tape_saved(tape, in->blocks * in->batch * sizeof *motion);
    if (!first || !t || !motion) return LT_FAILED;
    for (int g = 0; g < p->groups; g++) {
        first[g] = in->first_frame ? in->first_frame[g / (in->streams * in->batch)] / c->patch[0] : 0;
        t[g] = in->t[g];
    }
    if (in->motion) memcpy(motion, in->motion, in->blocks * in->batch * sizeof *motion);
    p->in.first_frame = NULL; /* the caller's arrays may go; these stay */
    p->in.t = t;
    p->in.motion = motion;
    for (int i = 0; i < LT_DIT_VALUES; i++) p->keep.layers[i] = in->keep ? in->keep->layers[i] : c->layers;
    p->in.keep = NULL;
    p->rope = (lt_rope){(int)p->grid[0], (int)p->grid[1], (int)p->grid[2], c->rope_theta, first};
    *out = p;
    return LT_OK;
}

/* Sinusoids of the times: cosines then sines of t * scale * 10000^(-i / 128), in float32 as published. */
static lt_status time_features(lt_tape *tape, const lt_dit_pass *p, lt_var **out) {
    enum { HALF = 128 };
    LT_TRY(lt_tape_new(tape, lt_ctx_sum_dtype(tape->ctx), false, out, LT_DIMS(p->groups, 2 * HALF)));
    bool wide = (*out)->value.dtype == LT_F64;
    char *host = lt_tape_saved(tape, lt_nbytes(&(*out)->value));
    if (!host) return LT_FAILED;
    for (int g = 0; g < p->groups; g++)
        for (int i = 0; i < HALF; i++) {
            float frequency = expf((float)(-log(10000.0)) * (float)i / HALF);
            float angle = (float)(p->in.t[g] * p->dit->config.time_scale) * frequency;
            double values[2] = {cosf(angle), sinf(angle)};
            for (int half = 0; half < 2; half++) {
                int64_t at = (int64_t)g * 2 * HALF + half * HALF + i;
                if (wide) ((double *)host)[at] = values[half];
                else ((float *)host)[at] = (float)values[half];
            }
        }
    return lt_tensor_from_host(tape->ctx->device, tape->ctx->stream, &(*out)->value, host);
}

/* AdaLN-single: one embedding of t for all layers, each adds its own table. */
static lt_status embed_time(lt_tape *tape, lt_dit_pass *p) {
    const lt_dit *d = p->dit;
    lt_var *x, *y;
    LT_TRY(time_features(tape, p, &x));
    LT_TRY(lt_linear_apply(tape, &d->time1, x, &y));
    LT_TRY(lt_ag_unary(tape, LT_SILU, y, &x));
    LT_TRY(lt_linear_apply(tape, &d->time2, x, &y));
    LT_TRY(LT_AG_RESHAPE(tape, y, &p->time, p->groups, 1, p->width));
    LT_TRY(lt_ag_unary(tape, LT_SILU, y, &x));
    LT_TRY(lt_linear_apply(tape, &d->time, x, &y));
    lt_dit_report(p, "time", -1, y);
    return LT_AG_RESHAPE(tape, y, &p->modulation, p->groups, 6, p->width);
}

static lt_status embed_text(lt_tape *tape, lt_dit_pass *p) {
    const lt_dit *d = p->dit;
    lt_var *x, *y;
    LT_TRY(lt_linear_apply(tape, &d->text1, p->in.text, &x));
    LT_TRY(lt_ag_unary(tape, LT_GELU_TANH, x, &y));
    LT_TRY(lt_linear_apply(tape, &d->text2, y, &x));
    LT_TRY(lt_ag_rms_norm(tape, x, d->text_norm, 1e-5, &y));
    lt_dit_report(p, "text", -1, y);
    return lt_ag_cast(tape, y, lt_ctx_dtype(tape->ctx), &p->text);
}

static lt_status embed_patches(lt_tape *tape, const lt_dit_pass *p, lt_var **x) {
    lt_var *tokens;
    LT_TRY(lt_ag_patchify(tape, p->in.latent, p->dit->config.patch, &tokens));
    LT_TRY(lt_linear_apply(tape, &p->dit->patch, tokens, x));
    lt_dit_report(p, "patch", -1, *x);
    return LT_OK;
}

static lt_status run_layers(lt_tape *tape, lt_dit_pass *p, lt_var **x) {
    LT_TRY(p->run->begin(tape, p, &(*x)->value));
    for (int i = 0; i < p->dit->config.layers; i++) {
        lt_dit_step *step = lt_tape_saved(tape, sizeof *step);
        if (!step) return LT_FAILED;
        *step = (lt_dit_step){.pass = p, .weights = &p->dit->layers[i], .layer = i, .x[0] = *x};
        LT_TRY(p->run->stream(tape, *x, &step->x[LT_DIT_BRANCHES]));
        step->inputs[0] = *x;
        step->inputs[1] = p->modulation;
        step->inputs[2] = p->text;
        lt_segment segment = {.run = lt_dit_layer_run,
                              .user = step,
                              .input_count = 3,
                              .inputs = step->inputs,
                              .output_count = 1,
                              .outputs = &step->x[LT_DIT_BRANCHES],
                              .carried = 0};
        LT_TRY(lt_tape_mark(tape, i));
        LT_TRY(lt_tape_segment(tape, &segment));
        *x = step->x[LT_DIT_BRANCHES];
    }
    return LT_OK;
}

static lt_status project(lt_tape *tape, const lt_dit_pass *p, lt_var *x, lt_var **velocity) {
    const lt_dit *d = p->dit;
    lt_var *table, *shift_scale[2], *normed, *tokens;
    LT_TRY(lt_ag_add_broadcast(tape, d->final_table, p->time, &table));
    LT_TRY(lt_tape_unstack(tape, table, 1, shift_scale));
    LT_TRY(lt_ag_norm_modulate(tape, x, shift_scale[0], shift_scale[1], 1e-6, &normed));
    lt_dit_report(p, "final", -1, normed);
    LT_TRY(lt_linear_apply(tape, &d->out, normed, &tokens));
    LT_TRY(lt_ag_unpatchify(tape, tokens, d->config.patch, p->in.latent->value.shape + 1, velocity));
    lt_dit_report(p, "output", -1, *velocity);
    return LT_OK;
}

lt_status lt_dit_body(lt_tape *tape, lt_dit_pass *p, lt_var **velocity) {
    lt_cache *cache = p->in.cache;
    lt_var *x;
    LT_TRY(embed_patches(tape, p, &x));
    LT_TRY(run_layers(tape, p, &x));
    if (p->in.commit_stream >= 0 && cache) LT_TRY(lt_cache_forward_end(cache, tape, true));
    return velocity ? project(tape, p, x, velocity) : LT_OK;
}

lt_status lt_dit_forward(const lt_dit *dit, lt_tape *tape, const lt_dit_input *input, lt_var **velocity) {
    lt_dit_pass *p;
    LT_TRY(check_input(dit, input));
    LT_TRY(open_forward(dit, tape, input, &p));
    LT_TRY(embed_time(tape, p));
    LT_TRY(embed_text(tape, p));
    return input->replay ? lt_dit_replay_body(tape, p, velocity) : lt_dit_body(tape, p, velocity);
}
