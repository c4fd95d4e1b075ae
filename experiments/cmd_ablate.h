/* longtake ablate: policies x budgets x read weights x domains, paired (experiments/ablate.h). */
#ifndef LT_EXPERIMENTS_CMD_ABLATE_H
#define LT_EXPERIMENTS_CMD_ABLATE_H

#include "core/cli.h"

extern const lt_command lt_cmd_ablate;

#endif
