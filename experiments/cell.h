/* A finished cell on disk: every loss of one variant on one set of clips, in one HDF5 file. The file appears whole or
 * not at all, so a killed ablation goes on where it was. Its name is a hash of all that determines the losses.
 */
#ifndef LT_EXPERIMENTS_CELL_H
#define LT_EXPERIMENTS_CELL_H

#include "experiments/experiment.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What /samples of a cell holds; the rest of an lt_eval_sample follows from the clip. */
typedef struct lt_cell_sample {
    int64_t clip; /* index in the dataset */
    int32_t order, block, bin, draw;
    float t, loss, gaussian;
    int32_t evicting;
} lt_cell_sample;

typedef struct lt_cell {
    lt_cell_sample *samples;
    int64_t count;
    double seconds; /* that it took */
} lt_cell;

/* Identity of a cell: weights and dataset by content, clips, noise, policy, budget. */
uint64_t lt_cell_hash(uint64_t weights, const lt_dataset *data, const lt_eval_set *set,
                      const lt_variant *variant);

/* Runs the evaluation. Free with lt_cell_free. */
lt_status lt_cell_evaluate(lt_model *model, lt_dataset *data, const lt_eval_set *set,
                           const lt_variant *variant, lt_cell *out);
void lt_cell_free(lt_cell *cell);

/* LT_FAILED when the disk is full; then there is no file. */
lt_status lt_cell_save(const char *path, const lt_cell *cell);
/* LT_INPUT when the file is missing or damaged. */
lt_status lt_cell_load(const char *path, lt_cell *out);

#ifdef __cplusplus
}
#endif
#endif
