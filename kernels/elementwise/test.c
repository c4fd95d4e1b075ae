#include "kernels/check.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/harness.h"

static const int ragged[] = {1, 63, 500, 1000};
enum { RAGGED = sizeof ragged / sizeof *ragged };

/* An output that is overwritten, or one that is added to. */
static lt_tensor result(lt_check *c, bool accumulate, bool sum, int ndim, const int64_t *shape) {
    return lt_check_operand_new(c, accumulate ? LT_CHECK_BOTH : LT_CHECK_OUTPUT, sum, ndim, shape);
}
#define RESULT(c, accumulate, ...)     result((c), (accumulate), false, LT_DIMS(__VA_ARGS__))
#define RESULT_SUM(c, accumulate, ...) result((c), (accumulate), true, LT_DIMS(__VA_ARGS__))

static void unary_both_ways(lt_unary kind, int rows, bool accumulate) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(10 * rows) + kind), c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_tensor x = LT_IN(&c, rows, 67);
        lt_check_affine(&x, 4, 0);
        lt_unary_args f = {kind, x, LT_OUT(&c, rows, 67)};
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_unary_backward_args g = {kind, LT_IN(&c, rows, 67), x, RESULT(&c, accumulate, rows, 67),
                                    accumulate};
        LT_CHECK_RUN(&c, lt_unary_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_unary_backward(&c.ctx, &g));
        if (rows == 1) lt_check_gradient(&c, "dx", LT_OP_UNARY, &f, 1, &f.y, &g.dy, x, &g.dx);
    }
    CHECK_OK(lt_check_end(&c));
}

static void unary_functions_equal_naive_and_their_gradients_the_derivatives(void) {
    for (int kind = 0; kind < LT_UNARY_COUNT; kind++)
        for (int i = 0; i < RAGGED; i++) unary_both_ways((lt_unary)kind, ragged[i], i % 2 == 1);
}

static void unary_works_in_place_and_keeps_infinities(void) {
    lt_check c;
    for (lt_check_begin(&c, 2), c.bf16 = true; lt_check_next(&c);) {
        for (int kind = 0; kind < LT_UNARY_COUNT; kind++) {
            lt_tensor x = LT_INOUT(&c, 40);
            lt_check_set(&x, 3, INFINITY), lt_check_set(&x, 17, 100), lt_check_set(&x, 18, -100);
            lt_check_set(&x, 19, NAN);
            lt_unary_args f = {(lt_unary)kind, x, x};
            LT_CHECK_RUN(&c, lt_unary_forward(&c.ctx, &f));
        }
    }
    CHECK_OK(lt_check_end(&c));
}

/* Embeddings of time: sums, among activations in bf16; from an odd address on. */
static void unary_takes_sums_and_views(void) {
    lt_check c;
    for (lt_check_begin(&c, 9), c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_unary_args f = {LT_SILU, LT_IN_SUM(&c, 4, 130), LT_OUT_SUM(&c, 4, 130)};
        lt_unary_args odd = {LT_SILU, lt_slice(LT_IN(&c, 500), 0, 3, 130),
                             lt_slice(LT_OUT_PARTLY(&c, 500), 0, 5, 130)};
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_unary_backward_args g = {LT_SILU, LT_IN_SUM(&c, 4, 130), f.x, LT_OUT_SUM(&c, 4, 130), false};
        lt_unary_backward_args odd_g = {LT_SILU, LT_IN(&c, 130), odd.x, LT_INOUT(&c, 130), true};
        LT_CHECK_RUN(&c, lt_unary_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_unary_backward(&c.ctx, &g));
        LT_CHECK_RUN(&c, lt_unary_forward(&c.ctx, &odd));
        LT_CHECK_RUN(&c, lt_unary_backward(&c.ctx, &odd_g));
    }
    CHECK_OK(lt_check_end(&c));
}

