/* Tables: for terminals and as HTML. */
#include "experiments/report_impl.h"

#include <math.h>
#include <string.h>

/* What stands in the last column. */
static const char *verdict_of(const cJSON *row) {
    const cJSON *versus = lt_json_member(row, "vs_reference");
    if (lt_json_number(row, "budget") == 0 && !cJSON_IsObject(versus)) return "no rival";
    if (cJSON_IsTrue(lt_json_member(row, "is_reference"))) return "reference";
    if (!cJSON_IsObject(lt_json_member(row, "loss"))) return "nothing evicted";
    return cJSON_IsObject(versus) ? lt_json_string(versus, "verdict") : "no rival";
}

/* ---- terminals ------------------------------------------------------------------------------------------- */

static void print_row(const cJSON *row, FILE *to) {
    const cJSON *loss = lt_json_member(row, "loss"), *versus = lt_json_member(row, "vs_reference");
    char figure[48] = "-", difference[80] = "-";
    if (cJSON_IsObject(loss))
        snprintf(figure, sizeof figure, "%.4f +- %.4f", lt_json_number(loss, "mean"),
                 lt_json_number(loss, "stderr"));
    if (cJSON_IsObject(versus))
        snprintf(difference, sizeof difference, "%+.5f [%+.5f, %+.5f]", lt_json_number(versus, "mean"),
                 lt_json_element(versus, "ci95", 0), lt_json_element(versus, "ci95", 1));
    fprintf(to, "%-16.16s %-18.18s %-8s %5g %9.1f  %-17s  %-30s  %s\n", lt_json_string(row, "set"),
            lt_json_string(row, "keep"), lt_json_string(row, "read"), lt_json_number(row, "budget"),
            lt_json_number(row, "cache_bytes") / 1024, figure, difference, verdict_of(row));
}

void lt_report_table(const cJSON *results, FILE *to) {
    const cJSON *row, *rows = lt_json_member(results, "rows");
    const char *last = "";
    fprintf(to, "%-16s %-18s %-8s %5s %9s  %-17s  %-30s  %s\n", "domain", "kept", "read", "slots", "KiB",
            "loss", "vs reference [95 %]", "verdict");
    cJSON_ArrayForEach(row, rows) {
        if (*last && strcmp(last, lt_json_string(row, "set")) != 0) fputc('\n', to);
        last = lt_json_string(row, "set");
        print_row(row, to);
    }
    fprintf(to,
            "\nloss: t in [0.5, 0.95], blocks read with an eviction in force; reference: the best hand-made "
            "policy at equal bytes%s\n",
            cJSON_IsObject(lt_json_member(results, "reference_set")) ? ", chosen on calm validation clips"
                                                                     : "");
}

/* ---- HTML ------------------------------------------------------------------------------------------------ */

/* The interval on a line that all rows of a table share, 0 in the middle. */
static void put_whisker(FILE *to, const cJSON *versus, double scale) {
    enum { HALF = 60, MIDDLE = 9 };
    double low = lt_json_element(versus, "ci95", 0) / scale * HALF + HALF,
           high = lt_json_element(versus, "ci95", 1) / scale * HALF + HALF,
           mean = lt_json_number(versus, "mean") / scale * HALF + HALF;
    const char *verdict = lt_json_string(versus, "verdict");
    const char *colour = strcmp(verdict, "better") == 0  ? "#0a7d4f"
                         : strcmp(verdict, "worse") == 0 ? "#b3372f"
                                                         : "#8390a0";
    fprintf(to,
            "<svg width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"interval\"><line x1=\"%d\" y1=\"0\" "
            "x2=\"%d\" y2=\"%d\" stroke=\"#cbd2da\"/><line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" "
            "stroke=\"%s\" stroke-width=\"2\"/><circle cx=\"%.1f\" cy=\"%d\" r=\"3.5\" fill=\"%s\"/></svg>",
            2 * HALF, 2 * MIDDLE, HALF, HALF, 2 * MIDDLE, low, MIDDLE, high, MIDDLE, colour, mean, MIDDLE,
            colour);
}

