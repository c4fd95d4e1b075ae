#include "kernels/check.h"
#include "kernels/glu_depthwise/glu_depthwise.h"
#include "tests/harness.h"

typedef struct size {
    int64_t frames, height, width, half;
} size;

static const size sizes[] = {{1, 1, 1, 1},   {2, 1, 1, 3},    {1, 1, 11, 16}, {3, 9, 1, 31},
                             {5, 7, 9, 60},  {2, 16, 16, 64}, {19, 4, 3, 33}, {40, 3, 2, 5},
                             {1, 5, 6, 112}, {2, 4, 5, 128},  {1, 70, 31, 2}, {2, 30, 52, 48},
                             {1, 45, 80, 6}, {1, 67, 62, 33}, {34, 2, 3, 34}};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* x spreads over the bend of SiLU; taps are about as large as in a trained network. */
static void make_input(lt_check *c, size s, lt_tensor *x, lt_tensor *w, lt_tensor *b) {
    *x = LT_IN(c, s.frames, s.height, s.width, 2 * s.half);
    *w = LT_IN_SUM(c, 3, 3, 2 * s.half);
    *b = LT_IN_SUM(c, 2 * s.half);
    lt_check_affine(x, 2, 0.1);
    lt_check_affine(w, 0.5, 0);
}

static void forward_agrees_at_ragged_sizes(void) {
    for (int i = 0; i < SIZES; i++) {
        size s = sizes[i];
        lt_check c;
        lt_check_begin(&c, 100 + (uint64_t)i);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            lt_glu_depthwise_args f = {0};
            make_input(&c, s, &f.x, &f.w, &f.b);
            f.y = LT_OUT(&c, s.frames, s.height, s.width, s.half);
            LT_CHECK_RUN(&c, lt_glu_depthwise_forward(&c.ctx, &f));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

/* `parts`: bit 0 dx, bit 1 dw and db. */
static lt_status backward_agrees(size s, int parts, bool accumulate, uint64_t seed) {
    lt_check c;
    lt_check_begin(&c, seed);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_GRADIENT;
    while (lt_check_next(&c)) {
        lt_glu_depthwise_backward_args f = {.accumulate_dx = accumulate, .accumulate_dw = accumulate};
        lt_check_role role = accumulate ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
        make_input(&c, s, &f.x, &f.w, &f.b);
        f.dy = LT_IN(&c, s.frames, s.height, s.width, s.half);
        if (parts & 1)
            f.dx = lt_check_operand_new(&c, role, false, LT_DIMS(s.frames, s.height, s.width, 2 * s.half));
        if (parts & 2) f.dw = lt_check_operand_new(&c, role, true, LT_DIMS(3, 3, 2 * s.half));
        if (parts & 2) f.db = lt_check_operand_new(&c, role, true, LT_DIMS(2 * s.half));
        LT_CHECK_RUN(&c, lt_glu_depthwise_backward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

static void backward_agrees_at_ragged_sizes(void) {
    for (int i = 0; i < SIZES; i++) CHECK_OK(backward_agrees(sizes[i], 3, false, 200 + (uint64_t)i));
}

static void backward_adds_to_what_gradients_hold(void) {
    CHECK_OK(backward_agrees((size){3, 7, 9, 60}, 3, true, 1));
    CHECK_OK(backward_agrees((size){1, 1, 1, 1}, 3, true, 2));
}

static void backward_computes_only_what_is_asked(void) {
    CHECK_OK(backward_agrees((size){3, 5, 6, 33}, 1, false, 1));
    CHECK_OK(backward_agrees((size){3, 5, 6, 33}, 2, false, 2));
    CHECK_OK(backward_agrees((size){3, 5, 6, 33}, 0, false, 3));
}

static void no_frames_give_zero_weight_gradients(void) {
    CHECK_OK(backward_agrees((size){0, 5, 6, 3}, 3, false, 1));
    CHECK_OK(backward_agrees((size){2, 0, 6, 3}, 3, false, 2));
}

static void gradients_equal_differences(void) {
    size s = {2, 3, 4, 3};
    lt_check c;
    lt_check_begin(&c, 5);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_glu_depthwise_args f = {0};
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        make_input(&c, s, &f.x, &f.w, &f.b);
        f.y = LT_OUT(&c, s.frames, s.height, s.width, s.half);
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_tensor dy = LT_IN(&c, s.frames, s.height, s.width, s.half);
        lt_glu_depthwise_backward_args b = {.dy = dy,
                                            .x = f.x,
                                            .w = f.w,
                                            .b = f.b,
                                            .dx = LT_OUT(&c, s.frames, s.height, s.width, 2 * s.half),
                                            .dw = LT_OUT_SUM(&c, 3, 3, 2 * s.half),
                                            .db = LT_OUT_SUM(&c, 2 * s.half)};
        LT_CHECK_RUN(&c, lt_glu_depthwise_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_glu_depthwise_backward(&c.ctx, &b));
        lt_check_gradient(&c, "dx", LT_OP_GLU_DEPTHWISE, &f, 1, &f.y, &dy, f.x, &b.dx);
        lt_check_gradient(&c, "dw", LT_OP_GLU_DEPTHWISE, &f, 1, &f.y, &dy, f.w, &b.dw);
        lt_check_gradient(&c, "db", LT_OP_GLU_DEPTHWISE, &f, 1, &f.y, &dy, f.b, &b.db);
    }
    CHECK_OK(lt_check_end(&c));
}

/* A tap in each corner of the window, checked by hand: SiLU(1) = 0.7310585786, identity gate path known. */
static void taps_read_the_published_neighbours(void) {
    lt_check c;
    lt_check_begin(&c, 1);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_glu_depthwise_args f = {
            .x = LT_IN(&c, 1, 3, 3, 2), .w = LT_IN_SUM(&c, 3, 3, 2), .b = LT_IN_SUM(&c, 2)};
        f.y = LT_OUT(&c, 1, 3, 3, 1);
        lt_check_affine(&f.x, 0, 0), lt_check_affine(&f.w, 0, 0), lt_check_affine(&f.b, 0, 0);
        lt_check_set(&f.x, 0, 1); /* pixel (0, 0) of u */
        lt_check_set(&f.w, 0, 3); /* tap (0, 0): reads up and left */
        lt_check_set(&f.b, 1, 1); /* g = 1 everywhere */
        LT_CHECK_RUN(&c, lt_glu_depthwise_forward(&c.ctx, &f));
        double silu = 0.7310585786300049, bound = c.ctx.dtype == LT_BF16 ? 5e-3 : 1e-6;
        for (int i = 0; i < 9; i++) CHECK_NEAR(lt_check_get(&f.y, i), i == 4 ? 3 * silu * silu : 0, bound);
    }
    CHECK_OK(lt_check_end(&c));
}

static void far_inputs_saturate_without_nan(void) {
    lt_check c;
    lt_check_begin(&c, 3);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_GRADIENT;
    while (lt_check_next(&c)) {
        lt_glu_depthwise_backward_args f = {0};
        make_input(&c, (size){1, 4, 4, 8}, &f.x, &f.w, &f.b);
        lt_check_affine(&f.x, 200, 0);
        f.dy = LT_IN(&c, 1, 4, 4, 8);
        f.dx = LT_OUT(&c, 1, 4, 4, 16);
        f.dw = LT_OUT_SUM(&c, 3, 3, 16), f.db = LT_OUT_SUM(&c, 16);
        LT_CHECK_RUN(&c, lt_glu_depthwise_backward(&c.ctx, &f));
        for (int64_t i = 0; i < lt_numel(&f.dx); i++) CHECK(isfinite(lt_check_get(&f.dx, i)));
    }
    CHECK_OK(lt_check_end(&c));
}

static void misfits_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 1);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_glu_depthwise_args f = {
            .x = LT_IN(&c, 1, 2, 3, 8), .w = LT_IN_SUM(&c, 3, 3, 8), .b = LT_IN_SUM(&c, 8)};
        f.y = LT_INOUT(&c, 1, 2, 3, 4);
        lt_glu_depthwise_args bad = f;
        bad.x = LT_IN(&c, 1, 2, 3, 7);
        CHECK_FAILS(lt_glu_depthwise_forward(&c.ctx, &bad), LT_FAILED, "7 channels");
        bad = f, bad.w = LT_IN_SUM(&c, 8, 3, 3);
        CHECK_FAILS(lt_glu_depthwise_forward(&c.ctx, &bad), LT_FAILED, "operand w");
        bad = f, bad.b = (lt_tensor){0};
        CHECK_FAILS(lt_glu_depthwise_forward(&c.ctx, &bad), LT_FAILED, "operand b");
        bad = f, bad.y = f.x;
        CHECK_FAILS(lt_glu_depthwise_forward(&c.ctx, &bad), LT_FAILED, "operand y");
        bad = f, bad.x = lt_slice(LT_IN(&c, 1, 2, 3, 16), 3, 0, 8);
        CHECK_FAILS(lt_glu_depthwise_forward(&c.ctx, &bad), LT_FAILED, "operand x");
        lt_glu_depthwise_backward_args b = {
            .x = f.x, .w = f.w, .b = f.b, .dy = f.y, .dw = LT_INOUT_SUM(&c, 3, 3, 8)};
        CHECK_FAILS(lt_glu_depthwise_backward(&c.ctx, &b), LT_FAILED, "both or neither");
    }
    CHECK_OK(lt_check_end(&c));
}

