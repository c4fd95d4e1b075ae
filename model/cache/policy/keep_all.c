/* Everything, as one running sum: a window of one entry into which victims are added. */
#include "model/cache/policy.h"

static lt_status keep_all_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) out[i] = -view->features[i][LT_FEATURE_AGE];
    return LT_OK;
}

const lt_policy lt_policy_keep_all = {
    .name = "keep-all",
    .help = "Everything, as one running sum (linear attention: Katharopoulos et al., arXiv 2006.16236).",
    .score = keep_all_score,
    .needs = LT_NEED(LT_FEATURE_AGE),
    .fixed_budget = 1,
    .consolidate = "sum",
};
