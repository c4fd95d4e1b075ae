#include "data/video_clock.h"
#include "tests/harness.h"

/* Pictures of a source, and what is taken of them. */
typedef struct film {
    double stamps[4000];
    int count;
} film;

static void add(film *f, int count, double first, double step) {
    for (int i = 0; i < count; i++) f->stamps[f->count++] = first + i * step;
}

typedef struct taken {
    lt_moment at[4000];
    int picture[4000], count, pieces;
    lt_clock clock;
    int64_t restarts, holes;
} taken;

/* As the reader does: of the pictures of one point of the grid the nearest. */
static void take(const film *f, double nominal, double fps, taken *t) {
    lt_pace pace;
    memset(t, 0, sizeof *t);
    CHECK_OK(lt_pace_of(f->stamps, f->count, nominal, &pace));
    lt_clock_open(&t->clock, &pace, fps);
    for (int i = 0; i < f->count; i++) {
        lt_moment at = lt_clock_next(&t->clock, f->stamps[i], 0, false),
                  *last = &t->at[t->count > 0 ? t->count - 1 : 0];
        bool same = t->count > 0 && !t->clock.every && at.piece == last->piece && at.slot == last->slot;
        if (same && at.off >= last->off) continue;
        if (!same) t->count++;
        t->at[t->count - 1] = at, t->picture[t->count - 1] = i;
        t->pieces = (int)at.piece + 1;
    }
    t->restarts = t->clock.restarts, t->holes = t->clock.holes;
}

static double rate(const taken *t) {
    return lt_clock_rate(&t->clock, &t->at[0], &t->at[t->count - 1], t->count);
}

static film f;
static taken t;

