/* The comparisons that rows hold, and which of them says most. */
#include "experiments/report_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const lt_question questions[LT_QUESTIONS] = {
    {NULL, "vs_reference", "At equal bytes", "the reference",
     "Blocks that are read with an eviction in force, t in [0.5, 0.95]."},
    {"returns", "vs_none", "After a return to an earlier scene", "reading nothing",
     "The first two blocks after a cut back, t at least 0.6."},
    {NULL, "vs_one", "How it is weighed", "the same entries read with weight 1",
     "The same entries are kept; only the weights with which they are read differ."}};

const cJSON *lt_compared(const cJSON *row, const lt_question *question) {
    const cJSON *part = question->part ? lt_json_member(row, question->part) : row;
    const cJSON *versus = lt_json_member(part, question->member);
    return cJSON_IsObject(versus) ? versus : NULL;
}

bool lt_is_verdict(const cJSON *versus, const char *verdict) {
    return strcmp(lt_json_string(versus, "verdict"), verdict) == 0;
}

double lt_interval_end(const cJSON *versus, int end) {
    double corrected = lt_json_element(versus, "table95", end);
    return isfinite(corrected) ? corrected : lt_json_element(versus, "ci95", end);
}

double lt_percent_end(const cJSON *row, const lt_question *question, int end) {
    const cJSON *versus = lt_compared(row, question);
    const cJSON *part = question->part ? lt_json_member(row, question->part) : row;
    double mean = lt_json_number(versus, "mean"), percent = lt_json_number(versus, "percent");
    double other = mean != 0 ? 100 * mean / percent : lt_json_number(lt_json_member(part, "loss"), "mean");
    return 100 * lt_interval_end(versus, end) / other;
}

static double strength(const lt_page *page, const lt_question *question) {
    double most = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *versus = lt_compared(row, question);
        double percent = fabs(lt_json_number(versus, "percent"));
        if (versus && isfinite(percent) &&
            (lt_is_verdict(versus, "better") || lt_is_verdict(versus, "worse")))
            most = fmax(most, percent);
    }
    return most;
}

void lt_order_questions(const lt_page *page, const lt_question *ordered[LT_QUESTIONS]) {
    double strengths[LT_QUESTIONS] = {0};
    for (int i = 0; i < LT_QUESTIONS; i++) {
        double of_this = strength(page, &questions[i]);
        int at = i;
        for (; at > 0 && strengths[at - 1] < of_this; at--)
            strengths[at] = strengths[at - 1], ordered[at] = ordered[at - 1];
        strengths[at] = of_this, ordered[at] = &questions[i];
    }
}

/* ---- rows in order --------------------------------------------------------------------------------------- */

typedef struct ranked {
    const cJSON *row;
    double key;
    int place; /* rows of equal keys stay as they are */
} ranked;

static int by_key(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key ? 1 : x->place - y->place;
}

/* The reference stands where its difference, 0, belongs. */
static double key_of(const lt_page *page, const cJSON *row, const lt_question *question) {
    const cJSON *versus = lt_compared(row, question);
    double mean = lt_json_number(versus, "mean");
    if (isfinite(mean)) return mean;
    bool main = strcmp(question->member, "vs_reference") == 0;
    return main && strcmp(lt_row_verdict(page->rows, row), "reference") == 0 ? 0 : INFINITY;
}

const cJSON **lt_ranked_rows(const lt_page *page, const cJSON *set, const lt_question *question, int *count) {
    size_t most = (size_t)cJSON_GetArraySize(page->rows) + 1;
    ranked *list = calloc(most, sizeof *list);
    const cJSON *row, **rows = calloc(most, sizeof *rows);
    *count = 0;
    cJSON_ArrayForEach(row, page->rows) {
        if (list && lt_row_in_set(row, set))
            list[*count] = (ranked){row, key_of(page, row, question), *count}, ++*count;
    }
    if (list && rows) qsort(list, (size_t)*count, sizeof *list, by_key);
    for (int i = 0; list && rows && i < *count; i++) rows[i] = list[i].row;
    if (!list || !rows) {
        free(rows);
        rows = NULL;
    }
    free(list);
    return rows;
}
