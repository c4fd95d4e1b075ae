/* An ablation at work. Not for other rooms. */
#ifndef LT_EXPERIMENTS_ABLATE_IMPL_H
#define LT_EXPERIMENTS_ABLATE_IMPL_H

#include "core/io.h"
#include "experiments/ablate.h"
#include "experiments/cell.h"

typedef struct lt_finished lt_finished;

typedef struct lt_ablation {
    lt_ablate_options options;
    lt_device *device;
    lt_model *model;
    char checkpoint[LT_PATH_MAX];
    uint64_t weights; /* lt_weights_hash: results of other weights are never taken for these */
    lt_dataset *data[LT_EXPERIMENT_DATA];
    lt_grid grid;
    double seconds;        /* of this session */
    lt_finished *finished; /* shared with the other processes */
    bool shows;            /* the first process */
} lt_ablation;

/* Which cells are finished, in memory that the processes of an ablation share (opened before they are forked). */
lt_status lt_finished_open(lt_finished **out);
void lt_finished_close(lt_finished *finished);
bool lt_finished_has(const lt_finished *finished, int set, int variant);
void lt_finished_add(lt_finished *finished, int set, int variant);
/* How many there are in all; after that lt_finished_show, which only the first process calls, shows them in a progress
 * line. */
void lt_finished_expect(lt_finished *finished, int cells);
void lt_finished_show(lt_finished *finished);

/* Path of a cell's file. */
lt_status lt_ablation_cell_path(const lt_ablation *a, int set, int variant, char path[LT_PATH_MAX]);

/* What the folder says about where its figures come from. */
lt_status lt_ablation_write_records(const lt_ablation *a);
/* results.json, results.csv, results.h5 and samples.csv from the finished cells. */
lt_status lt_ablation_summarise(lt_ablation *a);
/* Traces and videos on one clip of each domain. */
lt_status lt_ablation_showcase(lt_ablation *a);

#endif
