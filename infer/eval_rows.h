/* A row of results: one policy on the clips of one domain, as JSON, CSV and text. */
#ifndef LT_INFER_EVAL_ROWS_H
#define LT_INFER_EVAL_ROWS_H

#include "infer/eval_specs.h"
#include "infer/evaluate_rollout.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cJSON;

enum { LT_ROW_CUTS = 3 }; /* blocks since a cut that have figures of their own: 0, 1, 2 */

typedef struct lt_eval_row {
    char policy[LT_SPEC_TEXT]; /* resolved; a baseline's name where budget is -1 */
    const char *label;         /* as it was written */
    int budget;
    char domain[32];
    const char *role;
    bool is_baseline, is_reference, has_reference, rolled_out;
    char reference[LT_SPEC_TEXT];
    int first_block;         /* of the primary figures and those since a cut: lt_eval_table_first_block */
    lt_eval_figures primary; /* the differences in all figures are against the reference */
    lt_eval_figures since_cut[LT_ROW_CUTS], returns, all;
    lt_policy_bytes bytes;
    lt_paired metrics[LT_METRIC_COUNT]; /* of rollouts; samples 0: nothing to say */
} lt_eval_row;

/* What was measured: one table of each kind per run, pooled as training seeds. rollouts may be NULL. */
typedef struct lt_eval_measured {
    lt_eval_table **tables;
    lt_rollout_table **rollouts;
    int runs;
} lt_eval_measured;

/* The row of spec `index`. Strings are borrowed from `specs` and `role`. */
lt_status lt_eval_row_make(const lt_model *model, const lt_eval_specs *specs, int index,
                           const lt_eval_measured *measured, const char *domain, const char *role,
                           lt_eval_row *out);
/* The row of a baseline of rollouts. */
lt_status lt_eval_row_baseline(const lt_eval_specs *specs, int baseline, const lt_eval_measured *measured,
                               const char *domain, const char *role, lt_eval_row *out);

/* Holm's correction over all rows that are printed together: one table of primary figures, one of returns, one of all
 * blocks, one of those since a cut. The reference is no row of its own table. */
lt_status lt_eval_rows_correct(lt_eval_row *rows, int count);

/* An object with policy, budget, domain, role, clips, groups, evicting_reads, first_block, loss {mean, stderr},
 * gaussian_loss, vs_reference {policy, mean, ci95 (of this comparison on its own), table95 (corrected for the table:
 * the verdict follows from it), p, detectable, verdict}, since_cut, returns, cache_bytes, bytes, metrics. What there
 * are no data for is null, errors and intervals below 8 groups too. Freed with cJSON_Delete; NULL when out of
 * memory. */
struct cJSON *lt_eval_row_json(const lt_eval_row *row);
void lt_eval_rows_csv(FILE *to, const lt_eval_row *rows, int count);
/* Aligned columns, then what the columns mean. */
void lt_eval_rows_print(FILE *to, const lt_eval_row *rows, int count);

#ifdef __cplusplus
}
#endif
#endif
