/* Features -> scores -> victims: the same for every policy. */
#include "model/cache/cache_impl.h"

#include <math.h>
#include <string.h>

void lt_decision_clear(lt_cache *cache, const lt_entries *list) {
    lt_decision *d = cache->decision;
    memset(d->score, 0, (size_t)list->count * sizeof *d->score);
    for (int i = 0; i < list->count; i++)
        memset(d->cosine + (size_t)i * d->capacity, 0, (size_t)list->count * sizeof *d->cosine);
}

static lt_status score_layer(lt_cache *cache, int layer, int sequence, const lt_cache_spec *spec) {
    lt_decision *d = cache->decision;
    const lt_policy *policy = spec->policy;
    lt_policy_input input = {
        .entries = d->candidates,
        .features = (const float(*)[LT_FEATURE_COUNT])d->features,
        .ids = d->ids,
        .params = spec->params,
        .key = {.seed = cache->seed, .purpose = LT_RNG_EVICT, .clip = cache->sequence[sequence]},
        .commit = lt_cache_entries(cache, layer, sequence)->committed - 1,
        .layer = layer,
        .scorer = cache->scorer,
    };
    if (spec->scope == LT_SCOPE_LAYER) input.key.step = 1 + (uint32_t)layer;
    return policy->score(&input, d->layer_score);
}

/* Parameters do not change within a forward. */
static lt_status refresh_scorer(lt_cache *cache, lt_tape *tape) {
    if (!cache->scorer || cache->scorer_read) return LT_OK;
    LT_TRY(lt_scorer_refresh(cache->scorer, tape->ctx));
    cache->scorer_read = true;
    return LT_OK;
}

lt_status lt_decision_add(lt_cache *cache, lt_tape *tape, int layer, int sequence, const double *products) {
    const lt_cache_spec *spec = lt_cache_deciding_spec(cache, sequence);
    lt_decision *d = cache->decision;
    lt_entries *list = lt_cache_entries(cache, layer, sequence);
    lt_decision_features(cache, list, products);
    if (spec->policy->needs_scorer) LT_TRY(refresh_scorer(cache, tape));
    LT_TRY(score_layer(cache, layer, sequence, spec));
    for (int i = 0; i < d->candidates; i++) {
        lt_entry *e = &list->items[d->index[i]];
        memcpy(e->features, d->features[i], sizeof e->features);
        e->score = d->layer_score[i];
        d->score[i] += isnan(d->layer_score[i]) ? -INFINITY : d->layer_score[i];
    }
    return LT_OK;
}

/* The lowest score among the unprotected; the oldest of equals. */
static int lowest(const lt_decision *d, int unprotected) {
    int victim = -1;
    for (int i = 0; i < unprotected; i++)
        if (!d->gone[d->index[i]] && (victim < 0 || d->score[i] < d->score[victim])) victim = i;
    return victim;
}

void lt_decision_select(lt_decision *d, const lt_cache_spec *spec, lt_entries *list) {
    int protect = spec->protect < spec->budget ? spec->protect : spec->budget;
    list->victims = 0;
    memset(d->gone, 0, (size_t)list->count * sizeof *d->gone);
    for (int left = d->candidates; left > spec->budget; left--) {
        int victim = d->index[lowest(d, d->candidates - protect)];
        d->gone[victim] = true;
        list->victim[list->victims] = victim;
        list->target[list->victims++] = lt_consolidate_target(spec, list, d, victim);
    }
}
