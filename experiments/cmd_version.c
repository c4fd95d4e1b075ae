#include "core/cli.h"
#include "experiments/json_file.h"
#include "train/build_info.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static void print_text(const cJSON *info) {
    const cJSON *library;
    const char *commit = lt_json_string(info, "commit");
    printf("longtake %s\n\n", lt_json_string(info, "version"));
    printf("%-10s %s%s\n", "commit", *commit ? commit : "unknown",
           cJSON_IsTrue(lt_json_member(info, "dirty")) ? ", with changes" : "");
    printf("%-10s %s\n", "compiler", lt_json_string(info, "compiler"));
    cJSON_ArrayForEach(library, lt_json_member(info, "libraries"))
        printf("%-10s %s\n", library->string, cJSON_IsString(library) ? library->valuestring : "no");
}

static lt_status run_version(const void *options, int count, const char *const *names) {
    const lt_globals *global = options;
    (void)count, (void)names;
    cJSON *info = cJSON_CreateObject();
    lt_build_info(info);
    if (global->json) lt_json_print(info);
    else print_text(info);
    cJSON_Delete(info);
    return LT_OK;
}

const lt_command lt_cmd_version = {
    .name = "version",
    .summary = "version, commit, compiler and libraries of this program",
    .details = "Also `longtake --version`. A library that this build does without is \"no\", in JSON null.\n",
    .run = run_version};
