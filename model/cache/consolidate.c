/* What becomes of a victim: who receives it, and with which two factors. */
#include "model/cache/cache_impl.h"
#include "model/cache/host_values.h"

static bool present(const lt_entries *list, const lt_decision *d, int i) {
    return !d->gone[i] && !list->items[i].ghost;
}

/* The next older entry; the next newer one when there is none; -1 when the victim is alone. */
static int neighbour(const lt_entries *list, const lt_decision *d, int victim) {
    for (int i = victim - 1; i >= 0; i--)
        if (present(list, d, i)) return i;
    for (int i = victim + 1; i < list->count; i++)
        if (present(list, d, i)) return i;
    return -1;
}

static int candidate_of(const lt_decision *d, int place) {
    int i = 0;
    while (d->index[i] != place) i++;
    return i;
}

static int most_similar(const lt_entries *list, const lt_decision *d, int victim) {
    int best = -1;
    const double *cosine = d->cosine + (size_t)candidate_of(d, victim) * d->capacity;
    for (int i = 0; i < d->candidates; i++)
        if (present(list, d, d->index[i]) && (best < 0 || cosine[i] > cosine[best])) best = i;
    return best < 0 ? -1 : d->index[best];
}

int lt_consolidate_target(const lt_cache_spec *spec, const lt_entries *list, const lt_decision *decision,
                          int victim) {
    switch (spec->consolidate) {
    case LT_SUM:
    case LT_EMA:
    case LT_DECAY: return neighbour(list, decision, victim);
    case LT_NEAREST: return most_similar(list, decision, victim);
    default: return -1;
    }
}

/* Weights [2, H] of the older and the newer one, or NULL where both are 1. */
static lt_status factors(lt_tape *tape, const lt_cache_spec *spec, bool target_older, int64_t H,
                         lt_var **out) {
    double older = 1, newer = 1;
    *out = NULL;
    if (spec->consolidate == LT_DECAY) older = spec->gamma;
    if (spec->consolidate == LT_EMA) {
        older = target_older ? spec->alpha : 1 - spec->alpha;
        newer = target_older ? 1 - spec->alpha : spec->alpha;
    }
    if (older == 1 && newer == 1) return LT_OK;
    double *values = lt_tape_saved(tape, 2 * (size_t)H * sizeof *values);
    if (!values) return LT_FAILED;
    for (int64_t h = 0; h < H; h++) values[h] = older, values[H + h] = newer;
    LT_TRY(lt_tape_new(tape, lt_ctx_sum_dtype(tape->ctx), false, out, LT_DIMS(2, H)));
    return lt_host_write(tape->ctx, &(*out)->value, values);
}

/* The var of S or z as a source of a sum that the next block reads: cut off where gradients must not reach. */
static lt_status source(const lt_cache *cache, lt_tape *tape, const lt_entry *e, int64_t newest, lt_var *from,
                        lt_var **out) {
    bool cut = cache->bptt_blocks >= 0 && newest + 1 - e->block > cache->bptt_blocks;
    *out = from;
    return cut ? lt_tape_detach(tape, from, out) : LT_OK;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* What is known of both together. Reads are shares of attention, so they add; how often they were read does not. */
static void join(lt_entry *t, const lt_entry *v) {
    t->motion =
        (t->motion * (float)t->tokens + v->motion * (float)v->tokens) / (float)(t->tokens + v->tokens);
    t->tokens += v->tokens;
    t->merges += 1 + v->merges;
    t->id = most(t->id, v->id);
    t->first_id = least(t->first_id, v->first_id);
    t->first_frame = least(t->first_frame, v->first_frame);
    t->last_frame = most(t->last_frame, v->last_frame);
    t->block = most(t->block, v->block);
    t->read_mass += v->read_mass;
    t->reads = (int)most(t->reads, v->reads);
}

lt_status lt_consolidate_merge(const lt_cache *cache, lt_tape *tape, const lt_cache_spec *spec,
                               int64_t newest, lt_entry *target, lt_entry *victim) {
    bool target_older = target->id < victim->id;
    const lt_entry *pair[2] = {target_older ? target : victim, target_older ? victim : target};
    lt_var *S[2], *z[2];
    lt_ag_sum sum = {.count = 2, .weighted = 2, .S = S, .z = z};
    for (int i = 0; i < 2; i++) {
        LT_TRY(source(cache, tape, pair[i], newest, pair[i]->S_var, &S[i]));
        LT_TRY(source(cache, tape, pair[i], newest, pair[i]->z_var, &z[i]));
    }
    LT_TRY(factors(tape, spec, target_older, target->z.shape[0], &sum.weights));
    sum.out_S = pair[0]->S; /* in the older one's slot; its values are folded first */
    sum.out_z = pair[0]->z;
    int slot = pair[0]->slot;
    if (slot < 0) {
        LT_TRY(lt_tensor_new(tape->step, sum.out_S.dtype, &sum.out_S, pair[0]->S.ndim, pair[0]->S.shape));
        LT_TRY(lt_tensor_new(tape->step, sum.out_z.dtype, &sum.out_z, pair[0]->z.ndim, pair[0]->z.shape));
    }
    LT_TRY(lt_ag_attn_combine(tape, 1, &sum));
    target->S = sum.out_S;
    target->z = sum.out_z;
    target->S_var = sum.sum_S;
    target->z_var = sum.sum_z;
    target->slot = slot;
    join(target, victim);
    return LT_OK;
}
