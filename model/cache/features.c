/* Features of the candidates, from counters and from dot products of their states. */
#include "model/cache/cache_impl.h"
#include "model/cache/feature.h"

#include <math.h>
#include <string.h>

const lt_feature_row lt_feature_rows[LT_FEATURE_COUNT] = {
#define LT_FEATURE(ID, name, source, scale) {#name, lt_feature_##name, source, scale},
#include "model/cache/feature/features.def"
#undef LT_FEATURE
};

unsigned lt_need_sources(uint64_t needs) {
    unsigned sources = needs & LT_NEED_SIMILARITY ? LT_FROM_PAIRS : 0;
    for (int f = 0; f < LT_FEATURE_COUNT; f++)
        if (needs & LT_NEED(f)) sources |= lt_feature_rows[f].source;
    return sources;
}

/* The candidates' dot products lie in this order: of z, for all pairs i <= j or for each with itself; then the
 * squares of S. */
static int pair_of(int i, int j) {
    int low = i < j ? i : j, high = i < j ? j : i;
    return high * (high + 1) / 2 + low;
}

static int z_rows(unsigned sources, int n) {
    if (sources & LT_FROM_PAIRS) return n * (n + 1) / 2;
    return sources & LT_FROM_Z ? n : 0;
}

int lt_features_ask(const lt_entries *list, uint64_t needs, lt_dots *dots) {
    unsigned sources = lt_need_sources(needs);
    int place = dots->count;
    for (int j = 0; j < list->count && sources & (LT_FROM_Z | LT_FROM_PAIRS); j++) {
        if (list->items[j].ghost) continue;
        for (int i = sources & LT_FROM_PAIRS ? 0 : j; i <= j; i++)
            if (!list->items[i].ghost) lt_dots_pair(dots, list->items[i].z, list->items[j].z);
    }
    for (int i = 0; i < list->count && sources & LT_FROM_S; i++) {
        if (list->items[i].ghost) continue;
        const lt_tensor *S = &list->items[i].S;
        lt_tensor flat = LT_RESHAPE(*S, S->shape[0], S->shape[1] * S->shape[2]);
        lt_dots_pair(dots, flat, flat);
    }
    return dots->count > place ? place : -1;
}

static double sum_heads(int64_t count, const double *x) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i];
    return sum;
}

/* Mean over heads; 0 where a vector is. */
static double cosine_of(int64_t H, const double *ab, const double *aa, const double *bb) {
    double sum = 0;
    for (int64_t h = 0; h < H; h++) sum += aa[h] > 0 && bb[h] > 0 ? ab[h] / sqrt(aa[h] * bb[h]) : 0;
    return sum / (double)H;
}

static void find_candidates(lt_cache *cache, const lt_entries *list) {
    lt_decision *d = cache->decision;
    lt_view_memory *view = cache->view;
    d->candidates = view->total = 0;
    for (int i = 0; i < list->count; i++) {
        if (list->items[i].ghost) continue;
        int rank = view->total++;
        if (d->gone[i]) continue;
        view->rank[d->candidates] = rank;
        d->ids[d->candidates] = list->items[i].id;
        d->index[d->candidates++] = i;
    }
}

static void find_squares(lt_cache *cache, unsigned sources, const double *dots) {
    lt_view_memory *view = cache->view;
    int64_t H = cache->shape.heads;
    int first_S = z_rows(sources, view->total);
    for (int i = 0; i < cache->decision->candidates; i++) {
        int rank = view->rank[i], own = sources & LT_FROM_PAIRS ? pair_of(rank, rank) : rank;
        if (first_S > 0) view->z2[i] = sum_heads(H, dots + own * H);
        if (sources & LT_FROM_S) view->S2[i] = sum_heads(H, dots + (first_S + rank) * H);
    }
}

static void find_cosines(lt_cache *cache, const double *dots) {
    lt_decision *d = cache->decision;
    const int *rank = cache->view->rank;
    int n = d->candidates;
    int64_t H = cache->shape.heads;
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double cosine =
                cosine_of(H, dots + pair_of(rank[i], rank[j]) * H, dots + pair_of(rank[i], rank[i]) * H,
                          dots + pair_of(rank[j], rank[j]) * H);
            cache->view->cosine[i * n + j] = cache->view->cosine[j * n + i] = cosine;
            cache->view->similarity[i * n + j] = cache->view->similarity[j * n + i] = (float)cosine;
            d->cosine[i * d->capacity + j] += cosine;
            if (j != i) d->cosine[j * d->capacity + i] += cosine;
        }
}

void lt_decision_features(lt_cache *cache, const lt_entries *list, uint64_t needs, const double *dots) {
    lt_decision *d = cache->decision;
    unsigned sources = lt_need_sources(needs);
    find_candidates(cache, list);
    if (dots) find_squares(cache, sources, dots);
    if (dots && sources & LT_FROM_PAIRS) find_cosines(cache, dots);
    lt_feature_view view = {d->candidates,      list, d->index, cache->view->z2, cache->view->S2,
                            cache->view->cosine};
    memset(d->features, 0, (size_t)d->candidates * sizeof *d->features);
    for (int f = 0; f < LT_FEATURE_COUNT; f++)
        for (int i = 0; needs & LT_NEED(f) && i < d->candidates; i++)
            d->features[i][f] = lt_feature_rows[f].of(&view, i);
}
