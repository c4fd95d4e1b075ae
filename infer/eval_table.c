#include "infer/eval_table.h"

#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct clip_record {
    char domain[32];
    uint64_t group;
    lt_eval_place *place; /* [blocks] */
    float *t, *gaussian;  /* [blocks, per_block] */
    float *loss;          /* [specs, blocks, per_block]; NaN until added */
} clip_record;

struct lt_eval_table {
    lt_cache_spec *specs;
    int count, blocks, draws, per_block; /* per_block: bins * draws */
    bool *evicting;                      /* [specs, blocks] */
    clip_record *clips;
    int64_t clip_count, capacity;
    lt_pool pool;
};

lt_status lt_eval_table_open(const lt_cache_spec *specs, int count, const lt_eval_options *options,
                             lt_eval_table **out) {
    lt_eval_table *t = calloc(1, sizeof *t);
    *out = t;
    LT_CHECK(t, LT_FAILED, "evaluation: out of memory");
    t->count = count, t->blocks = options->blocks, t->draws = options->draws;
    t->per_block = LT_EVAL_BINS * options->draws;
    t->specs = lt_pool_alloc(&t->pool, (size_t)count * sizeof *t->specs);
    t->evicting = lt_pool_alloc(&t->pool, (size_t)count * (size_t)t->blocks * sizeof *t->evicting);
    if (t->specs && t->evicting) {
        memcpy(t->specs, specs, (size_t)count * sizeof *specs);
        return LT_OK;
    }
    lt_eval_table_close(t);
    *out = NULL;
    return LT_FAILED;
}

void lt_eval_table_close(lt_eval_table *t) {
    if (!t) return;
    free(t->clips);
    lt_pool_free(&t->pool);
    free(t);
}

static lt_status add_clip(lt_eval_table *t, const lt_clip *row) {
    if (t->clip_count == t->capacity) {
        int64_t capacity = t->capacity ? 2 * t->capacity : 64;
        clip_record *clips = realloc(t->clips, (size_t)capacity * sizeof *clips);
        LT_CHECK(clips, LT_FAILED, "evaluation: out of memory for %lld clips", (long long)capacity);
        t->clips = clips, t->capacity = capacity;
    }
    size_t cells = (size_t)t->blocks * (size_t)t->per_block, losses = cells * (size_t)t->count;
    clip_record *c = &t->clips[t->clip_count];
    *c = (clip_record){.group = lt_hash(row->group, strlen(row->group), LT_HASH_SEED),
                       .place = lt_pool_alloc(&t->pool, (size_t)t->blocks * sizeof *c->place),
                       .t = lt_pool_alloc(&t->pool, cells * sizeof *c->t),
                       .gaussian = lt_pool_alloc(&t->pool, cells * sizeof *c->gaussian),
                       .loss = lt_pool_alloc(&t->pool, losses * sizeof *c->loss)};
    memcpy(c->domain, row->domain, sizeof c->domain);
    if (!c->place || !c->t || !c->gaussian || !c->loss) return LT_FAILED;
    for (size_t i = 0; i < losses; i++) c->loss[i] = NAN;
    t->clip_count++;
    return LT_OK;
}

lt_status lt_eval_table_add(const lt_eval_sample *s, void *table) {
    lt_eval_table *t = table;
    LT_CHECK(s->spec >= 0 && s->spec < t->count && s->block < t->blocks && s->draw < t->draws &&
                 s->order <= t->clip_count,
             LT_FAILED, "evaluation: spec %d, clip %lld, block %d, draw %d do not belong to this table",
             s->spec, (long long)s->order, s->block, s->draw);
    if (s->order == t->clip_count) LT_TRY(add_clip(t, s->row));
    clip_record *c = &t->clips[s->order];
    int at = s->block * t->per_block + s->bin * t->draws + s->draw;
    c->place[s->block] = s->place;
    c->t[at] = (float)s->t, c->gaussian[at] = (float)s->gaussian;
    c->loss[(int64_t)s->spec * t->blocks * t->per_block + at] = (float)s->loss;
    t->evicting[s->spec * t->blocks + s->block] = s->evicting;
    return LT_OK;
}

