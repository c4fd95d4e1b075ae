/* Eviction policies: who stays. A policy is one file policy_NAME.c, which defines a const lt_policy lt_policy_NAME, and
 * its row in policies.def (docs/adding-a-policy.md).
 *
 *     score(features of the entries present) -> one number per entry, higher stays
 *
 * Features are float32 on the host, the same on every backend, and use only the entries present and O(1) running
 * statistics: nothing that an evicted entry would have to be remembered for. Selecting victims (lowest score, ties evict
 * the oldest, the newest are protected; a score that is not a number is the lowest) and removing them (spec.h:
 * consolidate) are shared by all policies.
 */
#ifndef LT_MODEL_POLICY_H
#define LT_MODEL_POLICY_H

#include "core/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of an entry when it is scored. Ages and positions are counted in commits. */
typedef enum lt_entry_feature {
    LT_FEATURE_AGE,    /* commits since it was written: 0 for the newest */
    LT_FEATURE_ORDER,  /* how many were committed before it (its oldest part): 0 for the first of the video */
    LT_FEATURE_MERGES, /* entries folded into it */
    LT_FEATURE_TOKENS, /* tokens it stands for, relative to one block */
    LT_FEATURE_Z_NORM, /* |z| per token */
    LT_FEATURE_S_NORM, /* |S| per token */
    LT_FEATURE_READ_MASS, /* mean share of attention that commit passes gave it, since it was written */
    LT_FEATURE_NOVELTY,   /* 1 - largest cosine of its z with another entry present */
    LT_FEATURE_RECENCY,   /* cosine of its z with the newest entry's */
    LT_FEATURE_MOTION,    /* RMS difference of its latent frames */
    LT_FEATURE_COUNT
} lt_entry_feature;

/* The norms, novelty and recency are 0 where the policy is positional and nobody observes. */

/* Parameters written behind a policy's name: "sink:n=2". Values that were not given hold the row's default. */
enum { LT_POLICY_PARAMS = 4 };

typedef struct lt_policy_input {
    int entries;
    const float (*features)[LT_FEATURE_COUNT]; /* [entries], in time order */
    const int64_t *ids;                        /* [entries]: number of the commit that wrote each */
    const double *params;                      /* [LT_POLICY_PARAMS] */
    lt_rng_key
        key; /* seed, sequence (clip) and layer (step; one for all with scope=model): the random policies */
    int64_t commit; /* number of the newest commit */
    int layer;
    void *scorer; /* struct lt_scorer *, or NULL */
} lt_policy_input;

typedef lt_status (*lt_policy_score_fn)(const lt_policy_input *input, float *score);

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
    bool positional;         /* uses ages and ids only: decisions can be taken without looking at any value */
    bool reads;              /* uses LT_FEATURE_READ_MASS */
    int fixed_budget;        /* -1: as asked; keep-all is 1, none is 0 */
    const char *consolidate; /* default rule */
    bool needs_scorer;
} lt_policy;

/* Row by name, or NULL with lt_error() naming the nearest; rows in order for `longtake list policies`, NULL past the
 * end. */
const lt_policy *lt_policy_find(const char *name);
const lt_policy *lt_policy_at(int index);

#ifdef __cplusplus
}
#endif
#endif