/* A null context counts without touching memory; scratch does not grow with the number of frames. */
static void cost_scales_with_frames_but_scratch_does_not(void) {
    float nothing;
    lt_ctx ctx = {.backend = LT_BACKEND_NULL};
    lt_cost cost[2] = {0};
    for (int64_t i = 0; i < 2; i++) {
        int64_t frames = i ? 640 : 64;
        lt_glu_depthwise_backward_args b = {.x = LT_VIEW(&nothing, LT_F32, frames, 16, 16, 512),
                                            .dy = LT_VIEW(&nothing, LT_F32, frames, 16, 16, 256),
                                            .w = LT_VIEW(&nothing, LT_F32, 3, 3, 512),
                                            .b = LT_VIEW(&nothing, LT_F32, 512)};
        b.dx = b.x, b.dw = b.w, b.db = b.b;
        CHECK_OK(lt_op_at(LT_OP_GLU_DEPTHWISE_BACKWARD)->describe(&ctx, &b, &cost[i]));
        double weights = 2 * 10 * 512, tokens = (double)frames * 16 * 16;
        CHECK(cost[i].bytes == 4 * (tokens * (512 + 512 + 256) + weights));
    }
    CHECK(cost[1].flops == 10 * cost[0].flops && cost[0].flops > 0);
    CHECK(cost[1].workspace == cost[0].workspace && cost[0].workspace > 0);
}

int main(int argc, char **argv) {
    RUN(forward_agrees_at_ragged_sizes);
    RUN(backward_agrees_at_ragged_sizes);
    RUN(backward_adds_to_what_gradients_hold);
    RUN(backward_computes_only_what_is_asked);
    RUN(no_frames_give_zero_weight_gradients);
    RUN(gradients_equal_differences);
    RUN(taps_read_the_published_neighbours);
    RUN(far_inputs_saturate_without_nan);
    RUN(cost_scales_with_frames_but_scratch_does_not);
    RUN(misfits_are_named);
    return test_end();
}
