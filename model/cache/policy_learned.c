/* The trained keep head. */
#include "model/cache/scorer.h"

static lt_status score(const lt_policy_input *input, float *out) {
    const lt_scorer *scorer = input->scorer;
    LT_CHECK(scorer, LT_USAGE, "policy learned: this model has no scorer; train one (train.stage=scorer)");
    return lt_scorer_keep_host(scorer, input->layer, input->entries, input->features, out);
}

const lt_policy lt_policy_learned = {
    .name = "learned",
    .help = "The highest score of the trained keep head; untrained, it is window.",
    .score = score,
    .reads = true,
    .fixed_budget = -1,
    .consolidate = "drop",
    .needs_scorer = true,
};
