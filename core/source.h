/* Which version of the source this program was built from, for records of runs. */
#ifndef LT_CORE_SOURCE_H
#define LT_CORE_SOURCE_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0": what CMakeLists.txt says. */
const char *lt_version(void);

enum { LT_COMMIT_MAX = 80 };

/* What the build wrote (cmake/commit.cmake) and only the program links, so that a commit compiles nothing else anew. */
extern const char lt_built_commit[] __attribute__((weak));

/* The commit that this was built from, with "-dirty" behind it when tracked files differed from it. False, and "", when
 * that was not known (an unpacked archive, no git), and in test programs. */
bool lt_source_commit(char commit[LT_COMMIT_MAX]);

#ifdef __cplusplus
}
#endif
#endif
