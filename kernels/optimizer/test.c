#include "kernels/check.h"
#include "kernels/optimizer/optimizer.h"
#include "tests/harness.h"

static void norm_of_many_tensors_equals_naive_and_clips(void) {
    const double max_norms[] = {0, 1.5, 1e6};
    for (int i = 0; i < 3; i++) {
        lt_check c;
        lt_check_begin(&c, (uint64_t)i);
        for (c.bf16 = true; lt_check_next(&c);) {
            c.bf16_bound = LT_TOL_CUDA_F32;
            lt_tensor grads[] = {LT_IN_SUM(&c, 1), LT_IN_SUM(&c, 63), LT_IN_SUM(&c, 500, 100),
                                 LT_IN_SUM(&c, 0, 4), LT_IN_SUM(&c, 70000)};
            lt_grad_norm_args a = {5, grads, 0.25, max_norms[i], LT_OUT_SUM(&c, 3)};
            LT_CHECK_RUN(&c, lt_grad_norm(&c.ctx, &a));
            double norm = lt_check_get(&a.control, 0), factor = lt_check_get(&a.control, 1);
            CHECK(lt_check_get(&a.control, 2) == 1);
            CHECK_NEAR(factor * norm / 0.25, i == 1 ? 1.5 : norm, 1e-3);
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void one_bad_value_anywhere_clears_the_flag(void) {
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        lt_check c;
        for (lt_check_begin(&c, 3); lt_check_next(&c);) {
            lt_tensor grads[] = {LT_IN_SUM(&c, 63), LT_IN_SUM(&c, 40000)};
            lt_check_set(&grads[1], 39999, bad[i]);
            lt_grad_norm_args a = {2, grads, 1, 1, LT_OUT_SUM(&c, 3)};
            LT_CHECK_RUN(&c, lt_grad_norm(&c.ctx, &a));
            CHECK(lt_check_get(&a.control, 2) == 0);
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void large_finite_gradients_stay_finite(void) {
    lt_check c;
    for (lt_check_begin(&c, 4); lt_check_next(&c);) {
        lt_tensor grad = LT_IN_SUM(&c, 63);
        lt_check_affine(&grad, 1e30, 0);
        lt_grad_norm_args a = {1, &grad, 1, 1, LT_OUT_SUM(&c, 3)};
        LT_CHECK_RUN(&c, lt_grad_norm(&c.ctx, &a));
        CHECK(lt_check_get(&a.control, 2) == 1);
    }
    CHECK_OK(lt_check_end(&c));
}

static lt_tensor control_of(lt_check *c, double factor, double finite) {
    lt_tensor control = LT_IN_SUM(c, 3);
    lt_check_set(&control, 1, factor), lt_check_set(&control, 2, finite);
    return control;
}

/* Second moments are squares. */
static lt_tensor moments(lt_check *c, int count) {
    lt_tensor v = LT_INOUT_SUM(c, count);
    for (int64_t i = 0; i < count; i++) lt_check_set(&v, i, lt_check_get(&v, i) * lt_check_get(&v, i));
    return v;
}

/* More tensors than go into one launch, of sizes around those that a chunk and an access have; every other one at an
 * odd address. */
static void norm_of_long_lists_equals_naive(void) {
    enum { COUNT = 401 };
    lt_check c;
    for (lt_check_begin(&c, 9); lt_check_next(&c);) {
        lt_tensor all = LT_IN_SUM(&c, 200000), grads[COUNT];
        int64_t at = 0;
        for (int i = 0; i < COUNT; i++) {
            int64_t size = i == 200 ? 2 * 16384 : i == 300 ? 16385 : i % 7 * 53;
            grads[i] = lt_slice(all, 0, at, size);
            at += size + i % 2;
        }
        CHECK(at <= 200000);
        lt_grad_norm_args a = {COUNT, grads, 1, 1, LT_OUT_SUM(&c, 3)};
        LT_CHECK_RUN(&c, lt_grad_norm(&c.ctx, &a));
        lt_grad_norm_args none = {0, NULL, 2, 1, LT_OUT_SUM(&c, 3)};
        LT_CHECK_RUN(&c, lt_grad_norm(&c.ctx, &none));
        CHECK(lt_check_get(&none.control, 0) == 0 && lt_check_get(&none.control, 1) == 2);
    }
    CHECK_OK(lt_check_end(&c));
}

/* `odd`: every operand begins one element after a round address. The copy is written where activations are bf16;
 * elsewhere the test puts there what it expects. */
static void adamw_equals_naive(int n, bool ema, bool odd, int64_t step) {
    lt_check c;
    lt_check_begin(&c, (uint64_t)n);
    for (c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_CUDA_F32;
        int all = n + odd;
        lt_adamw_param p = {.param = lt_slice(LT_INOUT_SUM(&c, all), 0, odd, n),
                            .grad = lt_slice(LT_IN_SUM(&c, all), 0, odd, n),
                            .m = lt_slice(LT_INOUT_SUM(&c, all), 0, odd, n),
                            .v = lt_slice(moments(&c, all), 0, odd, n),
                            .decays = true};
        lt_adamw_args a = {.count = 1, .params = &p, .control = control_of(&c, 0.5, 1)};
        if (ema) p.ema = lt_slice(LT_INOUT_SUM(&c, all), 0, odd, n);
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_tensor copy = lt_slice(LT_INOUT(&c, all), 0, odd, n);
        bool copies = copy.dtype == LT_BF16;
        if (copies) p.copy = copy;
        a.lr = 1e-2, a.beta1 = 0.9, a.beta2 = 0.999, a.eps = 1e-8, a.weight_decay = 0.1, a.ema_decay = 0.999;
        a.step = step;
        LT_CHECK_RUN(&c, lt_adamw(&c.ctx, &a));
        for (int i = 0; i < n && !copies; i++) lt_check_set(&copy, i, lt_check_get(&p.param, i));
        for (int i = 0; i < n && copies; i++) {
            float param = (float)lt_check_get(&p.param, i);
            CHECK(lt_check_get(&copy, i) == (double)lt_bf16_to_f32(lt_f32_to_bf16(param)));
        }
    }
    CHECK_OK(lt_check_end(&c));
}

static void adamw_equals_naive_at_ragged_sizes_and_late_steps(void) {
    adamw_equals_naive(1, false, false, 1);
    adamw_equals_naive(63, true, false, 1);
    adamw_equals_naive(500, false, true, 100000);
    adamw_equals_naive(50001, true, false, 100000);
    adamw_equals_naive(50002, false, false, 10);
    adamw_equals_naive(4099, true, true, 10);
    adamw_equals_naive(0, true, false, 1);
}

/* More parameters than go into one launch, of sizes around those that a block of threads and an access have, some of
 * them empty or at odd addresses; every third one does not decay. */
static void adamw_of_long_lists_equals_naive(void) {
    enum { COUNT = 401, ALL = 60000 };
    lt_check c;
    lt_check_begin(&c, 10);
    for (c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_CUDA_F32;
        lt_tensor param = LT_INOUT_SUM(&c, ALL), grad = LT_IN_SUM(&c, ALL), m = LT_INOUT_SUM(&c, ALL),
                  v = moments(&c, ALL), ema = LT_INOUT_SUM(&c, ALL);
        lt_adamw_param params[COUNT];
        int64_t at = 0;
        for (int i = 0; i < COUNT; i++) {
            int64_t size = i == 200 ? 4096 : i == 300 ? 8193 : i % 7 * 29;
            params[i] = (lt_adamw_param){.param = lt_slice(param, 0, at, size),
                                         .grad = lt_slice(grad, 0, at, size),
                                         .m = lt_slice(m, 0, at, size),
                                         .v = lt_slice(v, 0, at, size),
                                         .decays = i % 3 != 0};
            if (i % 5) params[i].ema = lt_slice(ema, 0, at, size);
            at += size + i % 2;
        }
        CHECK(at <= ALL);
        lt_adamw_args a = {COUNT, params, control_of(&c, 0.5, 1), 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.999, 10};
        LT_CHECK_RUN(&c, lt_adamw(&c.ctx, &a));
        a.count = 0;
        LT_CHECK_RUN(&c, lt_adamw(&c.ctx, &a));
    }
    CHECK_OK(lt_check_end(&c));
}

/* From zero moments, the first step moves by lr against the gradient's sign, whatever its size. */
static void first_step_has_the_size_of_the_learning_rate(void) {
    lt_check c;
    for (lt_check_begin(&c, 5); lt_check_next(&c);) {
        lt_adamw_param p = {.param = LT_INOUT_SUM(&c, 63),
                            .grad = LT_IN_SUM(&c, 63),
                            .m = LT_INOUT_SUM(&c, 63),
                            .v = LT_INOUT_SUM(&c, 63)};
        lt_adamw_args a = {.count = 1, .params = &p, .control = control_of(&c, 1, 1)};
        a.lr = 0.5, a.beta1 = 0.9, a.beta2 = 0.999, a.eps = 1e-12, a.step = 1;
        lt_check_affine(&p.param, 0, 0), lt_check_affine(&p.m, 0, 0), lt_check_affine(&p.v, 0, 0);
        LT_CHECK_RUN(&c, lt_adamw(&c.ctx, &a));
        for (int i = 0; i < 63; i++)
            CHECK_NEAR(lt_check_get(&p.param, i), lt_check_get(&p.grad, i) > 0 ? -0.5 : 0.5, 1e-5);
    }
    CHECK_OK(lt_check_end(&c));
}

static void nothing_changes_when_a_gradient_was_not_finite(void) {
    lt_check c;
    lt_check_begin(&c, 6);
    for (c.bf16 = true; lt_check_next(&c);) {
        lt_tensor p = LT_IN_SUM(&c, 63), m = LT_IN_SUM(&c, 63), v = LT_IN_SUM(&c, 63),
                  ema = LT_IN_SUM(&c, 63);
        lt_tensor grad = LT_IN_SUM(&c, 63), control = control_of(&c, NAN, 0), copy = LT_IN(&c, 63),
                  none = {0};
        if (copy.dtype != LT_BF16) copy = none;
        lt_adamw_param param = {p, grad, m, v, ema, copy, true};
        lt_adamw_args a = {1, &param, control, 1, 0.9, 0.999, 1e-8, 0.1, 0.99, 1};
        LT_CHECK_RUN(&c, lt_adamw(&c.ctx, &a));
    }
    CHECK_OK(lt_check_end(&c));
}

static void wrong_operands_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 7);
    CHECK(lt_check_next(&c));
    lt_tensor p = LT_IN_SUM(&c, 8), control = LT_IN_SUM(&c, 3), m = LT_IN_SUM(&c, 7), none = {0},
              grads[] = {p, none};
    lt_adamw_param params[] = {{p, p, p, p, none, none, true}, {p, p, m, p, none, none, true}};
    lt_adamw_args a = {2, params, control, 1, 0.9, 0.999, 1e-8, 0, 0, 1};
    CHECK_FAILS(lt_adamw(&c.ctx, &a), LT_FAILED,
                "op adamw: operand m of params[1] has 7 elements, param has 8");
    params[1].m = p, params[1].copy = p;
    CHECK_FAILS(lt_adamw(&c.ctx, &a), LT_FAILED, "op adamw: operand copy is for bf16 activations");
    params[1].copy = none, a.step = 0;
    CHECK_FAILS(lt_adamw(&c.ctx, &a), LT_FAILED, "op adamw: step is 0");
    lt_grad_norm_args n = {2, grads, 1, 1, control};
    CHECK_FAILS(lt_grad_norm(&c.ctx, &n), LT_FAILED, "op grad_norm: operand grads[1] is an empty tensor");
    n = (lt_grad_norm_args){1, grads, 1, 1, p};
    CHECK_FAILS(lt_grad_norm(&c.ctx, &n), LT_FAILED, "operand control is f64[8], expected f64[3]");
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(norm_of_many_tensors_equals_naive_and_clips);
    RUN(norm_of_long_lists_equals_naive);
    RUN(one_bad_value_anywhere_clears_the_flag);
    RUN(large_finite_gradients_stay_finite);
    RUN(adamw_equals_naive_at_ragged_sizes_and_late_steps);
    RUN(adamw_of_long_lists_equals_naive);
    RUN(first_step_has_the_size_of_the_learning_rate);
    RUN(nothing_changes_when_a_gradient_was_not_finite);
    RUN(wrong_operands_are_named);
    return test_end();
}
