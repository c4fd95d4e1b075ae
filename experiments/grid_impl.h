/* The two halves of lt_grid_build. Not for other rooms. */
#ifndef LT_EXPERIMENTS_GRID_IMPL_H
#define LT_EXPERIMENTS_GRID_IMPL_H

#include "experiments/experiment.h"

/* Which clips are evaluated: fills grid->sets. */
lt_status lt_grid_find_sets(const lt_config *config, const lt_model *model, lt_dataset *const *data,
                            int data_count, lt_grid *grid);

#endif
