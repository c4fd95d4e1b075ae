/* longtake info: what a dataset, a run or a results folder holds (experiments/info.h). */
#ifndef LT_EXPERIMENTS_CMD_INFO_H
#define LT_EXPERIMENTS_CMD_INFO_H

#include "core/cli.h"

extern const lt_command lt_cmd_info;

#endif
