/* The heads of learned importance, on the tape and, for decisions, on the host. */
#include "model/cache/scorer.h"

#include "model/cache/feature.h"
#include "model/cache/host_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the heads are told, by name ------------------------------------------------------------------------ */

static const char *const keep_names[LT_KEEP_INPUTS] = {
#define LT_FEATURE(ID, name, source, scale) [LT_FEATURE_##ID] = #name,
#include "model/cache/feature/features.def"
#undef LT_FEATURE
    [LT_KEEP_ENTRIES] = "entries", [LT_KEEP_PLAIN_NOVELTY] = "plain_novelty"};

static const lt_inputs keep_inputs = {
    .key = "scorer.keep.inputs",
    .count = LT_KEEP_INPUTS,
    .names = keep_names,
    .unnamed = "age,order,merges,tokens,z_norm,s_norm,read_mass,novelty,recency,motion,entries,plain_novelty",
};

#define READ_NAMES "cosine,entry_norm,reader_norm,age,merges,time,entries,share"
static const char *const read_names[LT_READ_INPUTS] = {"cosine", "entry_norm", "reader_norm", "age",
                                                       "merges", "time",       "entries",     "share"};
static const lt_inputs read_inputs[2] = {
    {"scorer.read_age.inputs", LT_READ_INPUTS, read_names, READ_NAMES},
    {"scorer.read_content.inputs", LT_READ_INPUTS, read_names, READ_NAMES}};

/* ---- parameters ---------------------------------------------------------------------------------------------- */

static lt_status declare_head(lt_scorer_head *head, const char *name, int rows, const lt_inputs *inputs,
                              lt_params *params) {
    const struct {
        lt_var **var;
        const char *name;
        bool decay;
        lt_init init;
        int ndim;
        int64_t shape[2];
    } parts[] = {
        {&head->embed, "embed", false, LT_INIT_ZERO, 2, {rows, LT_SCORER_HIDDEN}},
        {&head->w1, "w1", true, LT_INIT_FAN_IN, 2, {LT_SCORER_HIDDEN, inputs->count}},
        {&head->b1, "b1", false, LT_INIT_ZERO, 1, {LT_SCORER_HIDDEN}},
        {&head->w2, "w2", true, LT_INIT_ZERO, 2, {1, LT_SCORER_HIDDEN}},
        {&head->b2, "b2", false, LT_INIT_ZERO, 1, {1}},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        lt_param *param = lt_params_add(params, parts[i].decay, parts[i].ndim, parts[i].shape);
        if (!param) return LT_FAILED;
        *parts[i].var = &param->var;
        LT_TRY(lt_params_publish(params, parts[i].init, 1, NULL, parts[i].ndim, parts[i].shape,
                                 "scorer.%s.%s", name, parts[i].name));
        if (parts[i].var == &head->w1) lt_params_name_inputs(params, inputs);
    }
    return LT_OK;
}

/* Where each part of the keep head starts in lt_scorer.host. */
enum { H = LT_SCORER_HIDDEN, W1 = 0, B1 = W1 + H * LT_KEEP_INPUTS, W2 = B1 + H, B2 = W2 + H, EMBED = B2 + 1 };

lt_status lt_scorer_declare(lt_scorer *scorer, int layers, int heads, lt_params *params) {
    LT_CHECK(layers > 0 && heads > 0, LT_USAGE,
             "scorer: %d layers of %d heads; expected at least one of each", layers, heads);
    *scorer = (lt_scorer){.layers = layers, .heads = heads, .missing = params->missing};
    params->optional = "scorer.";
    scorer->host = lt_pool_alloc(&params->pool, (EMBED + (size_t)layers * H) * sizeof *scorer->host);
    if (!scorer->host) return LT_FAILED;
    LT_TRY(declare_head(&scorer->read[0], "read_age", layers * heads, &read_inputs[0], params));
    LT_TRY(declare_head(&scorer->read[1], "read_content", layers * heads, &read_inputs[1], params));
    return declare_head(&scorer->keep, "keep", layers, &keep_inputs, params);
}

/* [rows, inputs] -> [rows, 1] */
static lt_status run_head(const lt_scorer_head *head, lt_tape *tape, lt_tensor inputs, lt_tensor ids,
                          lt_var **out) {
    lt_var *x, *hidden, *embed, *sum, *flat;
    int64_t rows = inputs.shape[0];
    LT_TRY(lt_tape_var(tape, inputs, false, &x));
    LT_TRY(lt_ag_linear(tape, x, head->w1, head->b1, &hidden));
    LT_TRY(lt_ag_embedding(tape, ids, head->embed, &embed));
    LT_TRY(LT_AG_RESHAPE(tape, embed, &embed, 1, rows, H));
    /* float32 like the head, where an op for residuals would give bf16 in bf16 */
    LT_TRY(lt_ag_add_broadcast(tape, hidden, embed, &sum));
    LT_TRY(LT_AG_RESHAPE(tape, sum, &flat, rows, H));
    LT_TRY(lt_ag_unary(tape, LT_SILU, flat, &hidden));
    return lt_ag_linear(tape, hidden, head->w2, head->b2, out);
}

