/* longtake compare: two runs side by side. */
#ifndef LT_EXPERIMENTS_CMD_COMPARE_H
#define LT_EXPERIMENTS_CMD_COMPARE_H

#include "core/cli.h"

extern const lt_command lt_cmd_compare;

#endif
