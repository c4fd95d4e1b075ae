/* longtake train: a run from a configuration and a dataset (train/run.h). */
#ifndef LT_TRAIN_CMD_TRAIN_H
#define LT_TRAIN_CMD_TRAIN_H

#include "core/cli.h"

extern const lt_command lt_cmd_train;

#endif