static void add_broadcast_both_ways(int groups, int rows, int channels, bool single, bool accumulate) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(rows + channels)), c.bf16 = true; lt_check_next(&c);) {
        int G = groups, M = rows, C = channels, B = single ? 1 : rows;
        lt_add_broadcast_args f = {LT_IN_SUM(&c, M, C), LT_IN_SUM(&c, G, B, C), LT_OUT_SUM(&c, G, M, C)};
        lt_add_broadcast_backward_args g = {.dy = LT_IN_SUM(&c, G, M, C),
                                            .da = RESULT_SUM(&c, accumulate, M, C)};
        g.db = RESULT_SUM(&c, accumulate, G, B, C), g.accumulate_da = g.accumulate_db = accumulate;
        LT_CHECK_RUN(&c, lt_add_broadcast_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_add_broadcast_backward(&c.ctx, &g));
        if (G * M * C > 200 || accumulate) continue;
        lt_check_gradient(&c, "da", LT_OP_ADD_BROADCAST, &f, 1, &f.y, &g.dy, f.a, &g.da);
        lt_check_gradient(&c, "db", LT_OP_ADD_BROADCAST, &f, 1, &f.y, &g.dy, f.b, &g.db);
    }
    CHECK_OK(lt_check_end(&c));
}

static void add_broadcast_equals_naive(void) {
    add_broadcast_both_ways(2, 6, 7, true, false);
    add_broadcast_both_ways(2, 6, 7, false, false);
    add_broadcast_both_ways(3, 500, 63, true, true);
    add_broadcast_both_ways(1, 1000, 60, false, true);
    add_broadcast_both_ways(5, 1, 1000, true, false);
    add_broadcast_both_ways(24, 6, 2240, true, true);
    add_broadcast_both_ways(2, 0, 8, true, false);
}

/* The gate is one of six rows of modulation. */
static void gated_residual_both_ways(int groups, int rows, int channels, bool gated, bool accumulate) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(rows + channels)), c.bf16 = true; lt_check_next(&c);) {
        int G = groups, T = rows, C = channels;
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_tensor gate = lt_select(LT_IN_SUM(&c, G, 6, C), 1, 2), dgate = {0};
        lt_gated_residual_args f = {
            .x = LT_IN(&c, G, T, C), .h = LT_IN(&c, G, T, C), .y = LT_OUT(&c, G, T, C)};
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_gated_residual_backward_args g = {
            .dy = LT_IN(&c, G, T, C), .h = f.h, .dh = RESULT(&c, accumulate, G, T, C)};
        if (gated) {
            dgate = accumulate ? LT_INOUT_SUM(&c, G, 6, C) : LT_OUT_PARTLY_SUM(&c, G, 6, C);
            f.gate = g.gate = gate, g.dgate = lt_select(dgate, 1, 5);
        }
        g.accumulate_dh = g.accumulate_dgate = accumulate;
        LT_CHECK_RUN(&c, lt_gated_residual_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_gated_residual_backward(&c.ctx, &g));
        if (G * T * C > 200 || accumulate) continue;
        lt_check_gradient(&c, "dh", LT_OP_GATED_RESIDUAL, &f, 1, &f.y, &g.dy, f.h, &g.dh);
        if (gated) lt_check_gradient(&c, "dgate", LT_OP_GATED_RESIDUAL, &f, 1, &f.y, &g.dy, f.gate, &g.dgate);
    }
    CHECK_OK(lt_check_end(&c));
}

static void gated_residual_equals_naive(void) {
    gated_residual_both_ways(2, 6, 7, true, false);
    gated_residual_both_ways(2, 6, 7, false, false);
    gated_residual_both_ways(3, 500, 63, true, true);
    gated_residual_both_ways(1, 1000, 128, true, false);
    gated_residual_both_ways(4, 63, 128, false, true);
    gated_residual_both_ways(2, 70, 2240, true, true);
    gated_residual_both_ways(1, 130, 4136, true, false);
    gated_residual_both_ways(1, 70, 1027, true, true);
    gated_residual_both_ways(2, 0, 16, true, false);
}

