#include "core/source.h"

#include <stdio.h>
#include <string.h>

/* First line that git prints about the source tree, or false. */
static bool ask_git(const char *question, char *line, int size) {
    char command[4096];
    int length = snprintf(command, sizeof command, "git -C '%s' %s 2>/dev/null", LT_SOURCE_DIR, question);
    if (length >= (int)sizeof command) return false;
    FILE *pipe = popen(command, "re");
    if (!pipe) return false;
    bool found = fgets(line, size, pipe) != NULL;
    while (fgetc(pipe) != EOF) continue;
    pclose(pipe);
    if (found) line[strcspn(line, "\n")] = '\0';
    return found;
}

bool lt_source_commit(char commit[LT_COMMIT_MAX]) {
    static const char dirty[] = "-dirty";
    char change[256];
    commit[0] = '\0';
    if (!ask_git("rev-parse HEAD", commit, LT_COMMIT_MAX - (int)sizeof dirty)) return false;
    if (ask_git("status --porcelain --untracked-files=no", change, sizeof change)) strcat(commit, dirty);
    return true;
}
