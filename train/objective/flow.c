/* Flow matching: the mean squared error of the velocity, per block (infer/clip_pass.h; Lipman et al., arXiv
 * 2210.02747). */
#include "train/objective/objective.h"

static bool flow_wanted(const lt_train_config *config) {
    (void)config;
    return true;
}

static lt_status flow_forward(void *state, const lt_objective_pass *p, const lt_train_config *config,
                              lt_var **loss) {
    (void)state;
    return lt_clip_pass_run(p->pass, p->batch, &config->recompute.keep, loss);
}

const lt_objective lt_objective_flow = {
    .name = "flow",
    .what = "flow matching: the velocity's mean squared error",
    .wanted = flow_wanted,
    .forward = flow_forward,
    .no_gradient = "nothing that is trained leads to the loss: with stage scorer a policy with read=age or "
                   "read=content must be in "
                   "train.policy_mix, or scorer.target must not be none",
};
