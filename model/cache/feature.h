/* Features of the entries present: the table behind lt_entry_feature, and what a feature is computed from
 * (docs/adding-a-policy.md adds one). */
#ifndef LT_MODEL_FEATURE_H
#define LT_MODEL_FEATURE_H

#include "model/cache/cache.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a feature is computed from: bits, so that what several need can be joined. Everything but LT_FROM_HOST
 * differs between layers and waits until the block was seen; Z, S and PAIRS are dot products, computed on the
 * device in one launch. */
typedef enum lt_feature_source {
    LT_FROM_HOST = 0,  /* counters, frames, motion: known without looking at any value */
    LT_FROM_READS = 1, /* what commit passes read of it */
    LT_FROM_Z = 2,     /* |z|^2 */
    LT_FROM_S = 4,     /* |S|^2 */
    LT_FROM_PAIRS = 8  /* cosine of z for all pairs */
} lt_feature_source;

typedef enum lt_feature_scale { LT_LINEAR, LT_LOG } lt_feature_scale;

typedef struct lt_feature_view {
    int entries;
    const lt_entries *list;
    const int *place; /* [entries]: where each stands in the list */
    const double *z2; /* [entries] |z|^2, all heads; with LT_FROM_Z, else NULL */
    const double *S2; /* [entries] |S|^2, all heads; with LT_FROM_S, else NULL */
    /* [entries, entries] of z, mean over heads, 0 where a z is; with LT_FROM_PAIRS, else NULL */
    const double *cosine;
} lt_feature_view;

static inline const lt_entry *lt_feature_entry(const lt_feature_view *view, int entry) {
    return &view->list->items[view->place[entry]];
}

typedef struct lt_feature_row {
    const char *name;
    float (*of)(const lt_feature_view *view, int entry);
    lt_feature_source source;
    lt_feature_scale scale;
} lt_feature_row;
extern const lt_feature_row lt_feature_rows[LT_FEATURE_COUNT];

/* The sources, joined, of what is needed (policy.h: LT_NEED). */
unsigned lt_need_sources(uint64_t needs);

#define LT_FEATURE(ID, name, source, scale) float lt_feature_##name(const lt_feature_view *view, int entry);
#include "model/cache/feature/features.def"
#undef LT_FEATURE

#ifdef __cplusplus
}
#endif
#endif
