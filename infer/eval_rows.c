#include "infer/eval_rows.h"

#include "core/text.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- making --------------------------------------------------------------------------------------------- */

static lt_status add_metrics(lt_eval_row *row, const lt_eval_measured *measured, int index) {
    row->rolled_out = measured->rollouts != NULL;
    for (int m = 0; m < LT_METRIC_COUNT && measured->rollouts; m++)
        LT_TRY(lt_rollout_tables_figure(measured->rollouts, measured->runs, row->domain, index, -1,
                                        (lt_metric)m, &row->metrics[m]));
    return LT_OK;
}

static lt_status figures(const lt_eval_measured *m, const lt_eval_slice *slice, int index, int reference,
                         lt_eval_figures *out) {
    return lt_eval_tables_figures((const lt_eval_table *const *)m->tables, m->runs, slice, index, reference,
                                  out);
}

static void name_row(lt_eval_row *row, const char *domain, const char *role) {
    *row = (lt_eval_row){.role = role};
    snprintf(row->domain, sizeof row->domain, "%s", domain);
}

lt_status lt_eval_row_make(const lt_model *model, const lt_eval_specs *specs, int index,
                           const lt_eval_measured *measured, const char *domain, const char *role,
                           lt_eval_row *row) {
    int reference = specs->reference[index];
    name_row(row, domain, role);
    lt_cache_spec_text(&specs->items[index], row->policy, sizeof row->policy);
    row->label = specs->labels[index];
    row->budget = specs->items[index].budget;
    row->has_reference = reference >= 0, row->is_reference = reference == index;
    if (reference >= 0) lt_cache_spec_text(&specs->items[reference], row->reference, sizeof row->reference);
    lt_eval_slice primary = lt_slice_primary(domain), returns = lt_slice_returns(domain),
                  all = lt_slice_all(domain);
    row->first_block = primary.first_block = lt_eval_table_first_block(measured->tables[0]);
    LT_TRY(figures(measured, &primary, index, reference, &row->primary));
    LT_TRY(figures(measured, &returns, index, reference, &row->returns));
    LT_TRY(figures(measured, &all, index, reference, &row->all));
    for (int i = 0; i < LT_ROW_CUTS; i++) {
        lt_eval_slice cut = lt_slice_since_cut(domain, i);
        cut.first_block = row->first_block;
        LT_TRY(figures(measured, &cut, index, reference, &row->since_cut[i]));
    }
    LT_TRY(lt_eval_bytes(model, &specs->items[index], &row->bytes));
    return add_metrics(row, measured, index);
}

lt_status lt_eval_row_baseline(const lt_eval_specs *specs, int baseline, const lt_eval_measured *measured,
                               const char *domain, const char *role, lt_eval_row *row) {
    name_row(row, domain, role);
    row->is_baseline = true, row->budget = -1;
    row->label = lt_baseline_names[baseline];
    snprintf(row->policy, sizeof row->policy, "%s", row->label);
    return add_metrics(row, measured, specs->count + baseline);
}

lt_status lt_eval_rows_correct(lt_eval_row *rows, int count) {
    enum { TABLES = 3 }; /* primary, returns, all */
    lt_paired **table = calloc((size_t)count * LT_ROW_CUTS + 1, sizeof *table);
    lt_status status = table ? LT_OK : lt_fail(LT_FAILED, "evaluation: out of memory for %d rows", count);
    for (int which = 0; which <= TABLES && status == LT_OK; which++) {
        int n = 0;
        for (int i = 0; i < count; i++) {
            lt_eval_row *r = &rows[i];
            lt_eval_figures *of[TABLES] = {&r->primary, &r->returns, &r->all};
            if (!r->has_reference || r->is_reference) continue;
            if (which < TABLES) table[n++] = &of[which]->difference;
            for (int k = 0; k < LT_ROW_CUTS && which == TABLES; k++) table[n++] = &r->since_cut[k].difference;
        }
        status = lt_paired_correct(table, n);
    }
    free(table);
    return status;
}

/* ---- JSON ----------------------------------------------------------------------------------------------- */

