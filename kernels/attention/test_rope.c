#include "kernels/attention/naive_rope.h"
#include "kernels/attention/rope.h"
#include "tests/harness.h"

enum { PAIRS = 20, PART = 2 * PAIRS };

static void angles_follow_the_formula(void) {
    double c[3 * PAIRS], s[3 * PAIRS];
    lt_rope_axis(-1, 3, PART, 10000, c, s);
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < PAIRS; i++) {
            double angle = (p - 1) * pow(10000, -2.0 * i / PART);
            CHECK_NEAR(c[p * PAIRS + i], cos(angle), 1e-15);
            CHECK_NEAR(s[p * PAIRS + i], sin(angle), 1e-15);
        }
}

static void either_output_may_be_left_out(void) {
    double c[PAIRS], s[PAIRS], alone[PAIRS];
    lt_rope_axis(77, 1, PART, 10000, c, s);
    lt_rope_axis(77, 1, PART, 10000, alone, NULL);
    CHECK(memcmp(alone, c, sizeof c) == 0);
    lt_rope_axis(77, 1, PART, 10000, NULL, alone);
    CHECK(memcmp(alone, s, sizeof s) == 0);
}

/* Turning by a + b is turning by a, then by b: only true far out if the product of position and frequency was not
 * rounded on the way. */
static void far_positions_keep_their_digits(void) {
    static const int64_t far[] = {1000000, ((int64_t)1 << 31) + 5, (int64_t)1 << 40, -((int64_t)1 << 40)};
    double ca[PAIRS], sa[PAIRS], cb[PAIRS], sb[PAIRS], c[PAIRS], s[PAIRS];
    lt_rope_axis(33, 1, PART, 10000, cb, sb);
    for (int k = 0; k < 4; k++) {
        lt_rope_axis(far[k], 1, PART, 10000, ca, sa);
        lt_rope_axis(far[k] + 33, 1, PART, 10000, c, s);
        for (int i = 0; i < PAIRS; i++) {
            CHECK_NEAR(c[i], ca[i] * cb[i] - sa[i] * sb[i], 2e-12);
            CHECK_NEAR(s[i], sa[i] * cb[i] + ca[i] * sb[i], 2e-12);
        }
    }
}

static void channels_split_over_time_rows_and_columns(void) {
    static const int wanted[][4] = {{32, 12, 10, 10}, {112, 40, 36, 36}, {128, 44, 42, 42},
                                    {60, 20, 20, 20}, {64, 24, 20, 20},  {2, 2, 0, 0}};
    for (int i = 0; i < 6; i++) {
        int t, h, w;
        lt_rope_split(wanted[i][0], &t, &h, &w);
        CHECK(t == wanted[i][1] && h == wanted[i][2] && w == wanted[i][3]);
    }
}

static double dot(const double *a, const double *b) {
    double sum = 0;
    for (int i = 0; i < 32; i++) sum += a[i] * b[i];
    return sum;
}

static void rotation_is_an_isometry_and_its_transpose_undoes_it(void) {
    int64_t first[] = {123456};
    lt_rope rope = {3, 4, 5, 10000, first};
    double memory[3 * 32], x[32], turned[32], back[32];
    CHECK(lt_naive_token_bytes(32) == sizeof memory);
    lt_naive_token token = lt_naive_token_in(memory, 32);
    for (int i = 0; i < 32; i++) x[i] = sin(3.0 * i + 1);
    for (int t = 0; t < 60; t++) {
        lt_naive_angles(&token, &rope, 32, 0, t);
        lt_naive_rotate(&token, 32, false, x, turned);
        lt_naive_rotate(&token, 32, true, turned, back);
        CHECK_NEAR(dot(turned, turned), dot(x, x), 1e-13);
        CHECK_NEAR(dot(back, x), dot(x, x), 1e-13);
        CHECK(fabs(dot(turned, x) - dot(x, x)) > 1e-3); /* it does turn */
    }
}

/* Token (frame 1, row 2, column 3) of the block: each part of the channels sees its own coordinate, and the pair
 * (1, 0) turns to (cos, sin). */
static void each_part_turns_by_its_own_coordinate(void) {
    int64_t first[] = {0, 10};
    lt_rope rope = {3, 4, 5, 10000, first};
    double memory[3 * 32], x[32] = {0}, y[32];
    lt_naive_token token = lt_naive_token_in(memory, 32);
    x[2] = x[12] = x[22] = 1;
    lt_naive_angles(&token, &rope, 32, 1, (1 * 4 + 2) * 5 + 3);
    lt_naive_rotate(&token, 32, false, x, y);
    CHECK_NEAR(y[2], cos(11 * pow(10000, -2.0 / 12)), 1e-15);
    CHECK_NEAR(y[3], sin(11 * pow(10000, -2.0 / 12)), 1e-15);
    CHECK_NEAR(y[12], cos(2), 1e-15);
    CHECK_NEAR(y[13], sin(2), 1e-15);
    CHECK_NEAR(y[22], cos(3), 1e-15);
    CHECK_NEAR(y[23], sin(3), 1e-15);
}

int main(int argc, char **argv) {
    RUN(angles_follow_the_formula);
    RUN(either_output_may_be_left_out);
    RUN(far_positions_keep_their_digits);
    RUN(channels_split_over_time_rows_and_columns);
    RUN(rotation_is_an_isometry_and_its_transpose_undoes_it);
    RUN(each_part_turns_by_its_own_coordinate);
    return test_end();
}
