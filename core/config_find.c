#include "core/config.h"
#include "core/share.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int lt_config_roots(char roots[LT_CONFIG_ROOTS][LT_PATH_MAX]) {
    int count = 0;
    char share[LT_PATH_MAX];
    const char *named = getenv("LONGTAKE_CONFIGS");
    if (named && *named && strlen(named) < LT_PATH_MAX) strcpy(roots[count++], named);
    if (lt_share_folder(share) && lt_path_join(roots[count], share, "configs") == LT_OK) count++;
    return count;
}

static bool is_file(const char *path) { return lt_path_exists(path) && !lt_path_is_dir(path); }

/* The preset in the folder of `name` below `root` with the nearest name, as "train/tiny". */
static bool suggest(const char *root, const char *name, char *out, size_t size) {
    char folder[LT_PATH_MAX], wanted[256];
    const char *base = lt_path_base(name);
    char **names;
    int count;
    int length = snprintf(folder, sizeof folder, "%s/%.*s", root, (int)(base - name), name);
    if (length >= LT_PATH_MAX || !lt_path_is_dir(folder) || lt_list_dir(folder, &names, &count) != LT_OK)
        return false;
    snprintf(wanted, sizeof wanted, "%s%s", base, strstr(base, ".json") ? "" : ".json");
    const char *nearest = lt_nearest(wanted, (const char *const *)names, count);
    if (nearest)
        snprintf(out, size, "; did you mean \"%.*s%.*s\"?", (int)(base - name), name,
                 (int)strcspn(nearest, "."), nearest);
    lt_list_free(names, count);
    return nearest != NULL;
}

lt_status lt_config_find(const char *name, char *path, size_t size) {
    char roots[LT_CONFIG_ROOTS][LT_PATH_MAX], shared[LT_PATH_MAX];
    const int count = lt_config_roots(roots);
    char hint[512] = "";
    LT_CHECK(*name && strlen(name) < size, LT_USAGE, "\"%.60s\": not the name of a configuration", name);
    snprintf(path, size, "%s", name);
    if (is_file(path)) return LT_OK;
    for (int suffix = 0; suffix < 2; suffix++) {
        for (int i = 0; i < count; i++) {
            int length = snprintf(path, size, "%s/%s%s", roots[i], name, suffix ? "" : ".json");
            if (length > 0 && (size_t)length < size && is_file(path)) return LT_OK;
        }
        int length = snprintf(path, size, "%s%s", name, suffix ? "" : ".json");
        if (length > 0 && (size_t)length < size && is_file(lt_share_find(path, shared))) {
            length = snprintf(path, size, "%s", shared);
            if ((size_t)length < size) return LT_OK;
        }
    }
    for (int i = 0; i < count && !*hint; i++) suggest(roots[i], name, hint, sizeof hint);
    return lt_fail(LT_USAGE, "no configuration \"%s\": neither a file nor a preset below %s%s%s%s", name,
                   count ? roots[0] : "share/longtake (LONGTAKE_CONFIGS=DIR names a folder)",
                   count > 1 ? " or " : "", count > 1 ? roots[1] : "", hint);
}
