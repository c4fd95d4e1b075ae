#include "core/log.h"
#include "experiments/report_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static lt_status put_title(lt_page *page) {
    lt_html_text(page->to, lt_json_string(page->results, "title"));
    return LT_OK;
}

static lt_status put_style(lt_page *page) {
    fputs(lt_report_style, page->to);
    return LT_OK;
}

static lt_status put_run(lt_page *page) {
    lt_html_text(page->to, lt_json_string(page->results, "run"));
    return LT_OK;
}

static lt_status put_weights(lt_page *page) {
    lt_html_text(page->to, lt_json_string(page->results, "weights_hash"));
    return LT_OK;
}

static lt_status put_facts(lt_page *page) {
    put_figure(page->to, page->results, "blocks", " &middot; %g blocks per clip");
    put_figure(page->to, page->results, "draws", ", %g noise draws per fifth of the times");
    put_figure(page->to, page->results, "evaluation_seconds", " &middot; evaluated in %.0f s");
    return LT_OK;
}

static lt_status put_findings(lt_page *page) {
    lt_report_findings(page);
    return LT_OK;
}

static lt_status put_limits(lt_page *page) {
    lt_report_limits(page);
    return LT_OK;
}

/* What stands in place of {{name}} in page.html. */
static const struct {
    const char *name;
    lt_status (*put)(lt_page *page);
} parts[] = {{"title", put_title},         {"style", put_style},       {"run", put_run},
             {"weights", put_weights},     {"facts", put_facts},       {"findings", put_findings},
             {"tables", lt_report_tables}, {"plots", lt_report_plots}, {"videos", lt_report_videos},
             {"traces", lt_report_traces}, {"limits", put_limits},     {"records", lt_report_records}};

static lt_status put_part(lt_page *page, const char *name, size_t length) {
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strlen(parts[i].name) == length && memcmp(parts[i].name, name, length) == 0)
            return parts[i].put(page);
    return lt_fail(LT_FAILED, "experiments/report/page.html: there is no part {{%.*s}}", (int)length, name);
}

static lt_status put_page(lt_page *page) {
    const char *at = lt_report_page, *open;
    while ((open = strstr(at, "{{"))) {
        const char *close = strstr(open, "}}");
        LT_CHECK(close, LT_FAILED, "experiments/report/page.html: a part without }}");
        fwrite(at, 1, (size_t)(open - at), page->to);
        LT_TRY(put_part(page, open + 2, (size_t)(close - open - 2)));
        at = close + 2;
    }
    fputs(at, page->to);
    return LT_OK;
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
    lt_status status = put_page(page);
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

lt_status lt_report_write(const char *folder) {
    char path[LT_PATH_MAX];
    cJSON *results;
    LT_TRY(load_results(folder, &results));
    lt_page page = {.folder = folder,
                    .results = results,
                    .rows = lt_json_member(results, "rows"),
                    .sets = lt_json_member(results, "sets")};
    page.slots = lt_budgets_vary(page.rows);
    lt_status status = lt_path_join(path, folder, "report.html");
    if (status == LT_OK) status = write_page(&page, path);
    cJSON_Delete(results);
    return status;
}
