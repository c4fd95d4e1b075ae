/* Nothing: the budget is 0, so no score matters. */
#include "model/cache/policy.h"

static lt_status none_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) out[i] = -view->features[i][LT_FEATURE_AGE];
    return LT_OK;
}

const lt_policy lt_policy_none = {
    .name = "none",
    .help = "Nothing: every block reads itself only; the tail of the temporal convolution stays.",
    .score = none_score,
    .needs = LT_NEED(LT_FEATURE_AGE),
    .fixed_budget = 0,
    .consolidate = "drop",
};
