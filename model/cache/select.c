/* What a policy sees -> scores -> victims: the same for every policy. */
#include "model/cache/cache_impl.h"
#include "model/cache/feature.h"

#include <math.h>
#include <string.h>

uint64_t lt_decision_needs(const lt_cache *cache, int sequence) {
    const lt_cache_spec *spec = lt_cache_deciding_spec(cache, sequence);
    uint64_t needs = spec->policy->needs;
    if (spec->consolidate == LT_NEAREST) needs |= LT_NEED_SIMILARITY;
    return cache->observer.on_commit ? needs | LT_NEED_ALL_FEATURES : needs;
}

void lt_decision_begin(lt_cache *cache, const lt_entries *list) {
    memset(cache->decision->gone, 0, (size_t)list->count * sizeof *cache->decision->gone);
    cache->view->renewed = false;
}

void lt_decision_clear(lt_cache *cache, const lt_entries *list) {
    lt_decision *d = cache->decision;
    memset(d->score, 0, (size_t)list->count * sizeof *d->score);
    for (int i = 0; i < list->count; i++)
        memset(d->cosine + (size_t)i * d->capacity, 0, (size_t)list->count * sizeof *d->cosine);
}

/* The candidates' states, row by row, to what the policy sees or back. */
static void copy_states(lt_cache *cache, const lt_entries *list, int size, bool back) {
    const lt_decision *d = cache->decision;
    for (int i = 0; i < d->candidates && size > 0; i++) {
        float *seen = cache->view->state + (size_t)i * (size_t)size;
        float *own = lt_entry_state(cache, list, d->index[i]);
        memcpy(back ? own : seen, back ? seen : own, (size_t)size * sizeof *own);
    }
}

static lt_status score_layer(lt_cache *cache, int layer, int sequence, const lt_cache_spec *spec) {
    lt_decision *d = cache->decision;
    const lt_policy *policy = spec->policy;
    const lt_entries *list = lt_cache_entries(cache, layer, sequence);
    bool updates = policy->update && !cache->view->renewed && cache->leader[sequence] == sequence;
    lt_policy_view view = {
        .policy = policy,
        .entries = d->candidates,
        .features = (const float(*)[LT_FEATURE_COUNT])d->features,
        .similarity = policy->needs & LT_NEED_SIMILARITY ? cache->view->similarity : NULL,
        .state = cache->view->state,
        .ids = d->ids,
        .params = spec->params,
        .key = {.seed = cache->seed, .purpose = LT_RNG_EVICT, .clip = cache->sequence[sequence]},
        .commit = list->committed - 1,
        .layer = layer,
        .scorer = cache->scorer,
    };
    if (spec->scope == LT_SCOPE_LAYER) view.key.step = 1 + (uint32_t)layer;
    copy_states(cache, list, policy->state, false);
    if (updates) {
        LT_TRY(policy->update(&view));
        copy_states(cache, list, policy->state, true);
    }
    return policy->score(&view, d->layer_score);
}

/* Parameters do not change within a forward. */
static lt_status refresh_scorer(lt_cache *cache, lt_tape *tape) {
    if (!cache->scorer || cache->scorer_read) return LT_OK;
    LT_TRY(lt_scorer_refresh(cache->scorer, tape->ctx));
    cache->scorer_read = true;
    return LT_OK;
}

lt_status lt_decision_add(lt_cache *cache, lt_tape *tape, int layer, int sequence, const double *dots) {
    const lt_cache_spec *spec = lt_cache_deciding_spec(cache, sequence);
    lt_decision *d = cache->decision;
    lt_entries *list = lt_cache_entries(cache, layer, sequence);
    lt_decision_features(cache, list, lt_decision_needs(cache, sequence), dots);
    if (spec->policy->needs & LT_NEED_SCORER) LT_TRY(refresh_scorer(cache, tape));
    LT_TRY(score_layer(cache, layer, sequence, spec));
    for (int i = 0; i < d->candidates; i++) {
        lt_entry *e = &list->items[d->index[i]];
        d->score[i] += isnan(d->layer_score[i]) ? -INFINITY : d->layer_score[i];
        if (cache->view->renewed) continue;
        memcpy(e->features, d->features[i], sizeof e->features);
        e->score = d->layer_score[i];
    }
    return LT_OK;
}

/* The lowest score among the unprotected; the oldest of equals. */
static int lowest(const lt_decision *d, int unprotected) {
    int victim = 0;
    for (int i = 1; i < unprotected; i++)
        if (d->score[i] < d->score[victim]) victim = i;
    return victim;
}

void lt_decision_evict(lt_decision *d, const lt_cache_spec *spec, lt_entries *list) {
    int protect = spec->protect < spec->budget ? spec->protect : spec->budget;
    int victim = d->index[lowest(d, d->candidates - protect)];
    d->gone[victim] = true;
    list->victim[list->victims] = victim;
    list->target[list->victims++] = lt_consolidate_target(spec, list, d, victim);
}
