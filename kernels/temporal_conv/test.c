#include "kernels/check.h"
#include "kernels/temporal_conv/temporal_conv.h"
#include "tests/harness.h"

typedef struct size {
    int64_t blocks, frames, pixels, channels;
} size;

/* The last two: so many channels that CUDA has one GEMM of gradients per block, and frames at odd addresses. */
static const size sizes[] = {{1, 1, 1, 1},   {1, 1, 63, 3},  {3, 1, 7, 60},   {1, 2, 63, 17},
                             {2, 4, 9, 60},  {5, 3, 1, 112}, {2, 4, 64, 128}, {3, 2, 5, 840},
                             {3, 3, 13, 75}, {20, 2, 3, 384} /* more blocks than a batch */};
enum { SIZES = sizeof sizes / sizeof *sizes };

static lt_tensor video(lt_check *c, lt_check_role role, size s) {
    return lt_check_operand_new(c, role, false, LT_DIMS(s.blocks, s.frames, s.pixels, s.channels));
}

/* One block takes its tail without the block dimension, too: both forms are met. */
static lt_tensor frame_each(lt_check *c, lt_check_role role, size s) {
    if (s.blocks == 1 && s.frames == 1)
        return lt_check_operand_new(c, role, false, LT_DIMS(s.pixels, s.channels));
    return lt_check_operand_new(c, role, false, LT_DIMS(s.blocks, s.pixels, s.channels));
}

