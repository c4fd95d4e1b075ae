/* What the files of a training run share; not for other rooms. */
#ifndef LT_TRAIN_RUN_IMPL_H
#define LT_TRAIN_RUN_IMPL_H

#include "core/folder.h"
#include "core/output.h"
#include "train/checkpoint_writer.h"
#include "train/metrics.h"
#include "train/run.h"
#include "train/start.h"
#include "train/tensorboard.h"

typedef struct training {
    lt_run_options options;
    bool lead; /* rank 0: the one that writes */
    lt_train_config config;
    lt_start init;                 /* what it started from, in this or an earlier process */
    int64_t room;                  /* bytes that train.recompute=auto fits itself to; 0: any */
    lt_recompute_choice recompute; /* what steps keep, and the planned peak */
    lt_dataset *set;
    lt_model *model;
    lt_trainer *trainer;
    lt_train_state state;
    int64_t choices; /* of rank 0 (kernels/choices.h), as many as were shared and written */
    /* Of the lead: */
    lt_metrics *metrics;
    lt_tensorboard *board;
    lt_folder_lock *lock;
    lt_rows *log;
    bool log_failed; /* and that was not reported yet */
    lt_checkpoint_writer *writer;
    bool samples_off;
    double started, shown_at; /* seconds */
    int64_t shown_step;
} training;

/* The run folder, when everything else stands: a new one, or an old one cut back to the checkpoint. Lead only. */
lt_status lt_run_folder_open(training *run);
/* log.txt ends with the message of a run that did not end well. */
void lt_run_folder_close(training *run, lt_status status); /* lt_error stays */
/* First of all: LT_USAGE when the folder is there and must not be. What is there is locked; nothing else is changed.
 * Lead only. */
lt_status lt_run_folder_claim(training *run);
/* LT_FAILED where log.txt could not be written. */
lt_status lt_run_folder_check_log(training *run);
/* Rows and scalars so far are flushed to disk. */
lt_status lt_run_folder_sync(training *run);

/* algorithms.json. A resumed run reads it before its first GEMM; later ones are kept, and rank 0's hold for all ranks:
 * after every step, before a checkpoint. All ranks call both. */
void lt_run_read_choices(const lt_run_options *options);
lt_status lt_run_keep_choices(training *run);

/* LT_FAILED: the latest steps were skipped. Says what can be gone on with. */
lt_status lt_run_diverged(const training *run);

/* Steps until the end, an interruption or a failure. */
lt_status lt_run_loop(training *run);

#endif