/* `at`: elements past 16 bytes where rows of the gate begin. */
static void gated_residual_in_e4m3(int groups, int rows, int channels, int at) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(rows + channels)), c.bf16 = true; lt_check_next(&c);) {
        lt_tensor x = LT_INOUT(&c, groups, rows, channels), scale = LT_OUT_SUM(&c, groups, rows);
        lt_tensor gate = LT_IN_SUM(&c, groups, channels + at);
        lt_gated_residual_args f = {.x = x, .h = LT_IN(&c, groups, rows, channels), .y = x};
        f.codes = LT_OUT_E4M3(&c, groups, rows, channels), f.codes_scale = scale;
        f.gate = lt_slice(gate, 1, at, channels);
        LT_CHECK_RUN(&c, lt_gated_residual_forward(&c.ctx, &f));
        CHECK(lt_check_coded(&f.y, &f.codes, &f.codes_scale));
    }
    CHECK_OK(lt_check_end(&c));
}

static void gated_residual_gives_codes_besides(void) {
    gated_residual_in_e4m3(1, 1, 16, 0);
    gated_residual_in_e4m3(3, 63, 112, 0);
    gated_residual_in_e4m3(2, 70, 752, 0);
    gated_residual_in_e4m3(2, 37, 2240, 0);
    gated_residual_in_e4m3(1, 9, 4112, 0);
    gated_residual_in_e4m3(1, 5, 9232, 0);
    gated_residual_in_e4m3(1, 5, 18448, 0);
    gated_residual_in_e4m3(2, 9, 112, 1);
    gated_residual_in_e4m3(2, 0, 16, 0);
}

/* As in the residual stream, and at addresses that allow no wide access. */
static void gated_residual_works_in_place_and_on_views(void) {
    lt_check c;
    for (lt_check_begin(&c, 12), c.bf16 = true; lt_check_next(&c);) {
        lt_tensor x = LT_INOUT(&c, 2, 33, 64), part = lt_slice(LT_INOUT(&c, 3, 33, 64), 0, 1, 1);
        lt_gated_residual_args f = {.x = x, .h = LT_IN(&c, 2, 33, 64), .gate = LT_IN_SUM(&c, 2, 64), .y = x};
        LT_CHECK_RUN(&c, lt_gated_residual_forward(&c.ctx, &f));
        lt_tensor odd = lt_slice(LT_IN(&c, 33 * 64 + 8), 0, 3, 33 * 64);
        f = (lt_gated_residual_args){.x = part, .h = LT_RESHAPE(odd, 1, 33, 64), .y = part};
        LT_CHECK_RUN(&c, lt_gated_residual_forward(&c.ctx, &f));
    }
    CHECK_OK(lt_check_end(&c));
}

/* [B, T, H, D] from [B, H, T, D], a slice of rows, and everything in one line. */
static void copy_walks_any_strides_and_accumulates(void) {
    lt_check c;
    for (lt_check_begin(&c, 3), c.bf16 = true; lt_check_next(&c);) {
        lt_tensor packed = LT_IN(&c, 2, 5, 63, 12), swapped = packed, y = LT_OUT(&c, 2, 63, 5, 12);
        swapped.shape[1] = 63, swapped.stride[1] = packed.stride[2];
        swapped.shape[2] = 5, swapped.stride[2] = packed.stride[1];
        lt_copy_args transpose = {swapped, y, 1, false};
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &transpose));
        lt_copy_args columns = {lt_slice(LT_IN(&c, 1000, 70), 1, 3, 63),
                                lt_slice(LT_INOUT(&c, 1000, 64), 1, 1, 63), -0.5, true};
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &columns));
        lt_tensor table = LT_IN(&c, 50, 40), across = table;
        across.shape[0] = 40, across.shape[1] = 50, across.stride[0] = 1, across.stride[1] = 40;
        lt_copy_args turned = {across, LT_OUT(&c, 40, 50), 3, false},
                     same = {across, LT_OUT(&c, 40, 50), 1, false};
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &turned));
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &same));
        lt_copy_args line = {LT_IN(&c, 70001), LT_INOUT(&c, 70001), 0.25, true};
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &line));
        lt_copy_args six = {LT_IN(&c, 2, 1, 3, 2, 1, 5), LT_OUT(&c, 2, 1, 3, 2, 1, 5), 1, false};
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &six));
    }
    CHECK_OK(lt_check_end(&c));
}

