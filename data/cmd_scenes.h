/* longtake scenes: fills a dataset file with generated clips (data/scenes.h). */
#ifndef LT_DATA_CMD_SCENES_H
#define LT_DATA_CMD_SCENES_H

#include "core/cli.h"

extern const lt_command lt_cmd_scenes;

#endif
