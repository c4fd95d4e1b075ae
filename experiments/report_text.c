/* What is read from the folder, as text of a page. */
#include "core/text.h"
#include "experiments/report_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_escaped(FILE *to, const char *text, lt_layout layout) {
    static const char special[] = "<>&\"'";
    static const char *const names[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    char *shown = lt_printable_copy(text, layout);
    for (const char *c = shown ? shown : ""; *c; c++) {
        const char *found = strchr(special, *c);
        if (found) fputs(names[found - special], to);
        else fputc(*c, to);
    }
    free(shown);
}

void lt_html_text(FILE *to, const char *text) { put_escaped(to, text, LT_ONE_LINE); }
void lt_html_lines(FILE *to, const char *text) { put_escaped(to, text, LT_LINES); }

const char *lt_percent(double percent, char text[32]) {
    if (!isfinite(percent)) return "-";
    bool small = percent != 0 && fabs(percent) < 0.01, large = fabs(percent) >= 1e6;
    snprintf(text, 32, small ? "%+.1g %%" : large ? "%+.2g %%" : "%+.2f %%", percent);
    return text;
}

void lt_put_number(FILE *to, const char *format, double value) {
    if (isfinite(value)) fprintf(to, format, value);
    else fputc('-', to);
}

void lt_put_count(FILE *to, double count, const char *noun) {
    lt_put_number(to, "%g", count);
    fprintf(to, " %s%s", noun, count == 1 ? "" : "s");
}

void lt_put_name(lt_page *page, const cJSON *row) {
    const char *read = lt_json_string(row, "read");
    int budget = lt_json_int(row, "budget", 0, 1 << 30);
    lt_html_text(page->to, lt_json_string(row, "keep"));
    if (*read && strcmp(read, "one") != 0) {
        fputs(" + ", page->to);
        lt_html_text(page->to, read);
    }
    if (page->slots && budget > 0) fprintf(page->to, ", %d slot%s", budget, budget == 1 ? "" : "s");
}

void lt_row_name(const lt_page *page, const cJSON *row, char *text, size_t size) {
    const char *read = lt_json_string(row, "read");
    int budget = lt_json_int(row, "budget", 0, 1 << 30);
    bool weighed = *read && strcmp(read, "one") != 0;
    int used = snprintf(text, size, "%s%s%s", lt_json_string(row, "keep"), weighed ? " + " : "",
                        weighed ? read : "");
    if (page->slots && budget > 0 && used >= 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, ", %d slot%s", budget, budget == 1 ? "" : "s");
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

static bool same_text(const cJSON *a, const cJSON *b, const char *member) {
    return strcmp(lt_json_string(a, member), lt_json_string(b, member)) == 0;
}

bool lt_budgets_vary(const cJSON *rows) {
    const cJSON *a, *b;
    cJSON_ArrayForEach(a, rows) {
        if (!same_text(a, rows->child, "set")) continue; /* all sets have the same policies */
        for (b = a->next; b; b = b->next)
            if (same_text(a, b, "set") && same_text(a, b, "keep") && same_text(a, b, "read") &&
                lt_json_number(a, "budget") != lt_json_number(b, "budget"))
                return true;
    }
    return false;
}

double lt_json_element(const cJSON *object, const char *name, int index) {
    const cJSON *list = lt_json_member(object, name);
    const cJSON *value = cJSON_IsArray(list) ? cJSON_GetArrayItem(list, index) : NULL;
    return cJSON_IsNumber(value) ? value->valuedouble : NAN;
}

int lt_json_int(const cJSON *object, const char *name, int low, int high) {
    double value = lt_json_number(object, name);
    return value >= low ? value <= high ? (int)value : high : low;
}