/* Lines of whole packs, as of q in packed q, k, v: short ones, one that fills a block, and one that takes several. */
static void copy_moves_rows_and_converts(void) {
    lt_check c;
    for (lt_check_begin(&c, 13), c.bf16 = true; lt_check_next(&c);) {
        static const int lengths[] = {8, 64, 2240, 70000};
        for (int i = 0; i < 4; i++) {
            int n = lengths[i], rows = n > 10000 ? 2 : 70;
            lt_tensor qkv = LT_IN(&c, rows, 3, n), q = lt_select(qkv, 1, 1);
            lt_copy_args same = {q, LT_OUT(&c, rows, n), 1, false},
                         wide = {q, LT_OUT_SUM(&c, rows, n), 1, false};
            lt_copy_args add = {LT_IN_SUM(&c, rows, n), lt_select(LT_INOUT(&c, rows, 3, n), 1, 2), -2, true};
            lt_copy_args out = {wide.y, LT_OUT(&c, rows, n), 0.5, false};
            LT_CHECK_RUN(&c, lt_copy(&c.ctx, &same));
            LT_CHECK_RUN(&c, lt_copy(&c.ctx, &wide));
            LT_CHECK_RUN(&c, lt_copy(&c.ctx, &add));
            LT_CHECK_RUN(&c, lt_copy(&c.ctx, &out));
        }
    }
    CHECK_OK(lt_check_end(&c));
}

/* Numbers, infinities and NaN with their payload. */
static void copy_with_scale_1_keeps_bits(void) {
    lt_check c;
    for (lt_check_begin(&c, 14), c.bf16 = true; lt_check_next(&c);) {
        lt_tensor x = LT_IN(&c, 3, 40), y = LT_OUT_PARTLY(&c, 3, 48);
        memset(x.data, 0xff, lt_nbytes(&x) / 2);
        for (int at = 0; at < 2; at++) {
            lt_copy_args copy = {lt_slice(x, 1, at, 39), lt_slice(y, 1, at, 39), 1, false};
            LT_CHECK_RUN(&c, lt_copy(&c.ctx, &copy));
            size_t size = lt_dtype_size(x.dtype);
            CHECK(memcmp((char *)x.data + (size_t)at * size, (char *)y.data + (size_t)at * size, 39 * size) ==
                  0);
        }
        lt_copy_args whole = {x, lt_slice(y, 1, 8, 40), 1, false};
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &whole));
        CHECK(memcmp(x.data, (char *)y.data + 8 * lt_dtype_size(x.dtype), 40 * lt_dtype_size(x.dtype)) == 0);
    }
    CHECK_OK(lt_check_end(&c));
}

static void copy_with_scale_0_writes_zeros_without_reading(void) {
    lt_check c;
    for (lt_check_begin(&c, 8), c.bf16 = true; lt_check_next(&c);) {
        lt_tensor unwritten = LT_OUT(&c, 30, 40); /* NaN so far */
        lt_copy_args zero = {unwritten, unwritten, 0, false};
        lt_copy_args part = {lt_slice(unwritten, 1, 0, 7), LT_OUT(&c, 30, 7), 0, false};
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &part));
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &zero));
    }
    CHECK_OK(lt_check_end(&c));
}

/* Through a 16-bit format and back: what comes back is the nearest number of that format. In host memory: a GPU serves
 * two formats, which the tests above go through. */
