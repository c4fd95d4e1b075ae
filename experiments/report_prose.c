/* What can and cannot be said, in sentences made from the figures. */
#include "experiments/report_impl.h"

#include <math.h>
#include <string.h>

enum { FEW_GROUPS = 8 }; /* LT_PAIRED_MIN_GROUPS, as the sentence says it */

typedef struct tally {
    int compared, better, worse, unclear, insufficient;
    double detectable; /* smallest, in percent of the loss */
} tally;

static const cJSON *versus_of(const cJSON *row) {
    const cJSON *versus = lt_json_member(row, "vs_reference");
    return cJSON_IsObject(versus) ? versus : NULL;
}

static bool is_verdict(const cJSON *versus, const char *verdict) {
    return strcmp(lt_json_string(versus, "verdict"), verdict) == 0;
}

static tally count(const lt_page *page, const cJSON *set) {
    tally t = {.detectable = INFINITY};
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *versus = versus_of(row);
        if (!lt_row_in_set(row, set) || !versus) continue;
        double share =
            lt_json_number(versus, "detectable") / lt_json_number(lt_json_member(row, "loss"), "mean");
        t.compared++;
        t.better += is_verdict(versus, "better"), t.worse += is_verdict(versus, "worse");
        t.unclear += is_verdict(versus, "not distinguishable");
        t.insufficient += is_verdict(versus, "insufficient data");
        if (isfinite(share)) t.detectable = fmin(t.detectable, 100 * share);
    }
    return t;
}

/* "window + age, 3 slots (-1.20 %), ..." */
static void name_rows(const lt_page *page, const cJSON *set, const char *verdict) {
    const cJSON *row;
    bool first = true;
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *versus = versus_of(row);
        char name[160], percent[32];
        if (!lt_row_in_set(row, set) || !versus || !is_verdict(versus, verdict)) continue;
        fputs(first ? "" : "; ", page->to);
        lt_html_text(page->to, lt_row_name(row, true, name));
        fprintf(page->to, " (%s)", lt_percent(lt_json_number(versus, "percent"), percent));
        first = false;
    }
}

static void say_domain(lt_page *page, const cJSON *set) {
    FILE *to = page->to;
    tally t = count(page, set);
    fputs("<li><strong>", to);
    lt_html_text(to, lt_json_string(set, "set"));
    fputs("</strong>: ", to);
    if (t.compared == 0) {
        fputs(
            "no policy has a rival at equal bytes with an eviction in force, so nothing is compared.</li>\n",
            to);
        return;
    }
    if (t.insufficient == t.compared) {
        fprintf(
            to,
            "insufficient data. %g source group%s, and below %d no verdict is given; the differences in the "
            "table are leads at most.</li>\n",
            lt_json_number(set, "groups"), lt_json_number(set, "groups") == 1 ? "" : "s", FEW_GROUPS);
        return;
    }
    fprintf(to,
            "of %d policies compared with the reference at their bytes, %d %s not distinguishable from it",
            t.compared, t.unclear, t.unclear == 1 ? "is" : "are");
    if (t.better) fputs("; better: ", to), name_rows(page, set, "better");
    if (t.worse) fputs("; worse: ", to), name_rows(page, set, "worse");
    fputc('.', to);
    if (isfinite(t.detectable))
        fprintf(to, " Differences below about %.2g %% of the loss would not have been found here.",
                t.detectable);
    fputs("</li>\n", to);
}

/* ---- whether the model learned anything -------------------------------------------------------------------- */

static void say_model(lt_page *page) {
    const cJSON *row, *set;
    cJSON_ArrayForEach(set, page->sets) {
        double best = INFINITY, gaussian = NAN;
        cJSON_ArrayForEach(row, page->rows) {
            const cJSON *all = lt_json_member(row, "all");
            double loss = lt_json_number(lt_json_member(all, "loss"), "mean");
            if (!lt_row_in_set(row, set) || !(loss < best)) continue;
            best = loss, gaussian = lt_json_number(all, "gaussian");
        }
        if (!isfinite(best) || !(gaussian > 0)) continue;
        double share = 100 * (1 - best / gaussian);
        fputs("<li>On ", page->to);
        lt_html_text(page->to, lt_json_string(set, "set"));
        if (share > 0)
            fprintf(page->to,
                    " the model's loss over all times is %.0f %% below that of a denoiser that knows each "
                    "channel's mean and variance and nothing else.</li>\n",
                    share);
        else
            fprintf(
                page->to,
                " the model's loss over all times is %.0f %% <em>above</em> that of a denoiser that knows "
                "each channel's mean and variance and nothing else: it has not learned this footage, and "
                "what it says about policies there is not about memory.</li>\n",
                -share);
    }
}

