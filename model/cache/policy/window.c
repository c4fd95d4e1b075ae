/* The newest stay. */
#include "model/cache/policy.h"

static lt_status window_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) out[i] = -view->features[i][LT_FEATURE_AGE];
    return LT_OK;
}

const lt_policy lt_policy_window = {
    .name = "window",
    .help = "The M newest entries (sliding window attention: Beltagy et al., arXiv 2004.05150).",
    .score = window_score,
    .needs = LT_NEED(LT_FEATURE_AGE),
    .fixed_budget = -1,
    .consolidate = "drop",
};
