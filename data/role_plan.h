/* Roles of groups on their way into a dataset: counts what the file holds of each domain, and asks data/roles.h.
 *
 *     LT_TRY(lt_role_plan_open(set, &shares, &plan));
 *     LT_TRY(lt_role_plan_expect(plan, domain, group));                of all that are to come
 *     role = lt_role_plan_role(plan, domain, group);
 *     ... lt_dataset_add_clip ... LT_TRY(lt_role_plan_add(plan, domain, group, role));
 */
#ifndef LT_DATA_ROLE_PLAN_H
#define LT_DATA_ROLE_PLAN_H

#include "data/dataset.h"
#include "data/roles.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_role_plan lt_role_plan;

/* The dataset must stay open. */
lt_status lt_role_plan_open(const lt_dataset *set, const lt_role_shares *shares, lt_role_plan **out);
void lt_role_plan_close(lt_role_plan *plan);

/* A group that is to come, before the first role is asked for; twice is once. */
lt_status lt_role_plan_expect(lt_role_plan *plan, const char *domain, const char *group);

/* The domain will hold few groups, which get their roles in turn. */
bool lt_role_plan_small(const lt_role_plan *plan, const char *domain);

/* The role that the dataset's clips of this group have, in whatever domain; else one for a new group. */
const char *lt_role_plan_role(const lt_role_plan *plan, const char *domain, const char *group);

/* The group is in; again is no change. */
lt_status lt_role_plan_add(lt_role_plan *plan, const char *domain, const char *group, const char *role);

/* Says in the log which groups each domain has by role, and warns of roles that have a share and no group. */
void lt_role_plan_log(const lt_role_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
