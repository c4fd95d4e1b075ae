/* The table for terminals. */
#include "core/text.h"
#include "experiments/report_impl.h"

#include <math.h>
#include <string.h>

/* Whether a row of the set was compared with this one. */
static bool has_rival(const cJSON *rows, const cJSON *row) {
    const cJSON *other;
    cJSON_ArrayForEach(other, rows) {
        double bytes = lt_json_number(other, "cache_bytes") / lt_json_number(row, "cache_bytes");
        if (other != row && lt_row_in_set(other, row) &&
            cJSON_IsObject(lt_json_member(other, "vs_reference")) &&
            strcmp(lt_json_string(other, "reference"), lt_json_string(row, "policy")) == 0 &&
            !(fabs(bytes - 1) > 0.02)) /* "equal" is within 1 % of the reference */
            return true;
    }
    return false;
}

const char *lt_row_verdict(const cJSON *rows, const cJSON *row) {
    const cJSON *versus = lt_json_member(row, "vs_reference");
    if (cJSON_IsObject(versus)) return lt_json_string(versus, "verdict");
    if (!cJSON_IsObject(lt_json_member(row, "loss"))) return "nothing evicted";
    bool reference = cJSON_IsTrue(lt_json_member(row, "is_reference"));
    return reference && has_rival(rows, row) ? "reference" : "no rival";
}

static void put_text(FILE *to, const cJSON *row, const char *member, int columns) {
    char cell[256];
    fprintf(to, "%s ", lt_table_cell(cell, sizeof cell, lt_json_string(row, member), columns));
}

static void print_row(const cJSON *rows, const cJSON *row, FILE *to) {
    const cJSON *loss = lt_json_member(row, "loss"), *versus = lt_json_member(row, "vs_reference");
    double error = lt_json_number(loss, "stderr"), low = lt_interval_end(versus, 0),
           high = lt_interval_end(versus, 1);
    char figure[48] = "-", difference[80] = "-", verdict[64];
    int used = 0;
    if (cJSON_IsObject(loss)) used = snprintf(figure, sizeof figure, "%.4f", lt_json_number(loss, "mean"));
    if (used > 0 && used < 30 && isfinite(error))
        snprintf(figure + used, sizeof figure - (size_t)used, " +- %.4f", error);
    if (cJSON_IsObject(versus))
        used = snprintf(difference, sizeof difference, "%+.5f", lt_json_number(versus, "mean"));
    if (cJSON_IsObject(versus) && used < 30 && isfinite(low) && isfinite(high))
        snprintf(difference + used, sizeof difference - (size_t)used, " [%+.5f, %+.5f]", low, high);
    put_text(to, row, "set", 16);
    put_text(to, row, "keep", 18);
    put_text(to, row, "read", 8);
    fprintf(to, "%5g %9.1f  %-17s  %-30s  %s\n", lt_json_number(row, "budget"),
            lt_json_number(row, "cache_bytes") / 1024, figure, difference,
            lt_printable(verdict, sizeof verdict, lt_row_verdict(rows, row), LT_ONE_LINE));
}

void lt_report_table(const cJSON *results, FILE *to) {
    const cJSON *row, *rows = lt_json_member(results, "rows");
    const char *last = "";
    fprintf(to, "%-16s %-18s %-8s %5s %9s  %-17s  %-30s  %s\n", "domain", "kept", "read", "slots", "KiB",
            "loss", "vs reference [95 %]", "verdict");
    cJSON_ArrayForEach(row, rows) {
        if (*last && strcmp(last, lt_json_string(row, "set")) != 0) fputc('\n', to);
        last = lt_json_string(row, "set");
        print_row(rows, row, to);
    }
    fprintf(to,
            "\nloss: t in [0.5, 0.95], blocks read with an eviction in force; reference: the best hand-made "
            "policy at equal bytes%s\n",
            cJSON_IsObject(lt_json_member(results, "reference_set")) ? ", chosen on calm validation clips"
                                                                     : "");
}