static lt_status forward_agrees(size s, bool tail, uint64_t seed) {
    lt_check c;
    lt_check_begin(&c, seed);
    for (c.threads_may_differ = c.bf16 = true; lt_check_next(&c);) {
        lt_temporal_conv_args f = {.x = video(&c, LT_CHECK_INPUT, s)};
        if (tail) f.tail = frame_each(&c, LT_CHECK_INPUT, s);
        f.w = LT_IN(&c, 3, s.channels, s.channels);
        f.y = video(&c, LT_CHECK_OUTPUT, s);
        LT_CHECK_RUN(&c, lt_temporal_conv_forward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

static void forward_agrees_with_and_without_tail(void) {
    for (int i = 0; i < SIZES; i++) {
        CHECK_OK(forward_agrees(sizes[i], false, 10 + (uint64_t)i));
        CHECK_OK(forward_agrees(sizes[i], true, 30 + (uint64_t)i));
    }
}

/* w in e4m3: GEMMs read quantised rows, the sum begins with x itself. */
static lt_status e4m3_agrees(size s, bool tail, bool in_place, uint64_t seed) {
    lt_check c;
    lt_check_begin(&c, seed);
    for (c.threads_may_differ = c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_E4M3;
        lt_temporal_conv_args f = {.x = video(&c, in_place ? LT_CHECK_BOTH : LT_CHECK_INPUT, s)};
        if (tail) f.tail = frame_each(&c, LT_CHECK_INPUT, s);
        f.w = LT_IN_E4M3(&c, 3, s.channels, s.channels);
        f.scale = LT_IN_SUM(&c, 3 * s.channels);
        lt_check_affine(&f.scale, 1e-3, 0);
        f.y = in_place ? f.x : video(&c, LT_CHECK_OUTPUT, s);
        LT_CHECK_RUN(&c, lt_temporal_conv_forward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

static void e4m3_agrees_with_and_without_tail(void) {
    static const size whole[] = {{1, 1, 1, 16},   {1, 1, 63, 32}, {2, 4, 64, 128}, {3, 2, 5, 848},
                                 {3, 3, 12, 256}, {2, 5, 9, 1120} /* scales at odd addresses */};
    for (int i = 0; i < 6; i++) {
        for (int in_place = 0; in_place < 2; in_place++) {
            CHECK_OK(e4m3_agrees(whole[i], false, in_place, 110 + (uint64_t)i));
            CHECK_OK(e4m3_agrees(whole[i], true, in_place, 120 + (uint64_t)i));
        }
    }
    lt_check c;
    lt_check_begin(&c, 5);
    CHECK(lt_check_next(&c));
    lt_temporal_conv_args f = {
        .x = LT_IN(&c, 1, 2, 3, 8), .w = LT_IN(&c, 3, 8, 8), .scale = LT_IN_SUM(&c, 24)};
    f.y = LT_OUT_PARTLY(&c, 1, 2, 3, 8);
    CHECK_FAILS(lt_temporal_conv_forward(&c.ctx, &f), LT_FAILED, "multiple of 16");
    CHECK_OK(lt_check_end(&c));
}

enum { DX = 1, DTAIL = 2, DW = 4, ALL = 7 };

static lt_status backward_agrees(size s, bool tail, int parts, bool accumulate, uint64_t seed) {
    lt_check c;
    lt_check_begin(&c, seed);
    for (c.threads_may_differ = c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_check_role role = accumulate ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
        lt_temporal_conv_backward_args f = {.x = video(&c, LT_CHECK_INPUT, s),
                                            .dy = video(&c, LT_CHECK_INPUT, s)};
        f.accumulate_dx = f.accumulate_dtail = f.accumulate_dw = accumulate;
        if (tail) f.tail = frame_each(&c, LT_CHECK_INPUT, s);
        f.w = LT_IN(&c, 3, s.channels, s.channels);
        if (parts & DX) f.dx = video(&c, role, s);
        if (parts & DTAIL) f.dtail = frame_each(&c, role, s);
        if (parts & DW) f.dw = lt_check_operand_new(&c, role, true, LT_DIMS(3, s.channels, s.channels));
        LT_CHECK_RUN(&c, lt_temporal_conv_backward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

static void backward_agrees_with_and_without_tail(void) {
    for (int i = 0; i < SIZES; i++) {
        CHECK_OK(backward_agrees(sizes[i], false, DX | DW, false, 50 + (uint64_t)i));
        CHECK_OK(backward_agrees(sizes[i], true, ALL, false, 70 + (uint64_t)i));
    }
}

static void backward_adds_to_what_gradients_hold(void) {
    for (int i = 0; i < SIZES; i++) CHECK_OK(backward_agrees(sizes[i], i % 2, ALL, true, 90 + (uint64_t)i));
}

static void backward_computes_only_what_is_asked(void) {
    for (int parts = 0; parts < ALL; parts++)
        CHECK_OK(backward_agrees((size){2, 3, 5, 7}, true, parts, false, (uint64_t)parts));
}

static void gradients_equal_differences(void) {
    size s = {2, 3, 2, 3};
    lt_check c;
    for (lt_check_begin(&c, 8); lt_check_next(&c);) {
        lt_temporal_conv_args f = {.x = video(&c, LT_CHECK_INPUT, s),
                                   .tail = frame_each(&c, LT_CHECK_INPUT, s),
                                   .w = LT_IN(&c, 3, 3, 3),
                                   .y = video(&c, LT_CHECK_OUTPUT, s)};
        lt_tensor dy = video(&c, LT_CHECK_INPUT, s);
        lt_temporal_conv_backward_args b = {.dy = dy, .x = f.x, .tail = f.tail, .w = f.w};
        b.dx = video(&c, LT_CHECK_OUTPUT, s);
        b.dtail = frame_each(&c, LT_CHECK_OUTPUT, s);
        b.dw = LT_OUT_SUM(&c, 3, 3, 3);
        LT_CHECK_RUN(&c, lt_temporal_conv_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_temporal_conv_backward(&c.ctx, &b));
        lt_check_gradient(&c, "dx", LT_OP_TEMPORAL_CONV, &f, 1, &f.y, &dy, f.x, &b.dx);
        lt_check_gradient(&c, "dtail", LT_OP_TEMPORAL_CONV, &f, 1, &f.y, &dy, f.tail, &b.dtail);
        lt_check_gradient(&c, "dw", LT_OP_TEMPORAL_CONV, &f, 1, &f.y, &dy, f.w, &b.dw);
    }
    CHECK_OK(lt_check_end(&c));
}

/* Two blocks at once (tails: none, then the last frame of block 1) equal two calls, one block each; and both equal the
 * formula written over the whole clip, where only the right tap at the end of block 1 is cut. */
static void streaming_equals_all_blocks_at_once(void) {
    enum { F = 3, P = 5, C = 4 };
    lt_check c;
    lt_check_begin(&c, 9);
    for (c.threads_may_differ = true; lt_check_next(&c);) {
        lt_tensor x = LT_IN(&c, 2, F, P, C), w = LT_IN(&c, 3, C, C), y = LT_OUT(&c, 2, F, P, C);
        lt_tensor first = lt_slice(x, 0, 0, 1), second = lt_slice(x, 0, 1, 1);
        lt_temporal_conv_args a = {.x = first, .w = w, .y = lt_slice(y, 0, 0, 1)};
        lt_temporal_conv_args b = {.x = second, .w = w, .y = lt_slice(y, 0, 1, 1)};
        b.tail = lt_select(lt_select(first, 0, 0), 0, F - 1);
        LT_CHECK_RUN(&c, lt_temporal_conv_forward(&c.ctx, &a));
        LT_CHECK_RUN(&c, lt_temporal_conv_forward(&c.ctx, &b));
        for (int64_t i = 0; i < 2 * F * P * C; i++) {
            int64_t f = i / (P * C), pixel = i / C % P, out = i % C;
            double sum = lt_check_get(&x, i);
            for (int64_t tap = 0; tap < 3; tap++) {
                int64_t from = f + tap - 1;
                if (from < 0 || from >= 2 * F || (f == F - 1 && tap == 2)) continue;
                for (int64_t in = 0; in < C; in++)
                    sum += lt_check_get(&w, (tap * C + out) * C + in) *
                           lt_check_get(&x, (from * P + pixel) * C + in);
            }
            CHECK_NEAR(lt_check_get(&y, i), sum, 1e-5);
        }
        lt_tensor tails = LT_INOUT(&c, 2, P, C), whole = LT_OUT(&c, 2, F, P, C);
        for (int64_t i = 0; i < 2 * P * C; i++)
            lt_check_set(&tails, i, i < P * C ? 0 : lt_check_get(&x, (F - 2) * P * C + i));
        lt_temporal_conv_args both = {.x = x, .tail = tails, .w = w, .y = whole};
        LT_CHECK_RUN(&c, lt_temporal_conv_forward(&c.ctx, &both));
        for (int64_t i = 0; i < lt_numel(&y); i++)
            CHECK_NEAR(lt_check_get(&whole, i), lt_check_get(&y, i), 1e-5);
    }
    CHECK_OK(lt_check_end(&c));
}

static void no_pixels_give_gradients_of_zero(void) {
    const size none[] = {{1, 2, 0, 4}, {2, 2, 0, 4}, {0, 2, 3, 4}};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(forward_agrees(none[i], true, 1));
        CHECK_OK(backward_agrees(none[i], true, ALL, false, 2));
        CHECK_OK(backward_agrees(none[i], true, ALL, true, 3));
    }
}

static void misfits_are_named(void) {
    lt_check c;
    for (lt_check_begin(&c, 1); lt_check_next(&c);) {
        lt_temporal_conv_args f = {.x = LT_IN(&c, 2, 3, 5, 4), .w = LT_IN(&c, 3, 4, 4)};
        f.y = LT_INOUT(&c, 2, 3, 5, 4);
        lt_temporal_conv_args bad = f;
        bad.y = f.x;
        CHECK_FAILS(lt_temporal_conv_forward(&c.ctx, &bad), LT_FAILED, "y is x");
        bad = f, bad.tail = LT_IN(&c, 5, 4); /* without blocks, but there are two */
        CHECK_FAILS(lt_temporal_conv_forward(&c.ctx, &bad), LT_FAILED, "operand tail");
        bad = f, bad.w = LT_IN(&c, 4, 4, 3);
        CHECK_FAILS(lt_temporal_conv_forward(&c.ctx, &bad), LT_FAILED, "operand w");
        bad = f, bad.x = lt_slice(LT_IN(&c, 2, 4, 5, 4), 1, 0, 3); /* a gap between blocks */
        CHECK_FAILS(lt_temporal_conv_forward(&c.ctx, &bad), LT_FAILED, "operand x");
        bad = f, bad.x = bad.y = lt_slice(f.x, 1, 0, 0);
        CHECK_FAILS(lt_temporal_conv_forward(&c.ctx, &bad), LT_FAILED, "0 frames");
        lt_temporal_conv_backward_args b = {.dy = f.y, .x = f.x, .w = f.w, .dx = f.y};
        CHECK_FAILS(lt_temporal_conv_backward(&c.ctx, &b), LT_FAILED, "dx is dy");
        b.dx = (lt_tensor){0}, b.dw = f.w, b.dtail = LT_INOUT(&c, 2, 4, 5);
        CHECK_FAILS(lt_temporal_conv_backward(&c.ctx, &b), LT_FAILED, "operand dtail");
    }
    CHECK_OK(lt_check_end(&c));
}

/* A null context counts without touching memory. Taps that read zero cost nothing; the tail's do. */
static void cost_counts_the_products_that_run(void) {
    float nothing;
    lt_ctx ctx = {.backend = LT_BACKEND_NULL};
    lt_temporal_conv_args f = {.x = LT_VIEW(&nothing, LT_F32, 2, 3, 5, 4),
                               .w = LT_VIEW(&nothing, LT_F32, 3, 4, 4)};
    float other;
    f.y = LT_VIEW(&other, LT_F32, 2, 3, 5, 4);
    lt_cost cost = {0};
    CHECK_OK(lt_op_at(LT_OP_TEMPORAL_CONV)->describe(&ctx, &f, &cost));
    double product = 2 * 5 * 4 * 4, additions = 2 * 3 * 5 * 4;
    CHECK(cost.flops == 2 * (3 + 2 + 2) * product + additions);
    CHECK(cost.bytes == 4 * (2 * 120 + 48) && cost.workspace == 0);
    f.tail = LT_VIEW(&nothing, LT_F32, 2, 5, 4);
    CHECK_OK(lt_op_at(LT_OP_TEMPORAL_CONV)->describe(&ctx, &f, &cost));
    CHECK(cost.flops == 2 * (3 + 3 + 2) * product + additions);
    CHECK(cost.bytes == 4 * (2 * 120 + 48 + 40));
}

/* On CUDA: scratch of GEMMs, and of each block's gradient of w where these are small. */
static void workspace_follows_sizes(void) {
    float nothing;
    lt_ctx ctx = {.backend = LT_BACKEND_CUDA, .dtype = LT_BF16};
    lt_temporal_conv_backward_args b = {.dy = LT_VIEW(&nothing, LT_BF16, 2, 4, 64, 128)};
    b.x = b.dy, b.w = LT_VIEW(&nothing, LT_BF16, 3, 128, 128), b.dw = LT_VIEW(&nothing, LT_F32, 3, 128, 128);
    lt_cost cost = {0};
    CHECK_OK(lt_op_at(LT_OP_TEMPORAL_CONV_BACKWARD)->describe(&ctx, &b, &cost));
    CHECK(cost.workspace == (4 << 20) + 2 * 2 * 128 * 128 * sizeof(float));
    b.x = b.dy = LT_VIEW(&nothing, LT_BF16, 2, 10, 1560, 2240);
    b.w = LT_VIEW(&nothing, LT_BF16, 3, 2240, 2240), b.dw = LT_VIEW(&nothing, LT_F32, 3, 2240, 2240);
    CHECK_OK(lt_op_at(LT_OP_TEMPORAL_CONV_BACKWARD)->describe(&ctx, &b, &cost));
    CHECK(cost.workspace == 32 << 20);
}

int main(int argc, char **argv) {
    RUN(forward_agrees_with_and_without_tail);
    RUN(e4m3_agrees_with_and_without_tail);
    RUN(backward_agrees_with_and_without_tail);
    RUN(backward_adds_to_what_gradients_hold);
    RUN(backward_computes_only_what_is_asked);
    RUN(no_pixels_give_gradients_of_zero);
    RUN(gradients_equal_differences);
    RUN(streaming_equals_all_blocks_at_once);
    RUN(cost_counts_the_products_that_run);
    RUN(workspace_follows_sizes);
    RUN(misfits_are_named);
    return test_end();
}