static const char *chip_class(const char *verdict) {
    return strcmp(verdict, "better") == 0 || strcmp(verdict, "worse") == 0 ||
                   strcmp(verdict, "reference") == 0
               ? verdict
               : "";
}

static void put_versus(FILE *to, const cJSON *versus, double scale) {
    char percent[32];
    if (!cJSON_IsObject(versus)) {
        fputs("<td>-</td><td></td><td></td>", to);
        return;
    }
    fprintf(to, "<td>%+.5f</td><td>%s</td><td class=\"l\" title=\"95 %%: %+.5f to %+.5f; detectable %.5f\">",
            lt_json_number(versus, "mean"), lt_percent(lt_json_number(versus, "percent"), percent),
            lt_json_element(versus, "ci95", 0), lt_json_element(versus, "ci95", 1),
            lt_json_number(versus, "detectable"));
    put_whisker(to, versus, scale);
    fputs("</td>", to);
}

static void put_row(FILE *to, const cJSON *row, double scale) {
    const cJSON *loss = lt_json_member(row, "loss");
    const char *verdict = verdict_of(row);
    fprintf(to, "<tr%s><td title=\"", strcmp(verdict, "reference") == 0 ? " class=\"ref\"" : "");
    lt_html_text(to, lt_json_string(row, "policy"));
    fputs("\">", to);
    lt_html_text(to, lt_json_string(row, "keep"));
    fprintf(to, "</td><td class=\"l\">%s</td><td>%g</td><td>%.1f</td>", lt_json_string(row, "read"),
            lt_json_number(row, "budget"), lt_json_number(row, "cache_bytes") / 1024);
    if (cJSON_IsObject(loss))
        fprintf(to, "<td>%.4f <span class=\"soft\">&plusmn; %.4f</span></td>", lt_json_number(loss, "mean"),
                lt_json_number(loss, "stderr"));
    else fputs("<td>-</td>", to);
    put_versus(to, lt_json_member(row, "vs_reference"), scale);
    fprintf(to, "<td class=\"l\"><span class=\"chip %s\">%s</span></td></tr>\n", chip_class(verdict),
            verdict);
}

/* The end of the longest interval of a set's rows. */
static double scale_of(const lt_page *page, const cJSON *set) {
    const cJSON *row;
    double scale = 0;
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *versus = lt_json_member(row, "vs_reference");
        if (!lt_row_in_set(row, set) || !cJSON_IsObject(versus)) continue;
        for (int i = 0; i < 2; i++) scale = fmax(scale, fabs(lt_json_element(versus, "ci95", i)));
    }
    return scale > 0 ? scale * 1.05 : 1;
}

static void put_set(lt_page *page, const cJSON *set) {
    FILE *to = page->to;
    const cJSON *row;
    double flow = lt_json_number(set, "flow_px_per_s"), scale = scale_of(page, set);
    fputs("<h3>", to);
    lt_html_text(to, lt_json_string(set, "set"));
    fprintf(to, "</h3>\n<div class=\"scroll\"><table><caption>%g clips of role %s from %g source groups",
            lt_json_number(set, "clips"), lt_json_string(set, "role"), lt_json_number(set, "groups"));
    if (isfinite(flow)) fprintf(to, ", motion %.1f px/s", flow);
    fputs(
        "</caption>\n<tr><th>kept</th><th class=\"l\">read</th><th>slots</th><th>cache KiB</th><th>loss</th>"
        "<th>vs reference</th><th></th><th class=\"l\">95 % interval</th><th class=\"l\">verdict</th></tr>\n",
        to);
    cJSON_ArrayForEach(row, page->rows) if (lt_row_in_set(row, set)) put_row(to, row, scale);
    fputs("</table></div>\n", to);
}