static void number(cJSON *to, const char *name, double value) {
    cJSON_AddItemToObject(to, name, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

static void mean_of(cJSON *to, const char *name, const lt_paired *p) {
    if (p->samples == 0) {
        cJSON_AddNullToObject(to, name);
        return;
    }
    cJSON *item = cJSON_AddObjectToObject(to, name);
    number(item, "mean", p->mean);
    number(item, "stderr", p->standard_error);
}

static void interval(cJSON *to, const char *name, double low, double high) {
    const double ends[2] = {low, high};
    cJSON_AddItemToObject(to, name, isfinite(low) ? cJSON_CreateDoubleArray(ends, 2) : cJSON_CreateNull());
}

static const char *verdict_of(const lt_eval_row *row, const lt_eval_figures *f) {
    return row->is_reference ? "reference" : lt_paired_verdict(&f->difference, true);
}

static void difference_of(cJSON *to, const char *name, const lt_eval_row *row, const lt_eval_figures *f) {
    const lt_paired *d = &f->difference;
    if (!row->has_reference || f->clips == 0) {
        cJSON_AddNullToObject(to, name);
        return;
    }
    cJSON *item = cJSON_AddObjectToObject(to, name);
    cJSON_AddStringToObject(item, "policy", row->reference);
    number(item, "mean", d->mean);
    interval(item, "ci95", d->low, d->high);
    interval(item, "table95", d->table_low, d->table_high);
    number(item, "p", d->p);
    number(item, "detectable", d->detectable);
    cJSON_AddStringToObject(item, "verdict", verdict_of(row, f));
}

static void figures_of(cJSON *item, const lt_eval_row *row, const lt_eval_figures *f) {
    number(item, "clips", (double)f->clips);
    number(item, "groups", f->groups);
    number(item, "reads", (double)f->reads);
    mean_of(item, "loss", &f->loss);
    number(item, "gaussian_loss", f->clips ? f->gaussian : NAN);
    difference_of(item, "vs_reference", row, f);
}

static void bytes_of(cJSON *to, const lt_eval_row *row) {
    if (row->is_baseline) {
        cJSON_AddNullToObject(to, "cache_bytes");
        return;
    }
    number(to, "cache_bytes", (double)lt_policy_cache_bytes(&row->bytes));
    cJSON *item = cJSON_AddObjectToObject(to, "bytes");
    number(item, "slots", (double)row->bytes.slots);
    number(item, "metadata", (double)row->bytes.metadata);
    number(item, "tail", (double)row->bytes.tail);
    number(item, "scorer", (double)row->bytes.scorer);
}

static void metrics_of(cJSON *to, const lt_eval_row *row) {
    cJSON *item = cJSON_AddObjectToObject(to, "metrics");
    for (int m = 0; m < LT_METRIC_COUNT; m++) mean_of(item, lt_metric_at(m)->name, &row->metrics[m]);
}

cJSON *lt_eval_row_json(const lt_eval_row *row) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "policy", row->policy);
    number(o, "budget", row->budget >= 0 ? row->budget : NAN);
    cJSON_AddStringToObject(o, "domain", row->domain);
    cJSON_AddStringToObject(o, "role", row->role);
    number(o, "clips",
           row->is_baseline ? (double)row->metrics[LT_METRIC_PSNR].samples : (double)row->all.clips);
    number(o, "groups", row->is_baseline ? row->metrics[LT_METRIC_PSNR].groups : row->all.groups);
    number(o, "evicting_reads", (double)row->primary.reads);
    number(o, "first_block", row->is_baseline ? NAN : row->first_block);
    mean_of(o, "loss", &row->primary.loss);
    number(o, "gaussian_loss", row->primary.clips ? row->primary.gaussian : NAN);
    difference_of(o, "vs_reference", row, &row->primary);
    if (!row->is_baseline) {
        cJSON *cuts = cJSON_AddArrayToObject(o, "since_cut");
        for (int i = 0; i < LT_ROW_CUTS; i++) {
            cJSON *cut = cJSON_CreateObject();
            number(cut, "blocks", i);
            figures_of(cut, row, &row->since_cut[i]);
            cJSON_AddItemToArray(cuts, cut);
        }
        figures_of(cJSON_AddObjectToObject(o, "returns"), row, &row->returns);
        figures_of(cJSON_AddObjectToObject(o, "all_blocks"), row, &row->all);
    }
    bytes_of(o, row);
    if (row->rolled_out) metrics_of(o, row);
    return o;
}

/* ---- CSV ------------------------------------------------------------------------------------------------ */

static void csv_text(FILE *to, const char *text) { fputc(',', to), lt_csv_text(to, text); }

/* Empty where there is no number. */
static void csv_number(FILE *to, bool there, double value) {
    fputc(',', to);
    if (there && isfinite(value)) fprintf(to, "%.9g", value);
}

static void csv_row(FILE *to, const lt_eval_row *r) {
    const lt_paired *d = &r->primary.difference;
    bool any = r->primary.clips > 0, paired = any && r->has_reference, policy = !r->is_baseline;
    lt_csv_text(to, r->policy), csv_number(to, policy, r->budget);
    csv_text(to, r->domain), csv_text(to, r->role);
    csv_number(to, policy, (double)r->all.clips), csv_number(to, policy, r->all.groups);
    csv_number(to, policy, (double)r->primary.reads);
    csv_number(to, any, r->primary.loss.mean);
    csv_number(to, any, r->primary.loss.standard_error);
    csv_number(to, any, r->primary.gaussian);
    csv_text(to, r->reference);
    csv_number(to, paired, d->mean);
    csv_number(to, paired, d->low), csv_number(to, paired, d->high);
    csv_number(to, paired, d->table_low), csv_number(to, paired, d->table_high);
    csv_number(to, paired, d->p);
    csv_text(to, paired ? verdict_of(r, &r->primary) : "");
    csv_number(to, r->returns.clips > 0, r->returns.loss.mean);
    csv_number(to, policy, (double)lt_policy_cache_bytes(&r->bytes));
    csv_number(to, policy, (double)r->bytes.tail);
    csv_number(to, policy, (double)r->bytes.scorer);
    for (int m = 0; m < LT_METRIC_COUNT; m++) csv_number(to, r->metrics[m].samples > 0, r->metrics[m].mean);
    fputs("\n", to);
}

