/* What was found, in sentences made from the figures, the strongest first. They say what the verdicts say and no
 * more. */
#include "experiments/report_impl.h"
#include "infer/paired.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct tally {
    int compared, better, worse, unclear, insufficient;
    double least, most; /* detectable difference, percent of what was compared with */
} tally;

static tally count_verdicts(const lt_page *page, const cJSON *set, const lt_question *question) {
    tally t = {.least = INFINITY};
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *versus = lt_row_in_set(row, set) ? lt_compared(row, question) : NULL;
        if (!versus) continue;
        double mean = lt_json_number(versus, "mean"), percent = lt_json_number(versus, "percent"),
               share = fabs(lt_json_number(versus, "detectable") * percent / mean);
        t.compared++;
        t.better += lt_is_verdict(versus, "better"), t.worse += lt_is_verdict(versus, "worse");
        t.unclear += lt_is_verdict(versus, "not distinguishable");
        t.insufficient += lt_is_verdict(versus, "insufficient data");
        if (isfinite(share)) t.least = fmin(t.least, share), t.most = fmax(t.most, share);
    }
    return t;
}

static void put_row(lt_page *page, const cJSON *row, const lt_question *question, bool interval) {
    char percent[32], low[32], high[32];
    double ends[2] = {lt_percent_end(row, question, 0), lt_percent_end(row, question, 1)};
    lt_put_swatch(page, row);
    fputc(' ', page->to);
    lt_put_name(page, row);
    fprintf(page->to, " (%s", lt_percent(lt_json_number(lt_compared(row, question), "percent"), percent));
    if (interval && isfinite(ends[0]) && isfinite(ends[1]))
        fprintf(page->to, "; 95&nbsp;%%: %s to %s", lt_percent(ends[0], low), lt_percent(ends[1], high));
    fputc(')', page->to);
}

/* "better: window (-1.20 %; ...), ...": the largest differences, and how many more. */
static void name_rows(lt_page *page, const cJSON *const *rows, int count, const lt_question *question,
                      const char *verdict, int of, int compared) {
    enum { NAMED = 3 };
    bool lowest_first = strcmp(verdict, "better") == 0;
    int named = 0;
    fprintf(page->to, "<span class=\"chip %s\">%d of %d %s</span>", verdict, of, compared, verdict);
    fputs(of > 1 ? " most: " : " ", page->to);
    for (int i = 0; i < count && named < NAMED; i++) {
        const cJSON *row = rows[lowest_first ? i : count - 1 - i];
        if (!lt_is_verdict(lt_compared(row, question), verdict)) continue;
        fputs(named++ ? "; " : "", page->to);
        put_row(page, row, question, named == 1);
    }
    if (of > named) fprintf(page->to, " and %d more", of - named);
    fputs(". ", page->to);
}

/* The rows have one each: the least, and the most where it reads otherwise. */
static void put_detectable(lt_page *page, const tally *t) {
    char least[32], most[32];
    lt_percent(t->least, least), lt_percent(t->most, most);
    fprintf(page->to, "<span class=\"soft\">A difference that these clips would show four times in five: %s",
            least + 1);
    if (strcmp(least, most) != 0) fprintf(page->to, " to %s", most + 1);
    fputs(".</span>", page->to);
}

static void put_verdicts(lt_page *page, const cJSON *set, const lt_question *question, const tally *t) {
    int rows_in_set;
    const cJSON **rows = lt_ranked_rows(page, set, question, &rows_in_set);
    if (!rows) return;
    if (t->better) name_rows(page, rows, rows_in_set, question, "better", t->better, t->compared);
    if (t->worse) name_rows(page, rows, rows_in_set, question, "worse", t->worse, t->compared);
    if (t->unclear)
        fprintf(page->to, "<span class=\"chip\">%d of %d not distinguishable</span> ", t->unclear,
                t->compared);
    if (t->insufficient)
        fprintf(page->to, "<span class=\"chip\">%d of %d insufficient data</span> ", t->insufficient,
                t->compared);
    if (t->unclear && t->most > 0) put_detectable(page, t);
    free(rows);
}

