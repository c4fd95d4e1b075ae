#include "kernels/check.h"
#include "kernels/linear/linear.h"
#include "tests/harness.h"

/* Forward and backward of one size; `strided` takes x and y from wider rows, as q is taken from a packed q,
 * k, v. */
static void both_ways(int rows, int k, int m, bool accumulate, bool strided) {
    lt_check c;
    lt_check_begin(&c, (uint64_t)(rows + k + m));
    c.threads_may_differ = true;
    while (lt_check_next(&c)) {
        int pad = strided ? 3 : 0;
        lt_tensor x = lt_slice(LT_IN(&c, rows, k + pad), 1, pad, k), w = LT_IN(&c, m, k), b = LT_IN(&c, m);
        lt_tensor y = accumulate ? LT_INOUT(&c, rows, m + pad) : LT_OUT_PARTLY(&c, rows, m + pad);
        lt_tensor dy = lt_slice(LT_IN(&c, rows, m + pad), 1, pad, m);
        lt_tensor dx = accumulate ? LT_INOUT(&c, rows, k + pad) : LT_OUT_PARTLY(&c, rows, k + pad);
        lt_tensor dw = accumulate ? LT_INOUT(&c, m, k) : LT_OUT(&c, m, k);
        lt_tensor db = accumulate ? LT_INOUT(&c, m) : LT_OUT(&c, m);
        y = lt_slice(y, 1, pad, m);
        dx = lt_slice(dx, 1, pad, k);
        lt_linear_args f = {x, w, b, y, accumulate};
        lt_linear_backward_args g = {dy, x, w, dx, dw, db, accumulate, accumulate};
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_linear_backward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

static void cpu_equals_naive_at_ragged_sizes(void) {
    both_ways(1, 128, 384, false, false);
    both_ways(63, 17, 500, false, true);
    both_ways(500, 1, 63, true, false);
    both_ways(1000, 60, 1, true, true);
    both_ways(8, 500, 1000, false, false);
}

static void no_rows_give_gradients_of_zero(void) { both_ways(0, 12, 20, false, false); }

static void gradients_are_the_derivatives(void) {
    lt_check c;
    lt_check_begin(&c, 1);
    c.threads_may_differ = true;
    while (lt_check_next(&c)) {
        lt_linear_args f = {
            .x = LT_IN(&c, 2, 3, 5), .w = LT_IN(&c, 7, 5), .b = LT_IN(&c, 7), .y = LT_OUT(&c, 2, 3, 7)};
        lt_linear_backward_args g = {.dy = LT_IN(&c, 2, 3, 7), .x = f.x, .w = f.w};
        g.dx = LT_OUT(&c, 2, 3, 5), g.dw = LT_OUT(&c, 7, 5), g.db = LT_OUT(&c, 7);
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_linear_backward(&c.ctx, &g));
        lt_check_gradient(&c, "dx", LT_OP_LINEAR, &f, 1, &f.y, &g.dy, f.x, &g.dx);
        lt_check_gradient(&c, "dw", LT_OP_LINEAR, &f, 1, &f.y, &g.dy, f.w, &g.dw);
        lt_check_gradient(&c, "db", LT_OP_LINEAR, &f, 1, &f.y, &g.dy, f.b, &g.db);
    }
    CHECK_OK(lt_check_end(&c));
}

static void absent_operands_are_left_out(void) {
    lt_check c;
    lt_check_begin(&c, 2);
    c.threads_may_differ = true;
    while (lt_check_next(&c)) {
        lt_tensor x = LT_IN(&c, 63, 12), w = LT_IN(&c, 20, 12), dy = LT_IN(&c, 63, 20), none = {0};
        lt_linear_args f = {.x = x, .w = w, .y = LT_OUT(&c, 63, 20)};
        lt_linear_backward_args only_dx = {.dy = dy, .w = w, .dx = LT_OUT(&c, 63, 12)};
        lt_linear_backward_args only_db = {.dy = dy, .w = w, .db = LT_OUT(&c, 20)};
        lt_linear_backward_args nothing = {dy, x, w, none, none, none, false, false};
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_linear_backward(&c.ctx, &only_dx));
        LT_CHECK_RUN(&c, lt_linear_backward(&c.ctx, &only_db));
        LT_CHECK_RUN(&c, lt_linear_backward(&c.ctx, &nothing));
    }
    CHECK_OK(lt_check_end(&c));
}

static void the_sum_over_rows_has_the_same_bits_for_any_number_of_threads(void) {
    lt_check c;
    lt_check_begin(&c, 3);
    while (lt_check_next(&c)) {
        lt_tensor dy = LT_IN(&c, 2048, 129), w = LT_IN(&c, 129, 4);
        lt_linear_backward_args g = {.dy = dy, .w = w, .db = LT_OUT(&c, 129)};
        LT_CHECK_RUN(&c, lt_linear_backward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

static void wrong_shapes_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 4);
    CHECK(lt_check_next(&c));
    lt_tensor x = LT_IN(&c, 4, 6), w = LT_IN(&c, 3, 6), wide = LT_IN(&c, 4, 7), y = LT_OUT_PARTLY(&c, 4, 3),
              none = {0};
    lt_linear_args f = {.x = wide, .w = w, .y = y};
    CHECK_FAILS(lt_linear_forward(&c.ctx, &f), LT_FAILED,
                "op linear: operand x is f64[4,7], expected f64[...,6]");
    f = (lt_linear_args){.x = x, .w = w, .y = wide};
    CHECK_FAILS(lt_linear_forward(&c.ctx, &f), LT_FAILED, "operand y");
    f = (lt_linear_args){.x = x, .w = none, .y = y};
    CHECK_FAILS(lt_linear_forward(&c.ctx, &f), LT_FAILED, "operand w is an empty tensor");
    lt_linear_backward_args g = {.dy = y, .w = w, .dw = w};
    CHECK_FAILS(lt_linear_backward(&c.ctx, &g), LT_FAILED, "op linear_backward: operand x");
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(cpu_equals_naive_at_ragged_sizes);
    RUN(no_rows_give_gradients_of_zero);
    RUN(gradients_are_the_derivatives);
    RUN(absent_operands_are_left_out);
    RUN(the_sum_over_rows_has_the_same_bits_for_any_number_of_threads);
    RUN(wrong_shapes_are_named);
    return test_end();
}
