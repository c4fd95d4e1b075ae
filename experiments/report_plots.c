/* The plots of a report: which values, on which axes. experiments/report_svg.h draws them. */
#include "experiments/report_impl.h"
#include "experiments/report_svg.h"

#include <math.h>
#include <stdlib.h>

enum { NAME = 256 };

/* Room for all rows of a set, and for the points of each. */
typedef struct drawing {
    lt_plot plot;
    lt_plot_series *series;
    char (*names)[NAME];
} drawing;

static void free_drawing(drawing *d) {
    for (int i = 0; d->series && i < d->plot.count; i++) free(d->series[i].points);
    free(d->series);
    free(d->names);
}

static lt_status open_drawing(const lt_page *page, drawing *d) {
    size_t rows = (size_t)cJSON_GetArraySize(page->rows);
    d->series = calloc(rows + 1, sizeof *d->series);
    d->names = calloc(rows + 1, sizeof *d->names);
    d->plot.series = d->series;
    if (d->series && d->names) return LT_OK;
    free_drawing(d);
    return lt_fail(LT_FAILED, "out of memory for a plot of %zu rows", rows);
}

/* The next series, a row's, with room for `count` points; NULL when out of memory. */
static lt_plot_series *next_series(const lt_page *page, drawing *d, const cJSON *row, int count) {
    lt_plot_series *series = &d->series[d->plot.count];
    lt_look look = lt_look_of(page, row);
    *series = (lt_plot_series){
        .name = d->names[d->plot.count], .colour = look.colour, .mark = look.mark, .dash = look.dash};
    lt_row_name(page, row, d->names[d->plot.count], NAME);
    series->points = calloc((size_t)count + 1, sizeof *series->points);
    d->plot.count += series->points != NULL;
    return series->points ? series : NULL;
}

/* One legend serves all plots: a policy looks the same in each, and in the tables. */
static void put_legend(lt_page *page) {
    const cJSON *row, *set = cJSON_GetArrayItem(page->sets, 0);
    fputs("<p class=\"legend\">", page->to);
    cJSON_ArrayForEach(row, page->rows) {
        if (!lt_row_in_set(row, set)) continue;
        fputs("<span>", page->to);
        lt_put_swatch(page, row);
        fputc(' ', page->to);
        lt_put_name(page, row);
        fputs("</span>", page->to);
    }
    fputs("</p>\n", page->to);
}

/* Draws, frees the drawing and writes the figure into the page. */
static void put_drawing(lt_page *page, drawing *d, const char *caption) {
    char *svg = NULL;
    size_t size;
    FILE *to = open_memstream(&svg, &size);
    bool drawn = to && lt_plot_write(to, &d->plot, page->figures);
    if (to) drawn = fclose(to) == 0 && drawn;
    if (drawn) fprintf(page->to, "<figure>%s<figcaption>%s</figcaption></figure>\n", svg, caption);
    page->figures += drawn;
    free(svg);
    free_drawing(d);
}

typedef double (*value_fn)(const cJSON *point);
static double of_gaussian(const cJSON *point) {
    return lt_json_number(point, "loss") / lt_json_number(point, "gaussian");
}
static double of_reference(const cJSON *point) {
    return lt_json_number(lt_json_member(point, "vs_reference"), "percent");
}

/* Ends of the interval of the difference, in percent like the difference itself. */
static void put_interval(const cJSON *point, lt_plot_point *to) {
    const cJSON *versus = lt_json_member(point, "vs_reference");
    double scale = lt_json_number(versus, "percent") / lt_json_number(versus, "mean");
    to->low = scale * lt_json_element(versus, "ci95", 0);
    to->high = scale * lt_json_element(versus, "ci95", 1);
}

