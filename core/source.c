#include "core/source.h"

#include <stdio.h>

bool lt_source_commit(char commit[LT_COMMIT_MAX]) {
    snprintf(commit, LT_COMMIT_MAX, "%s", lt_built_commit ? lt_built_commit : "");
    return *commit != '\0';
}
