/* From finished cells to figures: the rows of results.json.
 *
 * Row: id ("SET-VARIANT", which names its trace and video), set (label), domain, role, dataset, keep, read, consolidate, policy (resolved), budget, hand_made, clips, groups,
 * evicting_reads, first_block (of all figures but returns and all), loss {mean, stderr, ci95}, gaussian, reference (name) and vs_reference, vs_window (the same weights,
 * window kept), vs_one (the same kept, weights 1), returns {loss, gaussian, clips, vs_none, vs_reference}, all {loss,
 * gaussian}, by_time and by_since_cut (arrays of {at, loss, stderr, clips, vs_reference}), cache_bytes and what it is made
 * of, seconds. A comparison is {mean, percent, stderr, ci95, detectable, groups, verdict, against}; null where there is
 * nothing to compare with. Differences are policy - reference of the same clips, blocks, noise and times: negative is
 * better. Figures that do not exist are null.
 */
#ifndef LT_EXPERIMENTS_SUMMARY_H
#define LT_EXPERIMENTS_SUMMARY_H

#include "experiments/experiment.h"
#include "experiments/json_file.h"
#include "infer/eval_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* tables [set_count]: the losses of each set, with grid->variants as specs. reference [variant_count]: from
 * lt_eval_references. Appends the rows of one set to the array `rows`. */
lt_status lt_summarise_set(const lt_grid *grid, int set, const lt_eval_table *table, const int *reference,
                           const char *dataset, struct cJSON *rows);

/* Flat columns of a row: what results.csv and /rows of results.h5 hold. */
typedef struct lt_column {
    const char *name;
    const char *path; /* members of the row, separated by dots; a number is an index */
    int text;         /* bytes of a text column; 0: a number */
} lt_column;
extern const lt_column lt_columns[]; /* ends with {NULL} */
/* The value of a column, or NULL. */
const struct cJSON *lt_column_value(const struct cJSON *row, const lt_column *column);

/* One line per row, RFC 4180; what does not exist is empty. Texts as lt_csv_text has them; results.json holds them as they
 * are. */
lt_status lt_results_csv(const char *path, const struct cJSON *rows);

#ifdef __cplusplus
}
#endif
#endif