/* ---- across domains -------------------------------------------------------------------------------------- */

/* How many sets give the variant of `row` this verdict. */
static int sets_with(const lt_page *page, const cJSON *row, const char *verdict) {
    const cJSON *other;
    int found = 0;
    cJSON_ArrayForEach(other, page->rows) {
        const cJSON *versus = versus_of(other);
        found += strcmp(lt_json_string(other, "policy"), lt_json_string(row, "policy")) == 0 &&
                 lt_json_number(other, "budget") == lt_json_number(row, "budget") && versus &&
                 is_verdict(versus, verdict);
    }
    return found;
}

static void say_across(lt_page *page) {
    const cJSON *row, *set = cJSON_GetArrayItem(page->sets, 0);
    int sets = cJSON_GetArraySize(page->sets), first = 1;
    char name[160];
    if (sets < 2) return;
    cJSON_ArrayForEach(row, page->rows) {
        if (!lt_row_in_set(row, set) || sets_with(page, row, "better") < sets) continue;
        fputs(first ? "<li>Better than the reference on every domain: " : "; ", page->to);
        lt_html_text(page->to, lt_row_name(row, true, name));
        first = 0;
    }
    fputs(first ? "<li>No policy is better than the reference on every domain.</li>\n" : ".</li>\n",
          page->to);
    first = 1;
    cJSON_ArrayForEach(row, page->rows) {
        if (!lt_row_in_set(row, set) || !sets_with(page, row, "better") || !sets_with(page, row, "worse"))
            continue;
        fputs(first ? "<li>Better on one domain and worse on another: " : "; ", page->to);
        lt_html_text(page->to, lt_row_name(row, true, name));
        first = 0;
    }
    if (!first) fputs(". What it learned does not carry over.</li>\n", page->to);
}

/* ---- what cannot be said ---------------------------------------------------------------------------------- */

static void say_limits(lt_page *page) {
    FILE *to = page->to;
    const cJSON *set, *row;
    int compared = 0;
    bool sums = false;
    cJSON_ArrayForEach(set, page->sets) compared += count(page, set).compared;
    cJSON_ArrayForEach(row, page->rows) {
        const char *rule = lt_json_string(row, "consolidate");
        sums = sums || (strcmp(lt_json_string(row, "read"), "one") == 0 &&
                        (strcmp(rule, "sum") == 0 || strcmp(rule, "nearest") == 0));
    }
    fputs("<p>What cannot be said:</p><ul>\n", to);
    if (compared > 0)
        fprintf(to,
                "<li>%d comparisons were made, each with its own 95 %% interval and no correction: about "
                "%.0f would "
                "exclude 0 by chance alone.</li>\n",
                compared, ceil(0.05 * compared));
    fputs("<li>One training run: how much the figures would move with another seed is not known.</li>\n"
          "<li>This is the denoising loss with the true past in the cache. The videos below show a rollout "
          "of one "
          "clip per domain; nothing here measures the quality of long videos.</li>\n"
          "<li>The denoiser reads best what it was trained to read: a policy that its training never used is "
          "measured together with that mismatch.</li>\n",
          to);
    if (sums)
        fputs("<li>With all weights 1, keep-all is one running sum, and merging by <code>sum</code> or "
              "<code>nearest</code> equals it by algebra: such rows differ by rounding only.</li>\n",
              to);
    fputs("</ul>\n", to);
}

void lt_report_prose(lt_page *page) {
    const cJSON *set;
    fputs("<section><h2>What can be said</h2>\n<ul>\n", page->to);
    say_model(page);
    cJSON_ArrayForEach(set, page->sets) say_domain(page, set);
    say_across(page);
    fputs("</ul>\n", page->to);
    say_limits(page);
    fputs("</section>\n", page->to);
}
