/* A cache policy as text: who is kept, how many, how the evicted are folded in, how the kept are weighed.
 *
 *     sink:n=1,consolidate=ema,alpha=0.9,scope=layer,read=content,protect=1
 *
 *     consolidate   what happens to a victim:
 *         drop          it is gone
 *         sum           added to its older neighbour in time, or to the next newer one if it is the oldest
 *         ema           same target: alpha * target + (1 - alpha) * victim
 *         nearest       added to the entry with the most similar z (mean over heads of the cosine)
 *         decay         same target as sum, but the older of the two is multiplied by gamma
 *     scope         layer | model       each layer decides for itself, or all share the mean of their scores
 *     read          one | age | content                                     weights of the entries when read
 *     granularity   block | frame | tile                                    what one entry is
 *     protect       newest entries that no policy may evict
 */
#ifndef LT_MODEL_CACHE_SPEC_H
#define LT_MODEL_CACHE_SPEC_H

#include "model/cache/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_consolidate {
    LT_DROP,
    LT_SUM,
    LT_EMA,
    LT_NEAREST,
    LT_DECAY,
    LT_CONSOLIDATE_COUNT
} lt_consolidate;
typedef enum lt_cache_scope { LT_SCOPE_LAYER, LT_SCOPE_MODEL, LT_SCOPE_COUNT } lt_cache_scope;
typedef enum lt_read_weight { LT_READ_ONE, LT_READ_AGE, LT_READ_CONTENT, LT_READ_COUNT } lt_read_weight;
typedef enum lt_granularity { LT_GRAIN_BLOCK, LT_GRAIN_FRAME, LT_GRAIN_TILE, LT_GRAIN_COUNT } lt_granularity;

typedef struct lt_cache_spec {
    const lt_policy *policy;
    double params[LT_POLICY_PARAMS];
    int budget; /* entries kept per layer and sequence, M */
    lt_consolidate consolidate;
    double alpha, gamma; /* of ema and decay */
    lt_cache_scope scope;
    lt_read_weight read;
    lt_granularity granularity;
    int protect; /* newest entries that no policy may evict; at most M of them */
} lt_cache_spec;

/* Parses `text`; `budget` (0 and more) is used unless the policy fixes its own. LT_USAGE names what is unknown,
 * with the nearest known word. */
lt_status lt_cache_spec_parse(const char *text, int budget, lt_cache_spec *out);
/* The resolved string, every parameter written out; parsing it with the same budget gives the same spec. At most
 * LT_SPEC_TEXT bytes. Returns `text`. */
enum { LT_SPEC_TEXT = 512 };
char *lt_cache_spec_text(const lt_cache_spec *spec, char *text, size_t size);

/* "3" slots, "60MiB" (whole slots of `slot_bytes` that fit), or "25%" of `entries` (at least 1). */
lt_status lt_budget_parse(const char *text, int64_t slot_bytes, int entries, int *out);

/* True when its decisions look at what differs between layers: a policy that needs more than counters, or
 * `nearest`. */
bool lt_cache_spec_looks(const lt_cache_spec *spec);

/* A key that every policy takes: what parses it, and what `longtake list policies` says of it. */
typedef struct lt_spec_key {
    const char *name;
    const char *help;
    const char *const *words, *const *meanings; /* what it may be, and what each does; NULL: a number */
    int word_count;
    double min, max, preset;
    bool integer;
    const char *preset_text; /* of words: NULL where each policy has its own */
} lt_spec_key;
const lt_spec_key *lt_spec_key_at(int index); /* NULL past the end */

/* Names of the enums above, in order. */
extern const char *const lt_consolidate_names[LT_CONSOLIDATE_COUNT];
extern const char *const lt_scope_names[LT_SCOPE_COUNT];
extern const char *const lt_read_names[LT_READ_COUNT];
extern const char *const lt_granularity_names[LT_GRAIN_COUNT];

#ifdef __cplusplus
}
#endif
#endif
