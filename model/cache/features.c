/* What is known of the entries present: norms and similarities of their states, ages, read mass. */
#include "model/cache/cache_impl.h"
#include "model/cache/host_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lt_status out_of_memory(void) { return lt_fail(LT_FAILED, "cache: out of host memory for features"); }

/* Inner products of all pairs of candidates' z and, behind them, the squares of their S: [n, n, H] then [n, H]. */
static lt_status inner_products(lt_tape *tape, const lt_entries *list, const lt_decision *d,
                                lt_tensor *products, lt_tensor *tensors) {
    int n = d->candidates;
    int64_t H = list->items[0].z.shape[0], D = list->items[0].z.shape[1];
    LT_TRY(LT_NEW(tape->step, list->items[0].z.dtype, products, n * n + n, 1, H));
    for (int i = 0; i < n; i++) tensors[i] = list->items[d->index[i]].z;
    lt_attn_dots_args pairs = {n, n, tensors, tensors, LT_RESHAPE(lt_slice(*products, 0, 0, n * n), n, n, H)};
    LT_TRY(lt_attn_dots(tape->ctx, &pairs));
    for (int i = 0; i < n; i++) {
        lt_tensor S = LT_RESHAPE(list->items[d->index[i]].S, H, D * D);
        lt_attn_dots_args square = {1, 1, &S, &S, lt_slice(*products, 0, n * n + i, 1)};
        LT_TRY(lt_attn_dots(tape->ctx, &square));
    }
    return LT_OK;
}

/* The same on the host; free *out. */
static lt_status read_inner_products(lt_tape *tape, const lt_entries *list, const lt_decision *d,
                                     double **out) {
    lt_tensor products, *tensors = malloc((size_t)d->candidates * sizeof *tensors);
    if (!tensors) return out_of_memory();
    size_t mark = lt_arena_mark(tape->step);
    lt_status status = inner_products(tape, list, d, &products, tensors);
    free(tensors);
    *out = NULL;
    if (status == LT_OK && !(*out = malloc((size_t)lt_numel(&products) * sizeof **out)))
        status = out_of_memory();
    if (status == LT_OK) status = lt_host_read(tape->ctx, &products, *out);
    lt_arena_release(tape->step, mark);
    if (status != LT_OK) free(*out);
    return status;
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

static lt_status value_features(lt_cache *cache, lt_tape *tape, const lt_entries *list) {
    lt_decision *d = cache->decision;
    int n = d->candidates, capacity = d->capacity;
    int64_t H = cache->shape.heads;
    double *products = NULL;
    LT_TRY(read_inner_products(tape, list, d, &products));
    for (int i = 0; i < n; i++) {
        float *f = d->features[i];
        double nearest = -1, tokens = fmax(1, list->items[d->index[i]].tokens), cosine = 0;
        for (int j = 0; j < n; j++) {
            cosine = cosine_of(H, products + (i * n + j) * H, products + (i * n + i) * H,
                               products + (j * n + j) * H);
            d->cosine[i * capacity + j] += cosine;
            if (j != i) nearest = fmax(nearest, cosine);
        }
        f[LT_FEATURE_Z_NORM] = (float)(sqrt(sum_of(H, products + (i * n + i) * H)) / tokens);
        f[LT_FEATURE_S_NORM] = (float)(sqrt(sum_of(H, products + (n * n + i) * H)) / tokens);
        f[LT_FEATURE_NOVELTY] = n > 1 ? (float)(1 - nearest) : 1;
        f[LT_FEATURE_RECENCY] = (float)cosine; /* the last one was the newest */
    }
    free(products);
    return LT_OK;
}

lt_status lt_decision_features(lt_cache *cache, lt_tape *tape, const lt_entries *list, bool values) {
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
    return values && d->candidates > 0 ? value_features(cache, tape, list) : LT_OK;
}
