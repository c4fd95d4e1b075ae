#include "train/objective/keep_loss.h"

#include "infer/transfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The entries that were present at one commit of one layer and sequence. */
typedef struct keep_set {
    bool seen;
    int count, free; /* candidates; those that may be evicted come first */
    int budget;      /* how many of the free ones stay */
    int64_t *ids;
    float (*features)[LT_FEATURE_COUNT];
} keep_set;

struct lt_keep_loss {
    int layers, heads, max_clips, blocks, capacity;
    int64_t ids;            /* per layer and sequence */
    keep_set *sets;         /* [layers][max_clips][blocks] */
    double *damage;         /* [layers][max_clips][ids][blocks of the reader] */
    float *inputs;          /* [rows][LT_KEEP_INPUTS] */
    int32_t *layer_of;      /* [rows] */
    float *scores, *slopes; /* [rows] */
    lt_pool pool;
    const lt_cache_spec *specs;
    int clips;
    double victims, churned;
    lt_status status; /* of the callbacks, which cannot return one */
};

static int64_t set_count(const lt_keep_loss *k) { return (int64_t)k->layers * k->max_clips * k->blocks; }

static int64_t row_count(const lt_keep_loss *k) { return set_count(k) * k->capacity; }

static lt_status reserve(lt_keep_loss *k) {
    size_t rows = (size_t)row_count(k), sets = (size_t)set_count(k);
    k->sets = lt_pool_alloc(&k->pool, sets * sizeof *k->sets);
    k->damage = lt_pool_alloc(&k->pool, sets * (size_t)k->ids * sizeof *k->damage);
    k->inputs = lt_pool_alloc(&k->pool, rows * LT_KEEP_INPUTS * sizeof *k->inputs);
    k->layer_of = lt_pool_alloc(&k->pool, rows * sizeof *k->layer_of);
    k->scores = lt_pool_alloc(&k->pool, 2 * rows * sizeof *k->scores);
    int64_t *ids = lt_pool_alloc(&k->pool, rows * sizeof *ids);
    float(*features)[LT_FEATURE_COUNT] = lt_pool_alloc(&k->pool, rows * sizeof *features);
    if (!k->sets || !k->damage || !k->inputs || !k->layer_of || !k->scores || !ids || !features)
        return LT_FAILED;
    k->slopes = k->scores + rows;
    for (size_t i = 0; i < sets; i++) {
        k->sets[i].ids = ids + i * (size_t)k->capacity;
        k->sets[i].features = features + i * (size_t)k->capacity;
    }
    return LT_OK;
}

lt_status lt_keep_loss_open(int layers, int heads, int clips, int blocks, int segments, int budget,
                            lt_keep_loss **out) {
    *out = NULL;
    lt_keep_loss *k = calloc(1, sizeof *k);
    LT_CHECK(k, LT_FAILED, "out of memory for the keep loss");
    *k = (lt_keep_loss){.layers = layers,
                        .heads = heads,
                        .max_clips = clips,
                        .blocks = blocks,
                        .capacity = budget + segments,
                        .ids = (int64_t)blocks * segments};
    if (k->capacity > k->ids) k->capacity = (int)k->ids;
    lt_status status = reserve(k);
    if (status == LT_OK) *out = k;
    else lt_keep_loss_close(k);
    return status;
}

void lt_keep_loss_close(lt_keep_loss *keep) {
    if (!keep) return;
    lt_pool_free(&keep->pool);
    free(keep);
}

void lt_keep_loss_begin(lt_keep_loss *k, const lt_cache_spec *specs, int clips) {
    k->specs = specs;
    k->clips = clips;
    k->status = LT_OK;
    k->victims = k->churned = 0;
    for (int64_t i = 0; i < set_count(k); i++) k->sets[i].seen = false;
    memset(k->damage, 0, (size_t)(set_count(k) * k->ids) * sizeof *k->damage);
}

/* ---- observing --------------------------------------------------------------------------------------------------- */

static keep_set *set_of(lt_keep_loss *k, int layer, int sequence, int64_t block) {
    return &k->sets[((int64_t)layer * k->max_clips + sequence) * k->blocks + block];
}

static double *damage_of(lt_keep_loss *k, int layer, int sequence, int64_t id) {
    return k->damage + (((int64_t)layer * k->max_clips + sequence) * k->ids + id) * k->blocks;
}

static bool out_of_range(lt_keep_loss *k, int layer, int sequence, int64_t block) {
    if (layer < k->layers && sequence < k->clips && block >= 0 && block < k->blocks) return false;
    k->status = lt_fail(LT_FAILED, "keep loss: layer %d, clip %d, block %lld is outside the pass", layer,
                        sequence, (long long)block);
    return true;
}

