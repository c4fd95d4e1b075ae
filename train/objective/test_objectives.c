/* The table of objectives: one more is a file and a row. The one added here regresses the clean latents: with x_t = (1
 * - t) x + t n and the estimate x_t - t v, its error is t (v - (n - x)), so its loss is t^2 times flow matching's. */
#include "autograd/ops.h"
#include "core/parallel.h"
#include "infer/transfer.h"
#include "model/testing.h"
#include "train/objective/keep_loss.h"
#include "train/testing.h"
#include "train/trainer_impl.h"

/* ---- the objective ----------------------------------------------------------------------------------------------- */

typedef struct clean_state {
    double expected; /* sum over its forwards of the mean loss, from flow matching's losses on the host */
    int forwards, begins, clips;
} clean_state;

static clean_state last; /* of the objective that was closed last */

static bool clean_wanted(const lt_train_config *c) { return c->blocks > 0; }

static lt_status clean_prepare(const lt_train_config *c, const lt_model *m, int clips, void **out) {
    clean_state *s = calloc(1, sizeof *s);
    (void)c, (void)m;
    s->clips = clips;
    *out = s;
    return LT_OK;
}

static void clean_close(void *state) {
    last = *(clean_state *)state;
    free(state);
}

static void clean_begin(void *state, const lt_clip_batch *batch) {
    clean_state *s = state;
    s->begins += batch->clips == s->clips;
}

static lt_status clean_forward(void *state, const lt_objective_pass *p, const lt_train_config *c,
                               lt_var **loss) {
    clean_state *s = state;
    lt_tape *tape = &p->session->tape;
    lt_var *flow, *rows, *zero, *gate, *sum = NULL;
    int64_t n = (int64_t)p->batch->blocks * p->batch->draws * p->batch->clips;
    float *weights = malloc((size_t)n * 2 * sizeof *weights), *flows = weights + n;
    LT_TRY(lt_clip_pass_run(p->pass, p->batch, &c->recompute.keep, &flow));
    LT_TRY(lt_get_floats(&p->session->ctx, tape->step, flow->value, flows));
    for (int64_t i = 0; i < n; i++) {
        weights[i] = (float)(p->batch->t[i] * p->batch->t[i]);
        s->expected += (double)weights[i] * flows[i] / (double)n;
    }
    s->forwards++;
    LT_TRY(LT_AG_RESHAPE(tape, flow, &rows, n, 1, 1));
    LT_TRY(lt_tape_new(tape, flow->value.dtype, false, &zero, LT_DIMS(n, 1, 1)));
    LT_TRY(lt_tape_new(tape, flow->value.dtype, false, &gate, LT_DIMS(n, 1)));
    LT_TRY(lt_put_floats(&p->session->ctx, tape->step, weights, gate->value));
    for (int64_t i = 0; i < n; i++) flows[i] = 0;
    LT_TRY(lt_put_floats(&p->session->ctx, tape->step, flows, zero->value));
    LT_TRY(lt_ag_gated_residual(tape, zero, rows, gate, &sum));
    free(weights);
    return LT_AG_RESHAPE(tape, sum, loss, n);
}

static lt_status clean_after(void *state, const lt_objective_pass *p, const lt_train_config *c,
                             double *figures) {
    (void)state, (void)c;
    figures[0] += p->batch->clips;
    figures[1] += p->progress;
    return LT_OK;
}

static void clean_report(const double *figures, lt_figure_fn write, void *user) {
    write(user, "clean_clips", figures[0]);
    write(user, "clean_progress", figures[1]);
}

static const lt_objective clean = {.name = "clean",
                                   .what = "mean squared error of the clean latents",
                                   .wanted = clean_wanted,
                                   .prepare = clean_prepare,
                                   .close = clean_close,
                                   .begin = clean_begin,
                                   .forward = clean_forward,
                                   .after = clean_after,
                                   .figures = 2,
                                   .report = clean_report};
extern const lt_objective lt_objective_flow, lt_objective_keep;

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static lt_status open_with(test_bench *b, const char *const *overrides, int count,
                           const lt_objective *const *rows) {
    LT_TRY(test_open(b, overrides));
    lt_trainer_close(b->trainer);
    lt_trainer_spec spec = {
        .config = &b->config, .model = b->model, .set = b->set, .objectives = rows, .objective_count = count};
    return lt_trainer_open(&spec, 0, &b->trainer);
}

static double named[2];

