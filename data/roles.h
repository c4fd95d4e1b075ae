/* Which role (train, val, test) a group of clips has: decided by a hash of the group's name, so it is the
 * same in every run, on every machine and whatever else is in the file.
 */
#ifndef LT_DATA_ROLES_H
#define LT_DATA_ROLES_H

#include "core/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Shares of the groups, 0..1; the rest is train. */
typedef struct lt_role_shares {
    double val, test;
} lt_role_shares;

/* val 0.1, test 0.2 */
lt_role_shares lt_role_shares_default(void);

/* From the values of --role: "test=0.2", "val=0", also as one text with commas. What is not named keeps its
 * default. "train" is what is left and cannot be set to anything but that. LT_USAGE otherwise. */
lt_status lt_role_shares_parse(const lt_strings *texts, lt_role_shares *out);

/* "train", "val" or "test". Raising the test share moves groups to test and none away from it. */
const char *lt_role_of_group(const lt_role_shares *shares, const char *group);

#ifdef __cplusplus
}
#endif
#endif