/* How many of the victims are not the oldest ones, which window would have taken. */
static void count_churn(lt_keep_loss *k, const lt_commit_event *e, const keep_set *set) {
    if (!(k->specs[e->sequence].policy->needs & LT_NEED_SCORER)) return;
    for (int v = 0; v < e->victims; v++) {
        bool oldest = false;
        for (int i = 0; i < e->victims && i < set->count; i++) oldest |= set->ids[i] == e->victim_ids[v];
        k->churned += !oldest;
    }
    k->victims += e->victims;
}

static void on_commit(const lt_commit_event *e, void *user) {
    lt_keep_loss *k = user;
    if (out_of_range(k, e->layer, e->sequence, e->block)) return;
    keep_set *set = set_of(k, e->layer, e->sequence, e->block);
    const lt_cache_spec *spec = &k->specs[e->sequence];
    set->seen = true;
    set->count = 0;
    for (int i = 0; i < e->count; i++) {
        const lt_entry *entry = &e->present[i];
        if (entry->ghost || set->count == k->capacity || entry->id >= k->ids) continue;
        set->ids[set->count] = entry->id;
        memcpy(set->features[set->count++], entry->features, sizeof entry->features);
    }
    int protect = spec->protect < spec->budget ? spec->protect : spec->budget;
    set->free = set->count > protect ? set->count - protect : 0;
    set->budget = spec->budget - protect;
    count_churn(k, e, set);
}

static void on_gradient(const lt_read_event *e, void *user) {
    lt_keep_loss *k = user;
    if (k->status != LT_OK || out_of_range(k, e->layer, e->sequence, e->block)) return;
    for (int i = 0; i < e->count; i++) {
        double sum = 0;
        for (int h = i * k->heads; h < (i + 1) * k->heads; h++) sum += e->gradient[h];
        if (e->present[i].id < k->ids) damage_of(k, e->layer, e->sequence, e->present[i].id)[e->block] -= sum;
    }
}

lt_cache_observer lt_keep_loss_observer(lt_keep_loss *keep) {
    return (lt_cache_observer){.on_commit = on_commit, .on_gradient = on_gradient, .user = keep};
}

/* ---- loss -------------------------------------------------------------------------------------------------------- */

/* Damage of the free entries of a set, standardised; false when there is nothing to learn from. */
static bool standardised_damage(lt_keep_loss *k, int layer, int sequence, int block, double *out) {
    const keep_set *set = set_of(k, layer, sequence, block);
    double mean = 0, variance = 0;
    if (!set->seen || set->free < 2) return false;
    for (int i = 0; i < set->free; i++) {
        const double *by_block = damage_of(k, layer, sequence, set->ids[i]);
        out[i] = 0;
        for (int b = block + 1; b < k->blocks; b++) out[i] += by_block[b];
        mean += out[i] / set->free;
    }
    for (int i = 0; i < set->free; i++) variance += (out[i] - mean) * (out[i] - mean) / set->free;
    if (!(variance > 0) || !isfinite(variance)) return false;
    for (int i = 0; i < set->free; i++) out[i] = (out[i] - mean) / sqrt(variance);
    return true;
}

/* log(1 + exp(x)) and its gradient. */
static double softplus(double x, double *slope) {
    *slope = 1 / (1 + exp(-x));
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double rank_loss(int n, const double *damage, const float *s, double T, double *slope) {
    double total = 0, loss = 0, rise;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) total += fabs(damage[i] - damage[j]);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            int up = damage[i] > damage[j] ? i : j, down = i + j - up;
            double weight = fabs(damage[i] - damage[j]) / total;
            loss += weight * softplus(-(s[up] - s[down]) / T, &rise);
            slope[up] -= weight * rise / T;
            slope[down] += weight * rise / T;
        }
    return loss;
}

