/* The report of a results folder: one HTML file without external resources, and the table for terminals. */
#ifndef LT_EXPERIMENTS_REPORT_H
#define LT_EXPERIMENTS_REPORT_H

#include "core/status.h"
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cJSON;

/* Writes FOLDER/report.html from results.json, config.json, environment.json, traces/ and videos/. The caller holds
 * the folder (core/folder.h). LT_INPUT when the folder holds no results. */
lt_status lt_report_write(const char *folder);

/* One line per row of results.json, with intervals and verdicts. */
void lt_report_table(const struct cJSON *results, FILE *to);

#ifdef __cplusplus
}
#endif
#endif
