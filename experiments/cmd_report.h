/* longtake report: renders a results folder again (experiments/report.h). */
#ifndef LT_EXPERIMENTS_CMD_REPORT_H
#define LT_EXPERIMENTS_CMD_REPORT_H

#include "core/cli.h"

extern const lt_command lt_cmd_report;

#endif