void lt_eval_rows_csv(FILE *to, const lt_eval_row *rows, int count) {
    fputs(
        "policy,budget,domain,role,clips,groups,evicting_reads,loss_mean,loss_stderr,gaussian_loss,reference,"
        "vs_reference_mean,ci95_low,ci95_high,table95_low,table95_high,p,verdict,returns_loss,cache_bytes,"
        "tail_bytes,scorer_bytes",
        to);
    for (int m = 0; m < LT_METRIC_COUNT; m++) fprintf(to, ",%s", lt_metric_at(m)->name);
    fputs("\n", to);
    for (int i = 0; i < count; i++) csv_row(to, &rows[i]);
}

/* ---- text ----------------------------------------------------------------------------------------------- */

static int widest_label(const lt_eval_row *rows, int count) {
    int width = 6;
    for (int i = 0; i < count; i++)
        if ((int)strlen(rows[i].label) > width) width = (int)strlen(rows[i].label);
    return width < 48 ? width : 48;
}

static void print_losses(FILE *to, const lt_eval_row *r, int width) {
    const lt_eval_figures *f = &r->primary;
    const lt_paired *d = &f->difference;
    char loss[32] = "-", versus[64] = "-";
    const char *verdict = "no eviction";
    if (f->clips > 0) {
        int n = snprintf(loss, sizeof loss, "%.4f", f->loss.mean);
        if (isfinite(f->loss.standard_error))
            snprintf(loss + n, sizeof loss - (size_t)n, " +- %.4f", f->loss.standard_error);
        verdict = r->has_reference ? verdict_of(r, f) : "nothing of equal bytes";
    }
    if (f->clips > 0 && r->has_reference && !r->is_reference) {
        int n = snprintf(versus, sizeof versus, "%+.4f", d->mean);
        if (isfinite(d->table_low))
            snprintf(versus + n, sizeof versus - (size_t)n, " [%+.4f, %+.4f]", d->table_low, d->table_high);
    }
    fprintf(to, "%-*.*s %4d  %-10.10s %6" PRId64 " %6d %7" PRId64 "  %-17s  %-27s  %10" PRId64 "  %s\n",
            width, width, r->label, r->budget, r->domain, r->all.clips, r->all.groups, f->reads, loss, versus,
            lt_policy_cache_bytes(&r->bytes), verdict);
}

static void print_metrics(FILE *to, const lt_eval_row *rows, int count, int width) {
    fprintf(to, "\n%-*s %4s  %-10s", width, "policy", "M", "domain");
    for (int m = 0; m < LT_METRIC_COUNT; m++) fprintf(to, " %9.9s", lt_metric_at(m)->name);
    fputs("\n", to);
    for (int i = 0; i < count; i++) {
        const lt_eval_row *r = &rows[i];
        char budget[16] = "-";
        if (!r->is_baseline) snprintf(budget, sizeof budget, "%d", r->budget);
        fprintf(to, "%-*.*s %4s  %-10.10s", width, width, r->label, budget, r->domain);
        for (int m = 0; m < LT_METRIC_COUNT; m++)
            if (r->metrics[m].samples > 0) fprintf(to, " %9.4g", r->metrics[m].mean);
            else fprintf(to, " %9s", "-");
        fputs("\n", to);
    }
}

void lt_eval_rows_print(FILE *to, const lt_eval_row *rows, int count) {
    int width = widest_label(rows, count);
    bool rolled_out = false;
    fprintf(to, "%-*s %4s  %-10s %6s %6s %7s  %-17s  %-27s  %10s  %s\n", width, "policy", "M", "domain",
            "clips", "groups", "reads", "loss", "vs reference [95 %]", "bytes", "verdict");
    for (int i = 0; i < count; i++) {
        if (!rows[i].is_baseline) print_losses(to, &rows[i], width);
        rolled_out = rolled_out || rows[i].rolled_out;
    }
    fputs("\nloss: t in [0.5, 0.95] on blocks read with an eviction in force (reads), mean over clips; lower "
          "is "
          "better.\nbytes: slots, statistics and policy state; the tail of the temporal convolution and the "
          "scorer are apart (--json).\n",
          to);
    if (rolled_out) print_metrics(to, rows, count, width);
}
