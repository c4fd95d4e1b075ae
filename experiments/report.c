#include "experiments/report_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what all parts use ---------------------------------------------------------------------------------- */

void lt_html_text(FILE *to, const char *text) {
    for (; *text; text++) {
        if (*text == '<') fputs("&lt;", to);
        else if (*text == '>') fputs("&gt;", to);
        else if (*text == '&') fputs("&amp;", to);
        else if (*text == '"') fputs("&quot;", to);
        else fputc(*text, to);
    }
}

const char *lt_percent(double percent, char text[32]) {
    if (!isfinite(percent)) return "-";
    bool small = percent != 0 && fabs(percent) < 0.01;
    snprintf(text, 32, small ? "%+.1g %%" : "%+.2f %%", percent);
    return text;
}

const char *lt_row_name(const cJSON *row, bool slots, char text[160]) {
    const char *read = lt_json_string(row, "read");
    int budget = (int)lt_json_number(row, "budget");
    int used = snprintf(text, 160, "%s", lt_json_string(row, "keep"));
    if (strcmp(read, "one") != 0 && used < 160)
        used += snprintf(text + used, (size_t)(160 - used), " + %s", read);
    if (slots && budget > 0 && used < 160)
        snprintf(text + used, (size_t)(160 - used), ", %d slot%s", budget, budget == 1 ? "" : "s");
    return text;
}

bool lt_row_in_set(const cJSON *row, const cJSON *set) {
    return strcmp(lt_json_string(row, "set"), lt_json_string(set, "set")) == 0;
}

bool lt_rows_vary(const cJSON *rows, const char *member) {
    const cJSON *row, *first = cJSON_GetArrayItem(rows, 0);
    cJSON_ArrayForEach(row, rows) if (!cJSON_Compare(lt_json_member(row, member),
                                                     lt_json_member(first, member), true)) return true;
    return false;
}

double lt_json_element(const cJSON *object, const char *name, int index) {
    const cJSON *value = cJSON_GetArrayItem(lt_json_member(object, name), index);
    return cJSON_IsNumber(value) ? value->valuedouble : NAN;
}

/* ---- the page -------------------------------------------------------------------------------------------- */

static const char style[] =
    ":root{--ink:#1c2430;--soft:#5b6676;--line:#dfe4ea;--back:#f6f7f9;--good:#0a7d4f;--bad:#b3372f;--mute:#"
    "6b7685}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',"
    "Roboto,'DejaVu Sans',sans-serif}"
    "main{max-width:1080px;margin:0 auto;padding:28px 18px 64px}"
    "h1{font-size:1.7rem;line-height:1.25;margin:0 0 .3em}"
    "h2{font-size:1.25rem;margin:2.2em 0 .5em}h3{font-size:1.02rem;margin:1.4em 0 .4em}"
    "p{margin:.5em 0 .8em;max-width:76ch}.soft,figcaption,caption{color:var(--soft);font-size:.88rem}"
    "section{background:#fff;border:1px solid var(--line);border-radius:10px;padding:4px 20px "
    "18px;margin:18px 0}"
    "section h2{margin-top:.8em}"
    ".scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}"
    "caption{text-align:left;padding:.2em 0 .5em}"
    "th,td{padding:6px 10px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}"
    "th{font-weight:600;color:var(--soft);border-bottom:2px solid var(--line)}"
    "th:first-child,td:first-child,td.l,th.l{text-align:left}"
    "tr.ref td{background:#f0f4fb}"
    ".chip{display:inline-block;border-radius:99px;padding:1px 9px;font-size:.8rem;background:#eceff3;"
    "color:var(--mute)}"
    ".better{background:#dcf3e7;color:var(--good)}.worse{background:#fae3e0;color:var(--bad)}"
    ".reference{background:#dfe8f8;color:#28508f}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,310px),1fr));gap:14px}"
    ".plots svg{width:100%;height:auto}"
    ".legend span{display:inline-block;margin:0 14px 4px 0;font-size:.85rem}"
    ".legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:5px}"
    ".small{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:14px}"
    "figure{margin:0}figcaption{margin-top:4px;line-height:1.3}"
    "figure svg,video{width:100%;height:auto;display:block}"
    "video{border-radius:6px;background:#000;image-rendering:pixelated}"
    ".strip{width:100%;image-rendering:pixelated;border-radius:4px;display:block}"
    "details{margin:.6em 0}summary{cursor:pointer;font-weight:600}"
    "pre{background:#f3f5f7;border-radius:8px;padding:12px;overflow:auto;font-size:.8rem;line-height:1.4;"
    "max-height:32em}"
    "ul{padding-left:1.2em;max-width:78ch}li{margin:.35em 0}"
    "@media(max-width:600px){main{padding:16px 8px 40px}section{padding:2px 12px 14px;border-radius:8px}"
    "th,td{padding:5px 7px}}";

static void put_head(lt_page *page) {
    FILE *to = page->to;
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
          to);
    lt_html_text(to, lt_json_string(page->results, "title"));
    fprintf(to, "</title><style>%s</style></head>\n<body><main>\n<h1>", style);
    lt_html_text(to, lt_json_string(page->results, "title"));
    fputs("</h1>\n<p class=\"soft\">longtake &middot; run ", to);
    lt_html_text(to, lt_json_string(page->results, "run"));
    fprintf(
        to,
        " &middot; weights %s &middot; %g blocks per clip, %g noise draws per fifth of the times &middot; "
        "evaluated in %.0f s</p>\n",
        lt_json_string(page->results, "weights_hash"), lt_json_number(page->results, "blocks"),
        lt_json_number(page->results, "draws"), lt_json_number(page->results, "evaluation_seconds"));
}

static lt_status put_sections(lt_page *page) {
    lt_report_prose(page);
    lt_report_tables(page);
    lt_report_factorial(page);
    LT_TRY(lt_report_plots(page));
    LT_TRY(lt_report_traces(page));
    LT_TRY(lt_report_videos(page));
    return lt_report_records(page);
}

static lt_status check_results(const cJSON *results, const char *path) {
    const cJSON *rows = lt_json_member(results, "rows"), *sets = lt_json_member(results, "sets");
    LT_CHECK(cJSON_IsArray(rows) && cJSON_IsArray(sets) && cJSON_GetArraySize(rows) > 0, LT_INPUT,
             "%s: not the results of an ablation (no rows or sets)", path);
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

lt_status lt_report_write(const char *folder, const char *gnuplot) {
    char path[LT_PATH_MAX];
    cJSON *results;
    LT_TRY(lt_path_join(path, folder, "results.json"));
    LT_CHECK(lt_path_exists(path), LT_INPUT, "%s: no results.json; `longtake ablate` makes it", folder);
    LT_TRY(lt_json_load(path, &results));
    lt_status status = check_results(results, path);
    if (status == LT_OK) {
        lt_page page = {.folder = folder,
                        .gnuplot = gnuplot ? gnuplot : "gnuplot",
                        .results = results,
                        .rows = lt_json_member(results, "rows"),
                        .sets = lt_json_member(results, "sets")};
        status = lt_path_join(path, folder, "report.html");
        if (status == LT_OK) status = write_page(&page, path);
    }
    cJSON_Delete(results);
    return status;
}