/* One line per row: a member array of points, with the intervals of the values that have them. */
static lt_status draw_curves(lt_page *page, const cJSON *set, const char *member, value_fn value, drawing d,
                             const char *caption) {
    const cJSON *row, *point;
    LT_TRY(open_drawing(page, &d));
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *curve = lt_json_member(row, member);
        if (!lt_row_in_set(row, set)) continue;
        lt_plot_series *series = next_series(page, &d, row, cJSON_GetArraySize(curve));
        if (!series) break;
        series->line = true;
        cJSON_ArrayForEach(point, curve) {
            lt_plot_point *p = &series->points[series->count++];
            *p = (lt_plot_point){lt_json_number(point, "at"), value(point), NAN, NAN};
            if (value == of_reference) put_interval(point, p);
        }
    }
    put_drawing(page, &d, caption);
    return LT_OK;
}

/* Where the axis of losses begins: differences are a few percent, so not at 0, which the caption says. */
static double loss_floor(const lt_page *page, const cJSON *set) {
    double low = INFINITY, high = -INFINITY;
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) {
        double loss = lt_json_number(lt_json_member(row, "loss"), "mean");
        if (lt_row_in_set(row, set) && isfinite(loss)) low = fmin(low, loss), high = fmax(high, loss);
    }
    if (!isfinite(low)) return 0;
    double step = pow(10, floor(log10(fmax(high - low, fabs(low) * 1e-3) + 1e-300)));
    return fmax(0, floor((low - 0.2 * (high - low)) / step) * step);
}

static lt_status draw_bytes(lt_page *page, const cJSON *set) {
    char caption[256];
    double begin = loss_floor(page, set);
    const cJSON *row;
    drawing d = {.plot = {.title = "Bytes against loss",
                          .x = {.label = "cache, KiB", .low = 0, .high = NAN},
                          .y = {.label = "loss", .low = begin, .high = NAN}}};
    LT_TRY(open_drawing(page, &d));
    cJSON_ArrayForEach(row, page->rows) {
        if (!lt_row_in_set(row, set)) continue;
        lt_plot_series *series = next_series(page, &d, row, 1);
        if (!series) break;
        series->count = 1;
        series->points[0] = (lt_plot_point){lt_json_number(row, "cache_bytes") / 1024,
                                            lt_json_number(lt_json_member(row, "loss"), "mean"), NAN, NAN};
    }
    snprintf(caption, sizeof caption, "Bytes against loss.%s",
             begin > 0 ? " <strong>The axis of losses does not begin at 0.</strong>" : "");
    put_drawing(page, &d, caption);
    return LT_OK;
}

static lt_status draw_set(lt_page *page, const cJSON *set) {
    drawing since_cut = {
        .plot = {
            .title = "Difference to the reference by blocks since a cut",
            .apart = 4,
            .x = {.label = "blocks since the cut", .low = NAN, .high = NAN, .tight = true, .whole = true},
            .y = {.label = "difference to the reference, %", .low = NAN, .high = NAN, .zero = true}}};
    drawing by_time = {.plot = {.title = "Loss by time",
                                .x = {.label = "t (0: clean, 1: noise)", .low = 0, .high = 1},
                                .y = {.label = "loss / Gaussian denoiser", .low = 0, .high = NAN}}};
    fputs("<h3>", page->to);
    lt_html_text(page->to, lt_json_string(set, "set"));
    fputs("</h3>\n<div class=\"plots\">\n", page->to);
    LT_TRY(draw_curves(
        page, set, "by_since_cut", of_reference, since_cut,
        "Difference to the reference by blocks since a cut, t in [0.5, 0.95], with 95 % intervals; below 0, "
        "which is the reference, is better. A bar without an end goes on."));
    LT_TRY(draw_bytes(page, set));
    LT_TRY(draw_curves(
        page, set, "by_time", of_gaussian, by_time,
        "Loss by time, as a share of the per-channel Gaussian denoiser's; above 1 the model knows less than "
        "each channel's mean and variance."));
    fputs("</div>\n", page->to);
    return LT_OK;
}

lt_status lt_report_plots(lt_page *page) {
    const cJSON *set;
    fputs("<section><h2>Plots</h2>\n", page->to);
    put_legend(page);
    cJSON_ArrayForEach(set, page->sets) LT_TRY(draw_set(page, set));
    fputs("</section>\n", page->to);
    return LT_OK;
}
