/* Where the figures come from: commands, configuration, environment. */
#include "experiments/report_impl.h"

#include <stdlib.h>

static lt_status put_file(lt_page *page, const char *name, const char *title) {
    enum { LIMIT = 1 << 20 }; /* both are a few kilobytes */
    char *text;
    size_t size;
    if (lt_report_read(page->folder, NULL, name, LIMIT, &text, &size) != LT_OK)
        lt_put_missing(page, lt_error());
    if (!text) return LT_OK;
    fprintf(page->to, "<details><summary>%s</summary><pre>", title);
    lt_html_lines(page->to, text);
    fputs("</pre></details>\n", page->to);
    free(text);
    return LT_OK;
}

/* Bytes of a policy, and its resolved string, which makes a row again. */
static void put_policy(lt_page *page, const cJSON *row) {
    static const char *const columns[] = {"cache_bytes", "slot_bytes",   "metadata_bytes",
                                          "tail_bytes",  "scorer_bytes", "workspace_bytes"};
    FILE *to = page->to;
    fputs("<tr><td>", to);
    lt_put_swatch(page, row);
    fputc(' ', to);
    lt_put_name(page, row);
    fputs("</td><td>", to), lt_put_number(to, "%g", lt_json_number(row, "budget")), fputs("</td>", to);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        fputs("<td>", to), lt_put_number(to, "%.1f", lt_json_number(row, columns[i]) / 1024),
            fputs("</td>", to);
    fputs("<td class=\"l\"><code>", to);
    lt_html_text(to, lt_json_string(row, "policy"));
    fputs("</code></td></tr>\n", to);
}

static void put_policies(lt_page *page) {
    const cJSON *row, *set = cJSON_GetArrayItem(page->sets, 0);
    fputs("<details><summary>Policies: bytes and resolved strings</summary><p class=\"soft\">Per video, in "
          "KiB. The "
          "cache is slots (summary slots included) and metadata with the policy's state; rows are called "
          "equal within "
          "1 %. Tail, scorer and workspace come on top.</p><div "
          "class=\"scroll\"><table><tr><th>kept</th><th>slots, "
          "number</th><th>cache</th><th>slots</th><th>metadata</th><th>tail</th><th>scorer</"
          "th><th>workspace</th><th "
          "class=\"l\">resolved</th></tr>\n",
          page->to);
    cJSON_ArrayForEach(row, page->rows) if (lt_row_in_set(row, set)) put_policy(page, row);
    fputs("</table></div></details>\n", page->to);
}

lt_status lt_report_records(lt_page *page) {
    const char *command = lt_json_string(page->results, "command");
    fputs("<section><h2>How this was made</h2>\n", page->to);
    if (*command) {
        fputs("<pre>", page->to);
        lt_html_lines(page->to, command);
        fputs("</pre>\n", page->to);
    }
    fputs("<p class=\"soft\">The same figures are in results.csv and, with every single loss, in "
          "results.h5.</p>\n",
          page->to);
    put_policies(page);
    LT_TRY(put_file(page, "config.json", "Configuration"));
    LT_TRY(put_file(page, "environment.json", "Environment"));
    fputs("</section>\n", page->to);
    return LT_OK;
}
