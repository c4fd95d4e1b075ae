#include "kernels/check.h"
#include "kernels/norm/norm.h"
#include "tests/harness.h"

typedef struct {
    int groups, rows, channels;
    bool accumulate, modulated;
} norm_case;

/* Modulation comes as rows 1 and 2 of six, as in AdaLN-single: strided. */
static void norm_both_ways(norm_case n) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(n.rows + n.channels)); lt_check_next(&c);) {
        int G = n.groups, T = n.rows, C = n.channels;
        lt_tensor x = LT_IN(&c, G, T, C), table = LT_IN(&c, G, 6, C), dy = LT_IN(&c, G, T, C);
        lt_tensor dtable = n.accumulate ? LT_INOUT(&c, G, 6, C) : LT_OUT_PARTLY(&c, G, 6, C);
        lt_tensor dx = n.accumulate ? LT_INOUT(&c, G, T, C) : LT_OUT(&c, G, T, C);
        lt_check_affine(&x, 0.5, 3); /* a mean that is not small beside the deviation */
        lt_norm_modulate_args f = {.x = x, .y = LT_OUT(&c, G, T, C), .eps = 1e-6};
        lt_norm_modulate_backward_args g = {
            .dy = dy, .x = x, .dx = dx, .eps = 1e-6, .accumulate_dx = n.accumulate};
        g.accumulate_dmod = n.accumulate;
        if (n.modulated) {
            f.shift = lt_select(table, 1, 1), f.scale = g.scale = lt_select(table, 1, 2);
            g.dshift = lt_select(dtable, 1, 1), g.dscale = lt_select(dtable, 1, 2);
        }
        LT_CHECK_RUN(&c, lt_norm_modulate_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_norm_modulate_backward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

static void norm_modulate_equals_naive_at_ragged_sizes(void) {
    norm_both_ways((norm_case){1, 1, 128, false, true});
    norm_both_ways((norm_case){3, 63, 60, true, true});
    norm_both_ways((norm_case){2, 500, 112, false, true});
    norm_both_ways((norm_case){2, 1000, 8, true, true});
    norm_both_ways((norm_case){4, 130, 500, false, false});
    norm_both_ways((norm_case){1, 1000, 63, true, false});
}

static void norm_modulate_gradients_are_the_derivatives(void) {
    lt_check c;
    for (lt_check_begin(&c, 5); lt_check_next(&c);) {
        lt_norm_modulate_args f = {
            .x = LT_IN(&c, 2, 3, 7), .shift = LT_IN(&c, 2, 7), .scale = LT_IN(&c, 2, 7)};
        f.y = LT_OUT(&c, 2, 3, 7), f.eps = 1e-3;
        lt_norm_modulate_backward_args g = {
            .dy = LT_IN(&c, 2, 3, 7), .x = f.x, .scale = f.scale, .eps = 1e-3};
        g.dx = LT_OUT(&c, 2, 3, 7), g.dshift = LT_OUT(&c, 2, 7), g.dscale = LT_OUT(&c, 2, 7);
        LT_CHECK_RUN(&c, lt_norm_modulate_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_norm_modulate_backward(&c.ctx, &g));
        lt_check_gradient(&c, "dx", LT_OP_NORM_MODULATE, &f, 1, &f.y, &g.dy, f.x, &g.dx);
        lt_check_gradient(&c, "dshift", LT_OP_NORM_MODULATE, &f, 1, &f.y, &g.dy, f.shift, &g.dshift);
        lt_check_gradient(&c, "dscale", LT_OP_NORM_MODULATE, &f, 1, &f.y, &g.dy, f.scale, &g.dscale);
    }
    CHECK_OK(lt_check_end(&c));
}

/* q is the first third of packed q, k, v; its gradient goes to the first third of theirs. */
static void rms_both_ways(int rows, int channels, bool accumulate) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(rows + channels)); lt_check_next(&c);) {
        lt_tensor x = lt_slice(LT_IN(&c, rows, 3 * channels), 1, 0, channels), weight = LT_IN(&c, channels);
        lt_tensor dx = accumulate ? LT_INOUT(&c, rows, 3 * channels) : LT_OUT_PARTLY(&c, rows, 3 * channels);
        dx = lt_slice(dx, 1, channels, channels);
        lt_tensor dweight = accumulate ? LT_INOUT(&c, channels) : LT_OUT(&c, channels);
        lt_rms_norm_args f = {x, weight, LT_OUT(&c, rows, channels), 1e-5};
        lt_rms_norm_backward_args g = {
            LT_IN(&c, rows, channels), x, weight, dx, dweight, 1e-5, accumulate, accumulate};
        LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_rms_norm_backward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

static void rms_norm_equals_naive_on_rows_of_a_packed_tensor(void) {
    rms_both_ways(1, 128, false);
    rms_both_ways(63, 60, true);
    rms_both_ways(500, 112, false);
    rms_both_ways(1000, 1, true);
    rms_both_ways(1000, 500, false);
}

static void rms_norm_gradients_are_the_derivatives(void) {
    lt_check c;
    for (lt_check_begin(&c, 6); lt_check_next(&c);) {
        lt_rms_norm_args f = {
            .x = LT_IN(&c, 2, 3, 7), .weight = LT_IN(&c, 7), .y = LT_OUT(&c, 2, 3, 7), .eps = 1e-3};
        lt_rms_norm_backward_args g = {.dy = LT_IN(&c, 2, 3, 7), .x = f.x, .weight = f.weight, .eps = 1e-3};
        g.dx = LT_OUT(&c, 2, 3, 7), g.dweight = LT_OUT(&c, 7);
        LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_rms_norm_backward(&c.ctx, &g));
        lt_check_gradient(&c, "dx", LT_OP_RMS_NORM, &f, 1, &f.y, &g.dy, f.x, &g.dx);
        lt_check_gradient(&c, "dweight", LT_OP_RMS_NORM, &f, 1, &f.y, &g.dy, f.weight, &g.dweight);
    }
    CHECK_OK(lt_check_end(&c));
}

