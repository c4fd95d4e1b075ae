/* The trained keep head. */
#include "model/cache/scorer.h"

static lt_status learned_score(const lt_policy_view *view, float *out) {
    LT_TRY(lt_scorer_check(view->scorer, "policy learned"));
    return lt_scorer_keep_host(view->scorer, view->layer, view->entries, view->features, out);
}

const lt_policy lt_policy_learned = {
    .name = "learned",
    .help = "The highest score of the trained keep head; untrained, it is window.",
    .score = learned_score,
    .needs = LT_NEED_ALL_FEATURES | LT_NEED_SCORER,
    .fixed_budget = -1,
    .consolidate = "drop",
};
