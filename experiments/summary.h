/* From finished cells to figures: the rows of results.json.
 *
 * Row: id ("SET-VARIANT", which names its trace and video), set (label), domain, role, dataset, keep, read,
 * consolidate, policy (resolved), budget, hand_made, clips, groups, evicting_reads, first_block (of all figures but
 * returns and all), loss {mean, stderr, ci95}, gaussian, reference (name) and vs_reference, vs_window (window kept),
 * vs_one (weights 1; all else of the policy is the same in both), returns {loss, gaussian, clips, vs_none,
 * vs_reference}, all {loss, gaussian}, by_time and by_since_cut (arrays of {at, loss, stderr, clips, vs_reference}),
 * cache_bytes and what it is made of, seconds.
 *
 * A comparison is {mean, percent, stderr, ci95, table95, p, detectable, groups, verdict, against}; null where there
 * is nothing to compare with. ci95 is of this comparison on its own; table95 and p are corrected for all rows of the
 * results that have a comparison of this name, and the verdict follows from table95 (infer/paired.h). Differences are
 * policy - reference of the same clips, blocks, noise and times: negative is better. Figures that do not exist are
 * null; errors and intervals below 8 source groups are among them.
 */
#ifndef LT_EXPERIMENTS_SUMMARY_H
#define LT_EXPERIMENTS_SUMMARY_H

#include "experiments/experiment.h"
#include "experiments/json_file.h"
#include "infer/eval_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows under way. */
typedef struct lt_summary lt_summary;

/* Rows are appended to the array `rows`. NULL when out of memory. */
lt_summary *lt_summary_open(struct cJSON *rows);
/* tables [table_count]: the losses of one set, with grid->variants as specs; more than one where training seeds are
 * pooled. reference [variant_count]: from lt_eval_references. */
lt_status lt_summary_add(lt_summary *summary, const lt_grid *grid, int set,
                         const lt_eval_table *const *tables, int table_count, const int *reference,
                         const char *dataset);
/* Corrects the comparisons of all sets together and writes their verdicts. */
lt_status lt_summary_finish(lt_summary *summary);
void lt_summary_close(lt_summary *summary); /* NULL is fine */

/* Flat columns of a row: what results.csv and /rows of results.h5 hold. */
typedef struct lt_column {
    const char *name;
    const char *path; /* members of the row, separated by dots; a number is an index */
    int text;         /* bytes of a text column; 0: a number */
} lt_column;
extern const lt_column lt_columns[]; /* ends with {NULL} */
/* The value of a column, or NULL. */
const struct cJSON *lt_column_value(const struct cJSON *row, const lt_column *column);

/* One line per row, RFC 4180; what does not exist is empty. Texts as lt_csv_text has them; results.json holds them as
 * they are. */
lt_status lt_results_csv(const char *path, const struct cJSON *rows);

#ifdef __cplusplus
}
#endif
#endif
