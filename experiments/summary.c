#include "experiments/summary.h"

#include "core/cli.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A comparison whose verdict waits for the others of its table. */
typedef struct waiting {
    const char *table;
    cJSON *object;
    lt_paired paired;
} waiting;

struct lt_summary {
    cJSON *rows;
    waiting *list;
    int count, capacity;
};

/* One set of clips with its losses. */
typedef struct source {
    lt_summary *summary;
    const lt_grid *grid;
    const lt_eval_set *set;
    const lt_eval_table *const *tables;
    int table_count;
    int first_block; /* from here on every policy that evicts has evicted: figures compare across budgets */
} source;

static lt_eval_slice primary(const source *s) {
    lt_eval_slice slice = lt_slice_primary(NULL);
    slice.first_block = s->first_block;
    return slice;
}

static lt_status figures(const source *s, const lt_eval_slice *slice, int variant, int other,
                         lt_eval_figures *out) {
    return lt_eval_tables_figures(s->tables, s->table_count, slice, variant, other, out);
}

/* null below 8 groups. */
static void add_interval(cJSON *to, const char *name, double low, double high) {
    double ends[2] = {low, high};
    cJSON_AddItemToObject(to, name, isfinite(low) ? cJSON_CreateDoubleArray(ends, 2) : cJSON_CreateNull());
}

static lt_status wait_for_table(lt_summary *summary, const char *table, cJSON *object,
                                const lt_paired *paired) {
    if (summary->count == summary->capacity) {
        int capacity = summary->capacity ? 2 * summary->capacity : 256;
        waiting *list = realloc(summary->list, (size_t)capacity * sizeof *list);
        LT_CHECK(list, LT_FAILED, "out of memory for %d comparisons", capacity);
        summary->list = list, summary->capacity = capacity;
    }
    summary->list[summary->count++] = (waiting){table, object, *paired};
    return LT_OK;
}

/* `table` names the comparisons that are corrected together. */
static lt_status add_comparison(const source *s, cJSON *row, const char *name, const char *table,
                                const lt_eval_figures *f, const char *against) {
    if (f->clips == 0) {
        cJSON_AddNullToObject(row, name);
        return LT_OK;
    }
    const lt_paired *d = &f->difference;
    double other = f->loss.mean - d->mean;
    cJSON *c = cJSON_AddObjectToObject(row, name);
    cJSON_AddNumberToObject(c, "mean", d->mean);
    lt_json_add_number(c, "percent", other > 0 ? 100 * d->mean / other : NAN);
    lt_json_add_number(c, "stderr", d->standard_error);
    add_interval(c, "ci95", d->low, d->high);
    cJSON_AddNumberToObject(c, "groups", d->groups);
    if (s->table_count > 1) cJSON_AddNumberToObject(c, "seeds", d->seeds);
    cJSON_AddStringToObject(c, "against", against);
    return wait_for_table(s->summary, table, c, d);
}

/* "sink:n=1, read age": a variant among those of one budget. */
static void variant_name(const lt_variant *v, char *text, size_t size) {
    snprintf(text, size, "%s, read %s", v->name, lt_read_names[v->spec.read]);
}

/* Compares `variant` with `other` (-1 or itself: null). */
static lt_status compare_variants(const source *s, const lt_eval_slice *slice, int variant, int other,
                                  cJSON *row, const char *name, const char *table) {
    lt_eval_figures f = {0};
    char against[160] = "";
    if (other >= 0 && other != variant) {
        variant_name(&s->grid->variants[other], against, sizeof against);
        LT_TRY(figures(s, slice, variant, other, &f));
    }
    return add_comparison(s, row, name, table, &f, against);
}

static void add_loss(cJSON *row, const lt_eval_figures *f) {
    if (f->clips == 0) {
        cJSON_AddNullToObject(row, "loss");
        cJSON_AddNullToObject(row, "gaussian");
        return;
    }
    cJSON *loss = cJSON_AddObjectToObject(row, "loss");
    cJSON_AddNumberToObject(loss, "mean", f->loss.mean);
    lt_json_add_number(loss, "stderr", f->loss.standard_error);
    add_interval(loss, "ci95", f->loss.low, f->loss.high);
    lt_json_add_number(row, "gaussian", f->gaussian);
}