static void copy_casts_between_all_floating_types(void) {
    static uint16_t half[63];
    lt_check c;
    for (lt_check_begin(&c, 4); lt_check_next(&c) && c.ctx.backend != LT_BACKEND_CUDA;) {
        for (int i = 0; i < 2; i++) {
            lt_tensor x = LT_IN(&c, 63), y = LT_OUT(&c, 63), middle = LT_VIEW(half, i ? LT_F16 : LT_BF16, 63);
            lt_copy_args down = {x, middle, 1, false}, up = {middle, y, 1, false};
            LT_CHECK_RUN(&c, lt_copy(&c.ctx, &down));
            LT_CHECK_RUN(&c, lt_copy(&c.ctx, &up));
            for (int k = 0; k < 63; k++) {
                float value = (float)lt_check_get(&x, k);
                float wanted =
                    i ? lt_f16_to_f32(lt_f32_to_f16(value)) : lt_bf16_to_f32(lt_f32_to_bf16(value));
                CHECK(lt_check_get(&y, k) == (double)wanted);
            }
        }
        static double wide[63];
        lt_tensor x = LT_IN(&c, 63), y = LT_INOUT(&c, 63), middle = LT_VIEW(wide, LT_F64, 63);
        lt_copy_args out = {x, middle, 2, false}, in = {middle, y, 0.5, true};
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &out));
        LT_CHECK_RUN(&c, lt_copy(&c.ctx, &in));
    }
    CHECK_OK(lt_check_end(&c));
}