lt_status lt_scorer_read(lt_scorer *scorer, lt_tape *tape, lt_read_weight mode, lt_tensor inputs,
                         lt_tensor ids, lt_var **out) {
    LT_CHECK(mode == LT_READ_AGE || mode == LT_READ_CONTENT, LT_FAILED, "scorer: read=one has no head");
    lt_var *logit;
    LT_TRY(run_head(&scorer->read[mode - LT_READ_AGE], tape, inputs, ids, &logit));
    return lt_ag_unary(tape, LT_SIGMOID2, logit, out);
}

lt_status lt_scorer_keep(lt_scorer *scorer, lt_tape *tape, lt_tensor inputs, lt_tensor ids, lt_var **out) {
    return run_head(&scorer->keep, tape, inputs, ids, out);
}

lt_status lt_scorer_check(const lt_scorer *scorer, const char *what) {
    LT_CHECK(scorer, LT_USAGE, "%s: this model has no scorer; train one (train.stage=scorer)", what);
    LT_CHECK(!scorer->missing || !*scorer->missing, LT_INPUT,
             "%s: the scorer could not be loaded: %s; train one (train.stage=scorer)", what, scorer->missing);
    return LT_OK;
}

void lt_keep_inputs(int entries, const float (*features)[LT_FEATURE_COUNT], float (*out)[LT_KEEP_INPUTS]) {
    for (int f = 0; f < LT_FEATURE_COUNT; f++) {
        double mean = 0, square = 0;
        for (int i = 0; i < entries; i++) {
            out[i][f] = lt_feature_rows[f].scale == LT_LOG ? log1pf(features[i][f]) : features[i][f];
            mean += (double)out[i][f] / entries;
        }
        for (int i = 0; i < entries; i++) square += (out[i][f] - mean) * (out[i][f] - mean) / entries;
        /* Rounding alone must not count as a spread. */
        double deviation = sqrt(square), scale = deviation > 1e-6 * fabs(mean) ? 1 / deviation : 0;
        for (int i = 0; i < entries; i++) out[i][f] = (float)((out[i][f] - mean) * scale);
    }
    for (int i = 0; i < entries; i++) {
        out[i][LT_KEEP_ENTRIES] = logf((float)entries);
        out[i][LT_KEEP_PLAIN_NOVELTY] = features[i][LT_FEATURE_NOVELTY];
    }
}

lt_status lt_scorer_refresh(lt_scorer *scorer, lt_ctx *ctx) {
    const struct {
        const lt_var *var;
        int at;
    } parts[] = {{scorer->keep.w1, W1},
                 {scorer->keep.b1, B1},
                 {scorer->keep.w2, W2},
                 {scorer->keep.b2, B2},
                 {scorer->keep.embed, EMBED}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int64_t count = lt_numel(&parts[i].var->value);
        double *values = malloc((size_t)count * sizeof *values);
        LT_CHECK(values, LT_FAILED, "scorer: out of memory");
        lt_status status = lt_host_read(ctx, &parts[i].var->value, values);
        for (int64_t j = 0; status == LT_OK && j < count; j++)
            scorer->host[parts[i].at + j] = (float)values[j];
        free(values);
        LT_TRY(status);
    }
    return LT_OK;
}

static float keep_score(const float *head, const float *embed, const float *x) {
    float score = head[B2];
    for (int h = 0; h < H; h++) {
        float sum = head[B1 + h] + embed[h];
        for (int i = 0; i < LT_KEEP_INPUTS; i++) sum += head[W1 + h * LT_KEEP_INPUTS + i] * x[i];
        score += head[W2 + h] * sum / (1 + expf(-sum));
    }
    return score;
}

lt_status lt_scorer_keep_host(const lt_scorer *scorer, int layer, int entries,
                              const float (*features)[LT_FEATURE_COUNT], float *score) {
    LT_CHECK(layer >= 0 && layer < scorer->layers, LT_FAILED, "scorer: layer %d of %d", layer,
             scorer->layers);
    float(*inputs)[LT_KEEP_INPUTS] = malloc((size_t)entries * sizeof *inputs);
    LT_CHECK(inputs || entries == 0, LT_FAILED, "scorer: out of memory for %d entries", entries);
    lt_keep_inputs(entries, features, inputs);
    for (int i = 0; i < entries; i++)
        score[i] = keep_score(scorer->host, scorer->host + EMBED + (size_t)layer * H, inputs[i]);
    free(inputs);
    return LT_OK;
}
