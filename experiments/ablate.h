/* Ablations: every variant of an experiment on every domain, paired, into a results folder
 *
 *     config.json        the experiment, resolved, with run, checkpoint and datasets     environment.json
 *     cells/HASH.h5      every loss of a finished cell; a killed ablation goes on from these
 *     results.json       one row per cell with figures, intervals and verdicts (experiments/summary.h)
 *     results.csv        the same rows, flat        results.h5    the same rows and every loss
 *     traces/ videos/    what each variant kept and how it weighed it on one clip; what it generated
 *     report.html        experiments/report.h
 */
#ifndef LT_EXPERIMENTS_ABLATE_H
#define LT_EXPERIMENTS_ABLATE_H

#include "experiments/experiment.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_ablate_options {
    const lt_config *config; /* keys "experiment.*" */
    const char *run;         /* run folder or published checkpoint */
    const char *checkpoint;  /* "best", "latest", "step-N" or NULL */
    const char *const *data; /* dataset files */
    int data_count;
    const char *out;
    const char *device;    /* "cpu" */
    const char *precision; /* NULL: the device's own; see lt_device_open_as */
    const char *kernels;   /* the same */
    const char *arguments; /* command line, for the record; or NULL */
    int jobs;              /* processes that share the cells; 1 on a device other than the CPU */
    bool resume, force;
    bool report; /* write it too */
} lt_ablate_options;

/* One process at a time writes into the folder (core/folder.h); LT_INPUT where another one does.
 *
 * LT_USAGE: the experiment, or `out` exists and neither resume nor force is set. LT_INPUT: run or data.
 * LT_INTERRUPTED: finished cells are on disk and resume goes on; it also takes the finished cells of another
 * experiment in the same folder where nothing that determines them has changed. With jobs > 1 no parallel region may
 * have run in this process before. */
lt_status lt_ablate(const lt_ablate_options *options);

#ifdef __cplusplus
}
#endif
#endif
