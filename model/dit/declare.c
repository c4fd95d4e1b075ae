/* The transformer's parameters under their published names. */
#include "model/dit/dit.h"

#include <math.h>
#include <stdio.h>

/* Storage permutations of published kernels: channels last, taps first. */
static const int depthwise_axes[] = {2, 3, 0, 1}; /* [2R, 1, 3, 3] -> [3, 3, 2R, 1] */
static const int temporal_axes[] = {2, 0, 1, 3};  /* [C, C, 3, 1] -> [3, C, C, 1] */
static const int patch_axes[] = {0, 2, 3, 4, 1};  /* [C, Cin, pt, ph, pw] -> [C, pt, ph, pw, Cin] */

static lt_status check(const lt_dit_config *c) {
    LT_CHECK(c->layers > 0 && c->heads > 0 && c->in_channels > 0 && c->caption_channels > 0, LT_USAGE,
             "model: layers, heads, in_channels and caption_channels must be positive");
    LT_CHECK(c->head_dim >= 8 && c->head_dim % 2 == 0, LT_USAGE,
             "model.head_dim is %d, expected an even number of at least 8 (channels rotate in pairs)",
             c->head_dim);
    LT_CHECK(c->cross_heads > 0 && c->cross_head_dim > 0, LT_USAGE, "model: cross-attention needs heads");
    LT_CHECK(c->ffn_ratio * lt_dit_width(c) >= 1, LT_USAGE,
             "model.ffn_ratio is %g: no hidden channel is left", c->ffn_ratio);
    for (int i = 0; i < 3; i++)
        LT_CHECK(c->patch[i] > 0, LT_USAGE, "model.patch[%d] is %d, expected at least 1", i, c->patch[i]);
    LT_CHECK(c->block_frames > 0 && c->block_frames % c->patch[0] == 0, LT_USAGE,
             "model.block_frames is %d, expected a positive multiple of the temporal patch %d",
             c->block_frames, c->patch[0]);
    return LT_OK;
}

/* One vector or table. */
static lt_status declare_vector(lt_params *params, lt_var **out, lt_init init, double scale, int64_t size,
                                const char *name) {
    lt_param *p = LT_PARAM(params, false, size);
    if (!p) return LT_FAILED;
    *out = &p->var;
    return lt_params_publish(params, init, scale, NULL, LT_DIMS(size), "%s", name);
}

static lt_status declare_table(lt_params *params, lt_var **out, int64_t rows, int64_t width,
                               const char *name) {
    lt_param *p = LT_PARAM(params, false, rows, width);
    if (!p) return LT_FAILED;
    *out = &p->var;
    return lt_params_publish(params, LT_INIT_NORMAL, 1 / sqrt((double)width), NULL, LT_DIMS(rows, width),
                             "%s", name);
}

/* `parts` published matrices of the same shape stacked into one, and with `bias` their biases. */
static lt_status declare_linear(lt_params *params, lt_linear_layer *layer, bool bias, double scale,
                                int64_t outputs, int64_t inputs, int parts, const char *const *names) {
    char name[LT_PARAM_NAME];
    lt_param *p = LT_PARAM(params, true, parts * outputs, inputs);
    if (!p) return LT_FAILED;
    layer->w = &p->var;
    lt_init init = scale == 0 ? LT_INIT_ZERO : LT_INIT_FAN_IN;
    for (int i = 0; i < parts; i++)
        LT_TRY(lt_params_publish(params, init, scale, NULL, LT_DIMS(outputs, inputs), "%s.weight", names[i]));
    if (!bias) return LT_OK;
    p = LT_PARAM(params, false, parts * outputs);
    if (!p) return LT_FAILED;
    layer->b = &p->var;
    for (int i = 0; i < parts; i++) {
        snprintf(name, sizeof name, "%s.bias", names[i]);
        LT_TRY(lt_params_publish(params, LT_INIT_ZERO, 0, NULL, LT_DIMS(outputs), "%s", name));
    }
    return LT_OK;
}

/* Names relative to one transformer block: "transformer_blocks.3.attn1.to_q". */
typedef struct block_names {
    char text[3][LT_PARAM_NAME];
    const char *list[3];
} block_names;

static const char *const *in_block(block_names *names, int layer, const char *a, const char *b,
                                   const char *c) {
    const char *parts[] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        names->list[i] = names->text[i];
        if (parts[i]) snprintf(names->text[i], LT_PARAM_NAME, "transformer_blocks.%d.%s", layer, parts[i]);
    }
    return names->list;
}

