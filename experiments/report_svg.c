#include "experiments/report_svg.h"
#include "core/text.h"
#include "experiments/report_impl.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEFT = LT_PLOT_LEFT,
    TOP = LT_PLOT_TOP,
    FLOOR = LT_PLOT_HEIGHT - LT_PLOT_BOTTOM, /* y of the axis of x */
    TICKS = 5,                               /* about so many on an axis */
    NAME_GLYPHS = 26,                        /* longer names are cut */
    NAME_STEP = 13,                          /* between the lines of two names */
    MOST_NAMES = (FLOOR - TOP) / NAME_STEP   /* with more series the legend alone names them */
};
static const double most = 1e30, glyph = 6.1, lead = 16;

/* An axis takes a value that lies between those of its ends that are known; false for NaN. */
static bool takes(const lt_plot_axis *axis, double value) {
    return fabs(value) <= most && !(value < axis->low) && !(value > axis->high);
}

static bool can_draw(const lt_plot *p, const lt_plot_point *at) {
    return takes(&p->x, at->x) && takes(&p->y, at->y);
}

static bool has_bar(const lt_plot_point *p) { return fabs(p->low) <= most && fabs(p->high) <= most; }

/* ---- axes ------------------------------------------------------------------------------------------------ */

/* The smallest of 1, 2, 5 times a power of ten that cuts `span` into at most TICKS + 1 parts. */
static double tick_step(double span, bool whole) {
    double unit = pow(10, floor(log10(span / TICKS)));
    double step = span / TICKS <= unit       ? unit
                  : span / TICKS <= 2 * unit ? 2 * unit
                  : span / TICKS <= 5 * unit ? 5 * unit
                                             : 10 * unit;
    return whole ? fmax(1, round(step)) : step;
}

lt_plot_axis lt_plot_fit(lt_plot_axis axis, double low, double high, double *step) {
    bool free_low = !isfinite(axis.low), free_high = !isfinite(axis.high);
    if (axis.zero) low = fmin(low, 0), high = fmax(high, 0);
    if (!free_low) low = axis.low;
    if (!free_high) high = axis.high;
    double least = fmax(fabs(low), fabs(high)) * 1e-6 + 1e-12; /* ticks stay apart in double precision */
    if (!(high - low >= least)) {
        double half = axis.whole ? 0.5 : fmax(fabs(low) * 0.05, least);
        if (free_low) low -= half;
        if (free_high) high = fmax(low, high) + half;
    }
    *step = tick_step(high - low, axis.whole);
    double margin = axis.tight ? 0.08 * (high - low) : 0;
    if (free_low) low -= margin;
    if (free_high) high += margin;
    if (free_low && !axis.tight) low = floor(low / *step) * *step;
    if (free_high && !axis.tight) high = ceil(high / *step) * *step;
    axis.low = low, axis.high = high;
    return axis;
}

double lt_plot_place(const lt_plot_axis *axis, double value, double from, double to) {
    return from + (value - axis->low) / (axis->high - axis->low) * (to - from);
}

/* Decimals that tell ticks apart. */
static void tick_text(double value, double step, char text[32]) {
    int decimals = (int)fmin(fmax(ceil(-log10(step) - 1e-9), 0), 12);
    if (fabs(value) < step / 2) value = 0;
    if (fabs(value) >= 1e6) snprintf(text, 32, "%.3g", value);
    else snprintf(text, 32, "%.*f", decimals, value);
}

static void put_ticks_x(FILE *to, const lt_plot_axis *axis, double step, double right) {
    char text[32];
    for (int i = 0; i <= 4 * TICKS; i++) {
        double value = (ceil(axis->low / step - 1e-9) + i) * step;
        if (value > axis->high + step * 1e-6) return;
        double x = lt_plot_place(axis, value, LEFT, right);
        tick_text(value, step, text);
        fprintf(to,
                "<path class=\"axis\" d=\"M%.1f %dv4\"/><text x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"middle\">%s</text>",
                x, FLOOR, x, FLOOR + 17, text);
    }
}

