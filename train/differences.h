/* In what two sessions of one run differ: their environment.json, their config.json. */
#ifndef LT_TRAIN_DIFFERENCES_H
#define LT_TRAIN_DIFFERENCES_H

#include <stdbool.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cJSON;

/* Writes "NAME: WHAT IS, before WHAT WAS" and a line break for each thing that decides the bits of a step: the
 * dataset's content, threads, processes, device, precision, program. Things that one record lacks (an older version's)
 * are left out. Returns how many. */
int lt_environment_differences(const struct cJSON *before, const struct cJSON *now, FILE *to);
/* The same for keys of configurations, but for those that only say when something is written, and when to end. */
int lt_config_differences(const struct cJSON *before, const struct cJSON *now, FILE *to);
/* Whether the learning rate follows another curve because the last step is another one. */
bool lt_config_curve_differs(const struct cJSON *before, const struct cJSON *now);

#ifdef __cplusplus
}
#endif
#endif
