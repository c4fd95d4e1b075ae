#include "train/build_info.h"

#include "core/source.h"
#include "data/libraries.h"

#include <cjson/cJSON.h>
#include <string.h>

#ifdef __clang__
#    define COMPILER "" /* its version names it */
#else
#    define COMPILER "GCC "
#endif

static void add_commit(cJSON *root) {
    char commit[LT_COMMIT_MAX];
    bool known = lt_source_commit(commit);
    char *suffix = known ? strstr(commit, "-dirty") : NULL;
    if (suffix) *suffix = '\0';
    cJSON_AddItemToObject(root, "commit", known ? cJSON_CreateString(commit) : cJSON_CreateNull());
    cJSON_AddItemToObject(root, "dirty", known ? cJSON_CreateBool(suffix != NULL) : cJSON_CreateNull());
}

void lt_build_info(cJSON *root) {
    lt_library all[16];
    int count = lt_data_libraries(all);
    count += lt_core_libraries(all + count);
    cJSON_AddStringToObject(root, "version", lt_version());
    add_commit(root);
    cJSON_AddStringToObject(root, "compiler", COMPILER __VERSION__);
    cJSON *libraries = cJSON_AddObjectToObject(root, "libraries");
    for (int i = 0; i < count; i++)
        cJSON_AddItemToObject(libraries, all[i].name,
                              *all[i].version ? cJSON_CreateString(all[i].version) : cJSON_CreateNull());
}