static void absent_gradients_are_not_computed(void) {
    lt_check c;
    for (lt_check_begin(&c, 7); lt_check_next(&c);) {
        lt_tensor x = LT_IN(&c, 2, 63, 20), dy = LT_IN(&c, 2, 63, 20), scale = LT_IN(&c, 2, 20),
                  w = LT_IN(&c, 20);
        lt_norm_modulate_backward_args mod = {.dy = dy, .x = x, .scale = scale, .eps = 1e-6};
        mod.dshift = LT_OUT(&c, 2, 20), mod.dscale = LT_OUT(&c, 2, 20);
        LT_CHECK_RUN(&c, lt_norm_modulate_backward(&c.ctx, &mod));
        lt_norm_modulate_backward_args dx = {
            .dy = dy, .x = x, .scale = scale, .dx = LT_OUT(&c, 2, 63, 20), .eps = 1e-6};
        LT_CHECK_RUN(&c, lt_norm_modulate_backward(&c.ctx, &dx));
        lt_rms_norm_backward_args rms = {
            .dy = dy, .x = x, .weight = w, .dweight = LT_OUT(&c, 20), .eps = 1e-6};
        LT_CHECK_RUN(&c, lt_rms_norm_backward(&c.ctx, &rms));
        rms.dx = LT_OUT(&c, 2, 63, 20), rms.dweight = (lt_tensor){0};
        LT_CHECK_RUN(&c, lt_rms_norm_backward(&c.ctx, &rms));
    }
    CHECK_OK(lt_check_end(&c));
}

static void wrong_shapes_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 8);
    CHECK(lt_check_next(&c));
    lt_tensor x = LT_IN(&c, 2, 3, 8), mod = LT_IN(&c, 2, 8), y = LT_OUT_PARTLY(&c, 2, 3, 8),
              small = LT_IN(&c, 2, 7);
    lt_norm_modulate_args f = {.x = x, .shift = mod, .scale = small, .y = y, .eps = 1e-6};
    CHECK_FAILS(lt_norm_modulate_forward(&c.ctx, &f), LT_FAILED,
                "op norm_modulate: operand scale is f64[2,7], expected f64[2,8]");
    f.scale = (lt_tensor){0};
    CHECK_FAILS(lt_norm_modulate_forward(&c.ctx, &f), LT_FAILED, "shift and scale");
    f.scale = mod, f.y = lt_slice(y, 2, 0, 7);
    CHECK_FAILS(lt_norm_modulate_forward(&c.ctx, &f), LT_FAILED, "operand y");
    lt_rms_norm_args r = {.x = x, .weight = lt_select(small, 0, 0), .y = y, .eps = 1e-6};
    CHECK_FAILS(lt_rms_norm_forward(&c.ctx, &r), LT_FAILED, "op rms_norm: operand x");
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(norm_modulate_equals_naive_at_ragged_sizes);
    RUN(norm_modulate_gradients_are_the_derivatives);
    RUN(rms_norm_equals_naive_on_rows_of_a_packed_tensor);
    RUN(rms_norm_gradients_are_the_derivatives);
    RUN(absent_gradients_are_not_computed);
    RUN(wrong_shapes_are_named);
    return test_end();
}
