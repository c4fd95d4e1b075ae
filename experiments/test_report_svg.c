/* Plots: a known series lies at known coordinates, axes have the ticks they should, names do not cover each other. */
#include "experiments/report_svg.h"
#include "experiments/testing.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>

static int count(const char *text, const char *piece) {
    int found = 0;
    for (const char *at = text; (at = strstr(at, piece)); at++) found++;
    return found;
}

static char *draw(const lt_plot *plot, bool *drawn) {
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    *drawn = lt_plot_write(to, plot, 3);
    fclose(to);
    return text;
}

/* Ten characters of name leave 500 - 4 - 16 - 61 = 419; a point is a triangle, whose place is in its transform. */
enum { UP = 2 };
static lt_plot_point line[] = {{0, 0, NAN, NAN}, {5, 10, 5, 20}, {10, 20, NAN, NAN}};
static const lt_plot_series one = {"ten glyphs", "#0072b2", UP, 0, true, 3, line};
static const lt_plot known = {
    "a title", {"x", 0, 10, false, false, false}, {"y", 0, 20, false, false, false}, 1, &one};

static void a_known_series_lies_at_known_places(void) {
    bool drawn;
    char *text = draw(&known, &drawn);
    CHECK(drawn && lt_well_formed(text));
    CHECK(fabs(lt_plot_right(&known) - 419) < 1e-9);
    /* x: 58..419, y: 256 (0) .. 12 (20); the middle is (238.5, 134) */
    CHECK(strstr(text, "d=\"M58.0 256.0L238.5 134.0L419.0 12.0\"") != NULL);
    CHECK(strstr(text, "translate(58 256)") != NULL && strstr(text, "translate(238.5 134)") != NULL &&
          strstr(text, "translate(419 12)") != NULL);
    CHECK(strstr(text, "d=\"M238.5 195.0V12.0M236.0 195.0h5M236.0 12.0h5\"") != NULL); /* from 5 to 20 */
    CHECK(count(text, "class=\"bar\"") == 1);
    CHECK(count(text, " 256v4\"/>") == 6 && strstr(text, ">10</text>") &&
          strstr(text, ">20</text>")); /* 0, 2 .. 10 */
    free(text);
}

static void a_plot_has_a_title_and_says_its_values(void) {
    bool drawn;
    char *text = draw(&known, &drawn);
    CHECK(strstr(text, "aria-labelledby=\"plot3 about3\"") != NULL);
    CHECK(strstr(text, "<title id=\"plot3\">a title</title>") != NULL);
    CHECK(strstr(text, "<desc id=\"about3\">ten glyphs: x 0: 0; x 5: 10 (5 to 20); x 10: 20. </desc>") !=
          NULL);
    CHECK(strstr(text, "<title>ten glyphs, x 5: 10 (5 to 20)</title>") != NULL);
    free(text);
}

static void check_axis(double low, double high, bool whole, double from, double to, double step) {
    double found;
    lt_plot_axis axis = lt_plot_fit((lt_plot_axis){"x", NAN, NAN, false, whole, false}, low, high, &found);
    CHECK(fabs(axis.low - from) < 1e-9 * (1 + fabs(from)) && fabs(axis.high - to) < 1e-9 * (1 + fabs(to)));
    CHECK(fabs(found - step) < 1e-9 * step);
}

static void ticks_are_one_two_or_five_times_a_power_of_ten(void) {
    check_axis(0, 10, false, 0, 10, 2);
    check_axis(-1.3, 2.1, false, -2, 3, 1);
    check_axis(0.981, 0.993, false, 0.98, 0.995, 0.005);
    check_axis(0, 21e5, false, 0, 25e5, 5e5);
    check_axis(0, 3, true, 0, 3, 1);
    double step;
    lt_plot_axis axis = lt_plot_fit((lt_plot_axis){"x", NAN, NAN, true, false, true}, 3, 4, &step);
    CHECK(fabs(axis.low + 0.32) < 1e-9 &&
          fabs(axis.high - 4.32) < 1e-9); /* zero, tight: 8 % beyond 0 and 4 */
    axis = lt_plot_fit((lt_plot_axis){"x", 0, 1, false, false, false}, 3, 4, &step);
    CHECK(axis.low == 0 && axis.high == 1);
}

static void an_axis_of_one_value_has_a_width(void) {
    static const double values[] = {0, 1, -7, 1e-9, 1e30, -1e30};
    double step;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        lt_plot_axis axis =
            lt_plot_fit((lt_plot_axis){"x", NAN, NAN, false, false, false}, values[i], values[i], &step);
        CHECK(axis.low < axis.high && axis.low <= values[i] && axis.high >= values[i] && step > 0);
    }
    lt_plot_axis axis =
        lt_plot_fit((lt_plot_axis){"x", 2, NAN, false, false, false}, 1, 1, &step); /* data below the axis */
    CHECK(axis.low == 2 && axis.high > 2);
}

