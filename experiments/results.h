/* The files of results that are made from all cells at once. */
#ifndef LT_EXPERIMENTS_RESULTS_H
#define LT_EXPERIMENTS_RESULTS_H

#include "experiments/cell.h"
#include "experiments/json_file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* results.h5: /rows, one record per row with the columns of experiments/summary.h (numbers that do not exist are NaN,
 * texts empty); /samples, every loss with the number of its row.
 *
 *     LT_TRY(lt_results_h5_open(path, &file));
 *     LT_TRY(lt_results_h5_samples(file, row, &cell));         per row
 *     LT_TRY(lt_results_h5_close(file, rows, true));
 */
typedef struct lt_results_h5 lt_results_h5;
lt_status lt_results_h5_open(const char *path, lt_results_h5 **out);
lt_status lt_results_h5_samples(lt_results_h5 *file, int row, const lt_cell *cell);
/* Writes the rows, and replaces an older file of that name by this one; without `keep` nothing stays. Frees `file`. */
lt_status lt_results_h5_close(lt_results_h5 *file, const struct cJSON *rows, bool keep);

#ifdef __cplusplus
}
#endif
#endif
