/* Evaluation (infer/comparison.h) of one run. */
#include "api/api_impl.h"

#include "infer/comparison.h"

#include <math.h>

typedef struct evaluation {
    longtake_evaluation given;
    lt_comparison_spec spec;
    lt_comparison *comparison;
    lt_dataset *set;
} evaluation;

static void pass_progress(const char *what, int64_t done, int64_t total, void *user) {
    const longtake_evaluation *given = user;
    given->progress(what, done, total, given->user);
}

static lt_status read_options(evaluation *e, const longtake_run *run, const longtake_evaluation *given) {
    static const char *const three[] = {"3"};
    longtake_evaluation *g = &e->given;
    LT_TRY(lt_api_read("evaluation", given, g, sizeof *g));
    LT_CHECK(g->data, LT_USAGE, "evaluation.data names no dataset");
    LT_CHECK(g->policies && g->policy_count > 0, LT_USAGE, "evaluation.policies is empty");
    lt_eval_options o = lt_eval_default();
    if (g->role) o.role = g->role;
    o.domains = g->domains, o.domain_count = g->domain_count, o.clips = g->clips;
    if (g->blocks) o.blocks = g->blocks;
    if (g->draws) o.draws = g->draws;
    o.seed = g->seed ? g->seed : run->context->seed;
    o.allow_train = g->allow_train != 0;
    const bool budgets = g->budgets && g->budget_count > 0;
    e->spec = (lt_comparison_spec){.policies = g->policies,
                                   .policy_count = g->policy_count,
                                   .budgets = budgets ? g->budgets : three,
                                   .budget_count = budgets ? g->budget_count : 1,
                                   .options = o,
                                   .progress = g->progress ? pass_progress : NULL,
                                   .user = g,
                                   .runs = 1};
    return LT_OK;
}

static longtake_row public_row(const lt_eval_row *r) {
    const lt_paired *d = &r->primary.difference;
    const bool any = r->primary.clips > 0, compared = any && r->has_reference && !r->is_reference;
    return (longtake_row){.size = sizeof(longtake_row),
                          .policy = r->policy,
                          .domain = r->domain,
                          .budget = r->budget,
                          .cache_bytes = lt_policy_cache_bytes(&r->bytes),
                          .clips = r->primary.clips,
                          .groups = r->primary.groups,
                          .evicting_reads = r->primary.reads,
                          .loss = any ? r->primary.loss.mean : NAN,
                          .loss_error = any ? r->primary.loss.standard_error : NAN,
                          .reference = r->has_reference ? r->reference : NULL,
                          .difference = compared ? d->mean : NAN,
                          .low = compared ? d->table_low : NAN,
                          .high = compared ? d->table_high : NAN,
                          .p = compared ? d->p : NAN,
                          .verdict = compared ? lt_paired_verdict(d, true) : NULL};
}

static lt_status evaluate(evaluation *e, longtake_run *run, void (*row)(const longtake_row *, void *),
                          void *user) {
    const lt_eval_row *rows;
    int count;
    LT_TRY(lt_dataset_open(e->given.data, &e->set));
    LT_TRY(lt_comparison_open(&e->spec, &e->comparison));
    LT_TRY(lt_comparison_run(e->comparison, run->model, e->set, "the run"));
    LT_TRY(lt_comparison_rows(e->comparison, run->model, &rows, &count));
    for (int i = 0; i < count; i++) {
        const longtake_row one = public_row(&rows[i]);
        row(&one, user);
    }
    return LT_OK;
}

longtake_status longtake_evaluate(longtake_run *run, const longtake_evaluation *given,
                                  void (*row)(const longtake_row *row, void *user), void *user) {
    evaluation e = {0};
    lt_api_enter(run->context);
    lt_status status = read_options(&e, run, given);
    if (status == LT_OK) status = evaluate(&e, run, row, user);
    lt_comparison_close(e.comparison);
    if (e.set) lt_dataset_close(e.set);
    return lt_api_leave(status);
}
