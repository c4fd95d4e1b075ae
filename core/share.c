#include "core/share.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file that this code was loaded from: the program, or the shared library inside another one. */
static bool loaded_from(char file[LT_PATH_MAX], bool *library) {
    Dl_info info;
    *library = dladdr(&lt_share_folder, &info) && strstr(lt_path_base(info.dli_fname), "liblongtake.so");
    if (*library) return realpath(info.dli_fname, file) != NULL;
    ssize_t length = readlink("/proc/self/exe", file, LT_PATH_MAX - 1);
    if (length > 0) file[length] = '\0';
    return length > 0;
}

/* Relative to the folder of that file: LT_SHARE_DIR, or LT_LIBRARY_SHARE_DIR for the library. */
static bool installed(char path[LT_PATH_MAX]) {
    char file[LT_PATH_MAX];
    bool library;
    if (!loaded_from(file, &library)) return false;
    char *slash = strrchr(file, '/');
    if (!slash) return false;
    *slash = '\0';
    const char *share = library ? LT_LIBRARY_SHARE_DIR : LT_SHARE_DIR;
    return lt_path_join(path, file, share) == LT_OK && lt_path_is_dir(path);
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
