/* How large the keys of an entry are. */
#include "model/cache/policy.h"

enum { LARGE, SMALL };

static lt_status score(const lt_policy_input *input, float *out) {
    float sign = input->params[0] == LARGE ? 1 : -1;
    for (int i = 0; i < input->entries; i++) out[i] = sign * input->features[i][LT_FEATURE_Z_NORM];
    return LT_OK;
}

const lt_policy lt_policy_key_norm = {
    .name = "key-norm",
    .help =
        "The largest sum of keys per token; keep=small is the rule of Devoto et al. (arXiv 2406.11430) for "
        "softmax attention, where small keys draw the most attention.",
    .score = score,
    .params = {{"keep", LARGE, LARGE, SMALL, "which norms stay", "large|small"}},
    .fixed_budget = -1,
    .consolidate = "drop",
};
