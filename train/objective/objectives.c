#include "train/objective/objective.h"

#include <string.h>

#define LT_OBJECTIVE(row) extern const lt_objective row;
#include "train/objective/objectives.def"
#undef LT_OBJECTIVE

const lt_objective *const lt_objective_rows[] = {
#define LT_OBJECTIVE(row) &row,
#include "train/objective/objectives.def"
#undef LT_OBJECTIVE
};
const int lt_objective_row_count = sizeof lt_objective_rows / sizeof *lt_objective_rows;

static const lt_objective *primary_of(const lt_objectives *set, void **state) {
    for (int i = 0; i < set->count; i++)
        if (set->items[i].row->forward) {
            if (state) *state = set->items[i].state;
            return set->items[i].row;
        }
    return NULL;
}

static lt_status add_objective(lt_objectives *set, const lt_objective *row, const lt_model *model,
                               int clips) {
    LT_CHECK(!row->forward || !primary_of(set, NULL), LT_FAILED, "objectives %s and %s both have a forward",
             row->name, primary_of(set, NULL)->name);
    LT_CHECK(set->count < (int)(sizeof set->items / sizeof *set->items) &&
                 set->figures + row->figures <= LT_OBJECTIVE_FIGURES,
             LT_FAILED, "objective %s: too many objectives or figures in one run", row->name);
    void *state = NULL;
    if (row->prepare) LT_TRY(row->prepare(set->config, model, clips, &state));
    set->items[set->count].row = row;
    set->items[set->count++].state = state;
    set->figures += row->figures;
    set->has_passes |= row->after != NULL;
    return LT_OK;
}

lt_status lt_objectives_open(const lt_objective *const *rows, int row_count, const lt_train_config *config,
                             const lt_model *model, int clips, lt_objectives *out) {
    *out = (lt_objectives){.config = config};
    if (!rows) rows = lt_objective_rows, row_count = lt_objective_row_count;
    for (int i = 0; i < row_count; i++)
        if (rows[i]->wanted(config)) LT_TRY(add_objective(out, rows[i], model, clips));
    LT_CHECK(primary_of(out, NULL), LT_FAILED, "none of the run's %d objectives has a forward", out->count);
    return LT_OK;
}

void lt_objectives_close(lt_objectives *set) {
    for (int i = 0; i < set->count; i++)
        if (set->items[i].row->close) set->items[i].row->close(set->items[i].state);
    *set = (lt_objectives){0};
}

void lt_objectives_attach(const lt_objectives *set, lt_clip_pass *pass) {
    for (int i = 0; i < set->count; i++)
        if (set->items[i].row->attach) set->items[i].row->attach(set->items[i].state, pass);
}

void lt_objectives_edit(const lt_objectives *set, lt_clip_batch *batch) {
    for (int i = 0; i < set->count; i++)
        if (set->items[i].row->edit) set->items[i].row->edit(set->items[i].state, batch);
}

lt_status lt_objectives_forward(const lt_objectives *set, const lt_objective_pass *pass, lt_var **loss) {
    void *state = NULL;
    const lt_objective *primary = primary_of(set, &state);
    for (int i = 0; i < set->count; i++)
        if (set->items[i].row->begin) set->items[i].row->begin(set->items[i].state, pass->batch);
    return primary->forward(state, pass, set->config, loss);
}

const char *lt_objectives_no_gradient(const lt_objectives *set) {
    const char *words = primary_of(set, NULL)->no_gradient;
    return words ? words : "nothing that is trained leads to the loss";
}

lt_status lt_objectives_after(const lt_objectives *set, const lt_objective_pass *pass, double *figures) {
    for (int i = 0; i < set->count; figures += set->items[i++].row->figures)
        if (set->items[i].row->after)
            LT_TRY(set->items[i].row->after(set->items[i].state, pass, set->config, figures));
    return LT_OK;
}

void lt_objectives_report(const lt_objectives *set, const double *figures, lt_figure_fn write, void *user) {
    for (int i = 0; i < set->count; figures += set->items[i++].row->figures)
        if (set->items[i].row->report) set->items[i].row->report(figures, write, user);
}
