#include "core/cli.h"
#include "core/folder.h"
#include "core/io.h"
#include "core/text.h"
#include "experiments/json_file.h"
#include "experiments/report.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <sys/stat.h>

/* One file, so its size is what a mail or a web page will carry. */
static void print_size(const char *folder) {
    char path[LT_PATH_MAX], size[32], shown[LT_PATH_MAX];
    struct stat info;
    if (lt_path_join(path, folder, "report.html") != LT_OK || stat(path, &info) != 0) return;
    printf("%s: %s, one file without external resources\n",
           lt_printable(shown, sizeof shown, path, LT_ONE_LINE), lt_format_bytes(info.st_size, size));
}

static lt_status run_report(const void *options_given, int count, const char *const *folders) {
    const lt_globals *global = options_given;
    char path[LT_PATH_MAX];
    cJSON *results;
    lt_folder_lock *lock;
    (void)count;
    LT_TRY(lt_path_join(path, folders[0], "results.json"));
    LT_CHECK(lt_path_exists(path), LT_INPUT, "%s: no results.json; `longtake ablate` makes it", folders[0]);
    LT_TRY(lt_folder_lock_take(folders[0], "results", &lock));
    lt_status status = lt_report_write(folders[0]);
    lt_folder_lock_release(lock);
    LT_TRY(status);
    LT_TRY(lt_json_load(path, &results));
    if (global->json) lt_json_print(lt_json_member(results, "rows"));
    else print_size(folders[0]);
    cJSON_Delete(results);
    return LT_OK;
}

const lt_command lt_cmd_report = {
    .name = "report",
    .summary = "render the report of a results folder again",
    .details =
        "Writes results/X/report.html from what `longtake ablate` left in the folder: one file without\n"
        "external resources, plots included.\n"
        "\n"
        "  longtake report results/a\n",
    .positional = "DIR",
    .min_positional = 1,
    .max_positional = 1,
    .run = run_report};
