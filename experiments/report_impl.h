/* Parts of a report. Not for other rooms. */
#ifndef LT_EXPERIMENTS_REPORT_IMPL_H
#define LT_EXPERIMENTS_REPORT_IMPL_H

#include "core/io.h"
#include "experiments/json_file.h"
#include "experiments/report.h"

#include <cjson/cJSON.h>

typedef struct lt_page {
    FILE *to;
    const char *folder, *gnuplot;
    const cJSON *results, *rows, *sets;
    bool plots; /* gnuplot answered */
} lt_page;

/* Text with what HTML would take for markup replaced. */
void lt_html_text(FILE *to, const char *text);
/* "+1.23 %", or "-" where it is not finite. */
const char *lt_percent(double percent, char text[32]);

/* "window, age, 3 slots": what a row is called in prose and legends; `slots` false leaves the budget out. */
const char *lt_row_name(const cJSON *row, bool slots, char text[160]);
/* Rows of a set: its label must be theirs. */
bool lt_row_in_set(const cJSON *row, const cJSON *set);
/* Whether more than one value of a member occurs among the rows. */
bool lt_rows_vary(const cJSON *rows, const char *member);
/* Element of an array member: 0 or 1 of "ci95". */
double lt_json_element(const cJSON *object, const char *name, int index);

/* Sections, in order. Each prints its own heading, or nothing where there is nothing to show. */
void lt_report_prose(lt_page *page);
void lt_report_tables(lt_page *page);
void lt_report_factorial(lt_page *page);
lt_status lt_report_plots(lt_page *page);
lt_status lt_report_traces(lt_page *page);
lt_status lt_report_videos(lt_page *page);
lt_status lt_report_records(lt_page *page);

/* Runs `program` with `script` on its standard input; *out is what it wrote, freed by the caller. LT_UNAVAILABLE when it
 * cannot be run, LT_FAILED when it fails. */
lt_status lt_run_filter(const char *program, const char *script, char **out);

#endif
