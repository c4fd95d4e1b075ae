#include "kernels/check.h"
#include "kernels/glu_depthwise/cuda_cut.h"
#include "kernels/testing_device.h"
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

/* y in e4m3 is what rounding makes of y in the dtype of activations. A pixel far above the others in one channel, where there is more
 * than one. */
static void forward_in_e4m3(size s) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(s.width + s.half)), c.bf16 = true; lt_check_next(&c);) {
        lt_glu_depthwise_args f = {0}, g;
        make_input(&c, s, &f.x, &f.w, &f.b);
        if (lt_numel(&f.x) > 2 * s.half) lt_check_set(&f.x, 2 * s.half + 5, 1e3);
        g = f;
        f.y = LT_OUT(&c, s.frames, s.height, s.width, s.half);
        g.y = LT_OUT_E4M3(&c, s.frames, s.height, s.width, s.half);
        g.y_scale = LT_OUT_SUM(&c, s.frames, s.height, s.width);
        LT_CHECK_RUN(&c, lt_glu_depthwise_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_glu_depthwise_forward(&c.ctx, &g));
        if (!c.skipped) CHECK(lt_check_coded(&f.y, &g.y, &g.y_scale));
    }
    CHECK_OK(lt_check_end(&c));
}

static void y_in_e4m3_has_the_bits_of_rounding_it(void) {
    static const size some[] = {{1, 1, 1, 16},  {3, 9, 1, 32},   {1, 1, 11, 48},  {5, 7, 9, 112},
                                {2, 8, 5, 128}, {2, 30, 52, 64}, {1, 3, 2, 4112}, {1, 2, 3, 8336},
                                {0, 5, 6, 16},  {2, 0, 6, 16}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) forward_in_e4m3(some[i]);
}

/* On a GPU y passes through the workspace in parts: several frames, one, bands of rows, of frames of either shape. */
static void parts_of_y_in_e4m3_make_the_whole(void) {
    static const size some[] = {{3, 13, 20, 4112}, {1, 46, 81, 1712}, {1, 81, 46, 896}};
    if (strcmp(test_device(), "cpu") == 0) {
        printf("no GPU: skipped\n");
        return;
    }
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) forward_in_e4m3(some[i]);
}

/* Every pixel lies in one part, and all parts fit into the workspace. */
static void parts_cover_every_row_once(void) {
    static const size some[] = {{21, 30, 52, 6720}, {21, 52, 30, 6720}, {11, 45, 80, 6720}, {7, 13, 20, 4112},
                                {3, 1, 1, 1 << 24}, {40, 3, 2, 16},     {1, 1, 1, 16},      {0, 4, 4, 16}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        for (size_t element = 2; element <= 4; element += 2) {
            lt_glu_shape s = {some[i].frames, some[i].height, some[i].width, some[i].half};
            lt_glu_parts parts = lt_glu_parts_of(s, element);
            int64_t next = 0; /* frame and row */
            for (int64_t k = 0; k < parts.count; k++) {
                lt_glu_part p = lt_glu_part_at(s, &parts, k);
                CHECK(p.frame * s.height + p.row == next && (p.frames == 1 || p.rows == s.height));
                CHECK(p.frames * p.rows > 0 && p.frames * p.rows * s.width * s.half <= parts.elements);
                next += p.frames > 1 ? p.frames * s.height : p.rows;
            }
            CHECK(next == s.frames * s.height);
            CHECK(lt_glu_depthwise_cuda_workspace(s, element) <=
                  (some[i].half > 1 << 20 ? 1 << 30 : 3 * LT_GLU_CUDA_PART_BYTES));
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
        bad = f, bad.y_scale = LT_INOUT_SUM(&c, 1, 2, 3), bad.y.dtype = lt_ctx_e4m3_dtype(&c.ctx);
        CHECK_FAILS(lt_glu_depthwise_forward(&c.ctx, &bad), LT_FAILED, "multiple of 16");
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

/* As the planner sees it, at the sizes of 2B in 480p. */
static void scratch_of_y_in_e4m3_on_a_gpu_is_two_parts(void) {
    float nothing;
    lt_ctx ctx = {.backend = LT_BACKEND_CUDA, .dtype = LT_BF16};
    lt_cost plain[2] = {0}, coded[2] = {0};
    for (int64_t i = 0; i < 2; i++) {
        int64_t frames = i ? 21 : 6, pixels = frames * 30 * 52;
        lt_glu_depthwise_args f = {.x = LT_VIEW(&nothing, LT_BF16, frames, 30, 52, 13440),
                                   .w = LT_VIEW(&nothing, LT_F32, 3, 3, 13440),
                                   .b = LT_VIEW(&nothing, LT_F32, 13440),
                                   .y = LT_VIEW(&nothing, LT_BF16, frames, 30, 52, 6720)};
        CHECK_OK(lt_op_at(LT_OP_GLU_DEPTHWISE)->describe(&ctx, &f, &plain[i]));
        f.y.dtype = LT_E4M3, f.y_scale = LT_VIEW(&nothing, LT_F32, frames, 30, 52);
        CHECK_OK(lt_op_at(LT_OP_GLU_DEPTHWISE)->describe(&ctx, &f, &coded[i]));
        CHECK(plain[i].bytes - coded[i].bytes == (double)(pixels * (6720 - 4)));
        CHECK(coded[i].flops == plain[i].flops && plain[i].workspace == 0);
    }
    CHECK(coded[0].workspace == coded[1].workspace && coded[0].workspace > LT_GLU_CUDA_PART_BYTES);
    CHECK(coded[0].workspace <= 2 * LT_GLU_CUDA_PART_BYTES + 2 * 4 * 52 * 6720 * 2); /* whole tiles */
}

int main(int argc, char **argv) {
    RUN(forward_agrees_at_ragged_sizes);
    RUN(y_in_e4m3_has_the_bits_of_rounding_it);
    RUN(parts_of_y_in_e4m3_make_the_whole);
    RUN(parts_cover_every_row_once);
    RUN(backward_agrees_at_ragged_sizes);
    RUN(backward_adds_to_what_gradients_hold);
    RUN(backward_computes_only_what_is_asked);
    RUN(no_frames_give_zero_weight_gradients);
    RUN(gradients_equal_differences);
    RUN(taps_read_the_published_neighbours);
    RUN(far_inputs_saturate_without_nan);
    RUN(cost_scales_with_frames_but_scratch_does_not);
    RUN(scratch_of_y_in_e4m3_on_a_gpu_is_two_parts);
    RUN(misfits_are_named);
    return test_end();
}
