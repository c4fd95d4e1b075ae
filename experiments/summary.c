#include "experiments/summary.h"

#include "core/cli.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One set of clips with its losses. */
typedef struct source {
    const lt_grid *grid;
    const lt_eval_set *set;
    const lt_eval_table *table;
    int first_block; /* from here on every policy that evicts has evicted: figures compare across budgets */
} source;

static lt_eval_slice primary(const source *s) {
    lt_eval_slice slice = lt_slice_primary(NULL);
    slice.first_block = s->first_block;
    return slice;
}

static cJSON *interval(double low, double high) {
    double ends[2] = {low, high};
    return cJSON_CreateDoubleArray(ends, 2);
}

static void add_comparison(cJSON *row, const char *name, const lt_eval_figures *f, const char *against) {
    if (f->clips == 0) {
        cJSON_AddNullToObject(row, name);
        return;
    }
    const lt_paired *d = &f->difference;
    double other = f->loss.mean - d->mean;
    cJSON *c = cJSON_AddObjectToObject(row, name);
    cJSON_AddNumberToObject(c, "mean", d->mean);
    lt_json_add_number(c, "percent", other > 0 ? 100 * d->mean / other : NAN);
    cJSON_AddNumberToObject(c, "stderr", d->standard_error);
    cJSON_AddItemToObject(c, "ci95", interval(d->low, d->high));
    lt_json_add_number(c, "detectable", d->detectable);
    cJSON_AddNumberToObject(c, "groups", d->groups);
    cJSON_AddStringToObject(c, "verdict", lt_paired_verdict(d, true));
    cJSON_AddStringToObject(c, "against", against);
}

/* "sink:n=1, read age": a variant among those of one budget. */
static void variant_name(const lt_variant *v, char *text, size_t size) {
    snprintf(text, size, "%s, read %s", v->name, lt_read_names[v->spec.read]);
}

/* Compares `variant` with `other` (-1 or itself: null). */
static lt_status compare(const source *s, const lt_eval_slice *slice, int variant, int other, cJSON *row,
                         const char *name) {
    lt_eval_figures f = {0};
    char against[160] = "";
    if (other >= 0 && other != variant) {
        variant_name(&s->grid->variants[other], against, sizeof against);
        LT_TRY(lt_eval_table_figures(s->table, slice, variant, other, &f));
    }
    add_comparison(row, name, &f, against);
    return LT_OK;
}

static void add_loss(cJSON *row, const lt_eval_figures *f) {
    if (f->clips == 0) {
        cJSON_AddNullToObject(row, "loss");
        cJSON_AddNullToObject(row, "gaussian");
        return;
    }
    cJSON *loss = cJSON_AddObjectToObject(row, "loss");
    cJSON_AddNumberToObject(loss, "mean", f->loss.mean);
    cJSON_AddNumberToObject(loss, "stderr", f->loss.standard_error);
    cJSON_AddItemToObject(loss, "ci95", interval(f->loss.low, f->loss.high));
    lt_json_add_number(row, "gaussian", f->gaussian);
}

/* ---- whom a variant is compared with --------------------------------------------------------------------- */

/* The variant of the same budget, consolidation and remaining settings that differs in one respect; -1: none. */
static int find_like(const lt_grid *grid, int variant, const char *name, lt_read_weight read) {
    const lt_cache_spec *spec = &grid->variants[variant].spec;
    for (int i = 0; i < grid->variant_count; i++) {
        const lt_variant *v = &grid->variants[i];
        if (strcmp(v->name, name) == 0 && v->spec.read == read && v->spec.budget == spec->budget) return i;
    }
    return -1;
}

static int find_none(const lt_grid *grid) {
    for (int i = 0; i < grid->variant_count; i++)
        if (grid->variants[i].spec.budget == 0) return i;
    return -1;
}

/* ---- parts of a row -------------------------------------------------------------------------------------- */

static lt_status add_primary(const source *s, int variant, int reference, cJSON *row) {
    const lt_variant *v = &s->grid->variants[variant];
    lt_eval_slice slice = primary(s);
    lt_eval_figures f;
    LT_TRY(lt_eval_table_figures(s->table, &slice, variant, -1, &f));
    cJSON_AddNumberToObject(row, "clips", (double)f.clips);
    cJSON_AddNumberToObject(row, "groups", f.groups);
    cJSON_AddNumberToObject(row, "evicting_reads", (double)f.reads);
    cJSON_AddNumberToObject(row, "first_block", s->first_block);
    add_loss(row, &f);
    if (reference >= 0) cJSON_AddStringToObject(row, "reference", s->grid->variants[reference].text);
    else cJSON_AddNullToObject(row, "reference");
    cJSON_AddBoolToObject(row, "is_reference", reference == variant);
    LT_TRY(compare(s, &slice, variant, reference, row, "vs_reference"));
    LT_TRY(
        compare(s, &slice, variant, find_like(s->grid, variant, "window", v->spec.read), row, "vs_window"));
    return compare(s, &slice, variant, find_like(s->grid, variant, v->name, LT_READ_ONE), row, "vs_one");
}