static lt_status declare_attention(lt_params *params, const lt_dit_config *c, lt_dit_layer *l, int i) {
    block_names n;
    int64_t C = lt_dit_width(c);
    LT_TRY(declare_linear(params, &l->qkv, false, 1, C, C, 3,
                          in_block(&n, i, "attn1.to_q", "attn1.to_k", "attn1.to_v")));
    LT_TRY(
        declare_vector(params, &l->q_norm, LT_INIT_ONE, 0, C, *in_block(&n, i, "attn1.norm_q.weight", 0, 0)));
    LT_TRY(
        declare_vector(params, &l->k_norm, LT_INIT_ONE, 0, C, *in_block(&n, i, "attn1.norm_k.weight", 0, 0)));
    return declare_linear(params, &l->out, true, 1, C, C, 1, in_block(&n, i, "attn1.to_out.0", 0, 0));
}

static lt_status declare_cross(lt_params *params, const lt_dit_config *c, lt_dit_layer *l, int i) {
    block_names n;
    int64_t C = lt_dit_width(c), X = (int64_t)c->cross_heads * c->cross_head_dim;
    LT_TRY(declare_linear(params, &l->cross_q, true, 1, X, C, 1, in_block(&n, i, "attn2.to_q", 0, 0)));
    LT_TRY(declare_linear(params, &l->cross_kv, true, 1, X, C, 2,
                          in_block(&n, i, "attn2.to_k", "attn2.to_v", 0)));
    LT_TRY(declare_vector(params, &l->cross_q_norm, LT_INIT_ONE, 0, X,
                          *in_block(&n, i, "attn2.norm_q.weight", 0, 0)));
    LT_TRY(declare_vector(params, &l->cross_k_norm, LT_INIT_ONE, 0, X,
                          *in_block(&n, i, "attn2.norm_k.weight", 0, 0)));
    return declare_linear(params, &l->cross_out, true, 0, C, X, 1, in_block(&n, i, "attn2.to_out.0", 0, 0));
}

/* A published convolution kernel stored under a permutation. */
static lt_status declare_kernel(lt_params *params, lt_var **out, lt_init init, double scale, lt_param *stored,
                                const int *axes, int ndim, const int64_t *shape, const char *name) {
    if (!stored) return LT_FAILED;
    *out = &stored->var;
    return lt_params_publish(params, init, scale, axes, ndim, shape, "%s", name);
}

static lt_status declare_ffn(lt_params *params, const lt_dit_config *c, lt_dit_layer *l, int i) {
    block_names n;
    int64_t C = lt_dit_width(c), R = (int64_t)(c->ffn_ratio * (double)C);
    LT_TRY(declare_kernel(params, &l->expand.w, LT_INIT_FAN_IN, 1, LT_PARAM(params, true, 2 * R, C), NULL,
                          LT_DIMS(2 * R, C, 1, 1), *in_block(&n, i, "ff.conv_inverted.weight", 0, 0)));
    LT_TRY(declare_vector(params, &l->expand.b, LT_INIT_ZERO, 0, 2 * R,
                          *in_block(&n, i, "ff.conv_inverted.bias", 0, 0)));
    LT_TRY(declare_kernel(params, &l->depth_w, LT_INIT_FAN_IN, 1, LT_PARAM(params, true, 3, 3, 2 * R),
                          depthwise_axes, LT_DIMS(2 * R, 1, 3, 3),
                          *in_block(&n, i, "ff.conv_depth.weight", 0, 0)));
    LT_TRY(declare_vector(params, &l->depth_b, LT_INIT_ZERO, 0, 2 * R,
                          *in_block(&n, i, "ff.conv_depth.bias", 0, 0)));
    LT_TRY(declare_kernel(params, &l->project.w, LT_INIT_FAN_IN, 1, LT_PARAM(params, true, C, R), NULL,
                          LT_DIMS(C, R, 1, 1), *in_block(&n, i, "ff.conv_point.weight", 0, 0)));
    return declare_kernel(params, &l->temporal_w, LT_INIT_ZERO, 0, LT_PARAM(params, true, 3, C, C),
                          temporal_axes, LT_DIMS(C, C, 3, 1), *in_block(&n, i, "ff.conv_temp.weight", 0, 0));
}

