/* How much attention an entry has drawn so far. */
#include "model/cache/policy.h"

static lt_status read_mass_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) out[i] = view->features[i][LT_FEATURE_READ_MASS];
    return LT_OK;
}

const lt_policy lt_policy_read_mass = {
    .name = "read-mass",
    .help =
        "The largest mean share of attention since it was written (heavy hitters, H2O: Zhang et al., arXiv "
        "2306.14048); exact for linear attention.",
    .score = read_mass_score,
    .needs = LT_NEED(LT_FEATURE_READ_MASS),
    .fixed_budget = -1,
    .consolidate = "drop",
};