static lt_status add_slice(const source *s, lt_eval_slice slice, int variant, int reference, cJSON *row,
                           const char *name) {
    lt_eval_figures f;
    cJSON *part = cJSON_AddObjectToObject(row, name);
    LT_TRY(lt_eval_table_figures(s->table, &slice, variant, -1, &f));
    cJSON_AddNumberToObject(part, "clips", (double)f.clips);
    cJSON_AddNumberToObject(part, "groups", f.groups);
    add_loss(part, &f);
    LT_TRY(compare(s, &slice, variant, find_none(s->grid), part, "vs_none"));
    return compare(s, &slice, variant, reference, part, "vs_reference");
}

static lt_status add_point(const source *s, lt_eval_slice slice, double at, int variant, int reference,
                           cJSON *list) {
    lt_eval_figures f;
    LT_TRY(lt_eval_table_figures(s->table, &slice, variant, -1, &f));
    if (f.clips == 0) return LT_OK;
    cJSON *point = cJSON_CreateObject();
    cJSON_AddItemToArray(list, point);
    cJSON_AddNumberToObject(point, "at", at);
    cJSON_AddNumberToObject(point, "loss", f.loss.mean);
    cJSON_AddNumberToObject(point, "stderr", f.loss.standard_error);
    lt_json_add_number(point, "gaussian", f.gaussian);
    cJSON_AddNumberToObject(point, "clips", (double)f.clips);
    return compare(s, &slice, variant, reference, point, "vs_reference");
}

static lt_status add_curves(const source *s, int variant, int reference, cJSON *row) {
    cJSON *time = cJSON_AddArrayToObject(row, "by_time"), *cut = cJSON_AddArrayToObject(row, "by_since_cut");
    for (int bin = 0; bin < LT_EVAL_BINS; bin++) {
        lt_eval_slice slice = primary(s);
        slice.t_min = (double)bin / LT_EVAL_BINS, slice.t_max = (bin + 1.0) / LT_EVAL_BINS;
        LT_TRY(add_point(s, slice, (bin + 0.5) / LT_EVAL_BINS, variant, reference, time));
    }
    for (int blocks = 0; blocks < s->set->options.blocks; blocks++) {
        lt_eval_slice slice = primary(s);
        slice.since_cut = blocks;
        LT_TRY(add_point(s, slice, blocks, variant, reference, cut));
    }
    return LT_OK;
}

static void add_bytes(const lt_variant *v, cJSON *row) {
    cJSON_AddNumberToObject(row, "cache_bytes", (double)lt_policy_cache_bytes(&v->bytes));
    cJSON_AddNumberToObject(row, "slot_bytes", (double)v->bytes.slots);
    cJSON_AddNumberToObject(row, "metadata_bytes", (double)v->bytes.metadata);
    cJSON_AddNumberToObject(row, "tail_bytes", (double)v->bytes.tail);
    cJSON_AddNumberToObject(row, "scorer_bytes", (double)v->bytes.scorer);
    cJSON_AddNumberToObject(row, "workspace_bytes", (double)v->workspace);
}

static void add_identity(const source *s, const lt_variant *v, const char *dataset, cJSON *row) {
    cJSON_AddStringToObject(row, "set", s->set->label);
    cJSON_AddStringToObject(row, "domain", s->set->domain);
    cJSON_AddStringToObject(row, "role", s->set->options.role);
    cJSON_AddStringToObject(row, "dataset", dataset);
    cJSON_AddStringToObject(row, "keep", v->name);
    cJSON_AddStringToObject(row, "read", lt_read_names[v->spec.read]);
    cJSON_AddStringToObject(row, "consolidate", lt_consolidate_names[v->spec.consolidate]);
    cJSON_AddStringToObject(row, "policy", v->text);
    cJSON_AddNumberToObject(row, "budget", v->spec.budget);
    cJSON_AddBoolToObject(row, "hand_made", v->hand_made);
}

/* Intervals of large grids take their time. */
static int grid_rows(const lt_grid *grid) {
    return grid->variant_count * (grid->set_count - (grid->has_reference ? 1 : 0));
}

lt_status lt_summarise_set(const lt_grid *grid, int set, const lt_eval_table *table, const int *reference,
                           const char *dataset, cJSON *rows) {
    source s = {grid, &grid->sets[set], table, lt_eval_table_first_block(table)};
    char id[32];
    for (int v = 0; v < grid->variant_count; v++) {
        cJSON *row = cJSON_CreateObject();
        LT_CHECK(row, LT_FAILED, "out of memory for results");
        cJSON_AddItemToArray(rows, row);
        snprintf(id, sizeof id, "%d-%d", set, v);
        cJSON_AddStringToObject(row, "id", id);
        add_identity(&s, &grid->variants[v], dataset, row);
        add_bytes(&grid->variants[v], row);
        LT_TRY(add_primary(&s, v, reference[v], row));
        LT_TRY(add_slice(&s, lt_slice_returns(NULL), v, reference[v], row, "returns"));
        LT_TRY(add_slice(&s, lt_slice_all(NULL), v, reference[v], row, "all"));
        LT_TRY(add_curves(&s, v, reference[v], row));
        lt_progress("figures", cJSON_GetArraySize(rows), grid_rows(grid), "rows");
    }
    return LT_OK;
}