static void put_bytes(lt_page *page) {
    FILE *to = page->to;
    const cJSON *row, *set = cJSON_GetArrayItem(page->sets, 0);
    char name[160];
    fputs(
        "<details><summary>Bytes</summary><p class=\"soft\">Per video, in KiB. The cache is slots (summary "
        "slots "
        "included) and metadata with the policy's state; rows are called equal within 1 %. Tail, scorer and "
        "workspace come on top.</p><div "
        "class=\"scroll\"><table><tr><th>policy</th><th>cache</th><th>slots</th>"
        "<th>metadata</th><th>tail</th><th>scorer</th><th>workspace</th></tr>\n",
        to);
    cJSON_ArrayForEach(row, page->rows) {
        static const char *const columns[] = {"cache_bytes", "slot_bytes",   "metadata_bytes",
                                              "tail_bytes",  "scorer_bytes", "workspace_bytes"};
        if (!lt_row_in_set(row, set)) continue;
        fputs("<tr><td>", to);
        lt_html_text(to, lt_row_name(row, true, name));
        fputs("</td>", to);
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
            fprintf(to, "<td>%.1f</td>", lt_json_number(row, columns[i]) / 1024);
        fputs("</tr>\n", to);
    }
    fputs("</table></div></details>\n", to);
}

/* Whether the cache helps where memory is needed: the first two blocks after a return. */
static void put_returns(lt_page *page) {
    FILE *to = page->to;
    const cJSON *row;
    char name[160], percent[32];
    bool any = false;
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *part = lt_json_member(row, "returns"), *versus = lt_json_member(part, "vs_none");
        if (!cJSON_IsObject(versus)) continue;
        if (!any)
            fputs("<details><summary>After a return to an earlier scene</summary><p class=\"soft\">The first "
                  "two "
                  "blocks after a cut back, t at least 0.6, against reading nothing (<code>none</code>).</p>"
                  "<div class=\"scroll\"><table><tr><th>policy</th><th class=\"l\">domain</th><th>clips</th>"
                  "<th>loss</th><th>vs none</th><th>95 %</th><th class=\"l\">verdict</th></tr>\n",
                  to);
        any = true;
        fputs("<tr><td>", to);
        lt_html_text(to, lt_row_name(row, true, name));
        fputs("</td><td class=\"l\">", to);
        lt_html_text(to, lt_json_string(row, "set"));
        fprintf(to,
                "</td><td>%g</td><td>%.4f</td><td>%s</td><td>%+.4f to %+.4f</td><td class=\"l\"><span "
                "class=\"chip %s\">%s</span></td></tr>\n",
                lt_json_number(part, "clips"), lt_json_number(lt_json_member(part, "loss"), "mean"),
                lt_percent(lt_json_number(versus, "percent"), percent), lt_json_element(versus, "ci95", 0),
                lt_json_element(versus, "ci95", 1), chip_class(lt_json_string(versus, "verdict")),
                lt_json_string(versus, "verdict"));
    }
    if (any) fputs("</table></div></details>\n", to);
}

void lt_report_tables(lt_page *page) {
    FILE *to = page->to;
    const cJSON *set, *reference = lt_json_member(page->results, "reference_set");
    fputs("<section><h2>Loss at equal bytes</h2>\n<p class=\"soft\">Mean squared velocity error at t in "
          "[0.5, 0.95] "
          "of blocks that are read with an eviction in force, &plusmn; standard error. The reference is the ",
          to);
    if (cJSON_IsObject(reference)) {
        fputs("hand-made policy of equal bytes with the lowest loss on ", to);
        lt_html_text(to, lt_json_string(reference, "domain"));
        fprintf(to, " clips of role %s (%g clips, %g groups)", lt_json_string(reference, "role"),
                lt_json_number(reference, "clips"), lt_json_number(reference, "groups"));
    } else
        fputs("first hand-made policy of equal bytes, as there were no validation clips to choose it on", to);
    fputs(". Differences are paired: same clips, noise and times; intervals resample source groups; negative "
          "is "
          "better.</p>\n",
          to);
    cJSON_ArrayForEach(set, page->sets) put_set(page, set);
    put_returns(page);
    put_bytes(page);
    fputs("</section>\n", to);
}

/* ---- who is kept x how it is weighed --------------------------------------------------------------------- */

