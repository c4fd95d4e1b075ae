/* Parts of a report. Not for other rooms. */
#ifndef LT_EXPERIMENTS_REPORT_IMPL_H
#define LT_EXPERIMENTS_REPORT_IMPL_H

#include "core/io.h"
#include "experiments/json_file.h"
#include "experiments/report.h"

#include <cjson/cJSON.h>

typedef struct lt_page {
    FILE *to;
    const char *folder;
    const cJSON *results, *rows, *sets;
    /* a policy occurs at several budgets, so its name says which */
    bool slots;
    /* bytes of the folder's pictures in the page so far */
    size_t embedded;
    /* plots and traces in the page so far: their ids differ by it */
    int figures;
} lt_page;

/* ---- text (report_text.c) ---- */

/* Text from the folder with what HTML would take for markup replaced, in an element or in a quoted attribute; control
 * characters are shown as escapes. lt_html_lines keeps line breaks. */
void lt_html_text(FILE *to, const char *text);
void lt_html_lines(FILE *to, const char *text);
/* "+1.23 %", or "-" where it is not finite. */
const char *lt_percent(double percent, char text[32]);

/* A number, or "-" where it is not finite. */
void lt_put_number(FILE *to, const char *format, double value);
/* "1 clip", "9 clips". */
void lt_put_count(FILE *to, double count, const char *noun);
/* What a row is called: "window + age, 2 slots"; not escaped, and cut where it does not fit. */
void lt_row_name(const lt_page *page, const cJSON *row, char *text, size_t size);
/* The same, whole and escaped for HTML. */
void lt_put_name(lt_page *page, const cJSON *row);
/* Rows of a set: its label must be theirs. */
bool lt_row_in_set(const cJSON *row, const cJSON *set);
/* Whether more than one value of a member occurs among the rows. */
bool lt_rows_vary(const cJSON *rows, const char *member);
/* Whether one policy with one set of read weights occurs at several budgets of a set. */
bool lt_budgets_vary(const cJSON *rows);
/* Element of an array member: 0 or 1 of "ci95". NaN where there is none. */
double lt_json_element(const cJSON *object, const char *name, int index);
/* The number as an int within low..high; low where there is none. */
int lt_json_int(const cJSON *object, const char *name, int low, int high);

/* ---- looks (report_looks.c): a policy has one colour and mark in all tables, plots, traces and videos ---- */

typedef struct lt_look {
    /* "#0072b2" */
    const char *colour;
    /* of lt_put_mark and lt_dashes */
    int mark, dash;
} lt_look;
lt_look lt_look_of(const lt_page *page, const cJSON *row);
/* The mark of a look around (x, y), as SVG. */
void lt_put_mark(FILE *to, int mark, double x, double y, const char *colour);
/* The dashes of a look: a value of stroke-dasharray. */
const char *lt_dashes(int dash);
/* A small line with the mark on it. */
void lt_put_swatch(lt_page *page, const cJSON *row);

/* ---- comparisons (report_compared.c) ---- */

/* One question that the rows answer. */
typedef struct lt_question {
    const char *part;   /* member of a row with the slice; NULL: the row itself */
    const char *member; /* the comparison in it */
    const char *title, *against, *about;
} lt_question;
enum { LT_QUESTIONS = 3 };
/* Strongest answer first: by the largest difference in percent with a verdict better or worse. */
void lt_order_questions(const lt_page *page, const lt_question *ordered[LT_QUESTIONS]);
/* {mean, percent, ...} of a row, or NULL where it was not compared. */
const cJSON *lt_compared(const cJSON *row, const lt_question *question);
bool lt_is_verdict(const cJSON *versus, const char *verdict);
/* An end (0, 1) of the interval that the verdict follows from: the one corrected for the table (table95) where there
 * is one, else the comparison's own (ci95). NaN where there is none. */
double lt_interval_end(const cJSON *versus, int end);
/* The same in percent of what was compared with. */
double lt_percent_end(const cJSON *row, const lt_question *question, int end);

/* Rows of a set, the lowest difference first, then those without one; the caller frees them. NULL: out of memory. */
const cJSON **lt_ranked_rows(const lt_page *page, const cJSON *set, const lt_question *question, int *count);

/* ---- the folder's files (report_files.c) ---- */

enum { LT_REPORT_JSON_LIMIT = 256 << 20, LT_REPORT_PICTURE_LIMIT = 64 << 20, LT_REPORT_PICTURES = 512 << 20 };

/* Whether a name is made of letters, digits, '.', '_' and '-', and does not start with '.': it cannot leave its
 * folder. */
bool lt_is_plain_name(const char *name);
/* FOLDER/PART/NAME (part NULL: FOLDER/NAME), whole, or *out NULL where there is no such file. LT_INPUT when the name
 * is not plain, a link leads out of the folder, it is no file, or larger than `limit`. */
lt_status lt_report_read(const char *folder, const char *part, const char *name, size_t limit, char **out,
                         size_t *size);
lt_status lt_report_json(const char *folder, const char *part, const char *name, cJSON **out);
/* A part that cannot be shown: says why in the page and in the log. */
void lt_put_missing(lt_page *page, const char *what);

/* ---- sections, in order; each prints its own heading, or nothing where there is nothing to show ---- */

void lt_report_findings(lt_page *page);
lt_status lt_report_tables(lt_page *page);
void lt_report_limits(lt_page *page);
lt_status lt_report_plots(lt_page *page);
lt_status lt_report_traces(lt_page *page);
lt_status lt_report_videos(lt_page *page);
lt_status lt_report_records(lt_page *page);

/* experiments/report/page.html and style.css, which the build embeds. In the page {{name}} is the place of a part. */
extern const char lt_report_page[], lt_report_style[];

/* What stands in the last column of the main table: the verdict, "reference", "no rival" or "nothing evicted". */
const char *lt_row_verdict(const cJSON *rows, const cJSON *row);

#endif
