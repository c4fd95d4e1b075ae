/* The newest stay; with a budget of one summary or of nothing, also keep-all and none. */
#include "model/cache/policy.h"

static lt_status score(const lt_policy_input *input, float *out) {
    for (int i = 0; i < input->entries; i++) out[i] = -input->features[i][LT_FEATURE_AGE];
    return LT_OK;
}

const lt_policy lt_policy_window = {
    .name = "window",
    .help = "The M newest entries (sliding window attention: Beltagy et al., arXiv 2004.05150).",
    .score = score,
    .positional = true,
    .fixed_budget = -1,
    .consolidate = "drop",
};

const lt_policy lt_policy_keep_all = {
    .name = "keep-all",
    .help = "Everything, as one running sum (linear attention: Katharopoulos et al., arXiv 2006.16236).",
    .score = score,
    .positional = true,
    .fixed_budget = 1,
    .consolidate = "sum",
};

const lt_policy lt_policy_none = {
    .name = "none",
    .help = "Nothing: every block reads itself only; the tail of the temporal convolution stays.",
    .score = score,
    .positional = true,
    .fixed_budget = 0,
    .consolidate = "drop",
};