static void put_ticks_y(FILE *to, const lt_plot_axis *axis, double step, double right) {
    char text[32];
    for (int i = 0; i <= 4 * TICKS; i++) {
        double value = (ceil(axis->low / step - 1e-9) + i) * step;
        if (value > axis->high + step * 1e-6) return;
        double y = lt_plot_place(axis, value, FLOOR, TOP);
        bool zero = axis->zero && fabs(value) < step / 2;
        tick_text(value, step, text);
        fprintf(
            to,
            "<path class=\"%s\" d=\"M%d %.1fH%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
            zero ? "axis" : "grid", LEFT, y, right, LEFT - 6, y + 4, text);
    }
}

static void put_axes(FILE *to, const lt_plot *p, double step_x, double step_y, double right) {
    put_ticks_y(to, &p->y, step_y, right);
    put_ticks_x(to, &p->x, step_x, right);
    fprintf(to,
            "<path class=\"axis\" d=\"M%d %dV%dH%.1f\"/>\n<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
            LEFT, TOP, FLOOR, right, (LEFT + right) / 2, LT_PLOT_HEIGHT - 7);
    lt_html_text(to, p->x.label);
    fprintf(to, "</text><text transform=\"translate(13 %d) rotate(-90)\" text-anchor=\"middle\">",
            (TOP + FLOOR) / 2);
    lt_html_text(to, p->y.label);
    fputs("</text>\n", to);
}

/* ---- series ---------------------------------------------------------------------------------------------- */

/* Series with bars stand side by side, or bars at one x would cover each other. */
static double shift_of(const lt_plot *p, const lt_plot_series *s) {
    double apart = fmin(p->apart, 40.0 / p->count);
    return apart * ((double)(s - p->series) - (p->count - 1) / 2.0);
}

static void put_line(FILE *to, const lt_plot *p, const lt_plot_series *s, double right) {
    bool begun = false;
    fputs("<path class=\"line\" d=\"", to);
    for (int i = 0; i < s->count; i++) {
        if (!can_draw(p, &s->points[i])) continue;
        fprintf(to, "%c%.1f %.1f", begun ? 'L' : 'M',
                lt_plot_place(&p->x, s->points[i].x, LEFT, right) + shift_of(p, s),
                lt_plot_place(&p->y, s->points[i].y, FLOOR, TOP));
        begun = true;
    }
    fprintf(to, "\" stroke=\"%s\" stroke-dasharray=\"%s\"/>", s->colour, lt_dashes(s->dash));
}

/* An end of a bar has a short stroke across, where it lies within the frame; one that goes on has none. */
static void put_bar_end(FILE *to, const lt_plot *p, double value, double x) {
    if (value >= p->y.low && value <= p->y.high)
        fprintf(to, "M%.1f %.1fh5", x - 2.5, lt_plot_place(&p->y, value, FLOOR, TOP));
}

static void put_bar(FILE *to, const lt_plot *p, const lt_plot_series *s, const lt_plot_point *at, double x) {
    double low = fmin(fmax(at->low, p->y.low), p->y.high), high = fmax(fmin(at->high, p->y.high), p->y.low);
    fprintf(to, "<path class=\"bar\" d=\"M%.1f %.1fV%.1f", x, lt_plot_place(&p->y, low, FLOOR, TOP),
            lt_plot_place(&p->y, high, FLOOR, TOP));
    put_bar_end(to, p, at->low, x);
    put_bar_end(to, p, at->high, x);
    fprintf(to, "\" stroke=\"%s\"/>", s->colour);
}

static void put_value(FILE *to, const lt_plot *p, const lt_plot_point *at) {
    lt_html_text(to, p->x.label);
    fprintf(to, " %.4g: %.4g", at->x, at->y);
    if (has_bar(at)) fprintf(to, " (%.4g to %.4g)", at->low, at->high);
}