/* The loss over all times of the best row, against the denoiser that knows each channel's mean and variance. */
static double share_learned(const lt_page *page, const cJSON *set) {
    const cJSON *row;
    double best = INFINITY, gaussian = NAN;
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *all = lt_json_member(row, "all");
        double loss = lt_json_number(lt_json_member(all, "loss"), "mean");
        if (!lt_row_in_set(row, set) || !(loss < best)) continue;
        best = loss, gaussian = lt_json_number(all, "gaussian");
    }
    return isfinite(best) && gaussian > 0 ? 100 * (1 - best / gaussian) : NAN;
}

static void put_set(lt_page *page, const cJSON *set, const lt_question *question) {
    FILE *to = page->to;
    tally t = count_verdicts(page, set, question);
    fputs("<li><strong>", to);
    lt_html_text(to, lt_json_string(set, "set"));
    fputs("</strong> ", to);
    if (t.compared == 0) fputs("nothing to compare here.", to);
    else if (t.insufficient == t.compared) {
        fputs("<span class=\"chip\">insufficient data</span> ", to);
        lt_put_count(to, lt_json_number(set, "groups"), "source group");
        fprintf(to, ", and below %d no verdict is given; the differences in the table are leads at most.",
                LT_PAIRED_MIN_GROUPS);
    } else put_verdicts(page, set, question, &t);
    if (share_learned(page, set) <= 0)
        fputs(" <em>The model has not learned this footage (see below).</em>", to);
    fputs("</li>\n", to);
}

/* ---- the model ------------------------------------------------------------------------------------------- */

static void put_model(lt_page *page) {
    const cJSON *set;
    FILE *to = page->to;
    fputs("<h3>Is the model worth asking?</h3>\n<ul class=\"found\">\n", to);
    cJSON_ArrayForEach(set, page->sets) {
        double share = share_learned(page, set);
        if (!isfinite(share)) continue;
        fputs("<li><strong>", to);
        lt_html_text(to, lt_json_string(set, "set"));
        fprintf(
            to,
            "</strong> Its loss over all times is %.0f %% %s that of a denoiser that knows each channel's "
            "mean and variance and nothing else",
            fabs(share), share > 0 ? "below" : "<em>above</em>");
        fputs(share > 0 ? ".</li>\n"
                        : ": it has not learned this footage, and what it says about policies there is not "
                          "about memory.</li>\n",
              to);
    }
    fputs("</ul>\n", to);
}

/* ---- across domains -------------------------------------------------------------------------------------- */

/* How many sets give the policy of `row` this verdict against the reference. */
static int sets_with(const lt_page *page, const cJSON *row, const lt_question *question,
                     const char *verdict) {
    const cJSON *other;
    int found = 0;
    cJSON_ArrayForEach(other, page->rows) found +=
        strcmp(lt_json_string(other, "policy"), lt_json_string(row, "policy")) == 0 &&
        lt_json_number(other, "budget") == lt_json_number(row, "budget") &&
        lt_is_verdict(lt_compared(other, question), verdict);
    return found;
}

/* Names the rows of the first set that hold in all sets (better everywhere), or that change sides. */
static int name_across(lt_page *page, const lt_question *question, bool everywhere, const char *lead) {
    const cJSON *row, *first = cJSON_GetArrayItem(page->sets, 0);
    int sets = cJSON_GetArraySize(page->sets), named = 0;
    cJSON_ArrayForEach(row, page->rows) {
        if (!lt_row_in_set(row, first)) continue;
        int better = sets_with(page, row, question, "better");
        if (everywhere ? better < sets : !better || !sets_with(page, row, question, "worse")) continue;
        fputs(named++ ? "; " : lead, page->to);
        lt_put_name(page, row);
    }
    if (named) fputs(".</li>\n", page->to);
    return named;
}

static void put_across(lt_page *page, const lt_question *question) {
    const cJSON *set;
    int compared = 0;
    cJSON_ArrayForEach(set, page->sets) compared += count_verdicts(page, set, question).compared > 0;
    if (compared < 2) return;
    if (!name_across(page, question, true, "<li><strong>every domain</strong> better in all: "))
        fputs("<li><strong>every domain</strong> no policy is better in all.</li>\n", page->to);
    (void)name_across(page, question, false,
                      "<li><strong>changes sides</strong> better on one domain and worse on another: ");
}

