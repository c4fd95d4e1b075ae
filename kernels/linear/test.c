#include "kernels/check.h"
#include "kernels/cuda_e4m3.h"
#include "kernels/e4m3.h"
#include "kernels/linear/linear.h"
#include "kernels/testing_device.h"
#include "tests/harness.h"

/* Forward and backward of one size. `pad`: every operand but w begins that many elements into a wider row, as q is
 * taken from a packed q, k, v; some of these addresses are round for a GPU, others not. */
static void both_ways(int rows, int k, int m, bool accumulate, int pad) {
    lt_check c;
    lt_check_begin(&c, (uint64_t)(rows + k + m));
    c.threads_may_differ = c.bf16 = true;
    while (lt_check_next(&c)) {
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_tensor x = lt_slice(LT_IN(&c, rows, k + pad), 1, pad, k), w = LT_IN(&c, m, k);
        lt_tensor b = lt_slice(LT_IN_SUM(&c, m + pad), 0, pad, m);
        lt_tensor y = accumulate ? LT_INOUT(&c, rows, m + pad) : LT_OUT_PARTLY(&c, rows, m + pad);
        lt_tensor dy = lt_slice(LT_IN(&c, rows, m + pad), 1, pad, m);
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_tensor dx = accumulate ? LT_INOUT(&c, rows, k + pad) : LT_OUT_PARTLY(&c, rows, k + pad);
        lt_tensor dw = accumulate ? LT_INOUT_SUM(&c, m, k) : LT_OUT_SUM(&c, m, k);
        lt_tensor db = accumulate ? LT_INOUT_SUM(&c, m) : LT_OUT_SUM(&c, m);
        y = lt_slice(y, 1, pad, m);
        dx = lt_slice(dx, 1, pad, k);
        lt_linear_args f = {.x = x, .w = w, .b = b, .y = y, .accumulate = accumulate};
        lt_linear_backward_args g = {dy, x, w, dx, dw, db, accumulate, accumulate};
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_linear_backward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

static void cpu_equals_naive_at_ragged_sizes(void) {
    both_ways(1, 128, 384, false, 0);
    both_ways(63, 17, 500, false, 3);
    both_ways(500, 1, 63, true, 0);
    both_ways(1000, 60, 1, true, 3);
    both_ways(8, 500, 1000, false, 0);
}

static void no_rows_give_gradients_of_zero(void) {
    both_ways(0, 12, 20, false, 0);
    both_ways(0, 12, 20, true, 0);
}

/* Sizes as models have them, at addresses that are multiples of 16, 8, 4 and 2 bytes where elements have 2. */
static void rows_may_begin_anywhere(void) {
    const int pads[] = {0, 8, 4, 2, 1};
    for (int i = 0; i < 5; i++) {
        both_ways(257, 112, 336, i % 2, pads[i]);
        both_ways(63, 256, 112, i % 2, pads[i]);
    }
    both_ways(1, 8, 16, true, 0);
    both_ways(31, 33, 65, true, 1);
    both_ways(8300, 24, 40, true, 0);
}

/* More than 1 GFLOP: with as much workspace as a large model's GEMMs have. */
/* On the CPU, rows from 1,024 on and small matrices: spans of rows with sums of their own. */
static void many_rows_are_swept(void) {
    both_ways(1024, 16, 1, false, 0);
    both_ways(1025, 128, 70, true, 3);
    both_ways(2048, 80, 257, false, 1);
    both_ways(8300, 48, 131, true, 0); /* the most spans */
    both_ways(1100, 64, 2048, false, 0);
    both_ways(1023, 64, 40, true, 1);
    both_ways(1100, 64, 2064, true, 0); /* too large */
}

static void a_large_product_is_right(void) {
    lt_check c;
    lt_check_begin(&c, 8);
    c.threads_may_differ = c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_linear_args f = {.x = LT_IN(&c, 520, 1120), .w = LT_IN(&c, 896, 1120), .b = LT_IN_SUM(&c, 896)};
        f.y = LT_OUT(&c, 520, 896);
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
    }
    CHECK_OK(lt_check_end(&c));
}

/* Where activations are bf16, float32 operands may be multiplied all the same, with the exactness of float32. */
static void sums_may_be_multiplied_too(void) {
    lt_check c;
    lt_check_begin(&c, 9);
    c.threads_may_differ = c.bf16 = true;
    while (lt_check_next(&c)) {
        c.bf16_bound = LT_TOL_CUDA_F32;
        lt_linear_args f = {.x = LT_IN_SUM(&c, 63, 256), .w = LT_IN_SUM(&c, 112, 256)};
        f.b = LT_IN_SUM(&c, 112), f.y = LT_OUT_SUM(&c, 63, 112);
        lt_linear_backward_args g = {.dy = LT_IN_SUM(&c, 63, 112), .x = f.x, .w = f.w};
        g.dx = LT_OUT_SUM(&c, 63, 256), g.dw = LT_OUT_SUM(&c, 112, 256), g.db = LT_OUT_SUM(&c, 112);
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_linear_backward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

/* w in e4m3. The reference rounds x in the same way, so that what is left is the sum's and the result's own rounding.
 * Rows of x differ in size by powers of ten: each has its own scale. On CUDA the float32 passes take the plain kernel,
 * those in bf16 the library (with LT_TEST_KERNELS=generic rows are scaled after it). */
static void e4m3_product(int rows, int k, int m, bool bias, int pad) {
    lt_check c;
    lt_check_begin(&c, (uint64_t)(rows + k + m));
    c.threads_may_differ = c.bf16 = true;
    while (lt_check_next(&c)) {
        c.bf16_bound = LT_TOL_E4M3;
        lt_linear_args f = {.x = lt_slice(LT_IN(&c, rows, k + pad), 1, pad, k), .w = LT_IN_E4M3(&c, m, k)};
        f.scale = LT_IN_SUM(&c, m);
        if (bias) f.b = LT_IN_SUM(&c, m);
        f.y = lt_slice(LT_OUT_PARTLY(&c, rows, m + pad), 1, pad, m);
        for (int64_t i = 0; i < rows * k; i++)
            lt_check_set(&f.x, i, lt_check_get(&f.x, i) * pow(10, (double)(i / k % 3 - 1)));
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
    }
    CHECK_OK(lt_check_end(&c));
}

static void e4m3_products_equal_those_of_rounded_rows(void) {
    e4m3_product(1, 16, 16, false, 0);
    e4m3_product(63, 112, 336, true, 0);
    e4m3_product(500, 64, 1024, true, 8);
    e4m3_product(257, 256, 112, false, 1);
    e4m3_product(33, 8208 + 16, 32, true, 0); /* rows longer than a block holds in registers */
    e4m3_product(1000, 1120, 896, true, 0);
    e4m3_product(0, 32, 16, true, 0);
}

/* x comes in e4m3 with its scales: rounding is not what differs, whatever the backend. */
static void rounded_rows_product(int rows, int k, int m, bool bias, int pad) {
    lt_check c;
    lt_check_begin(&c, (uint64_t)(rows + k + m));
    c.threads_may_differ = c.bf16 = true;
    while (lt_check_next(&c)) {
        c.bf16_bound = LT_TOL_E4M3;
        lt_linear_args f = {.x = LT_IN_E4M3(&c, rows, k), .w = LT_IN_E4M3(&c, m, k)};
        f.x_scale = LT_IN_SUM(&c, rows), f.scale = LT_IN_SUM(&c, m);
        if (bias) f.b = LT_IN_SUM(&c, m);
        f.y = lt_slice(LT_OUT_PARTLY(&c, rows, m + pad), 1, pad, m);
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
    }
    CHECK_OK(lt_check_end(&c));
}

static void rows_may_come_in_e4m3(void) {
    rounded_rows_product(1, 16, 16, false, 0);
    rounded_rows_product(63, 112, 336, true, 0);
    rounded_rows_product(500, 64, 1024, true, 8);
    rounded_rows_product(257, 256, 112, false, 0);
    rounded_rows_product(1000, 1120, 896, true, 0);
    rounded_rows_product(0, 32, 16, true, 0);
    /* large enough for its algorithm to be measured */
    if (test_backend() == LT_BACKEND_CUDA) rounded_rows_product(1560, 2240, 1440, true, 0);
}

/* The CPU multiplies what it rounded, so codes that lt_e4m3_row made give the same bits. */
static void rows_in_e4m3_give_the_bits_of_rows_rounded_here(void) {
    lt_check c;
    lt_check_begin(&c, 22);
    c.threads_may_differ = true;
    while (lt_check_next(&c)) {
        enum { ROWS = 33, K = 64, M = 48 };
        lt_linear_args f = {.x = LT_IN(&c, ROWS, K), .w = LT_IN_E4M3(&c, M, K), .scale = LT_IN_SUM(&c, M)};
        lt_linear_args g = {.x = LT_OUT_E4M3(&c, ROWS, K), .w = f.w, .scale = f.scale};
        lt_tensor two[2] = {LT_OUT(&c, ROWS, M), LT_OUT(&c, ROWS, M)}, x_scale = LT_OUT_SUM(&c, ROWS);
        f.y = two[0], g.y = two[1], g.x_scale = x_scale;
        for (int64_t row = 0; row < ROWS; row++) {
            float values[K];
            uint8_t codes[K];
            for (int64_t i = 0; i < K; i++) values[i] = (float)lt_check_get(&f.x, row * K + i);
            lt_check_set(&x_scale, row, (double)lt_e4m3_row(values, K, codes));
            for (int64_t i = 0; i < K; i++) lt_check_set(&g.x, row * K + i, (double)lt_e4m3_to_f32(codes[i]));
        }
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &g));
        for (int64_t i = 0; c.ctx.backend == LT_BACKEND_CPU && i < ROWS * M; i++)
            CHECK(lt_check_get(&two[0], i) == lt_check_get(&two[1], i));
    }
    CHECK_OK(lt_check_end(&c));
}

/* A row of zeros stays zero, NaN and infinity do not spread to other rows, the smallest numbers keep their size. */
static void e4m3_rows_stand_alone(void) {
    lt_check c;
    lt_check_begin(&c, 21);
    c.threads_may_differ = c.bf16 = true;
    while (lt_check_next(&c)) {
        c.bf16_bound = LT_TOL_E4M3;
        lt_linear_args f = {.x = LT_IN(&c, 40, 64), .w = LT_IN_E4M3(&c, 48, 64), .scale = LT_IN_SUM(&c, 48)};
        f.y = LT_OUT(&c, 40, 48);
        for (int64_t i = 0; i < 64; i++) lt_check_set(&f.x, 3 * 64 + i, 0);
        lt_check_set(&f.x, 5 * 64 + 7, NAN);
        LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
        for (int64_t i = 0; i < 48 && c.status == LT_OK; i++)
            CHECK(lt_check_get(&f.y, 3 * 48 + i) == 0 && isnan(lt_check_get(&f.y, 5 * 48 + i)) &&
                  !isnan(lt_check_get(&f.y, 6 * 48 + i)));
    }
    CHECK_OK(lt_check_end(&c));
    float tiny[16] = {1e-36f, -5e-37f, 0};
    uint8_t codes[16];
    CHECK(lt_e4m3_row(tiny, 16, codes) > 0 && codes[0] == 0 && codes[1] == 0x80);
    tiny[0] = 1e-20f;
    float scale = lt_e4m3_row(tiny, 16, codes);
    CHECK(codes[0] == 0x7E && fabsf(scale * 448 - 1e-20f) <= 1e-26f);
}

static void e4m3_needs_whole_tensor_core_tiles(void) {
    float nothing;
    lt_ctx ctx = {.backend = LT_BACKEND_CUDA, .dtype = LT_BF16};
    lt_linear_args f = {.x = LT_VIEW(&nothing, LT_BF16, 32760, 2240),
                        .w = LT_VIEW(&nothing, LT_E4M3, 6720, 2240)};
    f.scale = LT_VIEW(&nothing, LT_F32, 6720), f.y = LT_VIEW(&nothing, LT_BF16, 32760, 6720);
    lt_cost cost = {0};
    CHECK_OK(lt_op_at(LT_OP_LINEAR)->describe(&ctx, &f, &cost));
    CHECK(cost.bytes == 2.0 * 32760 * (2240 + 6720) + 6720 * 2240 + 4 * 6720);
    CHECK(cost.workspace == lt_e4m3_bytes(32760, 2240) + (32 << 20) + (32 << 20) / (6720 * 4) * (6720 * 4));
    size_t rounding = cost.workspace;
    f.x.dtype = LT_E4M3, f.x_scale = LT_VIEW(&nothing, LT_F32, 21, 1560), cost = (lt_cost){0};
    CHECK_OK(lt_op_at(LT_OP_LINEAR)->describe(&ctx, &f, &cost));
    CHECK(cost.bytes == 32760.0 * (2240 + 4 + 2 * 6720) + 6720 * 2240 + 4 * 6720);
    CHECK(cost.workspace == rounding - lt_e4m3_bytes(32760, 2240));
    f.x_scale.shape[0] = 20;
    CHECK_FAILS(lt_op_at(LT_OP_LINEAR)->describe(&ctx, &f, &cost), LT_FAILED, "x_scale has 31200 scales");
    f.x.dtype = LT_BF16, f.x_scale = (lt_tensor){0};
    f.accumulate = true;
    CHECK_FAILS(lt_op_at(LT_OP_LINEAR)->describe(&ctx, &f, &cost), LT_FAILED, "nothing accumulates");
    f.accumulate = false;
    f.w = LT_VIEW(&nothing, LT_E4M3, 6712, 2240), f.scale = LT_VIEW(&nothing, LT_F32, 6712);
    f.y = LT_VIEW(&nothing, LT_BF16, 32760, 6712);
    CHECK_FAILS(lt_op_at(LT_OP_LINEAR)->describe(&ctx, &f, &cost), LT_FAILED, "multiples of 16");
    f.w.dtype = LT_BF16;
    CHECK_FAILS(lt_op_at(LT_OP_LINEAR)->describe(&ctx, &f, &cost), LT_FAILED, "operand w is bf16");
}

static lt_cost cost_of(lt_backend backend, int64_t rows, int64_t k, int64_t m) {
    float nothing;
    lt_ctx ctx = {.backend = backend, .dtype = backend == LT_BACKEND_CUDA ? LT_BF16 : LT_F32};
    lt_dtype dtype = lt_ctx_dtype(&ctx);
    lt_tensor dy = LT_VIEW(&nothing, dtype, rows, m), x = LT_VIEW(&nothing, dtype, rows, k);
    lt_linear_backward_args g = {.dy = dy, .x = x, .w = LT_VIEW(&nothing, dtype, m, k), .dx = x};
    g.dw = LT_VIEW(&nothing, LT_F32, m, k), g.db = LT_VIEW(&nothing, LT_F32, m);
    lt_cost cost = {0};
    CHECK_OK(lt_op_at(LT_OP_LINEAR_BACKWARD)->describe(&ctx, &g, &cost));
    return cost;
}

static void cost_follows_dtypes_and_backend(void) {
    lt_cost cpu = cost_of(LT_BACKEND_CPU, 6000, 128, 384), gpu = cost_of(LT_BACKEND_CUDA, 6000, 128, 384);
    double once = 6000 * 384 + 2 * 6000 * 128 + 384 * 128;
    CHECK(cpu.flops == gpu.flops && cpu.flops == 4.0 * 6000 * 128 * 384 + 6000 * 384);
    CHECK(cpu.bytes == 4 * (once + 384 * 128) && gpu.bytes == 2 * once + 4 * 384 * 128);
    /* a sweep of 11 spans where the processor has AVX-512 */
    CHECK(gpu.workspace == 4 << 20);
    CHECK(cpu.workspace == 11 * 384 * (128 + 1) * 4 || cpu.workspace == (6000 + 63) / 64 * 384 * 4);
    CHECK(cost_of(LT_BACKEND_CPU, 1023, 128, 384).workspace == (1023 + 63) / 64 * 384 * 4);
    CHECK(cost_of(LT_BACKEND_CPU, 6000, 129, 384).workspace == (6000 + 63) / 64 * 384 * 4);
    CHECK(cost_of(LT_BACKEND_CUDA, 32760, 2240, 6720).workspace == 32 << 20);
    CHECK(cost_of(LT_BACKEND_CUDA, 0, 12, 20).workspace == 0);
}

static void gradients_are_the_derivatives(void) {
    lt_check c;
    lt_check_begin(&c, 1);
    c.threads_may_differ = c.bf16 = true;
    while (lt_check_next(&c)) {
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_linear_args f = {
            .x = LT_IN(&c, 2, 3, 5), .w = LT_IN(&c, 7, 5), .b = LT_IN_SUM(&c, 7), .y = LT_OUT(&c, 2, 3, 7)};
        lt_linear_backward_args g = {.dy = LT_IN(&c, 2, 3, 7), .x = f.x, .w = f.w};
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        g.dx = LT_OUT(&c, 2, 3, 5), g.dw = LT_OUT_SUM(&c, 7, 5), g.db = LT_OUT_SUM(&c, 7);
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
    c.threads_may_differ = c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_tensor x = LT_IN(&c, 63, 12), w = LT_IN(&c, 20, 12), dy = LT_IN(&c, 63, 20), none = {0};
        lt_linear_args f = {.x = x, .w = w, .y = LT_OUT(&c, 63, 20)};
        lt_linear_backward_args only_dx = {.dy = dy, .w = w, .dx = LT_OUT(&c, 63, 12)};
        lt_linear_backward_args only_db = {.dy = dy, .w = w, .db = LT_OUT_SUM(&c, 20)};
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
    c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_tensor dy = LT_IN(&c, 2048, 129), w = LT_IN(&c, 129, 4);
        lt_linear_backward_args g = {.dy = dy, .w = w, .db = LT_OUT_SUM(&c, 129)};
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
    RUN(rows_may_begin_anywhere);
    RUN(many_rows_are_swept);
    RUN(a_large_product_is_right);
    RUN(sums_may_be_multiplied_too);
    RUN(e4m3_products_equal_those_of_rounded_rows);
    RUN(rows_may_come_in_e4m3);
    RUN(rows_in_e4m3_give_the_bits_of_rows_rounded_here);
    RUN(e4m3_rows_stand_alone);
    RUN(e4m3_needs_whole_tensor_core_tiles);
    RUN(cost_follows_dtypes_and_backend);
    RUN(gradients_are_the_derivatives);
    RUN(absent_operands_are_left_out);
    RUN(the_sum_over_rows_has_the_same_bits_for_any_number_of_threads);
    RUN(wrong_shapes_are_named);
    return test_end();
}
