#include "kernels/vec.h"
#include "tests/harness.h"

enum { STEPS = 4000000 };

/* Largest relative error over [low, high], where results are normal numbers. */
static double worst(float (*f)(float), double (*exact)(double), double low, double high) {
    double bad = 0;
    for (int i = 0; i <= STEPS; i++) {
        float x = (float)(low + (high - low) * i / STEPS);
        double wanted = exact((double)x);
        if (fabs(wanted) < 1.2e-38) continue;
        bad = fmax(bad, fabs((double)f(x) - wanted) / fabs(wanted));
    }
    return bad;
}

static float vec_exp(float x) { return lt_vec_exp(x); }
static float vec_sigmoid(float x) { return lt_vec_sigmoid(x); }
static float vec_tanh(float x) { return lt_vec_tanh(x); }
static double exact_sigmoid(double x) { return 1 / (1 + exp(-x)); }

static void exp_is_right_to_2e_7(void) {
    CHECK(worst(vec_exp, exp, -87.3, 88.72) < 2e-7);
    CHECK(worst(vec_exp, exp, -1, 1) < 2e-7);
}

static void sigmoid_is_right_to_2e_7(void) {
    CHECK(worst(vec_sigmoid, exact_sigmoid, -87, 40) < 2e-7);
    CHECK(worst(vec_sigmoid, exact_sigmoid, -1, 1) < 2e-7);
}

static void tanh_is_right_to_2e_7(void) {
    CHECK(worst(vec_tanh, tanh, -12, 12) < 2e-7);
    CHECK(worst(vec_tanh, tanh, -1e-3, 1e-3) < 2e-7);
    CHECK(vec_tanh(1e-30f) == 1e-30f);
}

static void far_ends_and_nan_are_as_in_libm(void) {
    CHECK(vec_exp(-INFINITY) == 0 && vec_exp(-1e30f) == 0 && vec_exp(-104.5f) == 0);
    CHECK(isinf(vec_exp(INFINITY)) && isinf(vec_exp(1e30f)) && isinf(vec_exp(88.8f)));
    CHECK(isnan(vec_exp(NAN)) && isnan(vec_sigmoid(NAN)) && isnan(vec_tanh(NAN)));
    CHECK(vec_exp(0) == 1 && vec_sigmoid(0) == 0.5f && vec_tanh(0) == 0);
    CHECK(vec_sigmoid(-INFINITY) == 0 && vec_sigmoid(INFINITY) == 1);
    CHECK(vec_tanh(-INFINITY) == -1 && vec_tanh(INFINITY) == 1 && vec_tanh(50) == 1);
    CHECK_NEAR((double)vec_exp(-100.0f) / 3.783505853677006e-44, 1, 0.03); /* subnormal: 27 units */
}

static void slopes_are_the_derivatives(void) {
    for (double x = -8; x <= 8; x += 0.25) {
        float above = (float)(x + 1e-3), below = (float)(x - 1e-3), at = (float)x;
        double run = (double)above - (double)below;
        CHECK_NEAR(((double)lt_vec_silu(above) - (double)lt_vec_silu(below)) / run,
                   (double)lt_vec_silu_slope(at), 1e-3);
        CHECK_NEAR(((double)lt_vec_gelu(above) - (double)lt_vec_gelu(below)) / run,
                   (double)lt_vec_gelu_slope(at), 1e-3);
    }
}

int main(int argc, char **argv) {
    RUN(exp_is_right_to_2e_7);
    RUN(sigmoid_is_right_to_2e_7);
    RUN(tanh_is_right_to_2e_7);
    RUN(far_ends_and_nan_are_as_in_libm);
    RUN(slopes_are_the_derivatives);
    return test_end();
}
