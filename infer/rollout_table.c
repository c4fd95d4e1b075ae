/* The values of rollouts, row by row and clip by clip. */
#include "core/rng.h"
#include "infer/evaluate_rollout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rolled_clip {
    char domain[32];
    uint64_t group;
    double *values; /* [rows, LT_METRIC_COUNT], NAN until added */
} rolled_clip;

struct lt_rollout_table {
    int rows;
    rolled_clip *clips;
    int64_t count, capacity;
    lt_pool pool;
};

lt_status lt_rollout_table_open(int specs, lt_rollout_table **out) {
    *out = calloc(1, sizeof **out);
    LT_CHECK(*out, LT_FAILED, "rollouts: out of memory");
    (*out)->rows = specs + LT_BASELINE_COUNT;
    return LT_OK;
}

void lt_rollout_table_close(lt_rollout_table *t) {
    if (!t) return;
    free(t->clips);
    lt_pool_free(&t->pool);
    free(t);
}

static lt_status add_clip(lt_rollout_table *t, const lt_clip *row) {
    if (t->count == t->capacity) {
        int64_t capacity = t->capacity ? 2 * t->capacity : 64;
        rolled_clip *clips = realloc(t->clips, (size_t)capacity * sizeof *clips);
        LT_CHECK(clips, LT_FAILED, "rollouts: out of memory for %lld clips", (long long)capacity);
        t->clips = clips, t->capacity = capacity;
    }
    size_t values = (size_t)t->rows * LT_METRIC_COUNT;
    rolled_clip *c = &t->clips[t->count];
    *c = (rolled_clip){.group = lt_hash(row->group, strlen(row->group), LT_HASH_SEED),
                       .values = lt_pool_alloc(&t->pool, values * sizeof(double))};
    memcpy(c->domain, row->domain, sizeof c->domain);
    if (!c->values) return LT_FAILED;
    for (size_t i = 0; i < values; i++) c->values[i] = NAN;
    t->count++;
    return LT_OK;
}

lt_status lt_rollout_table_add(const lt_rollout_sample *s, void *table) {
    lt_rollout_table *t = table;
    LT_CHECK(s->row >= 0 && s->row < t->rows && s->order <= t->count, LT_FAILED,
             "rollouts: row %d of clip %lld does not belong to this table", s->row, (long long)s->order);
    if (s->order == t->count) LT_TRY(add_clip(t, s->clip_row));
    memcpy(t->clips[s->order].values + (size_t)s->row * LT_METRIC_COUNT, s->values, sizeof s->values);
    return LT_OK;
}

/* Appends to arrays; returns how many there are then. */
static int64_t add_values(const lt_rollout_table *t, const char *domain, int row, int against,
                          lt_metric metric, int64_t n, double *values, uint64_t *group) {
    for (int64_t i = 0; i < t->count; i++) {
        const rolled_clip *c = &t->clips[i];
        if (domain && strcmp(domain, c->domain) != 0) continue;
        double value = c->values[row * LT_METRIC_COUNT + (int)metric];
        if (against >= 0) value -= c->values[against * LT_METRIC_COUNT + (int)metric];
        if (isnan(value)) continue;
        values[n] = value, group[n++] = c->group;
    }
    return n;
}

lt_status lt_rollout_tables_figure(lt_rollout_table *const *tables, int count, const char *domain, int row,
                                   int against, lt_metric metric, lt_paired *out) {
    size_t most = 1;
    for (int i = 0; i < count; i++) most += (size_t)tables[i]->count;
    double *values = malloc(most * sizeof *values);
    uint64_t *group = malloc(2 * most * sizeof *group), *seed = group ? group + most : NULL;
    int64_t n = 0;
    *out = (lt_paired){0};
    lt_status status = values && group ? LT_OK : lt_fail(LT_FAILED, "rollouts: out of memory");
    for (int i = 0; i < count && status == LT_OK; i++) {
        int64_t before = n;
        n = add_values(tables[i], domain, row, against, metric, n, values, group);
        while (before < n) seed[before++] = (uint64_t)i;
    }
    if (status == LT_OK && n > 0) status = lt_paired_of(values, group, count > 1 ? seed : NULL, n, 0, out);
    free(values), free(group);
    return status;
}