/* The row of a set with this budget, name and read weight, or NULL. */
static const cJSON *find_row(const lt_page *page, const cJSON *set, const cJSON *like, const char *keep,
                             const char *read) {
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) {
        bool same = lt_json_number(row, "budget") == lt_json_number(like, "budget");
        if (same && lt_row_in_set(row, set) && strcmp(lt_json_string(row, "keep"), keep) == 0 &&
            strcmp(lt_json_string(row, "read"), read) == 0)
            return row;
    }
    return NULL;
}

static void put_cell(FILE *to, const cJSON *row) {
    const cJSON *loss = lt_json_member(row, "loss");
    const char *verdict = row ? verdict_of(row) : "";
    char percent[32];
    if (!cJSON_IsObject(loss)) {
        fputs("<td>-</td>", to);
        return;
    }
    fprintf(to, "<td>%.4f <span class=\"chip %s\" title=\"%s\">%s</span></td>", lt_json_number(loss, "mean"),
            chip_class(verdict), verdict,
            strcmp(verdict, "reference") == 0
                ? "ref"
                : lt_percent(lt_json_number(lt_json_member(row, "vs_reference"), "percent"), percent));
}

/* True for the first row of its set with this budget, or with this budget and name. */
static bool is_first(const lt_page *page, const cJSON *row, bool by_name) {
    const cJSON *other;
    cJSON_ArrayForEach(other, page->rows) {
        if (other == row) return true;
        if (strcmp(lt_json_string(other, "set"), lt_json_string(row, "set")) == 0 &&
            lt_json_number(other, "budget") == lt_json_number(row, "budget") &&
            (!by_name || strcmp(lt_json_string(other, "keep"), lt_json_string(row, "keep")) == 0))
            return false;
    }
    return true;
}

static bool reads_like(const lt_page *page, const char *read) {
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) {
        if (strcmp(lt_json_string(row, "read"), read) == 0 && lt_json_number(row, "budget") > 0) return true;
    }
    return false;
}

static void put_grid(lt_page *page, const cJSON *set, const cJSON *first) {
    static const char *const reads[] = {"one", "age", "content"}, *const heads[] = {"w = 1", "by age",
                                                                                    "by content"};
    double budget = lt_json_number(first, "budget");
    FILE *to = page->to;
    const cJSON *row;
    fputs("<h3>", to);
    lt_html_text(to, lt_json_string(set, "set"));
    fprintf(to, ", %g slot%s</h3><div class=\"scroll\"><table><tr><th>kept</th>", budget,
            budget == 1 ? "" : "s");
    for (int i = 0; i < 3; i++)
        if (reads_like(page, reads[i])) fprintf(to, "<th>%s</th>", heads[i]);
    fputs("</tr>\n", to);
    cJSON_ArrayForEach(row, page->rows) {
        if (!lt_row_in_set(row, set) || lt_json_number(row, "budget") != lt_json_number(first, "budget") ||
            !is_first(page, row, true))
            continue;
        fputs("<tr><td>", to);
        lt_html_text(to, lt_json_string(row, "keep"));
        fputs("</td>", to);
        for (int i = 0; i < 3; i++)
            if (reads_like(page, reads[i]))
                put_cell(to, find_row(page, set, row, lt_json_string(row, "keep"), reads[i]));
        fputs("</tr>\n", to);
    }
    fputs("</table></div>\n", to);
}

void lt_report_factorial(lt_page *page) {
    const cJSON *set, *row;
    if (!lt_rows_vary(page->rows, "read")) return;
    fputs("<section><h2>Who is kept, and how it is weighed</h2><p class=\"soft\">Loss, and its difference to "
          "the "
          "reference; green and red where the interval excludes 0.</p>\n",
          page->to);
    cJSON_ArrayForEach(set, page->sets) cJSON_ArrayForEach(
        row, page->rows) if (lt_row_in_set(row, set) && lt_json_number(row, "budget") > 0 &&
                             is_first(page, row, false)) put_grid(page, set, row);
    fputs("</section>\n", page->to);
}