int lt_eval_table_specs(const lt_eval_table *t) { return t->count; }
const lt_cache_spec *lt_eval_table_spec(const lt_eval_table *t, int index) { return &t->specs[index]; }
int64_t lt_eval_table_clips(const lt_eval_table *t) { return t->clip_count; }

const char *lt_eval_table_domain(const lt_eval_table *t, int index) {
    for (int64_t i = 0; i < t->clip_count; i++) {
        bool known = false;
        for (int64_t k = 0; k < i && !known; k++) known = strcmp(t->clips[k].domain, t->clips[i].domain) == 0;
        if (!known && index-- == 0) return t->clips[i].domain;
    }
    return NULL;
}

int lt_eval_table_first_block(const lt_eval_table *t) {
    int common = -1;
    for (int spec = 0; spec < t->count; spec++) {
        int first = 0;
        while (first < t->blocks && !t->evicting[spec * t->blocks + first]) first++;
        if (first < t->blocks && first > common) common = first;
    }
    return common < 0 ? t->blocks : common;
}

/* ---- slices --------------------------------------------------------------------------------------------- */

lt_eval_slice lt_slice_all(const char *domain) {
    return (lt_eval_slice){.domain = domain, .t_min = 0, .t_max = 1, .since_cut = -1};
}

lt_eval_slice lt_slice_primary(const char *domain) {
    lt_eval_slice s = lt_slice_all(domain);
    s.t_min = 0.5, s.t_max = 0.95, s.evicting = true;
    return s;
}

lt_eval_slice lt_slice_since_cut(const char *domain, int blocks) {
    lt_eval_slice s = lt_slice_primary(domain);
    s.since_cut = blocks;
    return s;
}

lt_eval_slice lt_slice_returns(const char *domain) {
    lt_eval_slice s = lt_slice_all(domain);
    s.t_min = 0.6, s.after_return = 3;
    return s;
}

static bool holds_block(const lt_eval_table *t, const lt_eval_slice *s, const clip_record *c, int block,
                        int spec, int reference) {
    const lt_eval_place *place = &c->place[block];
    bool evicting = t->evicting[spec * t->blocks + block] &&
                    (reference < 0 || t->evicting[reference * t->blocks + block]);
    if (block < s->first_block || (s->evicting && !evicting)) return false;
    if ((s->since_cut >= 0 || s->after_return) && place->has_cut) return false;
    if (s->since_cut >= 0 && place->since_cut != s->since_cut) return false;
    return s->after_return == 0 ||
           (place->after_return && (s->after_return == 3 || place->after_return == s->after_return));
}

typedef struct clip_sums {
    double loss, difference, gaussian;
    int64_t losses, reads;
} clip_sums;

static void add_block(const lt_eval_table *t, const lt_eval_slice *s, const clip_record *c, int block,
                      int spec, int reference, clip_sums *sums) {
    int64_t cells = (int64_t)t->blocks * t->per_block, before = sums->losses;
    const float *mine = c->loss + spec * cells, *other = reference < 0 ? NULL : c->loss + reference * cells;
    for (int at = block * t->per_block; at < (block + 1) * t->per_block; at++) {
        double time = (double)c->t[at], loss = (double)mine[at];
        if (isnan(loss) || (other && isnan(other[at])) || time < s->t_min || time > s->t_max) continue;
        sums->loss += loss;
        sums->difference += other ? loss - (double)other[at] : 0;
        sums->gaussian += (double)c->gaussian[at];
        sums->losses++;
    }
    if (sums->losses > before) sums->reads++;
}

/* Clip by clip; those without a qualifying loss are left out. */
typedef struct per_clip {
    int64_t count;
    double *loss, *difference;
    uint64_t *group, *seed;
} per_clip;

