/* What a command writes is told apart from what it reads, and from what was there, before it begins. */
#include "core/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lt_status folder_of(const char *path, char folder[LT_PATH_MAX]) {
    int length = (int)(lt_path_base(path) - path);
    int used = snprintf(folder, LT_PATH_MAX, "%.*s", length ? length : 1, length ? path : ".");
    LT_CHECK(used < LT_PATH_MAX, LT_USAGE, "%.60s...: path too long", path);
    return LT_OK;
}

/* Whether both names lead to one file, which need not be there yet. */
static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    char folder[2][LT_PATH_MAX];
    if (stat(a, &x) == 0 && stat(b, &y) == 0) return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    if (strcmp(lt_path_base(a), lt_path_base(b)) != 0) return false;
    if (folder_of(a, folder[0]) != LT_OK || folder_of(b, folder[1]) != LT_OK) return false;
    return stat(folder[0], &x) == 0 && stat(folder[1], &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* A link that leads nowhere is there too. */
static lt_status check_output(const lt_file_use *use, bool force) {
    struct stat info;
    char folder[LT_PATH_MAX];
    LT_CHECK(*lt_path_base(use->path), LT_USAGE, "%s: \"%s\" is not the name of a file", use->option,
             use->path);
    LT_CHECK(!lt_path_is_dir(use->path), LT_USAGE, "%s: %s is a folder; a file is written there", use->option,
             use->path);
    bool there = lstat(use->path, &info) == 0;
    LT_CHECK(!there || force || use->remains, LT_USAGE, "%s: %s exists; --force replaces it", use->option,
             use->path);
    LT_CHECK(!there || S_ISREG(info.st_mode) || S_ISLNK(info.st_mode), LT_USAGE,
             "%s: %s is no regular file, so it is not replaced", use->option, use->path);
    LT_TRY(folder_of(use->path, folder));
    LT_CHECK(lt_path_is_dir(folder), LT_USAGE, "%s: %s: there is no folder %s", use->option, use->path,
             folder);
    LT_CHECK(access(folder, W_OK | X_OK) == 0, LT_FAILED, "%s: %s: the folder %s cannot be written: %s",
             use->option, use->path, folder, strerror(errno));
    return LT_OK;
}

lt_status lt_check_files(const lt_file_use *uses, int count, bool force) {
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i && uses[i].path; j++)
            LT_CHECK(!uses[j].path || (uses[i].input && uses[j].input) ||
                         !same_file(uses[i].path, uses[j].path),
                     LT_USAGE, "%s and %s name the same file, %s; what is written needs a name of its own",
                     uses[j].option, uses[i].option, uses[i].path);
    for (int i = 0; i < count; i++)
        if (uses[i].path && !uses[i].input) LT_TRY(check_output(&uses[i], force));
    return LT_OK;
}
