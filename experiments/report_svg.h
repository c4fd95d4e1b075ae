/* Plots as SVG, without another program: axes with ticks, lines with marks and error bars, single points. A plot can
 * be read without colour (marks, dashes, and each series' name at its right end), has a title and a description for
 * screen readers, and takes the colours of axes and text from the page's style (classes axis, grid, lead).
 */
#ifndef LT_EXPERIMENTS_REPORT_SVG_H
#define LT_EXPERIMENTS_REPORT_SVG_H

#include <stdbool.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sides of a plot in its own units; what is drawn lies between LEFT..WIDTH - right margin (for names) and TOP..HEIGHT
 * - BOTTOM. */
enum { LT_PLOT_WIDTH = 500, LT_PLOT_HEIGHT = 300, LT_PLOT_LEFT = 58, LT_PLOT_TOP = 12, LT_PLOT_BOTTOM = 44 };

/* low..high: an interval drawn as an error bar, cut and without its end stroke where it leaves the frame; NaN: none.
 * A point whose x or y is not finite, beyond 1e30, or beyond an end of an axis that was given is left out. */
typedef struct lt_plot_point {
    double x, y, low, high;
} lt_plot_point;

typedef struct lt_plot_series {
    const char *name; /* any text: it is escaped here */
    const char *colour;
    int mark, dash; /* of lt_look */
    bool line;      /* the points are connected */
    int count;
    lt_plot_point *points;
} lt_plot_series;

/* An end that is NaN follows from the data and is then moved outward to a tick; where `tight`, by 8 % of the span
 * instead. */
typedef struct lt_plot_axis {
    const char *label;
    double low, high;
    bool tight;
    bool whole; /* ticks at whole numbers only */
    bool zero;  /* 0 is on the axis, and has a line of its own */
} lt_plot_axis;

typedef struct lt_plot {
    const char *title;
    lt_plot_axis x, y;
    int count;
    const lt_plot_series *series;
    /* by how much series are moved apart along x, so that bars at one x do not cover each other; 0: not */
    double apart;
} lt_plot;

/* Writes <svg>...</svg>; nothing where no series has a point that can be drawn. `number` makes the ids of its title
 * and description differ from those of other plots of the page. False when nothing was written. */
bool lt_plot_write(FILE *to, const lt_plot *plot, int number);

/* Where `value` lies between the pixels `from` (low) and `to` (high). */
double lt_plot_place(const lt_plot_axis *axis, double value, double from, double to);
/* The axis with both ends known and the distance of its ticks (a 1, 2 or 5 times a power of ten), for data from low
 * to high. */
lt_plot_axis lt_plot_fit(lt_plot_axis axis, double low, double high, double *step);
/* The right end of what is drawn, left of the names. */
double lt_plot_right(const lt_plot *plot);

#ifdef __cplusplus
}
#endif
#endif
