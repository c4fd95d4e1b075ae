/* Which version of the source this program was built from, for records of runs. */
#ifndef LT_CORE_SOURCE_H
#define LT_CORE_SOURCE_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_COMMIT_MAX = 80 };

/* The commit checked out where this was built, with "-dirty" behind it when tracked files differ from it. False, and "",
 * when that folder is gone or no git repository. */
bool lt_source_commit(char commit[LT_COMMIT_MAX]);

#ifdef __cplusplus
}
#endif
#endif
