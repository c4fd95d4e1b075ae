/* longtake plan: what a configuration takes, without allocating it. */
#ifndef LT_TRAIN_CMD_PLAN_H
#define LT_TRAIN_CMD_PLAN_H

#include "core/cli.h"

extern const lt_command lt_cmd_plan;

#endif
