/* Plots, drawn by gnuplot as SVG and set into the page. */
#include "core/log.h"
#include "experiments/report_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One plot in the making: data blocks first, then the plot command that names them. */
typedef struct plot {
    FILE *data, *command;
    char *data_text, *command_text;
    size_t data_size, command_size;
    int series;
} plot;

/* The plots do not depend on what ~/.gnuplot sets. */
static const char plain_start[] = "--default-settings";

static lt_status open_plot(plot *p) {
    *p = (plot){0};
    p->data = open_memstream(&p->data_text, &p->data_size);
    p->command = p->data ? open_memstream(&p->command_text, &p->command_size) : NULL;
    if (p->command) return LT_OK;
    if (p->data) fclose(p->data);
    free(p->data_text);
    return lt_fail(LT_FAILED, "out of memory for a plot");
}

/* A row's data block is named by its number among those of the plot; the names of policies never reach gnuplot. */
static void put_series(const lt_page *page, plot *p, const cJSON *row, const char *with) {
    lt_look look = lt_look_of(page, row);
    fprintf(p->command, "%s$d%d using 1:2 with %s lc rgb '%s' dt %d lw 1.6 pt %d ps 0.7",
            p->series ? ", " : "plot ", p->series, with, look.colour, look.dash, look.mark);
    p->series++;
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

/* The script: settings and numbers alone. Colours of text and grid are the page's, which may be dark. */
static lt_status write_script(const plot *p, const char *settings, char **script) {
    size_t size;
    FILE *to = open_memstream(script, &size);
    LT_CHECK(to, LT_FAILED, "out of memory for a plot");
    fprintf(
        to,
        "set terminal svg size 420,300 dynamic noenhanced font 'DejaVu Sans,12'\n"
        "set border 3 lc rgb '#8390a0'\nset tics nomirror\nset grid ytics\nset xzeroaxis lc rgb '#8390a0'\n"
        "unset key\n%s\n%s%s\n",
        settings, p->data_text, p->command_text);
    LT_CHECK(fclose(to) == 0, LT_FAILED, "out of memory for a plot");
    return LT_OK;
}

/* Draws, frees the plot and writes the picture into the page. */
static lt_status draw(lt_page *page, plot *p, const char *settings, const char *caption) {
    char *script = NULL, *svg = NULL;
    lt_status status = fclose(p->data) == 0 && fclose(p->command) == 0
                           ? LT_OK
                           : lt_fail(LT_FAILED, "out of memory for a plot");
    if (status == LT_OK && p->series > 0) status = write_script(p, settings, &script);
    if (script) status = lt_run_filter(page->gnuplot, plain_start, script, &svg);
    const char *picture = svg ? strstr(svg, "<svg") : NULL;
    if (picture) fprintf(page->to, "<figure>%s<figcaption>%s</figcaption></figure>\n", picture, caption);
    free(svg);
    free(script);
    free(p->data_text);
    free(p->command_text);
    return status;
}

static void put_point(plot *p, double x, double y) {
    if (isfinite(x) && isfinite(y)) fprintf(p->data, "%.9g %.9g\n", x, y);
}

typedef double (*value_fn)(const cJSON *point);
static double of_gaussian(const cJSON *point) {
    return lt_json_number(point, "loss") / lt_json_number(point, "gaussian");
}
static double of_reference(const cJSON *point) {
    return lt_json_number(lt_json_member(point, "vs_reference"), "percent");
}

static bool has_values(const cJSON *curve, value_fn value) {
    const cJSON *point;
    cJSON_ArrayForEach(point, curve) if (isfinite(value(point))) return true;
    return false;
}

/* One line per row: a member array of points. No bars: the intervals are in the tables. */
static lt_status draw_curves(lt_page *page, const cJSON *set, const char *member, value_fn value,
                             const char *settings, const char *caption) {
    plot p;
    const cJSON *row, *point;
    LT_TRY(open_plot(&p));
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *curve = lt_json_member(row, member);
        if (!lt_row_in_set(row, set) || !has_values(curve, value)) continue;
        fprintf(p.data, "$d%d << EOD\n", p.series);
        cJSON_ArrayForEach(point, curve) put_point(&p, lt_json_number(point, "at"), value(point));
        fputs("EOD\n", p.data);
        put_series(page, &p, row, "linespoints");
    }
    return draw(page, &p, settings, caption);
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
    plot p;
    const cJSON *row;
    char settings[256], caption[256];
    double begin = loss_floor(page, set);
    LT_TRY(open_plot(&p));
    cJSON_ArrayForEach(row, page->rows) {
        double kib = lt_json_number(row, "cache_bytes") / 1024,
               loss = lt_json_number(lt_json_member(row, "loss"), "mean");
        if (!lt_row_in_set(row, set) || !isfinite(kib) || !isfinite(loss)) continue;
        fprintf(p.data, "$d%d << EOD\n", p.series);
        put_point(&p, kib, loss);
        fputs("EOD\n", p.data);
        put_series(page, &p, row, "points");
    }
    snprintf(settings, sizeof settings,
             "set xlabel 'cache, KiB'\nset ylabel 'loss'\nset xrange [0:*]\nset yrange [%.6g:*]\n"
             "set offsets 0, graph 0.08, graph 0.08, 0",
             begin);
    snprintf(caption, sizeof caption, "Bytes against loss.%s",
             begin > 0 ? " <strong>The axis of losses does not begin at 0.</strong>" : "");
    return draw(page, &p, settings, caption);
}

static lt_status draw_set(lt_page *page, const cJSON *set) {
    fputs("<h3>", page->to);
    lt_html_text(page->to, lt_json_string(set, "set"));
    fputs("</h3>\n<div class=\"plots\">\n", page->to);
    LT_TRY(draw_curves(
        page, set, "by_since_cut", of_reference,
        "set xlabel 'blocks since the cut'\nset ylabel 'difference to the reference, %'\nset xtics 1\n"
        "set yrange [*<0:0<*]",
        "Difference to the reference by blocks since a cut, t in [0.5, 0.95]; below 0, which is the "
        "reference, is better."));
    LT_TRY(draw_bytes(page, set));
    LT_TRY(draw_curves(
        page, set, "by_time", of_gaussian,
        "set xlabel 't (0: clean, 1: noise)'\nset ylabel 'loss / Gaussian denoiser'\nset xrange "
        "[0:1]\nset yrange [0:*]",
        "Loss by time, as a share of the per-channel Gaussian denoiser's; above 1 the model knows "
        "less than each channel's mean and variance."));
    fputs("</div>\n", page->to);
    return LT_OK;
}

static bool answers(const lt_page *page) {
    char *out;
    lt_status status = lt_run_filter(page->gnuplot, plain_start, "set terminal svg\n", &out);
    free(out);
    if (status == LT_UNAVAILABLE) lt_info("no plots: %s", lt_error());
    else if (status != LT_OK) lt_warn("no plots: %s", lt_error());
    return status == LT_OK;
}

lt_status lt_report_plots(lt_page *page) {
    const cJSON *set;
    fputs("<section><h2>Plots</h2>\n", page->to);
    if (!answers(page)) {
        fputs("<p>gnuplot was not found, so there are no plots; the tables hold the same figures, and "
              "<code>longtake report</code> draws them once it is there (apt-get install "
              "gnuplot-nox).</p></section>\n",
              page->to);
        return LT_OK;
    }
    put_legend(page);
    cJSON_ArrayForEach(set, page->sets) LT_TRY(draw_set(page, set));
    fputs("</section>\n", page->to);
    return LT_OK;
}
