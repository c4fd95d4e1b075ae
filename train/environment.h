/* A run's environment.json: what it was made with. */
#ifndef LT_TRAIN_ENVIRONMENT_H
#define LT_TRAIN_ENVIRONMENT_H

#include "core/comm.h"
#include "core/config.h"
#include "data/dataset.h"
#include "train/start.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_environment {
    const lt_device *device;
    const lt_dataset *set;
    const lt_comm *comm;            /* or NULL */
    const char *arguments;          /* command line; or NULL */
    const char *recompute;          /* what training recomputes: lt_recompute_text; or NULL */
    const char *latents, *captions; /* where they come from: lt_latents_mode names; or NULL */
    const lt_start *init;           /* what it started from; or NULL */
    const lt_config *config;        /* compared with the config.json beside the file; or NULL */
    int64_t step;                   /* that it goes on after */
    /* what follows from other surroundings; NULL: nothing, as nothing done before is gone on with */
    const char *consequence;
} lt_environment;

/* Writes commit, dirty flag, compiler, library versions, device, threads, processes, host, dataset with its hash, and
 * the command line, and the rest. What cannot be found out is null. Where the file is there already, warns of what
 * differs (train/differences.h) and keeps the record of that under "earlier". */
lt_status lt_environment_write(const char *path, const lt_environment *now);
/* The text behind `key` of such a file ("recompute", "latents", "captions"), freed by the caller; NULL where there is
 * none. */
char *lt_environment_text(const char *path, const char *key);

#ifdef __cplusplus
}
#endif
#endif
