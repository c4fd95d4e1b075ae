/* A run's environment.json: what it was made with. */
#ifndef LT_TRAIN_ENVIRONMENT_H
#define LT_TRAIN_ENVIRONMENT_H

#include "core/comm.h"
#include "data/dataset.h"
#include "train/start.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes commit, dirty flag, compiler, library versions, device, threads, processes, host, dataset with its hash, and the
 * command line (`arguments`, may be NULL), what training computes again (`recompute`: lt_recompute_text, or NULL), and what it
 * started from (`init`, or NULL). What cannot be found out is null. */
lt_status lt_environment_write(const char *path, const lt_device *device, const lt_dataset *set,
                               const lt_comm *comm, const char *arguments, const char *recompute,
                               const lt_start *init);
/* The `recompute` of such a file, freed by the caller; NULL where there is none. */
char *lt_environment_recompute(const char *path);

#ifdef __cplusplus
}
#endif
#endif
