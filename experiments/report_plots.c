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

/* Told apart by people with any colour vision (Okabe and Ito), then darker ones. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
                                      "#5b6676", "#7a3b00", "#00543c", "#6d2b56", "#8a6a00", "#1d5f85"};
enum { COLOURS = sizeof colours / sizeof *colours };

static lt_status open_plot(plot *p) {
    *p = (plot){0};
    p->data = open_memstream(&p->data_text, &p->data_size);
    p->command = p->data ? open_memstream(&p->command_text, &p->command_size) : NULL;
    if (p->command) return LT_OK;
    if (p->data) fclose(p->data);
    free(p->data_text);
    return lt_fail(LT_FAILED, "out of memory for a plot");
}

/* Variant `v` of a set: its data block and colour. */
static void put_series(plot *p, int v, const char *with) {
    fprintf(p->command, "%s$d%d using 1:2 with %s lc rgb '%s' lw 1.8 pt 7 ps 0.6",
            p->series++ ? ", " : "plot ", v, with, colours[v % COLOURS]);
}

/* One legend serves all plots: a variant has the same colour in each. */
static void put_legend(lt_page *page) {
    const cJSON *row, *set = cJSON_GetArrayItem(page->sets, 0);
    int v = 0;
    char name[160];
    fputs("<p class=\"legend\">", page->to);
    cJSON_ArrayForEach(row, page->rows) {
        if (!lt_row_in_set(row, set)) continue;
        fprintf(page->to, "<span><i style=\"background:%s\"></i>", colours[v++ % COLOURS]);
        lt_html_text(page->to, lt_row_name(row, true, name));
        fputs("</span>", page->to);
    }
    fputs("</p>\n", page->to);
}

/* Draws, frees the plot and writes the picture into the page. */
static lt_status draw(lt_page *page, plot *p, const char *settings, const char *caption) {
    char *script = NULL, *svg = NULL;
    size_t size;
    fclose(p->data);
    fclose(p->command);
    FILE *to = open_memstream(&script, &size);
    lt_status status = to ? LT_OK : lt_fail(LT_FAILED, "out of memory for a plot");
    if (to) {
        fprintf(
            to,
            "set terminal svg size 520,360 dynamic noenhanced font 'DejaVu Sans,11' background '#ffffff'\n"
            "set border 3 lc rgb '#8390a0'\nset tics nomirror textcolor rgb '#1c2430'\nset grid ytics lc rgb "
            "'#e6eaee'\n"
            "unset key\n%s\n%s%s\n",
            settings, p->data_text, p->command_text);
        fclose(to);
    }
    if (status == LT_OK && p->series > 0) status = lt_run_filter(page->gnuplot, script, &svg);
    const char *picture = svg ? strstr(svg, "<svg") : NULL;
    if (picture) {
        fprintf(page->to, "<figure>%s<figcaption>", picture);
        lt_html_text(page->to, caption);
        fputs("</figcaption></figure>\n", page->to);
    }
    free(svg);
    free(script);
    free(p->data_text);
    free(p->command_text);
    return status;
}

/* One line per variant: a member array of {at, loss}. `relative`: divided by the Gaussian denoiser's loss. No bars: clips
 * differ far more than policies do, and the paired intervals are in the tables. */
static lt_status draw_curves(lt_page *page, const cJSON *set, const char *member, bool relative,
                             const char *settings, const char *caption) {
    plot p;
    int v = -1;
    const cJSON *row, *point;
    LT_TRY(open_plot(&p));
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *curve = lt_json_member(row, member);
        if (!lt_row_in_set(row, set)) continue;
        v++;
        if (cJSON_GetArraySize(curve) == 0) continue;
        fprintf(p.data, "$d%d << EOD\n", v);
        cJSON_ArrayForEach(point, curve) {
            double unit = relative ? lt_json_number(point, "gaussian") : 1;
            if (unit > 0)
                fprintf(p.data, "%g %.8g\n", lt_json_number(point, "at"),
                        lt_json_number(point, "loss") / unit);
        }
        fputs("EOD\n", p.data);
        put_series(&p, v, "linespoints");
    }
    return draw(page, &p, settings, caption);
}

static lt_status draw_bytes(lt_page *page, const cJSON *set) {
    plot p;
    int v = -1;
    const cJSON *row;
    LT_TRY(open_plot(&p));
    cJSON_ArrayForEach(row, page->rows) {
        const cJSON *loss = lt_json_member(row, "loss");
        if (!lt_row_in_set(row, set)) continue;
        v++;
        if (!cJSON_IsObject(loss)) continue;
        fprintf(p.data, "$d%d << EOD\n%.6g %.8g\nEOD\n", v,
                lt_json_number(row, "cache_bytes") / 1024 * (1 + 0.015 * (v % 5 - 2)),
                lt_json_number(loss, "mean"));
        put_series(&p, v, "points");
    }
    return draw(page, &p,
                "set xlabel 'cache, KiB'\nset ylabel 'loss'\nset offsets graph 0.08, graph 0.08, 0, 0",
                "Bytes against loss (points of equal bytes are spread a little)");
}

static lt_status draw_set(lt_page *page, const cJSON *set) {
    fputs("<h3>", page->to);
    lt_html_text(page->to, lt_json_string(set, "set"));
    fputs("</h3>\n<div class=\"plots\">\n", page->to);
    LT_TRY(draw_bytes(page, set));
    LT_TRY(draw_curves(page, set, "by_since_cut", false,
                       "set xlabel 'blocks since the cut'\nset ylabel 'loss'\nset xtics 1",
                       "Loss by blocks since a cut, t in [0.5, 0.95]"));
    LT_TRY(draw_curves(
        page, set, "by_time", true,
        "set xlabel 't (0: clean, 1: noise)'\nset ylabel 'loss / Gaussian denoiser'\nset xrange [0:1]",
        "Loss by time, as a share of the per-channel Gaussian denoiser's"));
    fputs("</div>\n", page->to);
    return LT_OK;
}

static bool answers(const lt_page *page) {
    char *out;
    lt_status status = lt_run_filter(page->gnuplot, "set terminal svg\n", &out);
    free(out);
    if (status != LT_OK) lt_info("no plots: %s", lt_error());
    return status == LT_OK;
}

lt_status lt_report_plots(lt_page *page) {
    const cJSON *set;
    page->plots = answers(page);
    fputs("<section><h2>Plots</h2>\n", page->to);
    if (!page->plots) {
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
