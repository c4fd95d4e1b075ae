#include "core/log.h"
#include "experiments/report_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* No script runs and nothing is loaded from elsewhere, whatever the folder's texts hold. */
static const char policy[] =
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
    "media-src data:; style-src 'unsafe-inline'\">";

void lt_put_missing(lt_page *page, const char *what) {
    static const char again[] = "`longtake ablate` with --resume makes traces, videos and tables again";
    lt_warn("%s: left out of the report: %s; %s", page->folder, what, again);
    fputs("<p class=\"missing\">Left out: ", page->to);
    lt_html_text(page->to, what);
    fprintf(page->to, "; %s.</p>\n", again);
}

static void put_figure(FILE *to, const cJSON *results, const char *member, const char *format) {
    double value = lt_json_number(results, member);
    if (isfinite(value)) fprintf(to, format, value);
}

static void put_head(lt_page *page) {
    FILE *to = page->to;
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">",
          to);
    fprintf(to, "%s<title>", policy);
    lt_html_text(to, lt_json_string(page->results, "title"));
    fprintf(to, "</title><style>%s</style></head>\n<body><main>\n<h1>", lt_report_style);
    lt_html_text(to, lt_json_string(page->results, "title"));
    fputs("</h1>\n<p class=\"soft\">longtake &middot; run ", to);
    lt_html_text(to, lt_json_string(page->results, "run"));
    fputs(" &middot; weights ", to);
    lt_html_text(to, lt_json_string(page->results, "weights_hash"));
    put_figure(to, page->results, "blocks", " &middot; %g blocks per clip");
    put_figure(to, page->results, "draws", ", %g noise draws per fifth of the times");
    put_figure(to, page->results, "evaluation_seconds", " &middot; evaluated in %.0f s");
    fputs("</p>\n", to);
}

static lt_status put_sections(lt_page *page) {
    lt_report_findings(page);
    LT_TRY(lt_report_tables(page));
    LT_TRY(lt_report_plots(page));
    LT_TRY(lt_report_videos(page));
    LT_TRY(lt_report_traces(page));
    lt_report_limits(page);
    return lt_report_records(page);
}

/* All rows and sets are objects, so that the parts need not ask. */
static bool holds_objects(const cJSON *list) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) if (!cJSON_IsObject(item)) return false;
    return cJSON_IsArray(list) && list->child;
}

static lt_status check_results(const cJSON *results, const char *folder) {
    LT_CHECK(
        holds_objects(lt_json_member(results, "rows")) && holds_objects(lt_json_member(results, "sets")),
        LT_INPUT,
        "%s/results.json: not the results of an ablation (no rows or sets); `longtake ablate` with --resume "
        "makes it again from the finished cells",
        folder);
    return LT_OK;
}

static lt_status write_page(lt_page *page, const char *path) {
    char *text = NULL;
    size_t size = 0;
    page->to = open_memstream(&text, &size);
    LT_CHECK(page->to, LT_FAILED, "%s: out of memory", path);
    put_head(page);
    lt_status status = put_sections(page);
    fputs("</main></body></html>\n", page->to);
    bool written = fclose(page->to) == 0;
    if (status == LT_OK && !written) status = lt_fail(LT_FAILED, "%s: out of memory", path);
    if (status == LT_OK) status = lt_write_file(path, text, size);
    free(text);
    return status;
}

static lt_status load_results(const char *folder, cJSON **results) {
    LT_CHECK(lt_path_exists(folder), LT_INPUT, "%s: there is no such folder", folder);
    lt_status status = lt_report_json(folder, NULL, "results.json", results);
    if (status != LT_OK) {
        char problem[2048];
        snprintf(problem, sizeof problem, "%s", lt_error());
        return lt_fail(status, "%s; `longtake ablate` with --resume makes it again from the finished cells",
                       problem);
    }
    LT_CHECK(*results, LT_INPUT, "%s: no results.json; `longtake ablate` makes it%s", folder,
             lt_path_is_dir(folder) ? ", with --resume from the cells that are finished" : "");
    status = check_results(*results, folder);
    if (status == LT_OK) return LT_OK;
    cJSON_Delete(*results);
    return status;
}

lt_status lt_report_write(const char *folder, const char *gnuplot) {
    char path[LT_PATH_MAX];
    cJSON *results;
    LT_TRY(load_results(folder, &results));
    lt_page page = {.folder = folder,
                    .gnuplot = gnuplot ? gnuplot : "gnuplot",
                    .results = results,
                    .rows = lt_json_member(results, "rows"),
                    .sets = lt_json_member(results, "sets")};
    page.slots = lt_budgets_vary(page.rows);
    lt_status status = lt_path_join(path, folder, "report.html");
    if (status == LT_OK) status = write_page(&page, path);
    cJSON_Delete(results);
    return status;
}
