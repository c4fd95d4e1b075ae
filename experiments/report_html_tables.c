/* Tables of the page: one per question and domain, the largest difference first. */
#include "experiments/report_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Only the words that are known become a class. */
static const char *chip_class(const char *verdict) {
    static const char *const known[] = {"better", "worse", "reference"};
    for (int i = 0; i < 3; i++)
        if (strcmp(verdict, known[i]) == 0) return known[i];
    return "";
}

static void put_chip(FILE *to, const char *verdict) {
    fprintf(to, "<span class=\"chip %s\">", chip_class(verdict));
    lt_html_text(to, verdict);
    fputs("</span>", to);
}

/* ---- intervals ------------------------------------------------------------------------------------------- */

/* A place on the line that all rows of a table share, 0 in the middle. */
enum { HALF = 60, MIDDLE = 9 };
static double place_of(double value, double scale) { return fmin(fmax(value / scale, -1), 1) * HALF + HALF; }

static void put_whisker(FILE *to, const cJSON *versus, double scale) {
    double low = lt_interval_end(versus, 0), high = lt_interval_end(versus, 1),
           mean = lt_json_number(versus, "mean");
    fprintf(to,
            "<svg class=\"whisker %s\" width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"interval\"><path "
            "class=\"zero\" d=\"M%d 0v%d\"/>",
            chip_class(lt_json_string(versus, "verdict")), 2 * HALF, 2 * MIDDLE, HALF, 2 * MIDDLE);
    if (isfinite(low) && isfinite(high))
        fprintf(to, "<path d=\"M%.1f %dH%.1f\"/>", place_of(low, scale), MIDDLE, place_of(high, scale));
    if (isfinite(mean))
        fprintf(to, "<circle cx=\"%.1f\" cy=\"%d\" r=\"3.5\"/>", place_of(mean, scale), MIDDLE);
    fputs("</svg>", to);
}

/* The end of the longest interval of a set's rows. */
static double scale_of(const lt_page *page, const cJSON *set, const lt_question *question) {
    const cJSON *row;
    double scale = 0;
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *versus = lt_row_in_set(row, set) ? lt_compared(row, question) : NULL;
        if (!versus) continue;
        double ends[3] = {lt_interval_end(versus, 0), lt_interval_end(versus, 1),
                          lt_json_number(versus, "mean")};
        for (int i = 0; i < 3; i++)
            if (isfinite(ends[i])) scale = fmax(scale, fabs(ends[i]));
    }
    return scale > 0 ? scale * 1.05 : 1;
}

static void put_versus(FILE *to, const cJSON *row, const lt_question *question, double scale) {
    const cJSON *versus = lt_compared(row, question);
    double low = lt_interval_end(versus, 0), high = lt_interval_end(versus, 1),
           detectable = lt_json_number(versus, "detectable");
    char percent[32], from[32], end[32];
    if (!versus) {
        fputs("<td>-</td><td></td><td></td>", to);
        return;
    }
    fputs("<td title=\"", to);
    lt_put_number(to, "%+.5f", lt_json_number(versus, "mean"));
    fprintf(to, "\"><strong>%s</strong></td>", lt_percent(lt_json_number(versus, "percent"), percent));
    if (isfinite(low) && isfinite(high))
        fprintf(to, "<td class=\"soft\" title=\"%+.5f to %+.5f\">%s to %s</td>", low, high,
                lt_percent(lt_percent_end(row, question, 0), from),
                lt_percent(lt_percent_end(row, question, 1), end));
    else fputs("<td class=\"soft\">-</td>", to);
    fputs("<td class=\"l\"", to);
    if (isfinite(detectable)) fprintf(to, " title=\"detectable: %.5f\"", detectable);
    fputc('>', to);
    put_whisker(to, versus, scale);
    fputs("</td>", to);
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

static bool is_main(const lt_question *question) { return strcmp(question->member, "vs_reference") == 0; }
/* No figure stands in two tables. */
static bool has_loss(const lt_question *question) { return question->part || is_main(question); }

static void put_cell(FILE *to, const char *format, double value) {
    fputs("<td>", to);
    lt_put_number(to, format, value);
    fputs("</td>", to);
}

static void put_loss(FILE *to, const cJSON *loss) {
    double mean = lt_json_number(loss, "mean"), error = lt_json_number(loss, "stderr");
    if (!isfinite(mean)) {
        fputs("<td>-</td>", to);
        return;
    }
    fprintf(to, "<td>%.4f", mean);
    if (isfinite(error)) fprintf(to, " <span class=\"soft\">&plusmn; %.4f</span>", error);
    fputs("</td>", to);
}

static void put_row(lt_page *page, const cJSON *row, const lt_question *question, double scale) {
    FILE *to = page->to;
    const cJSON *part = question->part ? lt_json_member(row, question->part) : row;
    const char *verdict = is_main(question) ? lt_row_verdict(page->rows, row)
                                            : lt_json_string(lt_compared(row, question), "verdict");
    fprintf(to, "<tr%s><td title=\"", strcmp(verdict, "reference") == 0 ? " class=\"ref\"" : "");
    lt_html_text(to, lt_json_string(row, "policy"));
    fputs("\">", to);
    lt_put_swatch(page, row);
    fputc(' ', to);
    lt_put_name(page, row);
    fputs("</td><td class=\"l\">", to);
    put_chip(to, verdict);
    fputs("</td>", to);
    put_versus(to, row, question, scale);
    if (has_loss(question)) put_loss(to, lt_json_member(part, "loss"));
    if (is_main(question)) put_cell(to, "%.1f", lt_json_number(row, "cache_bytes") / 1024);
    fputs("</tr>\n", to);
}

/* Rows that this question compares; the main table shows all. */
static bool is_shown(const cJSON *row, const lt_question *question) {
    return lt_compared(row, question) || is_main(question);
}

static void put_caption(lt_page *page, const cJSON *set, const lt_question *question) {
    FILE *to = page->to;
    double flow = lt_json_number(set, "flow_px_per_s");
    const cJSON *row;
    double clips = lt_json_number(set, "clips"), groups = lt_json_number(set, "groups");
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *part =
            question->part && lt_row_in_set(row, set) ? lt_json_member(row, question->part) : NULL;
        if (isfinite(lt_json_number(part, "clips")))
            clips = lt_json_number(part, "clips"), groups = lt_json_number(part, "groups");
    }
    fputs("<caption><strong>", to);
    lt_html_text(to, lt_json_string(set, "set"));
    fputs("</strong>: ", to);
    lt_put_count(to, clips, "clip");
    fputs(" of role ", to);
    lt_html_text(to, lt_json_string(set, "role"));
    fputs(" from ", to);
    lt_put_count(to, groups, "source group");
    if (isfinite(flow)) fprintf(to, ", motion %.1f px/s", flow);
    fputs("</caption>\n", to);
}

