/* longtake generate: video out of a trained run. */
#ifndef LT_INFER_CMD_GENERATE_H
#define LT_INFER_CMD_GENERATE_H

#include "core/cli.h"

extern const lt_command lt_cmd_generate;

#endif
