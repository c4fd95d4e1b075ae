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

static bool target_is_older(const lt_merge *m) { return m->target->id < m->victim->id; }

/* What the older and the newer one are multiplied by; false where both are 1. */
static bool factors(const lt_merge *m, double *older, double *newer) {
    const lt_cache_spec *spec = m->spec;
    *older = *newer = 1;
    if (spec->consolidate == LT_DECAY) *older = spec->gamma;
    if (spec->consolidate == LT_EMA) {
        *older = target_is_older(m) ? spec->alpha : 1 - spec->alpha;
        *newer = target_is_older(m) ? 1 - spec->alpha : spec->alpha;
    }
    return *older != 1 || *newer != 1;
}

/* Weights [2, H] of each merge, or NULL where both are 1: one copy. */
static lt_status put_factors(lt_tape *tape, int64_t H, int count, const lt_merge *merges, lt_ag_sum *sums) {
    double *values = lt_tape_saved(tape, (size_t)(count * 2 * H) * sizeof *values), older, newer;
    int n = 0;
    lt_tensor all;
    if (!values) return LT_FAILED;
    for (int i = 0; i < count; i++) {
        if (!factors(&merges[i], &older, &newer)) continue;
        for (int64_t h = 0; h < H; h++) values[2 * n * H + h] = older, values[(2 * n + 1) * H + h] = newer;
        n++;
    }
    if (n == 0) return LT_OK;
    LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(tape->ctx), &all, n, 2, H));
    for (int i = 0, k = 0; i < count; i++)
        if (factors(&merges[i], &older, &newer))
            LT_TRY(lt_tape_var(tape, lt_select(all, 0, k++), false, &sums[i].weights));
    return lt_host_write(tape->ctx, &all, values);
}

/* The var of S or z as a source of a sum that the next block reads: cut off where gradients must not reach. */
static lt_status source(const lt_cache *cache, lt_tape *tape, const lt_entry *e, int64_t newest, lt_var *from,
                        lt_var **out) {
    bool cut = cache->bptt_blocks >= 0 && newest + 1 - e->block > cache->bptt_blocks;
    *out = from;
    return cut ? lt_tape_detach(tape, from, out) : LT_OK;
}

/* Before join_statistics, which adds up the tokens. */
static void join_state(const lt_merge *m) {
    const lt_policy *policy = m->spec->policy;
    int a = m->target->tokens, b = m->victim->tokens;
    if (policy->state == 0) return;
    if (policy->merge) {
        policy->merge(m->target_state, a, m->victim_state, b);
        return;
    }
    for (int i = 0; i < policy->state; i++)
        m->target_state[i] = (m->target_state[i] * (float)a + m->victim_state[i] * (float)b) / (float)(a + b);
}

static int64_t earlier_of(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t later_of(int64_t a, int64_t b) { return a > b ? a : b; }

/* What is known of both together. Reads are shares of attention, so they add; how often they were read does not. */
static void join_statistics(lt_entry *t, const lt_entry *v) {
    t->motion =
        (t->motion * (float)t->tokens + v->motion * (float)v->tokens) / (float)(t->tokens + v->tokens);
    t->tokens += v->tokens;
    t->merges += 1 + v->merges;
    t->id = later_of(t->id, v->id);
    t->first_id = earlier_of(t->first_id, v->first_id);
    t->first_frame = earlier_of(t->first_frame, v->first_frame);
    t->last_frame = later_of(t->last_frame, v->last_frame);
    t->block = later_of(t->block, v->block);
    t->read_mass += v->read_mass;
    t->reads = (int)later_of(t->reads, v->reads);
}

/* The older one first: its values are folded first, and the sum lies where it lay, in its slot. */
static lt_status lay_out(const lt_cache *cache, lt_tape *tape, const lt_merge *m, lt_ag_sum *sum) {
    const lt_entry *pair[2] = {m->target, m->victim};
    if (!target_is_older(m)) pair[0] = m->victim, pair[1] = m->target;
    *sum = (lt_ag_sum){.count = 2, .weighted = 2, .S = lt_tape_saved(tape, 4 * sizeof *sum->S)};
    if (!sum->S) return LT_FAILED;
    sum->z = sum->S + 2;
    for (int i = 0; i < 2; i++) {
        LT_TRY(source(cache, tape, pair[i], m->newest, pair[i]->S_var, &sum->S[i]));
        LT_TRY(source(cache, tape, pair[i], m->newest, pair[i]->z_var, &sum->z[i]));
    }
    sum->out_S = pair[0]->S;
    sum->out_z = pair[0]->z;
    m->target->slot = pair[0]->slot;
    if (pair[0]->slot >= 0) return LT_OK;
    LT_TRY(lt_tensor_new(tape->step, sum->out_S.dtype, &sum->out_S, pair[0]->S.ndim, pair[0]->S.shape));
    return lt_tensor_new(tape->step, sum->out_z.dtype, &sum->out_z, pair[0]->z.ndim, pair[0]->z.shape);
}

lt_status lt_consolidate_merge(const lt_cache *cache, lt_tape *tape, int count, const lt_merge *merges) {
    lt_ag_sum *sums = lt_tape_saved(tape, (size_t)count * sizeof *sums);
    if (!sums) return LT_FAILED;
    for (int i = 0; i < count; i++) LT_TRY(lay_out(cache, tape, &merges[i], &sums[i]));
    LT_TRY(put_factors(tape, cache->shape.heads, count, merges, sums));
    LT_TRY(lt_ag_attn_combine(tape, count, sums));
    for (int i = 0; i < count; i++) {
        lt_entry *target = merges[i].target;
        target->S = sums[i].out_S;
        target->z = sums[i].out_z;
        target->S_var = sums[i].sum_S;
        target->z_var = sums[i].sum_z;
        join_state(&merges[i]);
        join_statistics(target, merges[i].victim);
    }
    return LT_OK;
}
