/* How a policy looks. Colours are told apart by people with any colour vision (Okabe and Ito) and come with a mark of
 * their own; read weights and budgets differ by the dashes of the line.
 */
#include "experiments/report_impl.h"

#include <string.h>

static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#7d8794", "#96613d"};
/* Seven, so that with eight colours 56 pairs come before one comes again. */
enum { CIRCLE, SQUARE, UP, DIAMOND, DOWN, PENTAGON, OPEN_CIRCLE, MARKS };
enum { COLOURS = sizeof colours / sizeof *colours };
static const char *const dashes[] = {"none", "6 3", "2 2.5", "6 2 2 2", "6 2 2 2 2 2"};
enum { DASHES = sizeof dashes / sizeof *dashes };

static bool same_keep(const cJSON *a, const cJSON *b) {
    return strcmp(lt_json_string(a, "keep"), lt_json_string(b, "keep")) == 0;
}

/* How many others come before who is kept here. */
static int place_of(const lt_page *page, const cJSON *row) {
    int place = 0;
    const cJSON *other, *earlier;
    cJSON_ArrayForEach(other, page->rows) {
        if (other == row || same_keep(other, row)) return place;
        bool known = false;
        for (earlier = page->rows->child; earlier != other && !known; earlier = earlier->next)
            known = same_keep(earlier, other);
        place += !known;
    }
    return place;
}

/* Lines of one policy differ by read weight and budget: the first is whole. */
lt_look lt_look_of(const lt_page *page, const cJSON *row) {
    int keep = place_of(page, row), dash = 0;
    const cJSON *other;
    cJSON_ArrayForEach(other, page->rows) {
        if (other == row) break;
        dash += lt_row_in_set(other, row) && same_keep(other, row);
    }
    return (lt_look){colours[keep % COLOURS], keep % MARKS, dash % DASHES};
}

const char *lt_dashes(int dash) { return dashes[dash]; }

void lt_put_mark(FILE *to, int mark, double x, double y, const char *colour) {
    if (mark == CIRCLE || mark == OPEN_CIRCLE)
        fprintf(to, "<circle cx=\"%g\" cy=\"%g\" r=\"3.6\" fill=\"%s\" stroke=\"%s\" stroke-width=\"1.6\"/>",
                x, y, mark == CIRCLE ? colour : "none", colour);
    else {
        const char *shape = mark == SQUARE    ? "-4 -4h8v8h-8z"
                            : mark == UP      ? "0 -5l5 9h-10z"
                            : mark == DOWN    ? "0 5l5 -9h-10z"
                            : mark == DIAMOND ? "0 -5.4l5.4 5.4l-5.4 5.4l-5.4 -5.4z"
                                              : "0 -5l4.8 3.5l-1.8 5.6h-6l-1.8 -5.6z";
        fprintf(to, "<path transform=\"translate(%g %g)\" d=\"M%s\" fill=\"%s\"/>", x, y, shape, colour);
    }
}

void lt_put_swatch(lt_page *page, const cJSON *row) {
    lt_look look = lt_look_of(page, row);
    fprintf(page->to,
            "<svg class=\"swatch\" width=\"26\" height=\"14\" aria-hidden=\"true\"><path d=\"M0 7h26\" "
            "stroke=\"%s\" "
            "stroke-width=\"2\" stroke-dasharray=\"%s\"/>",
            look.colour, lt_dashes(look.dash));
    lt_put_mark(page->to, look.mark, 13, 7, look.colour);
    fputs("</svg>", page->to);
}