static double regression_loss(int n, const double *damage, const float *s, double *slope) {
    double mean = 0, loss = 0;
    for (int i = 0; i < n; i++) mean += s[i] / (double)n;
    for (int i = 0; i < n; i++) {
        double error =
            s[i] - mean - damage[i]; /* the errors sum to zero, so the mean adds nothing to the gradient */
        loss += error * error / n;
        slope[i] += 2 * error / n;
    }
    return loss;
}

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static double soft_loss(int n, int kept, const double *damage, const float *s, double T, double *slope,
                        float *sorted) {
    double loss = 0;
    if (kept < 1 || kept >= n) return 0;
    memcpy(sorted, s, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    double threshold = 0.5 * ((double)sorted[kept - 1] + sorted[kept]);
    for (int i = 0; i < n; i++) {
        double p = 1 / (1 + exp(-(s[i] - threshold) / T));
        loss -= damage[i] * p / n;
        slope[i] -= damage[i] * p * (1 - p) / T / n;
    }
    return loss;
}

static void count_order(const keep_set *set, const double *damage, const float *s, lt_keep_result *result) {
    double mean = 0, variance = 0;
    for (int i = 0; i < set->free; i++) {
        mean += s[i] / (double)set->free;
        for (int j = 0; j < i; j++) {
            result->pairs++;
            result->ordered += (damage[i] - damage[j]) * ((double)s[i] - s[j]) > 0;
        }
    }
    for (int i = 0; i < set->free; i++) variance += (s[i] - mean) * (s[i] - mean) / set->free;
    result->spread += sqrt(variance);
    result->sets++;
}

/* Loss of one set, whose scores are at s; writes the gradients of its free entries. `memory`: 3 capacity doubles. */
static void one_set(lt_keep_loss *k, const keep_set *set, const double *damage, int64_t row,
                    const lt_keep_options *o, double *slope, float *sorted, lt_keep_result *result) {
    const float *s = k->scores + row;
    double loss;
    memset(slope, 0, (size_t)set->free * sizeof *slope);
    if (o->target == LT_KEEP_RANK) loss = rank_loss(set->free, damage, s, o->temperature, slope);
    else if (o->target == LT_KEEP_REGRESSION) loss = regression_loss(set->free, damage, s, slope);
    else loss = soft_loss(set->free, set->budget, damage, s, o->temperature, slope, sorted);
    for (int i = 0; i < set->free; i++) k->slopes[row + i] = (float)(o->scale * slope[i]);
    result->loss += o->scale * loss;
    count_order(set, damage, s, result);
}

static void fill_inputs(lt_keep_loss *k) {
    memset(k->inputs, 0, (size_t)row_count(k) * LT_KEEP_INPUTS * sizeof *k->inputs);
    for (int64_t i = 0; i < set_count(k); i++) {
        const keep_set *set = &k->sets[i];
        int64_t row = i * k->capacity;
        for (int j = 0; j < k->capacity; j++)
            k->layer_of[row + j] = (int32_t)(i / ((int64_t)k->max_clips * k->blocks));
        if (!set->seen) continue;
        lt_keep_inputs(set->count, (const float(*)[LT_FEATURE_COUNT])set->features,
                       (float(*)[LT_KEEP_INPUTS])(k->inputs + row * LT_KEEP_INPUTS));
    }
}

static lt_status losses(lt_keep_loss *k, const lt_keep_options *options, lt_keep_result *result) {
    size_t n = (size_t)k->capacity;
    double *memory = malloc(n * (2 * sizeof *memory + sizeof(float)));
    LT_CHECK(memory, LT_FAILED, "out of memory for the keep loss");
    double *damage = memory, *slope = memory + n;
    memset(k->slopes, 0, (size_t)row_count(k) * sizeof *k->slopes);
    for (int l = 0; l < k->layers; l++)
        for (int c = 0; c < k->clips; c++)
            for (int b = 0; b < k->blocks - 1; b++) {
                const keep_set *set = set_of(k, l, c, b);
                if (!standardised_damage(k, l, c, b, damage)) continue;
                one_set(k, set, damage, (set - k->sets) * k->capacity, options, slope, (float *)(slope + n),
                        result);
            }
    result->victims += k->victims;
    result->churned += k->churned;
    free(memory);
    return LT_OK;
}

int64_t lt_keep_loss_sets(int layers, int clips, int blocks) {
    int64_t sets = (int64_t)layers * clips * (blocks - 1);
    return sets > 0 ? sets : 1;
}

lt_status lt_keep_loss_run(lt_keep_loss *k, lt_session *session, const lt_keep_options *options,
                           lt_keep_result *result) {
    lt_tape *tape = &session->tape;
    lt_ctx *ctx = &session->ctx;
    lt_tensor inputs, ids, seed;
    lt_var *scores;
    int64_t rows = row_count(k);
    if (k->status != LT_OK) return k->status;
    fill_inputs(k);
    lt_tape_reset(tape);
    tape->recording = true;
    LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(ctx), &inputs, rows, LT_KEEP_INPUTS));
    LT_TRY(LT_NEW(tape->step, LT_I32, &ids, rows));
    LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(ctx), &seed, rows, 1));
    LT_TRY(lt_put_floats(ctx, tape->step, k->inputs, inputs));
    LT_TRY(lt_tensor_from_host(ctx->device, ctx->stream, &ids, k->layer_of));
    LT_TRY(lt_scorer_keep(&session->model->scorer, tape, inputs, ids, &scores));
    LT_TRY(lt_get_floats(ctx, tape->step, scores->value, k->scores));
    LT_TRY(losses(k, options, result));
    if (!scores->needs_grad) return LT_OK; /* the head is frozen */
    LT_TRY(lt_put_floats(ctx, tape->step, k->slopes, seed));
    LT_TRY(lt_tape_seed(tape, scores, seed));
    return lt_tape_backward(tape);
}
