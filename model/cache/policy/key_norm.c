/* How large the keys of an entry are. */
#include "model/cache/policy.h"

enum { LARGE, SMALL };

static lt_status key_norm_score(const lt_policy_view *view, float *out) {
    float sign = view->params[0] == LARGE ? 1 : -1;
    for (int i = 0; i < view->entries; i++) out[i] = sign * view->features[i][LT_FEATURE_Z_NORM];
    return LT_OK;
}

const lt_policy lt_policy_key_norm = {
    .name = "key-norm",
    .help =
        "The largest sum of keys per token; keep=small is the rule of Devoto et al. (arXiv 2406.11430) for "
        "softmax attention, where small keys draw the most attention.",
    .score = key_norm_score,
    .params = {{"keep", LARGE, LARGE, SMALL, "which norms stay", "large|small"}},
    .needs = LT_NEED(LT_FEATURE_Z_NORM),
    .fixed_budget = -1,
    .consolidate = "drop",
};