static void add_table(const lt_eval_table *t, uint64_t seed, const lt_eval_slice *slice, int spec,
                      int reference, per_clip *to, lt_eval_figures *out) {
    for (int64_t i = 0; i < t->clip_count; i++) {
        const clip_record *c = &t->clips[i];
        clip_sums sums = {0};
        if (slice->domain && strcmp(slice->domain, c->domain) != 0) continue;
        for (int block = 0; block < t->blocks; block++)
            if (holds_block(t, slice, c, block, spec, reference))
                add_block(t, slice, c, block, spec, reference, &sums);
        if (sums.losses == 0) continue;
        int64_t n = to->count++;
        to->loss[n] = sums.loss / (double)sums.losses;
        to->difference[n] = sums.difference / (double)sums.losses;
        to->group[n] = c->group, to->seed[n] = seed;
        out->gaussian += sums.gaussian / (double)sums.losses;
        out->reads += sums.reads;
    }
}

static lt_status figures_of(const per_clip *clips, const uint64_t *seed, int reference,
                            lt_eval_figures *out) {
    out->clips = clips->count;
    if (clips->count == 0) return LT_OK;
    out->gaussian /= (double)clips->count;
    LT_TRY(lt_paired_of(clips->loss, clips->group, seed, clips->count, 0, &out->loss));
    out->groups = out->loss.groups;
    if (reference < 0) return LT_OK;
    return lt_paired_of(clips->difference, clips->group, seed, clips->count, 0, &out->difference);
}

lt_status lt_eval_tables_figures(const lt_eval_table *const *tables, int count, const lt_eval_slice *slice,
                                 int spec, int reference, lt_eval_figures *out) {
    size_t most = 1;
    for (int i = 0; i < count; i++) most += (size_t)tables[i]->clip_count;
    double *values = malloc(2 * most * sizeof *values);
    uint64_t *names = malloc(2 * most * sizeof *names);
    per_clip clips = {0, values, values ? values + most : NULL, names, names ? names + most : NULL};
    *out = (lt_eval_figures){0};
    lt_status status = values && names ? LT_OK : lt_fail(LT_FAILED, "evaluation: out of memory for figures");
    for (int i = 0; i < count && status == LT_OK; i++)
        add_table(tables[i], (uint64_t)i, slice, spec, reference, &clips, out);
    if (status == LT_OK) status = figures_of(&clips, count > 1 ? clips.seed : NULL, reference, out);
    free(values), free(names);
    return status;
}

lt_status lt_eval_table_figures(const lt_eval_table *t, const lt_eval_slice *slice, int spec, int reference,
                                lt_eval_figures *out) {
    return lt_eval_tables_figures(&t, 1, slice, spec, reference, out);
}

/* ---- references ----------------------------------------------------------------------------------------- */

/* INFINITY where the validation clips say nothing. */
static lt_status primary_loss(const lt_eval_table *const *validation, int tables, int spec, double *out) {
    lt_eval_slice slice = lt_slice_primary(NULL);
    lt_eval_figures figures;
    *out = INFINITY;
    LT_TRY(lt_eval_tables_figures(validation, tables, &slice, spec, -1, &figures));
    if (figures.clips > 0) *out = figures.loss.mean;
    return LT_OK;
}

lt_status lt_eval_references(const lt_eval_table *const *validation, int tables, const lt_cache_spec *specs,
                             const int64_t *bytes, int count, int *reference) {
    for (int i = 0; i < count; i++) {
        double best = INFINITY, loss;
        reference[i] = -1;
        for (int j = 0; j < count; j++) {
            if (!lt_spec_is_hand_made(&specs[j]) || !lt_equal_bytes(bytes[i], bytes[j])) continue;
            LT_TRY(primary_loss(validation, tables, j, &loss));
            if (reference[i] >= 0 && !(loss < best)) continue;
            reference[i] = j, best = loss;
        }
    }
    return LT_OK;
}