static void put_point(FILE *to, const lt_plot *p, const lt_plot_series *s, const lt_plot_point *at,
                      double right) {
    double x = lt_plot_place(&p->x, at->x, LEFT, right) + shift_of(p, s);
    fputs("<g><title>", to);
    lt_html_text(to, s->name);
    fputs(", ", to);
    put_value(to, p, at);
    fputs("</title>", to);
    if (has_bar(at)) put_bar(to, p, s, at, x);
    lt_put_mark(to, s->mark, x, lt_plot_place(&p->y, at->y, FLOOR, TOP), s->colour);
    fputs("</g>", to);
}

static void put_series(FILE *to, const lt_plot *p, const lt_plot_series *s, double right) {
    if (s->line) put_line(to, p, s, right);
    for (int i = 0; i < s->count; i++)
        if (can_draw(p, &s->points[i])) put_point(to, p, s, &s->points[i], right);
    fputc('\n', to);
}

/* ---- names at the right end ------------------------------------------------------------------------------ */

typedef struct end {
    const lt_plot_series *series;
    double x, y, at; /* of the last point; y of the name */
} end;

static const lt_plot_point *last_point(const lt_plot *p, const lt_plot_series *s) {
    for (int i = s->count - 1; i >= 0; i--)
        if (can_draw(p, &s->points[i])) return &s->points[i];
    return NULL;
}

static int ends_of(const lt_plot *p) {
    int count = 0;
    for (int i = 0; i < p->count; i++) count += last_point(p, &p->series[i]) != NULL;
    return count;
}

/* The text of a name, at most NAME_GLYPHS characters; returns how many. */
static int cut_name(const char *name, char text[4 * NAME_GLYPHS + 1]) {
    char *shown = lt_printable_copy(name, LT_ONE_LINE);
    const char *from = shown ? shown : "";
    size_t at = 0, length;
    int glyphs = 0;
    for (; from[at] && glyphs < NAME_GLYPHS && (length = lt_utf8_length(from + at, strlen(from + at))) > 0;
         glyphs++)
        at += length;
    memcpy(text, from, at);
    text[at] = '\0';
    free(shown);
    return glyphs;
}

double lt_plot_right(const lt_plot *p) {
    char text[4 * NAME_GLYPHS + 1];
    int longest = 0;
    if (ends_of(p) > MOST_NAMES) return LT_PLOT_WIDTH - 12;
    for (int i = 0; i < p->count; i++)
        if (last_point(p, &p->series[i])) {
            int glyphs = cut_name(p->series[i].name, text);
            if (glyphs > longest) longest = glyphs;
        }
    return LT_PLOT_WIDTH - 4 - lead - longest * glyph;
}

static int by_height(const void *a, const void *b) {
    const end *m = a, *n = b;
    if (m->y != n->y) return m->y < n->y ? -1 : 1;
    return m->series < n->series ? -1 : m->series > n->series;
}

/* Names are moved apart: first down from the topmost, then up from the floor, so that all stay in the frame. */
static void spread_labels(end *ends, int count) {
    for (int i = 0; i < count; i++)
        ends[i].at = i ? fmax(ends[i].y, ends[i - 1].at + NAME_STEP) : fmax(ends[i].y, TOP);
    for (int i = count - 1; i >= 0; i--) {
        double lowest = i + 1 < count ? ends[i + 1].at - NAME_STEP : FLOOR;
        ends[i].at = fmin(ends[i].at, lowest);
    }
}

static void put_name(FILE *to, const end *e, double right) {
    char text[4 * NAME_GLYPHS + 1];
    cut_name(e->series->name, text);
    fprintf(to, "<path class=\"lead\" d=\"M%.1f %.1fL%.1f %.1f\"/><text x=\"%.1f\" y=\"%.1f\">", e->x + 5,
            e->y, right + lead - 4, e->at, right + lead - 1, e->at + 4);
    lt_html_text(to, text);
    fputs("</text>", to);
}