static lt_status put_set(lt_page *page, const cJSON *set, const lt_question *question) {
    FILE *to = page->to;
    int count, shown = 0;
    double scale = scale_of(page, set, question);
    const cJSON **rows = lt_ranked_rows(page, set, question, &count);
    LT_CHECK(rows, LT_FAILED, "out of memory for a table");
    for (int i = 0; i < count; i++) {
        if (!is_shown(rows[i], question)) continue;
        if (!shown++) {
            fputs("<div class=\"scroll\"><table>", to);
            put_caption(page, set, question);
            fprintf(to,
                    "<tr><th>kept</th><th class=\"l\">verdict</th><th class=\"l\" colspan=\"3\">difference "
                    "to %s, 95 %% "
                    "interval</th>%s%s</tr>\n",
                    question->against, has_loss(question) ? "<th>loss</th>" : "",
                    is_main(question) ? "<th>cache, KiB</th>" : "");
        }
        put_row(page, rows[i], question, scale);
    }
    if (shown) fputs("</table></div>\n", to);
    free(rows);
    return LT_OK;
}

static void put_reference(lt_page *page) {
    FILE *to = page->to;
    const cJSON *reference = lt_json_member(page->results, "reference_set");
    fputs(" The reference is the ", to);
    if (cJSON_IsObject(reference)) {
        fputs("hand-made policy of equal bytes with the lowest loss on ", to);
        lt_html_text(to, lt_json_string(reference, "domain"));
        fputs(" clips of role ", to);
        lt_html_text(to, lt_json_string(reference, "role"));
        fputs(" (", to);
        lt_put_count(to, lt_json_number(reference, "clips"), "clip");
        fputs(", ", to);
        lt_put_count(to, lt_json_number(reference, "groups"), "group");
        fputs(").", to);
    } else
        fputs("first hand-made policy of equal bytes, as there were no validation clips to choose it on.",
              to);
}

static bool has_rows(const lt_page *page, const lt_question *question) {
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) if (is_shown(row, question)) return true;
    return false;
}

lt_status lt_report_tables(lt_page *page) {
    FILE *to = page->to;
    const cJSON *set;
    const lt_question *ordered[LT_QUESTIONS];
    lt_order_questions(page, ordered);
    for (int i = 0; i < LT_QUESTIONS; i++) {
        if (!has_rows(page, ordered[i])) continue;
        fprintf(to,
                "<section><h2>%s</h2>\n<p class=\"soft\">%s Mean squared velocity error, &plusmn; standard "
                "error.",
                ordered[i]->title, ordered[i]->about);
        if (is_main(ordered[i])) put_reference(page);
        fputs(
            " Intervals resample source groups; on the small axis 0 is in the middle, left is better.</p>\n",
            to);
        cJSON_ArrayForEach(set, page->sets) LT_TRY(put_set(page, set, ordered[i]));
        fputs("</section>\n", to);
    }
    return LT_OK;
}
