#include "experiments/cmd_report.h"

#include "core/folder.h"
#include "core/io.h"
#include "experiments/json_file.h"
#include "experiments/report.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static const char *gnuplot;

static const lt_option options[] = {
    {"gnuplot", LT_OPT_STRING, &gnuplot, "PROGRAM", "program that draws the plots; default gnuplot"}, {NULL}};

static lt_status run(int count, const char *const *folders) {
    char path[LT_PATH_MAX];
    cJSON *results;
    lt_folder_lock *lock;
    (void)count;
    LT_TRY(lt_path_join(path, folders[0], "results.json"));
    LT_CHECK(lt_path_exists(path), LT_INPUT, "%s: no results.json; `longtake ablate` makes it", folders[0]);
    LT_TRY(lt_folder_lock_take(folders[0], "results", &lock));
    lt_status status = lt_report_write(folders[0], gnuplot);
    lt_folder_lock_release(lock);
    LT_TRY(status);
    LT_TRY(lt_json_load(path, &results));
    if (lt_global.json) lt_json_print(lt_json_member(results, "rows"));
    else printf("%s/report.html\n", folders[0]);
    cJSON_Delete(results);
    return LT_OK;
}

const lt_command lt_cmd_report = {
    .name = "report",
    .summary = "render the report of a results folder again",
    .usage = "[--gnuplot PROGRAM]",
    .details =
        "Writes results/X/report.html from what `longtake ablate` left in the folder: one file without "
        "external\n"
        "resources. Plots need gnuplot; without it the report says so and keeps its tables.\n"
        "\n"
        "  longtake report results/a\n",
    .options = options,
    .positional = "DIR",
    .min_positional = 1,
    .max_positional = 1,
    .run = run};