static bool any_compared(const lt_page *page, const lt_question *question) {
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) if (lt_compared(row, question)) return true;
    return false;
}

void lt_report_findings(lt_page *page) {
    const cJSON *set;
    const lt_question *ordered[LT_QUESTIONS];
    FILE *to = page->to;
    lt_order_questions(page, ordered);
    fputs("<section><h2>What was found</h2>\n<p class=\"soft\">Differences in loss, in percent; negative is "
          "better. "
          "Clips, noise and times are the same for all.</p>\n",
          to);
    if (!any_compared(page, ordered[0]) && !any_compared(page, ordered[1]) && !any_compared(page, ordered[2]))
        fputs("<p>No policy has a rival at equal bytes with an eviction in force, so nothing is "
              "compared.</p>\n",
              to);
    for (int i = 0; i < LT_QUESTIONS; i++) {
        if (!any_compared(page, ordered[i])) continue;
        fprintf(to, "<h3>%s, against %s</h3>\n<ul class=\"found\">\n", ordered[i]->title,
                ordered[i]->against);
        cJSON_ArrayForEach(set, page->sets) put_set(page, set, ordered[i]);
        put_across(page, ordered[i]);
        fputs("</ul>\n", to);
    }
    put_model(page);
    fputs("</section>\n", to);
}

/* ---- what cannot be said ---------------------------------------------------------------------------------- */

static int count_compared(const lt_page *page) {
    int compared = 0;
    const cJSON *set;
    const lt_question *ordered[LT_QUESTIONS];
    lt_order_questions(page, ordered);
    for (int i = 0; i < LT_QUESTIONS; i++)
        cJSON_ArrayForEach(set, page->sets) compared += count_verdicts(page, set, ordered[i]).compared;
    return compared;
}

static bool any_corrected(const lt_page *page) {
    const cJSON *row;
    cJSON_ArrayForEach(
        row,
        page->rows) if (isfinite(lt_json_element(lt_json_member(row, "vs_reference"), "table95", 0)) ||
                        isfinite(lt_json_element(lt_json_member(lt_json_member(row, "returns"), "vs_none"),
                                                 "table95", 0))) return true;
    return false;
}

static bool any_sum(const lt_page *page) {
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) {
        const char *rule = lt_json_string(row, "consolidate");
        if (strcmp(lt_json_string(row, "read"), "one") == 0 &&
            (strcmp(rule, "sum") == 0 || strcmp(rule, "nearest") == 0))
            return true;
    }
    return false;
}

void lt_report_limits(lt_page *page) {
    FILE *to = page->to;
    int compared = count_compared(page);
    fputs("<section><h2>What cannot be said</h2><ul>\n", to);
    if (compared > 0 && any_corrected(page))
        fprintf(to,
                "<li>%d comparisons were made. Intervals and verdicts are corrected for all comparisons of "
                "one question "
                "together, not across questions.</li>\n",
                compared);
    else if (compared > 0)
        fprintf(to,
                "<li>%d comparisons were made, each with its own 95 %% interval and no correction: about "
                "%.0f would exclude 0 by chance alone.</li>\n",
                compared, ceil(0.05 * compared));

    fputs("<li>One training run: how much the figures would move with another seed is not known.</li>\n"
          "<li>This is the denoising loss with the true past in the cache. The videos show a rollout of one "
          "clip "
          "per domain; nothing here measures the quality of long videos.</li>\n"
          "<li>The denoiser reads best what it was trained to read: a policy that its training never used is "
          "measured together with that mismatch.</li>\n",
          to);
    if (any_sum(page))
        fputs("<li>With all weights 1, keep-all is one running sum, and merging by <code>sum</code> or "
              "<code>nearest</code> equals it by algebra: such rows differ by rounding only.</li>\n",
              to);
    fputs("</ul></section>\n", to);
}
