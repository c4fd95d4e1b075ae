/* That the op checks can fail: each kind of wrong kernel is caught, with the reason in the message. */
#include "core/parallel.h"
#include "kernels/check.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/harness.h"

/* A "kernel" that copies 63 values, and does one thing wrong on the cpu passes. */
typedef enum {
    RIGHT,
    OFF_BY_1E_4,
    ONE_BAD_ROW,
    UNWRITTEN,
    NAN_MADE,
    OVERRUN,
    CHANGES_INPUT,
    THREADS_DIFFER
} fault;

static lt_status faulty(lt_check *c, fault f, lt_tensor x, lt_tensor y) {
    for (int64_t i = 0; i < lt_numel(&y); i++) lt_check_set(&y, i, lt_check_get(&x, i));
    if (c->pass == 0) return LT_OK;
    float *values = y.data;
    switch (f) {
    case OFF_BY_1E_4: lt_check_affine(&y, 1 + 1e-4, 0); break;
    case ONE_BAD_ROW: values[5] *= 1.001f; break;
    case UNWRITTEN: memset(values + 62, 0xFF, sizeof *values); break;
    case NAN_MADE: values[7] = NAN; break;
    case OVERRUN: values[63] = 0; break;
    case CHANGES_INPUT: ((float *)x.data)[0] += 1; break;
    case THREADS_DIFFER: values[0] *= c->pass == 2 ? 1.0000002f : 1; break;
    case RIGHT: break;
    }
    return LT_OK;
}

static lt_status checked(fault f) {
    lt_check c;
    for (lt_check_begin(&c, 1); lt_check_next(&c);) {
        lt_tensor x = LT_IN(&c, 63, 1), y = LT_OUT(&c, 63, 1);
        LT_CHECK_RUN(&c, faulty(&c, f, x, y));
    }
    return lt_check_end(&c);
}

static void a_right_kernel_passes(void) { CHECK_OK(checked(RIGHT)); }

static void every_kind_of_wrong_kernel_is_caught(void) {
    CHECK_FAILS(checked(OFF_BY_1E_4), LT_FAILED, "error 0.0001");
    CHECK_FAILS(checked(ONE_BAD_ROW), LT_FAILED, "worst row 5");
    CHECK_FAILS(checked(UNWRITTEN), LT_FAILED, "element 62 was never written");
    CHECK_FAILS(checked(NAN_MADE), LT_FAILED, "element 7 is nan");
    CHECK_FAILS(checked(OVERRUN), LT_FAILED, "memory before or after");
    CHECK_FAILS(checked(CHANGES_INPUT), LT_FAILED, "operand 0 is an input, but the op changed it");
    CHECK_FAILS(checked(THREADS_DIFFER), LT_FAILED, "bits differ between"); /* threads, or runs on a GPU */
}

static void large_operands_are_left_out_where_only_small_ones_are_wanted(void) {
    const char *before = getenv("LT_TEST_SMALL");
    int ran = 0;
    lt_check c;
    if (!before) setenv("LT_TEST_SMALL", "1", 1);
    for (lt_check_begin(&c, 4); lt_check_next(&c);) {
        LT_OUT(&c, 1000, 1001);
        LT_CHECK_RUN(&c, (ran++, LT_FAILED));
    }
    CHECK_OK(lt_check_end(&c));
    CHECK(ran == 0);
    CHECK_FAILS(checked(NAN_MADE), LT_FAILED, "element 7 is nan");
    if (!before) unsetenv("LT_TEST_SMALL");
}

static void a_sanitizer_gets_memory_as_it_is(void) {
    const char *before = getenv("LT_TEST_POISON");
    if (!before) setenv("LT_TEST_POISON", "off", 1);
    lt_check c;
    for (lt_check_begin(&c, 5); lt_check_next(&c);) {
        CHECK(!c.ctx.scratch->poison);
        lt_tensor x = LT_IN(&c, 63, 1), y = LT_OUT(&c, 63, 1);
        LT_CHECK_RUN(&c, faulty(&c, RIGHT, x, y));
    }
    CHECK_OK(lt_check_end(&c));
    CHECK_FAILS(checked(UNWRITTEN), LT_FAILED, "element 62 was never written");
    if (!before) unsetenv("LT_TEST_POISON");
}

static void passes_that_make_other_operands_are_refused(void) {
    lt_check c;
    for (lt_check_begin(&c, 2); lt_check_next(&c);)
        for (int i = 0; i <= c.pass; i++) LT_IN(&c, 3);
    CHECK_FAILS(lt_check_end(&c), LT_FAILED, "another number of operands");
}