/* ---- whom a variant is compared with --------------------------------------------------------------------- */

/* The variant whose policy is `wanted` in every parameter; -1: none. */
static int find_variant(const lt_grid *grid, const lt_cache_spec *wanted) {
    char text[LT_SPEC_TEXT];
    lt_cache_spec_text(wanted, text, sizeof text);
    for (int i = 0; i < grid->variant_count; i++)
        if (grid->variants[i].spec.budget == wanted->budget && strcmp(grid->variants[i].text, text) == 0)
            return i;
    return -1;
}

/* The same but for who is kept: the newest. */
static int find_window(const lt_grid *grid, int variant) {
    lt_cache_spec wanted = grid->variants[variant].spec, window;
    if (lt_cache_spec_parse("window", wanted.budget, &window) != LT_OK) return -1;
    wanted.policy = window.policy;
    memcpy(wanted.params, window.params, sizeof wanted.params);
    return find_variant(grid, &wanted);
}

/* The same but for how it is read: every entry with weight 1. */
static int find_one(const lt_grid *grid, int variant) {
    lt_cache_spec wanted = grid->variants[variant].spec;
    wanted.read = LT_READ_ONE;
    return find_variant(grid, &wanted);
}

static int find_none(const lt_grid *grid) {
    for (int i = 0; i < grid->variant_count; i++)
        if (grid->variants[i].spec.budget == 0) return i;
    return -1;
}

/* ---- parts of a row -------------------------------------------------------------------------------------- */

static lt_status add_primary(const source *s, int variant, int reference, cJSON *row) {
    lt_eval_slice slice = primary(s);
    lt_eval_figures f;
    LT_TRY(figures(s, &slice, variant, -1, &f));
    cJSON_AddNumberToObject(row, "clips", (double)f.clips);
    cJSON_AddNumberToObject(row, "groups", f.groups);
    cJSON_AddNumberToObject(row, "evicting_reads", (double)f.reads);
    cJSON_AddNumberToObject(row, "first_block", s->first_block);
    add_loss(row, &f);
    if (reference >= 0) cJSON_AddStringToObject(row, "reference", s->grid->variants[reference].text);
    else cJSON_AddNullToObject(row, "reference");
    cJSON_AddBoolToObject(row, "is_reference", reference == variant);
    LT_TRY(compare_variants(s, &slice, variant, reference, row, "vs_reference", "vs_reference"));
    LT_TRY(
        compare_variants(s, &slice, variant, find_window(s->grid, variant), row, "vs_window", "vs_window"));
    return compare_variants(s, &slice, variant, find_one(s->grid, variant), row, "vs_one", "vs_one");
}

static lt_status add_slice(const source *s, lt_eval_slice slice, int variant, int reference, cJSON *row,
                           const char *name, const char *none_table, const char *reference_table) {
    lt_eval_figures f;
    cJSON *part = cJSON_AddObjectToObject(row, name);
    LT_TRY(figures(s, &slice, variant, -1, &f));
    cJSON_AddNumberToObject(part, "clips", (double)f.clips);
    cJSON_AddNumberToObject(part, "groups", f.groups);
    add_loss(part, &f);
    LT_TRY(compare_variants(s, &slice, variant, find_none(s->grid), part, "vs_none", none_table));
    return compare_variants(s, &slice, variant, reference, part, "vs_reference", reference_table);
}

static lt_status add_point(const source *s, lt_eval_slice slice, double at, int variant, int reference,
                           cJSON *list, const char *table) {
    lt_eval_figures f;
    LT_TRY(figures(s, &slice, variant, -1, &f));
    if (f.clips == 0) return LT_OK;
    cJSON *point = cJSON_CreateObject();
    cJSON_AddItemToArray(list, point);
    cJSON_AddNumberToObject(point, "at", at);
    cJSON_AddNumberToObject(point, "loss", f.loss.mean);
    lt_json_add_number(point, "stderr", f.loss.standard_error);
    lt_json_add_number(point, "gaussian", f.gaussian);
    cJSON_AddNumberToObject(point, "clips", (double)f.clips);
    return compare_variants(s, &slice, variant, reference, point, "vs_reference", table);
}

