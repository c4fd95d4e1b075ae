#include "infer/comparison.h"

#include "infer/cache_shape.h"

#include <stdlib.h>

struct lt_comparison {
    lt_comparison_spec spec;
    const char *what;                     /* is done now */
    int done;                             /* runs evaluated */
    const char *first;                    /* name of the first */
    lt_eval_specs specs;                  /* on it */
    lt_eval_table **tables, **validation; /* [runs] */
    lt_rollout_table **rollouts;          /* [runs] */
    lt_eval_row *rows;
    int row_count;
};

static lt_status read_specs(const lt_comparison_spec *s, const lt_model *model, lt_eval_specs *out) {
    return lt_eval_specs_parse(model, s->policies, s->policy_count, s->budgets, s->budget_count,
                               s->options.blocks, out);
}

static void pass_progress(int64_t done, int64_t total, void *user) {
    const lt_comparison *c = user;
    c->spec.progress(c->what, done, total, c->spec.user);
}

lt_status lt_comparison_open(const lt_comparison_spec *spec, lt_comparison **out) {
    const size_t runs = (size_t)spec->runs;
    lt_comparison *c = *out = calloc(1, sizeof *c);
    LT_CHECK(c, LT_FAILED, "evaluate: out of memory");
    c->spec = *spec;
    if (spec->progress) c->spec.options.progress = pass_progress, c->spec.options.progress_user = c;
    c->tables = calloc(runs, sizeof(lt_eval_table *)), c->validation = calloc(runs, sizeof(lt_eval_table *));
    c->rollouts = calloc(runs, sizeof(lt_rollout_table *));
    if (c->tables && c->validation && c->rollouts) return LT_OK;
    lt_comparison_close(c);
    *out = NULL;
    return lt_fail(LT_FAILED, "evaluate: out of memory");
}

void lt_comparison_close(lt_comparison *c) {
    if (!c) return;
    for (int i = 0; i < c->spec.runs; i++) {
        if (c->rollouts) lt_rollout_table_close(c->rollouts[i]);
        if (c->tables) lt_eval_table_close(c->tables[i]);
        if (c->validation) lt_eval_table_close(c->validation[i]);
    }
    free(c->rollouts), free(c->tables), free(c->validation), free(c->rows);
    lt_eval_specs_free(&c->specs);
    free(c);
}

/* ---- runs ---------------------------------------------------------------------------------------------- */

/* Runs that are pooled differ in their training alone: the same policies mean the same bytes on the same
 * blocks. */
static lt_status check_alike(const lt_comparison *c, const lt_model *model, const char *name) {
    lt_eval_specs specs;
    LT_TRY(read_specs(&c->spec, model, &specs));
    bool alike = specs.count == c->specs.count;
    for (int i = 0; i < specs.count && alike; i++)
        alike = specs.bytes[i] == c->specs.bytes[i] && specs.items[i].budget == c->specs.items[i].budget;
    lt_eval_specs_free(&specs);
    LT_CHECK(
        alike, LT_USAGE,
        "%s and %s are models of different shapes: only runs that differ in their training seed are pooled; "
        "evaluate the others on their own",
        c->first, name);
    return LT_OK;
}

static lt_status run_rollouts(lt_comparison *c, lt_model *model, lt_dataset *set) {
    lt_rollout_options o = lt_rollout_default();
    if (c->spec.rollout == 0) return LT_OK;
    o.clips = c->spec.options;
    c->what = "rollouts";
    o.blocks = c->spec.rollout, o.stream.steps = c->spec.steps;
    LT_TRY(lt_rollout_table_open(c->specs.count, &c->rollouts[c->done]));
    return lt_evaluate_rollout(model, set, &o, c->specs.items, c->specs.count, lt_rollout_table_add,
                               c->rollouts[c->done]);
}

lt_status lt_comparison_run(lt_comparison *c, lt_model *model, lt_dataset *set, const char *name) {
    const lt_eval_options *options = &c->spec.options;
    int64_t *chosen, count;
    if (c->done == 0) c->first = name;
    LT_TRY(c->done == 0 ? read_specs(&c->spec, model, &c->specs) : check_alike(c, model, name));
    LT_TRY(lt_eval_clips(model, set, options, &chosen, &count));
    free(chosen);
    c->what = "choosing references";
    LT_TRY(lt_eval_specs_validate(&c->specs, model, set, options, &c->validation[c->done]));
    c->what = "evaluate";
    LT_TRY(lt_eval_table_open(c->specs.items, c->specs.count, options, &c->tables[c->done]));
    LT_TRY(lt_evaluate(model, set, options, c->specs.items, c->specs.count, lt_eval_table_add,
                       c->tables[c->done]));
    LT_TRY(run_rollouts(c, model, set));
    c->done++;
    return LT_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static lt_status rows_of(lt_comparison *c, const lt_model *model, const char *domain) {
    const lt_eval_measured measured = {c->tables, c->spec.rollout ? c->rollouts : NULL, c->done};
    const char *role = c->spec.options.role;
    for (int i = 0; i < c->specs.count; i++)
        LT_TRY(lt_eval_row_make(model, &c->specs, i, &measured, domain, role, &c->rows[c->row_count++]));
    for (int b = 0; b < LT_BASELINE_COUNT && c->spec.rollout; b++)
        LT_TRY(lt_eval_row_baseline(&c->specs, b, &measured, domain, role, &c->rows[c->row_count++]));
    return LT_OK;
}

lt_status lt_comparison_rows(lt_comparison *c, const lt_model *model, const lt_eval_row **rows, int *count) {
    int domains = 0;
    LT_TRY(lt_eval_specs_choose(&c->specs, c->validation, c->done));
    while (lt_eval_table_domain(c->tables[0], domains)) domains++;
    c->rows = calloc((size_t)domains * (size_t)(c->specs.count + LT_BASELINE_COUNT), sizeof *c->rows);
    LT_CHECK(c->rows, LT_FAILED, "evaluate: out of memory");
    for (int d = 0; d < domains; d++) LT_TRY(rows_of(c, model, lt_eval_table_domain(c->tables[0], d)));
    *rows = c->rows;
    *count = c->row_count;
    return lt_eval_rows_correct(c->rows, c->row_count);
}

/* ---- memory -------------------------------------------------------------------------------------------- */

static lt_status measure(const lt_comparison_spec *s, lt_model *shadow, const lt_eval_specs *specs,
                         lt_memory *out) {
    lt_session_plan plan;
    LT_TRY(lt_evaluate_measure(shadow, &s->options, specs->items, specs->count, &plan));
    *out = lt_memory_of(shadow, &plan);
    for (int i = 0; i < specs->count && s->rollout > 0; i++) {
        lt_stream_options one = {
            .steps = 1,
            .shift = 1,
            .guidance = 1,
            .spec = lt_spec_for_blocks(shadow, &specs->items[i], lt_rollout_default().context + s->rollout)};
        lt_memory stream;
        LT_TRY(lt_memory_streaming(shadow, &one, &stream));
        if (lt_memory_peak(&stream) > lt_memory_peak(out)) *out = stream;
    }
    return LT_OK;
}

lt_status lt_comparison_memory(const lt_comparison_spec *spec, lt_model *shadow, lt_memory *out) {
    lt_eval_specs specs;
    LT_TRY(read_specs(spec, shadow, &specs));
    lt_status status = measure(spec, shadow, &specs, out);
    lt_eval_specs_free(&specs);
    return status;
}
