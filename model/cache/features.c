/* What is known of the entries present: norms and similarities of their states, ages, read mass. */
#include "model/cache/cache_impl.h"

#include <math.h>
#include <string.h>

/* The candidates' inner products lie in this order: of z for all pairs i <= j, then the squares of their S. */
static int pair_of(int i, int j) {
    int low = i < j ? i : j, high = i < j ? j : i;
    return high * (high + 1) / 2 + low;
}

int lt_features_ask(const lt_entries *list, lt_products *products) {
    int place = products->count, n = 0;
    for (int j = 0; j < list->count; j++) {
        if (list->items[j].ghost) continue;
        for (int i = 0; i <= j; i++)
            if (!list->items[i].ghost) lt_products_pair(products, list->items[i].z, list->items[j].z);
    }
    for (int i = 0; i < list->count; i++) {
        if (list->items[i].ghost) continue;
        const lt_tensor *S = &list->items[i].S;
        lt_tensor flat = LT_RESHAPE(*S, S->shape[0], S->shape[1] * S->shape[2]);
        lt_products_pair(products, flat, flat);
        n++;
    }
    return n > 0 ? place : -1;
}

static double sum_of(int64_t count, const double *x) {
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

static void value_features(lt_cache *cache, const lt_entries *list, const double *products) {
    lt_decision *d = cache->decision;
    int n = d->candidates, capacity = d->capacity;
    int64_t H = cache->shape.heads;
    const double *squares = products + n * (n + 1) / 2 * H;
    for (int i = 0; i < n; i++) {
        float *f = d->features[i];
        const double *own = products + pair_of(i, i) * H;
        double nearest = -1, tokens = fmax(1, list->items[d->index[i]].tokens), cosine = 0;
        for (int j = 0; j < n; j++) {
            cosine = cosine_of(H, products + pair_of(i, j) * H, own, products + pair_of(j, j) * H);
            d->cosine[i * capacity + j] += cosine;
            if (j != i) nearest = fmax(nearest, cosine);
        }
        f[LT_FEATURE_Z_NORM] = (float)(sqrt(sum_of(H, own)) / tokens);
        f[LT_FEATURE_S_NORM] = (float)(sqrt(sum_of(H, squares + i * H)) / tokens);
        f[LT_FEATURE_NOVELTY] = n > 1 ? (float)(1 - nearest) : 1;
        f[LT_FEATURE_RECENCY] = (float)cosine; /* the last one was the newest */
    }
}

void lt_decision_features(lt_cache *cache, const lt_entries *list, const double *products) {
    lt_decision *d = cache->decision;
    d->candidates = 0;
    for (int i = 0; i < list->count; i++) {
        const lt_entry *e = &list->items[i];
        if (e->ghost) continue;
        float *f = d->features[d->candidates];
        memset(f, 0, sizeof *d->features);
        f[LT_FEATURE_AGE] = (float)(list->committed - 1 - e->id);
        f[LT_FEATURE_ORDER] = (float)e->first_id;
        f[LT_FEATURE_MERGES] = (float)e->merges;
        f[LT_FEATURE_TOKENS] = (float)e->tokens / (float)list->block_tokens;
        f[LT_FEATURE_READ_MASS] = e->reads ? (float)(e->read_mass / e->reads) : 0;
        f[LT_FEATURE_MOTION] = e->motion;
        d->ids[d->candidates] = e->id;
        d->index[d->candidates++] = i;
    }
    if (products) value_features(cache, list, products);
}
