/* longtake evaluate: which policy predicts held-out clips best, and what its rollouts look like. */
#ifndef LT_INFER_CMD_EVALUATE_H
#define LT_INFER_CMD_EVALUATE_H

#include "core/cli.h"

extern const lt_command lt_cmd_evaluate;

#endif