static lt_status add_curves(const source *s, int variant, int reference, cJSON *row) {
    cJSON *time = cJSON_AddArrayToObject(row, "by_time"), *cut = cJSON_AddArrayToObject(row, "by_since_cut");
    for (int bin = 0; bin < LT_EVAL_BINS; bin++) {
        lt_eval_slice slice = primary(s);
        slice.t_min = (double)bin / LT_EVAL_BINS, slice.t_max = (bin + 1.0) / LT_EVAL_BINS;
        LT_TRY(add_point(s, slice, (bin + 0.5) / LT_EVAL_BINS, variant, reference, time, "by_time"));
    }
    for (int blocks = 0; blocks < s->set->options.blocks; blocks++) {
        lt_eval_slice slice = primary(s);
        slice.since_cut = blocks;
        LT_TRY(add_point(s, slice, blocks, variant, reference, cut, "by_since_cut"));
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

static lt_status add_summary_row(const source *s, int set, int variant, int reference, const char *dataset) {
    char id[32];
    cJSON *row = cJSON_CreateObject();
    LT_CHECK(row, LT_FAILED, "out of memory for results");
    cJSON_AddItemToArray(s->summary->rows, row);
    snprintf(id, sizeof id, "%d-%d", set, variant);
    cJSON_AddStringToObject(row, "id", id);
    add_identity(s, &s->grid->variants[variant], dataset, row);
    add_bytes(&s->grid->variants[variant], row);
    LT_TRY(add_primary(s, variant, reference, row));
    LT_TRY(add_slice(s, lt_slice_returns(NULL), variant, reference, row, "returns", "returns.vs_none",
                     "returns.vs_reference"));
    LT_TRY(
        add_slice(s, lt_slice_all(NULL), variant, reference, row, "all", "all.vs_none", "all.vs_reference"));
    LT_TRY(add_curves(s, variant, reference, row));
    lt_progress("figures", cJSON_GetArraySize(s->summary->rows), grid_rows(s->grid), "rows");
    return LT_OK;
}

lt_status lt_summary_add(lt_summary *summary, const lt_grid *grid, int set,
                         const lt_eval_table *const *tables, int table_count, const int *reference,
                         const char *dataset) {
    source s = {summary, grid, &grid->sets[set], tables, table_count, lt_eval_table_first_block(tables[0])};
    for (int v = 0; v < grid->variant_count; v++) {
        LT_TRY(add_summary_row(&s, set, v, reference[v], dataset));
        lt_progress("figures", cJSON_GetArraySize(summary->rows), grid_rows(grid), "rows");
    }
    return LT_OK;
}

/* ---- tables ---------------------------------------------------------------------------------------------- */

lt_summary *lt_summary_open(cJSON *rows) {
    lt_summary *summary = calloc(1, sizeof *summary);
    if (summary) summary->rows = rows;
    return summary;
}

void lt_summary_close(lt_summary *summary) {
    if (!summary) return;
    free(summary->list);
    free(summary);
}

static lt_status correct_table(lt_summary *summary, const char *name, lt_paired **table) {
    int count = 0;
    for (int i = 0; i < summary->count; i++)
        if (strcmp(summary->list[i].table, name) == 0) table[count++] = &summary->list[i].paired;
    return lt_paired_correct(table, count);
}

lt_status lt_summary_finish(lt_summary *summary) {
    static const char *const names[] = {
        "vs_reference", "vs_window",        "vs_one",  "returns.vs_none", "returns.vs_reference",
        "all.vs_none",  "all.vs_reference", "by_time", "by_since_cut"};
    lt_paired **table = malloc(((size_t)summary->count + 1) * sizeof *table);
    LT_CHECK(table, LT_FAILED, "out of memory for %d comparisons", summary->count);
    lt_status status = LT_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && status == LT_OK; i++)
        status = correct_table(summary, names[i], table);
    for (int i = 0; i < summary->count && status == LT_OK; i++) {
        const lt_paired *p = &summary->list[i].paired;
        cJSON *to = summary->list[i].object;
        add_interval(to, "table95", p->table_low, p->table_high);
        lt_json_add_number(to, "p", p->p);
        lt_json_add_number(to, "detectable", p->detectable);
        cJSON_AddStringToObject(to, "verdict", lt_paired_verdict(p, true));
    }
    free(table);
    return status;
}
