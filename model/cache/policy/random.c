/* Chance: the control that every other policy has to beat. */
#include "model/cache/policy.h"

enum { RESERVOIR, UNIFORM };

/* Reservoir: a priority drawn once per entry, so the kept are a uniform sample of the whole video. Uniform: drawn
 * anew at every commit, so old entries are as likely to go as young ones and the kept thin out with age. */
static lt_status random_score(const lt_policy_view *view, float *out) {
    lt_rng_key key = view->key;
    key.block = view->params[0] == RESERVOIR ? 0 : 1 + (uint32_t)view->commit;
    for (int i = 0; i < view->entries; i++) out[i] = (float)lt_rng_uniform(&key, (uint64_t)view->ids[i]);
    return LT_OK;
}

const lt_policy lt_policy_random = {
    .name = "random",
    .help =
        "A uniform sample of the whole video (reservoir sampling: Vitter, ACM TOMS 1985), or a random victim "
        "at every commit (mode=uniform).",
    .score = random_score,
    .params = {{"mode", RESERVOIR, RESERVOIR, UNIFORM, "what is drawn at random", "reservoir|uniform"}},
    .fixed_budget = -1,
    .consolidate = "drop",
};
