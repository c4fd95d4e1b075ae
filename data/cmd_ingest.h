/* longtake ingest: video files into a dataset file (data/ingest.h). */
#ifndef LT_DATA_CMD_INGEST_H
#define LT_DATA_CMD_INGEST_H

#include "core/cli.h"

extern const lt_command lt_cmd_ingest;

#endif