static void a_slower_or_equal_source_is_taken_whole_at_its_rate(void) {
    static const struct {
        double source, asked, stored;
    } cases[] = {{10, 16, 10},
                 {16, 16, 16},
                 {30000 / 1001.0, 30, 30000 / 1001.0},
                 {24, 24000 / 1001.0, 24},
                 {1, 16, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.count = 0;
        add(&f, 300, 5, 1 / cases[i].source);
        take(&f, cases[i].source, cases[i].asked, &t);
        CHECK(t.count == 300 && t.pieces == 1 && t.clock.every);
        CHECK(rate(&t) == cases[i].stored);
    }
}

static void a_faster_source_gives_the_pictures_nearest_to_the_grid(void) {
    for (int fps = 17; fps <= 240; fps += 7) {
        f.count = 0;
        add(&f, 10 * fps, -3, 1.0 / fps);
        take(&f, fps, 16, &t);
        CHECK(rate(&t) == 16 && t.pieces == 1 && abs(t.count - 160) <= 1);
        for (int k = 0; k < t.count - 1; k++) CHECK(fabs(t.picture[k] - k * fps / 16.0) <= 0.5);
        CHECK(t.at[t.count - 1].off <=
              0.5); /* the nearest picture to the last point may lie beyond the end */
    }
}

/* 15 pictures a second, nominally 60, at 50 to 83 ms: none is dropped, whether 16 or 30 are asked for. */
static void jitter_drops_nothing_and_the_nominal_rate_does_not_count(void) {
    static const double steps[] = {0.067, 0.050, 0.083, 0.067, 0.050, 0.083, 0.067};
    f.count = 0;
    double at = 0;
    for (int i = 0; i < 140; at += steps[i++ % 7]) f.stamps[f.count++] = at;
    for (int asked = 16; asked <= 30; asked += 14) {
        take(&f, 60, asked, &t);
        CHECK(t.count == 140 && t.pieces == 1);
        CHECK_NEAR(rate(&t), 139 / f.stamps[139], 1e-9);
    }
    take(&f, 60, 8, &t); /* but 8 a second are 8 */
    CHECK(t.count >= 70 && t.count <= 76 && rate(&t) <= 8);
}

static void rates_by_turns_last_as_long_as_they_do(void) {
    f.count = 0;
    for (int i = 0; i < 4; i++) add(&f, 30, 2 * i, 1 / 30.0), add(&f, 5, 2 * i + 1, 0.2);
    take(&f, 30, 16, &t);
    CHECK(t.pieces == 1 && !t.clock.every);
    CHECK_NEAR(t.count / rate(&t), 8, 0.25);
}

static void a_clock_that_starts_again_loses_nothing(void) {
    f.count = 0;
    add(&f, 50, 0.5, 0.04), add(&f, 100, 0.54, 0.04), add(&f, 40, 0.02, 0.04);
    take(&f, 25, 25, &t);
    CHECK(t.count == 190 && t.pieces == 3 && t.restarts == 2 && t.holes == 0);
    for (int i = 1; i < 190; i++) CHECK_NEAR(t.at[i].time_s - t.at[i - 1].time_s, 0.04, 1e-9);
    take(&f, 25, 16, &t);
    CHECK(t.count == 32 + 64 + 26 && t.pieces == 3);
}

static void a_hole_starts_a_piece_and_a_slow_stretch_is_none(void) {
    f.count = 0;
    add(&f, 50, 0, 0.04), add(&f, 50, 9.96, 0.04);
    take(&f, 25, 25, &t);
    CHECK(t.count == 100 && t.pieces == 2 && t.holes == 1);
    CHECK(t.at[50].piece == 1 && t.at[51].piece == 1 && t.at[50].slot == 0);
    CHECK_NEAR(t.at[50].time_s, 9.96, 1e-9);
    f.count = 0; /* a minute of time lapse in the middle: one piece of its own */
    add(&f, 50, 0, 0.04), add(&f, 60, 2, 1), add(&f, 50, 62, 0.04);
    take(&f, 25, 25, &t);
    CHECK(t.count == 160 && t.pieces == 3);
    CHECK(t.at[60].piece == t.at[100].piece);
    f.count = 0; /* all of it is time lapse */
    add(&f, 100, 0, 10);
    take(&f, 1000, 16, &t);
    CHECK(t.count == 100 && t.pieces == 1);
    CHECK_NEAR(rate(&t), 0.1, 1e-9);
}

static void missing_stamps_follow_the_last_one(void) {
    f.count = 0;
    for (int i = 0; i < 60; i++) f.stamps[f.count++] = i % 12 ? NAN : i / 25.0;
    take(&f, 25, 25, &t);
    CHECK(t.count == 60 && t.pieces == 1 && rate(&t) == 25);
    for (int i = 0; i < 60; i++) f.stamps[i] = NAN;
    take(&f, 0, 16, &t); /* nothing at all is known: 25 a second */
    CHECK(t.pieces == 1 && rate(&t) == 16 && abs(t.count - 38) <= 1);
}

static void small_steps_back_are_no_restart(void) {
    f.count = 0;
    add(&f, 100, 0, 0.04);
    for (int i = 10; i < 100; i += 10) f.stamps[i] = f.stamps[i - 1] - 0.001;
    take(&f, 25, 25, &t);
    CHECK(t.count == 100 && t.pieces == 1 && t.restarts == 0);
    for (int i = 1; i < 100; i++) CHECK(t.at[i].time_s >= t.at[i - 1].time_s);
}

static void a_source_of_one_picture_has_a_rate(void) {
    f.count = 0;
    add(&f, 1, 7, 1);
    take(&f, 0, 16, &t);
    CHECK(t.count == 1 && rate(&t) == 16);
}

static void lost_pictures_end_a_piece(void) {
    lt_pace pace = {.pictures = 3, .nominal = 25, .mean = 25, .burst = 25, .step = 0.04};
    lt_clock clock;
    lt_clock_open(&clock, &pace, 25);
    CHECK(lt_clock_next(&clock, 0, 0, false).piece == 0);
    CHECK(lt_clock_next(&clock, 0.04, 0, false).piece == 0);
    CHECK(lt_clock_next(&clock, 0.12, 0, true).piece == 1);
}

int main(int argc, char **argv) {
    RUN(a_slower_or_equal_source_is_taken_whole_at_its_rate);
    RUN(a_faster_source_gives_the_pictures_nearest_to_the_grid);
    RUN(jitter_drops_nothing_and_the_nominal_rate_does_not_count);
    RUN(rates_by_turns_last_as_long_as_they_do);
    RUN(a_clock_that_starts_again_loses_nothing);
    RUN(a_hole_starts_a_piece_and_a_slow_stretch_is_none);
    RUN(missing_stamps_follow_the_last_one);
    RUN(small_steps_back_are_no_restart);
    RUN(a_source_of_one_picture_has_a_rate);
    RUN(lost_pictures_end_a_piece);
    return test_end();
}