static void what_is_not_finite_is_left_out(void) {
    lt_plot_point points[] = {
        {0, NAN, NAN, NAN}, {1, 2, NAN, 3}, {2, INFINITY, NAN, NAN}, {1e300, 1, NAN, NAN}, {3, 4, NAN, NAN}};
    lt_plot_series series = {"a", "#000", UP, 0, true, 5, points};
    lt_plot plot = {
        "t", {"x", NAN, NAN, false, false, false}, {"y", NAN, NAN, false, false, false}, 1, &series};
    bool drawn;
    char *text = draw(&plot, &drawn);
    CHECK(drawn && lt_well_formed(text));
    CHECK(count(text, "translate(") == 3); /* two marks, and the label of y */
    CHECK(!strstr(text, "nan") && !strstr(text, "inf") && count(text, "class=\"bar\"") == 0);
    free(text);
    plot.x.high = 2; /* and so is what lies beyond an end that was given */
    text = draw(&plot, &drawn);
    CHECK(drawn && count(text, "translate(") == 2);
    free(text);
    series.count = 1;
    text = draw(&plot, &drawn);
    CHECK(!drawn && *text == '\0');
    free(text);
}

/* Points from 0 to 10: a bar from -100 to 100 is cut at -10 and 20, without strokes there; the other keeps both. */
static void a_wide_bar_is_cut_and_does_not_flatten_the_rest(void) {
    lt_plot_point points[] = {{0, 0, -100, 100}, {1, 10, 9, 11}};
    lt_plot_series series = {"a", "#000", UP, 0, true, 2, points};
    lt_plot plot = {"t", {"x", 0, 1, false, false, false}, {"y", NAN, NAN, false, false, false}, 1, &series};
    bool drawn;
    char *text = draw(&plot, &drawn);
    CHECK(strstr(text, "class=\"bar\" d=\"M58.0 256.0V12.0\" ") != NULL);
    CHECK(count(text, "h5\" ") == 1 && count(text, "h5M") == 1);
    CHECK(strstr(text, ">-10</text>") && strstr(text, ">20</text>") && !strstr(text, ">30</text>"));
    free(text);
}

static void series_are_moved_apart(void) {
    lt_plot_series both[2] = {one, one};
    lt_plot plot = known;
    plot.series = both, plot.count = 2, plot.apart = 4;
    bool drawn;
    char *text = draw(&plot, &drawn);
    CHECK(strstr(text, "translate(236.5 134)") != NULL && strstr(text, "translate(240.5 134)") != NULL);
    free(text);
}

/* Series that end in the same point have names one below the other, within the frame. */
static void names_do_not_cover_each_other(void) {
    lt_plot_series series[40];
    lt_plot_point point[40];
    lt_plot plot = {"t", {"x", 0, 1, false, false, false}, {"y", 0, 1, false, false, false}, 18, series};
    bool drawn;
    for (int i = 0; i < 40; i++) {
        point[i] = (lt_plot_point){1, 0.01 * (i % 3), NAN, NAN};
        series[i] = (lt_plot_series){"a name", "#000", UP, 0, false, 1, &point[i]};
    }
    char *text = draw(&plot, &drawn), *at = text;
    double before = -100, x, y;
    int names = 0;
    for (; (at = strstr(at, "class=\"lead\"")); at++, names++) {
        char *label = strstr(at, "<text x=");
        CHECK(label && sscanf(label, "<text x=\"%lf\" y=\"%lf\"", &x, &y) == 2);
        CHECK(y - before >= 12.99 && y >= LT_PLOT_TOP && y <= LT_PLOT_HEIGHT - LT_PLOT_BOTTOM + 4.01);
        before = y;
    }
    CHECK(names == 18);
    free(text);
    plot.count = 40; /* more than fit: the legend names them */
    text = draw(&plot, &drawn);
    CHECK(drawn && strstr(text, "class=\"lead\"") == NULL && lt_plot_right(&plot) == LT_PLOT_WIDTH - 12);
    free(text);
}

static void names_are_escaped_and_cut_between_characters(void) {
    lt_plot_series series = {
        "<b>\"&'\xe2\x80\xae\x1b "
        "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9",
        "#000",
        UP,
        0,
        false,
        1,
        line};
    lt_plot plot = {
        "<t>&", {"<x>", 0, 1, false, false, false}, {"\"y\"", 0, 1, false, false, false}, 1, &series};
    bool drawn;
    char *text = draw(&plot, &drawn);
    CHECK(drawn && lt_well_formed(text));
    CHECK(strstr(text,
                 ">&lt;b&gt;&quot;&amp;&#39;\\u202e\\x1b "
                 "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9</text>") != NULL);
    free(text);
}

static void pages_that_are_not_well_formed_are_found(void) {
    static const char *const wrong[] = {"<svg><g></svg></g>",
                                        "<svg><g></svg>",
                                        "<svg a=b></svg>",
                                        "<p>a & b</p>",
                                        "<p title=\"<b>\">a</p>",
                                        "<svg><path d></svg>",
                                        "<svg x=\"1\" x=\"2\"></svg>",
                                        "<p",
                                        "<svg><meta></svg>",
                                        "</p>"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) CHECK(!lt_well_formed(wrong[i]));
    CHECK(lt_well_formed(
        "<!doctype html>\n<p title=\"a\" open>x &lt;<br>&#39;</p><svg a=\"1\"><g/></svg><img src=\"a\">"));
}

int main(int argc, char **argv) {
    RUN(a_known_series_lies_at_known_places);
    RUN(a_plot_has_a_title_and_says_its_values);
    RUN(ticks_are_one_two_or_five_times_a_power_of_ten);
    RUN(an_axis_of_one_value_has_a_width);
    RUN(what_is_not_finite_is_left_out);
    RUN(a_wide_bar_is_cut_and_does_not_flatten_the_rest);
    RUN(series_are_moved_apart);
    RUN(names_do_not_cover_each_other);
    RUN(names_are_escaped_and_cut_between_characters);
    RUN(pages_that_are_not_well_formed_are_found);
    return test_end();
}
