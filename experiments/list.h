/* What `longtake list` has lists of, for its files. */
#ifndef LT_EXPERIMENTS_LIST_H
#define LT_EXPERIMENTS_LIST_H

#include "experiments/json_file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A row {name, help}, to which more may be added. */
struct cJSON *lt_list_add(struct cJSON *list, const char *name, const char *help);

/* {name, help, params: texts, consolidate, needs: names, state, needs_scorer} of each policy, and {name, help,
 * default, range or values: [{name, help}]} of each key that all of them take. */
lt_status lt_list_policies(struct cJSON *list);
lt_status lt_list_policy_keys(struct cJSON *list);
/* Both, and budgets, to be read. */
void lt_print_policies(void);

#ifdef __cplusplus
}
#endif
#endif
