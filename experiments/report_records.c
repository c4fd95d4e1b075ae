/* Where the figures come from: commands, configuration, environment. */
#include "experiments/report_impl.h"

#include <stdlib.h>

static lt_status put_file(lt_page *page, const char *name, const char *title) {
    char path[LT_PATH_MAX], *text;
    size_t size;
    LT_TRY(lt_path_join(path, page->folder, name));
    if (!lt_path_exists(path)) return LT_OK;
    LT_TRY(lt_read_file(path, &text, &size));
    fprintf(page->to, "<details><summary>%s</summary><pre>", title);
    lt_html_text(page->to, text);
    fputs("</pre></details>\n", page->to);
    free(text);
    return LT_OK;
}

/* The resolved string of every policy, which makes a row again. */
static void put_policies(lt_page *page) {
    const cJSON *row, *set = cJSON_GetArrayItem(page->sets, 0);
    char name[160];
    fputs("<details><summary>Resolved policies</summary><div "
          "class=\"scroll\"><table><tr><th>policy</th><th>budget</th>"
          "<th class=\"l\">resolved</th></tr>\n",
          page->to);
    cJSON_ArrayForEach(row, page->rows) {
        if (!lt_row_in_set(row, set)) continue;
        fputs("<tr><td>", page->to);
        lt_html_text(page->to, lt_row_name(row, false, name));
        fprintf(page->to, "</td><td>%g</td><td class=\"l\"><code>", lt_json_number(row, "budget"));
        lt_html_text(page->to, lt_json_string(row, "policy"));
        fputs("</code></td></tr>\n", page->to);
    }
    fputs("</table></div></details>\n", page->to);
}

lt_status lt_report_records(lt_page *page) {
    const char *command = lt_json_string(page->results, "command");
    fputs("<section><h2>How this was made</h2>\n", page->to);
    if (*command) {
        fputs("<pre>", page->to);
        lt_html_text(page->to, command);
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