static void take(void *user, const char *name, double value) {
    (void)user;
    CHECK(strncmp(name, "clean_", 6) == 0 || strncmp(name, "keep_", 5) == 0);
    if (strcmp(name, "clean_clips") == 0) named[0] = value;
    if (strcmp(name, "keep_loss") == 0) named[1] = value;
}

static void a_row_of_its_own_is_minimised(void) {
    static const lt_objective *const rows[] = {&clean};
    test_bench b;
    lt_step_result r = {0};
    double mine = 0, first = 0, end = 0;
    const int steps = 60;
    CHECK_OK(open_with(&b, (const char *const[]){"train.accumulate=2", "train.steps=60", NULL}, 1, rows));
    for (int i = 0; i < steps; i++) {
        CHECK_OK(lt_trainer_step(b.trainer, &r));
        CHECK(r.finite && r.figures[0] == 4); /* two passes of two clips */
        mine += r.loss;
        if (i < 10) first += r.loss;
        if (i >= steps - 10) end += r.loss;
    }
    lt_objectives_report(lt_trainer_objectives(b.trainer), r.figures, take, NULL);
    CHECK(named[0] == 4 && end < 0.8 * first);
    CHECK_NEAR(r.figures[1], 2 * 59.0 / 60, 1e-12);
    test_close(&b);
    /* The planner's rehearsals, whose latents mean nothing, come on top of the steps' passes. */
    CHECK(last.forwards >= 2 * steps && last.begins == last.forwards && last.expected >= mine);
}

/* The same step: flow matching's loss and this one's stand in the ratio that the times say. */
static void its_loss_is_what_its_forward_says(void) {
    static const lt_objective *const rows[] = {&clean};
    test_bench a, b;
    lt_step_result flow = {0}, mine = {0};
    CHECK_OK(test_open(&a, NULL));
    CHECK_OK(lt_trainer_step(a.trainer, &flow));
    CHECK_OK(open_with(&b, NULL, 1, rows));
    clean_state *s = b.trainer->objectives.items[0].state;
    double before = s->expected;
    CHECK_OK(lt_trainer_step(b.trainer, &mine));
    CHECK_NEAR(mine.loss, s->expected - before, 1e-6);
    CHECK(mine.loss < flow.loss);
    test_close(&a);
    test_close(&b);
}

static void rows_stand_side_by_side_with_figures_of_their_own(void) {
    static const lt_objective *const rows[] = {&lt_objective_keep, &lt_objective_flow};
    test_bench a, b;
    lt_step_result x = {0}, y = {0};
    static const char *const scorer[] = {
        "train.stage=scorer", "train.policy_mix=[{\"policy\":\"learned:read=content\",\"budget\":2}]", NULL};
    CHECK_OK(test_open(&a, scorer));
    CHECK_OK(open_with(&b, scorer, 2, rows)); /* the order of rows changes nothing */
    test_fill_zeros(&a.model->params);        /* an untrained denoiser reads nothing, so nothing is damage */
    test_fill_zeros(&b.model->params);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(lt_trainer_step(a.trainer, &x));
        CHECK_OK(lt_trainer_step(b.trainer, &y));
    }
    CHECK(x.loss == y.loss && x.figures[0] == y.figures[0] && x.figures[0] > 0);
    lt_objectives_report(lt_trainer_objectives(a.trainer), x.figures, take, NULL);
    CHECK(named[1] == x.figures[0] && x.figures[0] == ((lt_keep_result *)x.figures)->loss);
    test_close(&a);
    test_close(&b);
}

static void a_run_has_just_one_primary(void) {
    static const lt_objective *const two[] = {&lt_objective_flow, &clean}, *const none[] = {
                                                                               &lt_objective_keep};
    test_bench b;
    CHECK_FAILS(open_with(&b, NULL, 2, two), LT_FAILED, "objectives clean and flow both have a forward");
    test_close(&b);
    CHECK_FAILS(open_with(&b, NULL, 1, none), LT_FAILED, "none of the run's 0 objectives has a forward");
    test_close(&b);
}

int main(int argc, char **argv) {
    test_begin();
    lt_set_threads(1);
    RUN(a_row_of_its_own_is_minimised);
    RUN(its_loss_is_what_its_forward_says);
    RUN(rows_stand_side_by_side_with_figures_of_their_own);
    RUN(a_run_has_just_one_primary);
    test_finish();
    return test_end();
}
