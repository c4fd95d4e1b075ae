/* longtake bench: how long ops, training steps and streamed blocks take. */
#ifndef LT_TRAIN_CMD_BENCH_H
#define LT_TRAIN_CMD_BENCH_H

#include "core/cli.h"

extern const lt_command lt_cmd_bench;

#endif
