/* Which role (train, val, test) a group of clips has. A group keeps the role it once got in a file. A new one is
 * decided within its domain:
 *
 *     large domains   in which the smallest share comes to 8 groups or more (80 groups with the usual shares): by a
 *                     hash of the group's name, so it is the same in every run, on every machine, in every file
 *     small ones      where a hash can leave a role empty: in the order in which the groups come, the first three fill
 *                     train, test and val (those that have a share), each later one goes to the role that its share
 *                     says is furthest behind. An ingest takes the longest videos of such a domain first, so that all
 *                     roles have clips of several blocks.
 *
 * Both depend on the names, the order of the sources and what the file holds only: the same command makes the same
 * file, an ingest that was interrupted goes on to the same roles, and adding sources changes nobody's role.
 */
#ifndef LT_DATA_ROLES_H
#define LT_DATA_ROLES_H

#include "core/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_ROLE_TRAIN, LT_ROLE_VAL, LT_ROLE_TEST, LT_ROLES };

/* The number of "train", "val" or "test"; -1 for another text. */
int lt_role_number(const char *role);

/* Shares of the groups, 0..1; the rest is train. */
typedef struct lt_role_shares {
    double val, test;
} lt_role_shares;

/* val 0.1, test 0.2 */
lt_role_shares lt_role_shares_default(void);

/* From the values of --role: "test=0.2", "val=0", also as one text with commas. What is given holds; val and test that
 * are not keep their default or take what is left, whichever is less (test=1: all is test), and train is the rest.
 * Where train is given, what is left is for val and test. LT_USAGE for anything else and for more than everything. */
lt_status lt_role_shares_parse(const lt_strings *texts, lt_role_shares *out);

/* The share of a role by its number; 0 where it is none. */
double lt_role_share(const lt_role_shares *shares, int role);

/* Whether the hash decides in a domain that is to have `groups` in all. */
bool lt_role_by_hash(const lt_role_shares *shares, int64_t groups);

/* "train", "val" or "test" for a new group of a domain that holds held[role] groups already and is to have `expected`
 * in all. Where the hash decides, raising the test share moves groups to test and none away from it. */
const char *lt_role_choose(const lt_role_shares *shares, const char *group, const int64_t held[LT_ROLES],
                           int64_t expected);

#ifdef __cplusplus
}
#endif
#endif
