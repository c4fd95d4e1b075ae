/* The first n entries of the video and the newest. */
#include "model/cache/policy.h"

static lt_status sink_score(const lt_policy_view *view, float *out) {
    for (int i = 0; i < view->entries; i++) {
        const float *f = view->features[i];
        /* Among sinks the first of the video is the last to go. */
        out[i] = f[LT_FEATURE_ORDER] < view->params[0] ? 1 / (1 + f[LT_FEATURE_ORDER]) : -f[LT_FEATURE_AGE];
    }
    return LT_OK;
}

const lt_policy lt_policy_sink = {
    .name = "sink",
    .help =
        "The first n entries of the video, then the newest (StreamingLLM: Xiao et al., arXiv 2309.17453).",
    .score = sink_score,
    .params = {{"n", 1, 1, 1 << 20, "entries kept from the start of the video", .integer = true}},
    .needs = LT_NEED(LT_FEATURE_ORDER) | LT_NEED(LT_FEATURE_AGE),
    .fixed_budget = -1,
    .consolidate = "drop",
};
