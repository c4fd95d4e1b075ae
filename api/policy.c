/* Policies that a program adds: the one place where the public view is made of the cache's
 * (model/cache/policy.h). */
#include "api/api_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The public number of a feature never changes; the cache's may. */
static const lt_entry_feature features[LONGTAKE_FEATURES] = {[LONGTAKE_AGE] = LT_FEATURE_AGE,
                                                             [LONGTAKE_ORDER] = LT_FEATURE_ORDER,
                                                             [LONGTAKE_MERGES] = LT_FEATURE_MERGES,
                                                             [LONGTAKE_TOKENS] = LT_FEATURE_TOKENS,
                                                             [LONGTAKE_Z_NORM] = LT_FEATURE_Z_NORM,
                                                             [LONGTAKE_S_NORM] = LT_FEATURE_S_NORM,
                                                             [LONGTAKE_READ_MASS] = LT_FEATURE_READ_MASS,
                                                             [LONGTAKE_NOVELTY] = LT_FEATURE_NOVELTY,
                                                             [LONGTAKE_RECENCY] = LT_FEATURE_RECENCY,
                                                             [LONGTAKE_MOTION] = LT_FEATURE_MOTION};

/* Fills `column` and what it points to, [LONGTAKE_FEATURES, entries], which was 0. */
static void transpose_features(const lt_policy_view *from, uint64_t needs, float *values,
                               const float **column) {
    for (int f = 0; f < LONGTAKE_FEATURES; f++) {
        float *to = values + (size_t)f * (size_t)from->entries;
        for (int i = 0; needs & LONGTAKE_NEED(f) && i < from->entries; i++)
            to[i] = from->features[i][features[f]];
        column[f] = to;
    }
}

/* Calls `score`, or, where that is NULL, `update`. */
static lt_status call(const lt_policy_view *from, float *score) {
    const lt_api_policy *policy = (const lt_api_policy *)from->policy;
    const float *column[LONGTAKE_FEATURES];
    float *values = calloc((size_t)LONGTAKE_FEATURES * (size_t)from->entries, sizeof *values);
    LT_CHECK(values, LT_FAILED, "policy %s: out of memory", policy->name);
    transpose_features(from, policy->needs, values, column);
    const longtake_view view = {.size = sizeof view,
                                .entries = from->entries,
                                .layer = from->layer,
                                .commit = from->commit,
                                .seed = from->key.seed,
                                .sequence = from->key.clip,
                                .ids = from->ids,
                                .feature = column,
                                .similarity = from->similarity,
                                .state = from->state};
    int failed = score ? policy->score(&view, score, policy->user) : policy->update(&view, policy->user);
    free(values);
    LT_CHECK(failed == 0, LT_FAILED, "policy %s: its %s function returned %d", policy->name,
             score ? "score" : "update", failed);
    return LT_OK;
}

static lt_status score_with_callback(const lt_policy_view *from, float *score) { return call(from, score); }
static lt_status update_with_callback(const lt_policy_view *from) { return call(from, NULL); }

/* ---- adding one ---------------------------------------------------------------------------------------- */

static lt_status check_name(const longtake *c, const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    LT_CHECK(name && *name && strlen(name) < sizeof((lt_api_policy *)0)->name, LT_USAGE,
             "a policy needs a name of at most 63 letters");
    LT_CHECK(name[strspn(name, letters)] == '\0', LT_USAGE,
             "policy \"%s\": expected small letters, digits and dashes", name);
    for (int i = 0; lt_policy_at(i); i++)
        LT_CHECK(strcmp(name, lt_policy_at(i)->name) != 0, LT_USAGE,
                 "policy \"%s\" is one of the library's own; choose another name", name);
    for (int i = 0; i < c->policy_count; i++)
        LT_CHECK(strcmp(name, c->policies[i]->name) != 0, LT_USAGE, "policy \"%s\" was added before", name);
    return LT_OK;
}

static lt_status check_policy(const longtake *c, const longtake_policy *p) {
    const uint64_t known = (LONGTAKE_NEED(LONGTAKE_FEATURES) - 1) | LONGTAKE_NEED_SIMILARITY;
    bool rule = !p->consolidate;
    LT_TRY(check_name(c, p->name));
    LT_CHECK(p->score, LT_USAGE, "policy \"%s\" has no score function", p->name);
    LT_CHECK((p->needs & ~known) == 0, LT_USAGE,
             "policy \"%s\": needs is %#" PRIx64 "; this library knows %#" PRIx64, p->name, p->needs, known);
    LT_CHECK(p->state >= 0 && p->state <= LT_POLICY_STATE, LT_USAGE,
             "policy \"%s\": state is %d; expected 0 to %d", p->name, p->state, LT_POLICY_STATE);
    LT_CHECK(!p->update || p->state > 0, LT_USAGE, "policy \"%s\" has an update function and no state",
             p->name);
    for (int i = 0; i < LT_CONSOLIDATE_COUNT && !rule; i++)
        rule = strcmp(p->consolidate, lt_consolidate_names[i]) == 0;
    LT_CHECK(rule, LT_USAGE, "policy \"%s\": consolidate=%s; expected drop, sum, ema, nearest or decay",
             p->name, p->consolidate);
    return LT_OK;
}

static uint64_t cache_needs(uint64_t needs) {
    uint64_t of_cache = needs & LONGTAKE_NEED_SIMILARITY ? LT_NEED_SIMILARITY : 0;
    for (int f = 0; f < LONGTAKE_FEATURES; f++)
        if (needs & LONGTAKE_NEED(f)) of_cache |= LT_NEED(features[f]);
    return of_cache;
}

static lt_api_policy *new_policy(const longtake_policy *p) {
    lt_api_policy *policy = calloc(1, sizeof *policy);
    if (!policy) return NULL;
    snprintf(policy->name, sizeof policy->name, "%s", p->name);
    snprintf(policy->help, sizeof policy->help, "%s", p->help ? p->help : "");
    snprintf(policy->consolidate, sizeof policy->consolidate, "%s", p->consolidate ? p->consolidate : "drop");
    policy->score = p->score;
    policy->needs = p->needs;
    policy->update = p->update;
    policy->user = p->user;
    policy->row = (lt_policy){.name = policy->name,
                              .help = policy->help,
                              .score = score_with_callback,
                              .needs = cache_needs(p->needs),
                              .state = p->state,
                              .update = p->update ? update_with_callback : NULL,
                              .fixed_budget = -1,
                              .consolidate = policy->consolidate};
    return policy;
}

static lt_status add_policy(longtake *c, const longtake_policy *given) {
    longtake_policy p;
    LT_TRY(lt_api_read("policy", given, &p, sizeof p));
    LT_TRY(check_policy(c, &p));
    lt_policy **rows = realloc(c->policies, (size_t)(c->policy_count + 1) * sizeof(lt_policy *));
    if (rows) c->policies = rows;
    lt_api_policy *policy = rows ? new_policy(&p) : NULL;
    LT_CHECK(policy, LT_FAILED, "policy \"%s\": out of memory", p.name);
    c->policies[c->policy_count++] = &policy->row;
    return LT_OK;
}

longtake_status longtake_policy_add(longtake *context, const longtake_policy *policy) {
    return (longtake_status)add_policy(context, policy);
}