static void put_names(FILE *to, const lt_plot *p, double right) {
    int count = 0;
    end *ends = calloc((size_t)p->count + 1, sizeof *ends);
    if (!ends || ends_of(p) > MOST_NAMES) {
        free(ends);
        return;
    }
    for (int i = 0; i < p->count; i++) {
        const lt_plot_point *at = last_point(p, &p->series[i]);
        if (at)
            ends[count++] =
                (end){&p->series[i], lt_plot_place(&p->x, at->x, LEFT, right) + shift_of(p, &p->series[i]),
                      lt_plot_place(&p->y, at->y, FLOOR, TOP), 0};
    }
    qsort(ends, (size_t)count, sizeof *ends, by_height);
    spread_labels(ends, count);
    for (int i = 0; i < count; i++) put_name(to, &ends[i], right);
    free(ends);
}

/* ---- the whole ------------------------------------------------------------------------------------------- */

typedef struct range {
    double low, high;
} range;

static void widen(range *r, double value) { r->low = fmin(r->low, value), r->high = fmax(r->high, value); }

static bool find_ranges(const lt_plot *p, range *x, range *y) {
    *x = *y = (range){DBL_MAX, -DBL_MAX};
    for (int s = 0; s < p->count; s++)
        for (int i = 0; i < p->series[s].count; i++) {
            const lt_plot_point *at = &p->series[s].points[i];
            if (!can_draw(p, at)) continue;
            widen(x, at->x), widen(y, at->y);
        }
    return x->low <= x->high;
}

/* Bars widen the range of the points by at most its own width on either side: one wide interval must not flatten the
 * rest. */
static void take_bars(const lt_plot *p, range *y) {
    range all = *y;
    double width = y->high - y->low;
    for (int s = 0; s < p->count; s++)
        for (int i = 0; i < p->series[s].count; i++) {
            const lt_plot_point *at = &p->series[s].points[i];
            if (can_draw(p, at) && has_bar(at)) widen(&all, at->low), widen(&all, at->high);
        }
    if (width > 0) all.low = fmax(all.low, y->low - width), all.high = fmin(all.high, y->high + width);
    *y = all;
}

/* All values as a text: what the marks say. */
static void put_description(FILE *to, const lt_plot *p) {
    for (int s = 0; s < p->count; s++) {
        if (!last_point(p, &p->series[s])) continue;
        lt_html_text(to, p->series[s].name);
        for (int i = 0, n = 0; i < p->series[s].count; i++) {
            if (!can_draw(p, &p->series[s].points[i])) continue;
            fputs(n++ ? "; " : ": ", to);
            put_value(to, p, &p->series[s].points[i]);
        }
        fputs(". ", to);
    }
}

bool lt_plot_write(FILE *to, const lt_plot *plot, int number) {
    lt_plot p = *plot;
    range x, y;
    double step_x, step_y, right = lt_plot_right(plot);
    if (!find_ranges(plot, &x, &y)) return false;
    take_bars(plot, &y);
    p.x = lt_plot_fit(p.x, x.low, x.high, &step_x);
    p.y = lt_plot_fit(p.y, y.low, y.high, &step_y);
    fprintf(
        to,
        "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"plot%d about%d\">\n<title id=\"plot%d\">",
        LT_PLOT_WIDTH, LT_PLOT_HEIGHT, number, number, number);
    lt_html_text(to, p.title);
    fprintf(to, "</title><desc id=\"about%d\">", number);
    put_description(to, &p);
    fputs("</desc>\n", to);
    put_axes(to, &p, step_x, step_y, right);
    for (int i = 0; i < p.count; i++) put_series(to, &p, &p.series[i], right);
    put_names(to, &p, right);
    fputs("\n</svg>", to);
    return true;
}
