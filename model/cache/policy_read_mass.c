/* How much attention an entry has drawn so far. */
#include "model/cache/policy.h"

static lt_status score(const lt_policy_input *input, float *out) {
    for (int i = 0; i < input->entries; i++) out[i] = input->features[i][LT_FEATURE_READ_MASS];
    return LT_OK;
}

const lt_policy lt_policy_read_mass = {
    .name = "read-mass",
    .help =
        "The largest mean share of attention since it was written (heavy hitters, H2O: Zhang et al., arXiv "
        "2306.14048); exact for linear attention.",
    .score = score,
    .reads = true,
    .fixed_budget = -1,
    .consolidate = "drop",
};
