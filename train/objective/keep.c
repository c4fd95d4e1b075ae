/* The keep head on eviction damage (train/objective/keep_loss.h), as an objective beside the primary. */
#include "core/rng.h"
#include "infer/cache_shape.h"
#include "train/objective/keep_loss.h"
#include "train/objective/objective.h"

#include <math.h>
#include <stdlib.h>

enum { FIGURES = sizeof(lt_keep_result) / sizeof(double) };
_Static_assert((int)FIGURES <= (int)LT_OBJECTIVE_FIGURES,
               "the figures of the keep head are a row of doubles");

typedef struct keep_state {
    lt_keep_loss *loss;
    bool path; /* reads at a random share of the weight */
    uint64_t seed;
    double *read_scale; /* [clips] */
    double sets;        /* of a step's batch: what the loss is a mean over */
} keep_state;

static bool keep_wanted(const lt_train_config *c) { return c->keep_target != LT_KEEP_NONE; }

static void keep_close(void *user) {
    keep_state *s = user;
    if (!s) return;
    lt_keep_loss_close(s->loss);
    free(s->read_scale);
    free(s);
}

static lt_status open_loss(const lt_train_config *c, const lt_model *model, int clips, lt_keep_loss **out) {
    int segments = lt_block_segments(model, c->mix[0].spec.granularity);
    int fill = c->blocks * segments, budget = c->max_budget < fill ? c->max_budget : fill;
    return lt_keep_loss_open(model->config.layers, model->config.heads, clips, c->blocks, segments, budget,
                             out);
}

static lt_status keep_prepare(const lt_train_config *c, const lt_model *model, int clips, void **out) {
    keep_state *s = calloc(1, sizeof *s);
    LT_CHECK(s, LT_FAILED, "out of memory for the keep head's objective");
    s->path = c->keep_path;
    s->seed = c->seed;
    s->sets = (double)lt_keep_loss_sets(model->config.layers, c->batch, c->blocks);
    s->read_scale = calloc((size_t)clips, sizeof *s->read_scale);
    lt_status status = s->read_scale ? open_loss(c, model, clips, &s->loss)
                                     : lt_fail(LT_FAILED, "out of memory for the keep head's objective");
    if (status == LT_OK) *out = s;
    else keep_close(s);
    return status;
}

static void keep_attach(void *user, lt_clip_pass *pass) {
    keep_state *s = user;
    pass->cache.ghosts = true;
    pass->cache.observer = lt_keep_loss_observer(s->loss);
}

/* Index 0 of this key draws the row of the mix. */
static void keep_edit(void *user, lt_clip_batch *batch) {
    keep_state *s = user;
    if (!s->path) return;
    for (int i = 0; i < batch->clips; i++) {
        lt_rng_key key = {.seed = s->seed, .purpose = LT_RNG_POLICY, .clip = batch->ids[i]};
        s->read_scale[i] = lt_rng_uniform(&key, 1);
    }
    batch->read_scale = s->read_scale;
}

static void keep_begin(void *user, const lt_clip_batch *batch) {
    keep_state *s = user;
    lt_keep_loss_begin(s->loss, batch->specs, batch->clips);
}

static lt_status keep_after(void *user, const lt_objective_pass *p, const lt_train_config *c,
                            double *figures) {
    keep_state *s = user;
    lt_keep_options options = {.target = c->keep_target,
                               .temperature =
                                   c->temperature * pow(c->temperature_end / c->temperature, p->progress),
                               .scale = c->keep_weight / (s->sets * c->accumulate)};
    return lt_keep_loss_run(s->loss, p->session, &options, (lt_keep_result *)figures);
}

static void keep_report(const double *figures, lt_figure_fn write, void *user) {
    const lt_keep_result *r = (const lt_keep_result *)figures;
    double sets = r->sets > 0 ? r->sets : 1, pairs = r->pairs > 0 ? r->pairs : 1;
    write(user, "keep_loss", r->loss);
    write(user, "keep_order", r->ordered / pairs);
    write(user, "keep_spread", r->spread / sets);
    write(user, "keep_churn", r->victims > 0 ? r->churned / r->victims : 0);
}

const lt_objective lt_objective_keep = {
    .name = "keep",
    .what = "the keep head: scores in the order of eviction damage",
    .wanted = keep_wanted,
    .prepare = keep_prepare,
    .close = keep_close,
    .attach = keep_attach,
    .edit = keep_edit,
    .begin = keep_begin,
    .after = keep_after,
    .figures = FIGURES,
    .report = keep_report,
};