static lt_status declare_layer(lt_params *params, const lt_dit_config *c, lt_dit_layer *l, int i) {
    block_names n;
    LT_TRY(declare_table(params, &l->table, 6, lt_dit_width(c), *in_block(&n, i, "scale_shift_table", 0, 0)));
    LT_TRY(declare_attention(params, c, l, i));
    LT_TRY(declare_cross(params, c, l, i));
    return declare_ffn(params, c, l, i);
}

static lt_status declare_embeddings(lt_dit *d, lt_params *params) {
    const lt_dit_config *c = &d->config;
    int64_t C = lt_dit_width(c), P = (int64_t)c->patch[0] * c->patch[1] * c->patch[2];
    LT_TRY(declare_kernel(
        params, &d->patch.w, LT_INIT_FAN_IN, 1, LT_PARAM(params, true, C, P * c->in_channels), patch_axes,
        LT_DIMS(C, c->in_channels, c->patch[0], c->patch[1], c->patch[2]), "patch_embedding.weight"));
    LT_TRY(declare_vector(params, &d->patch.b, LT_INIT_ZERO, 0, C, "patch_embedding.bias"));
    const char *name = "time_embed.emb.timestep_embedder.linear_1";
    LT_TRY(declare_linear(params, &d->time1, true, 1, C, 256, 1, &name));
    name = "time_embed.emb.timestep_embedder.linear_2";
    LT_TRY(declare_linear(params, &d->time2, true, 1, C, C, 1, &name));
    name = "time_embed.linear";
    LT_TRY(declare_linear(params, &d->time, true, 1, 6 * C, C, 1, &name));
    name = "caption_projection.linear_1";
    LT_TRY(declare_linear(params, &d->text1, true, 1, C, c->caption_channels, 1, &name));
    name = "caption_projection.linear_2";
    LT_TRY(declare_linear(params, &d->text2, true, 1, C, C, 1, &name));
    return declare_vector(params, &d->text_norm, LT_INIT_ONE, 0, C, "caption_norm.weight");
}

/* A var of the transformer is the first member of its parameter. */
static void as_matrix(lt_var *w) { ((lt_param *)w)->matrix = true; }

/* Of those, what may be FP8 (e4m3): GEMMs over all tokens, in which nearly all of a forward's arithmetic is, and whose
 * sizes tensor cores take (multiples of 16). Embeddings, the text's keys and values and the last projection are little
 * work. GEMMs narrower than 512 are bound by memory and gain nothing, and lose accuracy: the shipped tiny model would
 * be 6.6 % off. */
static void mark_narrow(const lt_dit_layer *l) {
    enum { LEAST = 512 };
    lt_var *all[] = {l->qkv.w,    l->out.w,     l->cross_q.w, l->cross_out.w,
                     l->expand.w, l->project.w, l->temporal_w};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        lt_param *p = (lt_param *)all[k];
        int64_t in = p->shape[p->ndim - 1], out = p->shape[p->ndim - 2];
        p->narrow = in % 16 == 0 && out % 16 == 0 && in >= LEAST && out >= LEAST;
    }
}

/* The matrices that tokens are multiplied with: they have the dtype of activations. The embeddings of time and text are
 * small and stay sums. */
static void mark_matrices(lt_dit *d) {
    as_matrix(d->patch.w);
    as_matrix(d->out.w);
    for (int i = 0; i < d->config.layers; i++) {
        lt_dit_layer *l = &d->layers[i];
        lt_var *all[] = {l->qkv.w,       l->out.w,    l->cross_q.w, l->cross_kv.w,
                         l->cross_out.w, l->expand.w, l->project.w, l->temporal_w};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) as_matrix(all[k]);
        mark_narrow(l);
    }
}

lt_status lt_dit_declare(lt_dit *d, const lt_dit_config *config, lt_params *params) {
    LT_TRY(check(config));
    *d = (lt_dit){.config = *config, .wide_bytes = LT_DIT_WIDE_BYTES};
    d->layers = lt_pool_alloc(&params->pool, config->layers * sizeof *d->layers);
    if (!d->layers) return LT_FAILED;
    LT_TRY(declare_embeddings(d, params));
    for (int i = 0; i < config->layers; i++) LT_TRY(declare_layer(params, config, &d->layers[i], i));
    int64_t C = lt_dit_width(config), P = (int64_t)config->patch[0] * config->patch[1] * config->patch[2];
    LT_TRY(declare_table(params, &d->final_table, 2, C, "scale_shift_table"));
    const char *name = "proj_out";
    LT_TRY(declare_linear(params, &d->out, true, 0, P * config->in_channels, C, 1, &name));
    mark_matrices(d);
    return LT_OK;
}
