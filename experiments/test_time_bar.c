#include "experiments/time_bar.h"
#include "tests/harness.h"

enum { WIDTH = 64, FRAMES = 8, GIVEN = 4, HEIGHT = 8 };
static uint8_t bar[HEIGHT * WIDTH * 3 + 1];

static const uint8_t *pixel(int x, int y) { return bar + (y * WIDTH + x) * 3; }
static bool is_grey(const uint8_t *p) { return p[0] == p[1] && p[1] == p[2]; }
static bool is_orange(const uint8_t *p) { return p[0] > p[1] && p[1] > p[2]; }

static int count_label(bool (*kind)(const uint8_t *p)) {
    int found = 0;
    for (int y = 0; y < 6; y++)
        for (int x = 0; x < WIDTH; x++) found += pixel(x, y)[0] > 100 && kind(pixel(x, y));
    return found;
}

static void the_line_changes_colour_where_generation_starts(void) {
    for (int frame = 0; frame < FRAMES; frame++) {
        lt_time_bar_draw(bar, WIDTH, frame, GIVEN, FRAMES);
        for (int x = 0; x < WIDTH; x++)
            CHECK(x * FRAMES / WIDTH < GIVEN ? is_grey(pixel(x, 7)) : is_orange(pixel(x, 7)));
    }
}

static void the_part_that_has_passed_is_bright(void) {
    lt_time_bar_draw(bar, WIDTH, 1, GIVEN, FRAMES);
    for (int x = 0; x < WIDTH; x++) CHECK((pixel(x, 6)[0] > 100) == (x < 16));
    lt_time_bar_draw(bar, WIDTH, FRAMES - 1, GIVEN, FRAMES);
    for (int x = 0; x < WIDTH; x++) CHECK(pixel(x, 6)[0] > 100);
}

static void the_label_is_that_of_the_frame(void) {
    lt_time_bar_draw(bar, WIDTH, GIVEN - 1, GIVEN, FRAMES);
    int given = count_label(is_grey);
    CHECK(given > 30 && count_label(is_orange) == 0);
    lt_time_bar_draw(bar, WIDTH, GIVEN, GIVEN, FRAMES);
    CHECK(count_label(is_orange) > given && count_label(is_grey) == 0); /* a longer word */
}

static void nothing_is_drawn_outside(void) {
    enum { NARROW = 20 };
    bar[HEIGHT * NARROW * 3] = 77;
    CHECK(lt_time_bar_height(NARROW) == HEIGHT && lt_time_bar_height(832) % 2 == 0);
    lt_time_bar_draw(bar, NARROW, FRAMES - 1, GIVEN, FRAMES);
    CHECK(bar[HEIGHT * NARROW * 3] == 77);
}

int main(int argc, char **argv) {
    RUN(the_line_changes_colour_where_generation_starts);
    RUN(the_part_that_has_passed_is_bright);
    RUN(the_label_is_that_of_the_frame);
    RUN(nothing_is_drawn_outside);
    return test_end();
}