/* Codes are judged by lt_check_coded, not against naive: another code or scale is seen. */
static void wrong_codes_are_caught(void) {
    lt_check c;
    for (lt_check_begin(&c, 6); lt_check_next(&c);) {
        lt_tensor y = LT_IN(&c, 2, 2), codes = LT_OUT_E4M3(&c, 2, 2), scale = LT_OUT_SUM(&c, 2);
        for (int64_t i = 0; i < 4; i++) {
            lt_check_set(&y, i, i % 2 ? 1 : -448.0 / 1024);
            lt_check_set(&codes, i, i % 2 ? 448 : c.pass == 0 ? -196 : -192);
            lt_check_set(&scale, i / 2, 1 / 448.0);
        }
        CHECK(lt_check_coded(&y, &codes, &scale) == (c.pass > 0));
        lt_check_set(&scale, 1, 1 / 447.0);
        CHECK(!lt_check_coded(&y, &codes, &scale));
    }
    CHECK_OK(lt_check_end(&c));
}

static void wrong_gradients_are_caught(void) {
    lt_check c;
    for (lt_check_begin(&c, 3); lt_check_next(&c);) {
        lt_unary_args f = {LT_TANH, LT_IN(&c, 20), LT_OUT(&c, 20)};
        lt_unary_backward_args g = {LT_TANH, LT_IN(&c, 20), f.x, LT_OUT(&c, 20), false};
        LT_CHECK_RUN(&c, lt_unary_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_unary_backward(&c.ctx, &g));
        lt_check_gradient(&c, "right", LT_OP_UNARY, &f, 1, &f.y, &g.dy, f.x, &g.dx);
        CHECK(c.status == LT_OK);
        lt_check_affine(&g.dx, 1 + 1e-4, 0);
        lt_check_gradient(&c, "dx", LT_OP_UNARY, &f, 1, &f.y, &g.dy, f.x, &g.dx);
    }
    CHECK_FAILS(lt_check_end(&c), LT_FAILED, "naive: dx f64[20]: error 0.0001");
}

static void zero_must_be_met_by_zero_and_infinity_by_the_same(void) {
    double zeros[] = {0, 0}, tiny[] = {0, 1e-30}, plus[] = {1, INFINITY}, minus[] = {1, -INFINITY};
    lt_tensor z = LT_VIEW(zeros, LT_F64, 2), t = LT_VIEW(tiny, LT_F64, 2);
    lt_tensor p = LT_VIEW(plus, LT_F64, 2), m = LT_VIEW(minus, LT_F64, 2);
    CHECK_OK(lt_compare("y", &z, &z, LT_TOL_CPU));
    CHECK_FAILS(lt_compare("y", &t, &z, LT_TOL_CPU), LT_FAILED, "error inf");
    CHECK_OK(lt_compare("y", &p, &p, LT_TOL_CPU));
    CHECK_FAILS(lt_compare("y", &m, &p, LT_TOL_CPU), LT_FAILED, "element 1 is -inf, expected inf");
}

static void values_are_equal_in_all_passes_and_threads_are_put_back(void) {
    int threads = lt_threads();
    double first[5] = {0};
    lt_check c;
    for (lt_check_begin(&c, 4); lt_check_next(&c);) {
        lt_tensor x = LT_IN(&c, 5);
        CHECK(x.dtype == (c.pass == 0 ? LT_F64 : LT_F32));
        for (int i = 0; i < 5; i++) {
            if (c.pass == 0) first[i] = lt_check_get(&x, i);
            CHECK(lt_check_get(&x, i) == first[i]);
        }
        if (c.pass > 0) CHECK(lt_threads() == (c.cuda ? 1 : c.pass));
    }
    CHECK_OK(lt_check_end(&c));
    CHECK(lt_threads() == threads);
}

int main(int argc, char **argv) {
    RUN(a_right_kernel_passes);
    RUN(every_kind_of_wrong_kernel_is_caught);
    RUN(large_operands_are_left_out_where_only_small_ones_are_wanted);
    RUN(a_sanitizer_gets_memory_as_it_is);
    RUN(passes_that_make_other_operands_are_refused);
    RUN(wrong_codes_are_caught);
    RUN(wrong_gradients_are_caught);
    RUN(zero_must_be_met_by_zero_and_infinity_by_the_same);
    RUN(values_are_equal_in_all_passes_and_threads_are_put_back);
    return test_end();
}