static void mix_and_sum_equal_naive(void) {
    for (int i = 0; i < RAGGED; i++) {
        lt_check c;
        int G = i + 1, N = ragged[i] * 67;
        for (lt_check_begin(&c, (uint64_t)i), c.bf16 = true; lt_check_next(&c);) {
            lt_mix_args m = {LT_IN_SUM(&c, G, N), LT_IN_SUM(&c, G, N), LT_IN_SUM(&c, G), LT_IN_SUM(&c, G),
                             LT_OUT_SUM(&c, G, N)};
            LT_CHECK_RUN(&c, lt_mix(&c.ctx, &m));
            m.y = m.a = LT_INOUT_SUM(&c, G, N);
            LT_CHECK_RUN(&c, lt_mix(&c.ctx, &m));
            lt_sum_args s = {m.b, LT_OUT_SUM(&c, G)};
            LT_CHECK_RUN(&c, lt_sum(&c.ctx, &s));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void absent_gradients_are_not_computed(void) {
    lt_check c;
    for (lt_check_begin(&c, 5), c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_tensor dy = LT_IN(&c, 2, 63, 9), h = LT_IN(&c, 2, 63, 9), gate = LT_IN_SUM(&c, 2, 9);
        lt_tensor up = LT_IN_SUM(&c, 2, 63, 9);
        lt_gated_residual_backward_args g = {.dy = dy, .gate = gate, .dh = LT_OUT(&c, 2, 63, 9)};
        LT_CHECK_RUN(&c, lt_gated_residual_backward(&c.ctx, &g));
        g = (lt_gated_residual_backward_args){.dy = dy, .h = h, .gate = gate, .dgate = LT_OUT_SUM(&c, 2, 9)};
        LT_CHECK_RUN(&c, lt_gated_residual_backward(&c.ctx, &g));
        lt_add_broadcast_backward_args b = {.dy = up, .da = LT_OUT_SUM(&c, 63, 9)};
        LT_CHECK_RUN(&c, lt_add_broadcast_backward(&c.ctx, &b));
        b = (lt_add_broadcast_backward_args){.dy = up, .db = LT_OUT_SUM(&c, 2, 1, 9)};
        LT_CHECK_RUN(&c, lt_add_broadcast_backward(&c.ctx, &b));
    }
    CHECK_OK(lt_check_end(&c));
}

static void wrong_operands_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 6);
    CHECK(lt_check_next(&c));
    lt_tensor a = LT_IN(&c, 2, 3, 4), b = LT_IN(&c, 2, 3, 5), flat = LT_IN(&c, 2, 12), none = {0};
    lt_ctx *ctx = &c.ctx;
    CHECK_FAILS(lt_unary_forward(ctx, &(lt_unary_args){LT_SILU, a, b}), LT_FAILED,
                "op unary: operand y is f64[2,3,5], expected f64[2,3,4]");
    CHECK_FAILS(lt_unary_forward(ctx, &(lt_unary_args){LT_UNARY_COUNT, a, a}), LT_FAILED,
                "no function number 4");
    CHECK_FAILS(lt_unary_forward(ctx, &(lt_unary_args){LT_TANH, lt_slice(a, 2, 0, 2), a}), LT_FAILED,
                "is not rows of 3 contiguous dimensions");
    CHECK_FAILS(lt_gated_residual_forward(ctx, &(lt_gated_residual_args){a, b, none, a}), LT_FAILED,
                "operand h");
    CHECK_FAILS(lt_gated_residual_forward(ctx, &(lt_gated_residual_args){a, a, flat, a}), LT_FAILED,
                "operand gate");
    CHECK_FAILS(lt_add_broadcast_forward(ctx, &(lt_add_broadcast_args){flat, a, a}), LT_FAILED, "operand a");
    CHECK_FAILS(lt_copy(ctx, &(lt_copy_args){a, b, 1, false}), LT_FAILED, "op copy: operand y");
    lt_tensor ids = lt_check_ids(&c, 5, LT_DIMS(2, 3, 4));
    CHECK_FAILS(lt_copy(ctx, &(lt_copy_args){ids, a, 1, false}), LT_FAILED, "from i32 to f64");
    CHECK_FAILS(lt_mix(ctx, &(lt_mix_args){flat, flat, none, none, flat}), LT_FAILED, "operand alpha");
    CHECK_FAILS(lt_sum(ctx, &(lt_sum_args){flat, flat}), LT_FAILED, "op sum: operand y");
    CHECK_OK(lt_check_end(&c));
}

/* Known without a GPU. */
static void cuda_copies_two_formats(void) {
    static double memory[4];
    lt_device *device;
    CHECK_OK(lt_device_open("null", &device));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_CUDA};
    lt_tensor x = LT_VIEW(memory, LT_F32, 4), y = LT_VIEW(memory, LT_BF16, 4);
    CHECK_OK(lt_copy(&ctx, &(lt_copy_args){x, y, 1, false}));
    y.dtype = LT_F64;
    CHECK_FAILS(lt_copy(&ctx, &(lt_copy_args){x, y, 1, false}), LT_FAILED,
                "op copy: from f32 to f64: on cuda both must be f32 or bf16");
    y.dtype = LT_F16;
    CHECK_FAILS(lt_copy(&ctx, &(lt_copy_args){y, x, 1, false}), LT_FAILED, "from f16 to f32");
    lt_device_close(device);
}

int main(int argc, char **argv) {
    RUN(unary_functions_equal_naive_and_their_gradients_the_derivatives);
    RUN(unary_works_in_place_and_keeps_infinities);
    RUN(unary_takes_sums_and_views);
    RUN(add_broadcast_equals_naive);
    RUN(gated_residual_equals_naive);
    RUN(gated_residual_works_in_place_and_on_views);
    RUN(gated_residual_gives_codes_besides);
    RUN(copy_walks_any_strides_and_accumulates);
    RUN(copy_moves_rows_and_converts);
    RUN(copy_with_scale_1_keeps_bits);
    RUN(copy_with_scale_0_writes_zeros_without_reading);
    RUN(copy_casts_between_all_floating_types);
    RUN(mix_and_sum_equal_naive);
    RUN(absent_gradients_are_not_computed);
    RUN(wrong_operands_are_named);
    RUN(cuda_copies_two_formats);
    return test_end();
}
