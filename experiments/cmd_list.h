/* longtake list: what this build knows by name. */
#ifndef LT_EXPERIMENTS_CMD_LIST_H
#define LT_EXPERIMENTS_CMD_LIST_H

#include "core/cli.h"

extern const lt_command lt_cmd_list;

#endif
