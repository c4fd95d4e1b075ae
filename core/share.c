#include "core/share.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* LT_SHARE_DIR, relative to the folder of the running program. */
static bool installed(char path[LT_PATH_MAX]) {
    char program[LT_PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return false;
    program[length] = '\0';
    char *slash = strrchr(program, '/');
    if (!slash) return false;
    *slash = '\0';
    return lt_path_join(path, program, LT_SHARE_DIR) == LT_OK && lt_path_is_dir(path);
}

bool lt_share_folder(char path[LT_PATH_MAX]) {
    if (installed(path)) return true;
    snprintf(path, LT_PATH_MAX, "%s", LT_SOURCE_DIR);
    return lt_path_is_dir(path);
}

const char *lt_share_find(const char *name, char path[LT_PATH_MAX]) {
    static const char shipped[] = "experiments/";
    char folder[LT_PATH_MAX];
    if (!lt_path_exists(name) && strncmp(name, shipped, sizeof shipped - 1) == 0 && !strstr(name, "..") &&
        lt_share_folder(folder) && lt_path_join(path, folder, name) == LT_OK && lt_path_exists(path))
        return path;
    snprintf(path, LT_PATH_MAX, "%s", name);
    return path;
}
