/* Eviction policies: who stays. A policy is one file policy/NAME.c, which defines a const lt_policy lt_policy_NAME,
 * and its row in policy/policies.def (docs/adding-a-policy.md).
 *
 *     score(view of the entries present) -> one number per entry, higher stays
 *
 * A policy declares what it needs as a set of bits, and only that is computed. What it sees is float32 on the host,
 * the same on every backend, and comes from the entries present and O(1) running statistics alone: nothing that an
 * evicted entry would have to be remembered for. One victim goes at a time: the lowest score, of equals the oldest,
 * never one of the newest that are protected; a score that is not a number is the lowest. Where more must go, the
 * remaining entries are scored again without the victim: of two entries that are alike only one goes for being so. (One
 * that receives a victim shows what it was until the next commit.)
 * Selecting victims and removing them (spec.h: consolidate) are shared by all policies.
 */
#ifndef LT_MODEL_POLICY_H
#define LT_MODEL_POLICY_H

#include "core/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of an entry when it is scored: a row each in feature/features.def, where the units are. */
typedef enum lt_entry_feature {
#define LT_FEATURE(ID, name, source, scale) LT_FEATURE_##ID,
#include "model/cache/feature/features.def"
#undef LT_FEATURE
    LT_FEATURE_COUNT
} lt_entry_feature;

/* What a policy needs: features, and what is not a feature. */
#define LT_NEED(feature)     (UINT64_C(1) << (feature))
#define LT_NEED_ALL_FEATURES (LT_NEED(LT_FEATURE_COUNT) - 1)
#define LT_NEED_SIMILARITY   LT_NEED(62) /* pairwise similarity of z */
#define LT_NEED_SCORER       LT_NEED(63) /* the model's trained heads */

/* Parameters written behind a policy's name: "sink:n=2". Values that were not given hold the row's default. */
enum { LT_POLICY_PARAMS = 4 };

struct lt_policy;
struct lt_scorer;

/* The entries present, in time order; valid during the call only. */
typedef struct lt_policy_view {
    const struct lt_policy *policy; /* the row */
    int entries;
    /* [entries]; those that the policy does not need are 0 */
    const float (*features)[LT_FEATURE_COUNT];
    /* [entries, entries] cosine of their z, mean over heads; NULL unless LT_NEED_SIMILARITY */
    const float *similarity;
    /* [entries, policy->state] of the policy's own; `score` must not change it */
    float *state;
    const int64_t *ids;   /* [entries]: number of the commit that wrote each */
    const double *params; /* [LT_POLICY_PARAMS] */
    /* seed, sequence (clip) and layer (step; one for all with scope=model): the random policies */
    lt_rng_key key;
    int64_t commit; /* number of the newest commit */
    int layer;
    const struct lt_scorer *scorer; /* or NULL */
} lt_policy_view;

typedef lt_status (*lt_policy_score_fn)(const lt_policy_view *view, float *score);
/* Once per commit and layer, evicting or not, after the new entries (whose state is 0) were admitted and before any
 * score: writes view->state. */
typedef lt_status (*lt_policy_update_fn)(const lt_policy_view *view);
/* `victim`, which stands for `victim_tokens` tokens, is folded into `target`: target's state becomes that of both. */
typedef void (*lt_policy_merge_fn)(float *target, int target_tokens, const float *victim, int victim_tokens);

/* A number, or, where `words` is given ("reservoir|uniform"), one of these: its value is its place, from 0. */
typedef struct lt_policy_param {
    const char *name;
    double preset, min, max;
    const char *help;
    const char *words; /* or NULL */
    bool integer;
} lt_policy_param;

typedef struct lt_policy {
    const char *name;
    const char *help; /* one sentence, with the paper the idea comes from */
    lt_policy_score_fn score;
    lt_policy_param params[LT_POLICY_PARAMS];
    uint64_t needs; /* LT_NEED(LT_FEATURE_AGE) | LT_NEED_SIMILARITY ...; 0: ids, params and key alone */
    /* Floats that belong to each entry, at most LT_POLICY_STATE. They move, merge, are saved and go with it, and
     * count as bytes of the cache. */
    int state;
    lt_policy_update_fn update; /* or NULL: the state stays 0 */
    lt_policy_merge_fn merge;   /* or NULL: the mean of both, weighted by tokens */
    int fixed_budget;           /* -1: as asked; keep-all is 1, none is 0 */
    const char *consolidate;    /* default rule */
} lt_policy;

enum { LT_POLICY_STATE = 16 };

/* Row by name, or NULL with lt_error() naming the nearest; rows in order for `longtake list policies`, NULL past the
 * end. */
const lt_policy *lt_policy_find(const char *name);
const lt_policy *lt_policy_at(int index);
/* Rows that lt_policy_find also knows when the calling thread asks, until the next call: those that a context of the
 * library was given (include/longtake.h). The caller keeps the array and the rows; count 0: none. */
void lt_policies_also(const lt_policy *const *rows, int count);

#ifdef __cplusplus
}
#endif
#endif
