/* longtake held: does the cache still hold what a video returns to? */
#ifndef LT_INFER_CMD_HELD_H
#define LT_INFER_CMD_HELD_H

#include "core/cli.h"

extern const lt_command lt_cmd_held;

#endif
