#include "kernels/check.h"
#include "kernels/loss/loss.h"
#include "tests/harness.h"

typedef struct size {
    int64_t groups, count;
} size;

/* 8192 elements make a chunk. */
static const size sizes[] = {{1, 1},    {3, 63},    {2, 8191},   {2, 8192},
                             {2, 8193}, {5, 30000}, {1, 100000}, {0, 7}};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Rows lie `gap` elements further apart than they are long. */
static lt_tensor rows(lt_check *c, lt_check_role role, size s, int64_t gap) {
    return lt_slice(lt_check_operand_new(c, role, true, LT_DIMS(s.groups, s.count + gap)), 1, 0, s.count);
}

static lt_status forward_agrees(size s, int64_t gap, uint64_t seed) {
    lt_check c;
    for (lt_check_begin(&c, seed), c.bf16 = true; lt_check_next(&c);) {
        lt_mse_args f = {.prediction = rows(&c, LT_CHECK_INPUT, s, gap),
                         .target = rows(&c, LT_CHECK_INPUT, s, 2 * gap)};
        f.loss = LT_OUT_SUM(&c, s.groups);
        LT_CHECK_RUN(&c, lt_mse_forward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

static void forward_agrees_at_ragged_and_strided_sizes(void) {
    for (int i = 0; i < SIZES; i++) {
        CHECK_OK(forward_agrees(sizes[i], 0, (uint64_t)i));
        CHECK_OK(forward_agrees(sizes[i], 5, (uint64_t)i));
    }
}

static lt_status backward_agrees(size s, int64_t gap, bool accumulate, uint64_t seed) {
    lt_check c;
    for (lt_check_begin(&c, seed), c.bf16 = true; lt_check_next(&c);) {
        lt_mse_backward_args f = {.prediction = rows(&c, LT_CHECK_INPUT, s, gap),
                                  .target = rows(&c, LT_CHECK_INPUT, s, 0),
                                  .dloss = LT_IN_SUM(&c, s.groups)};
        lt_check_role role = accumulate ? LT_CHECK_BOTH : gap ? LT_CHECK_PARTLY : LT_CHECK_OUTPUT;
        f.dprediction = rows(&c, role, s, gap), f.accumulate_dprediction = accumulate;
        LT_CHECK_RUN(&c, lt_mse_backward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

static void backward_agrees_and_accumulates(void) {
    for (int i = 0; i < SIZES; i++)
        for (int mode = 0; mode < 4; mode++)
            CHECK_OK(backward_agrees(sizes[i], mode & 2 ? 3 : 0, mode & 1, (uint64_t)i));
}

static void gradient_equals_differences(void) {
    size s = {3, 7};
    lt_check c;
    for (lt_check_begin(&c, 6); lt_check_next(&c);) {
        lt_mse_args f = {.prediction = rows(&c, LT_CHECK_INPUT, s, 2),
                         .target = rows(&c, LT_CHECK_INPUT, s, 0)};
        f.loss = LT_OUT(&c, 3);
        lt_mse_backward_args b = {.prediction = f.prediction, .target = f.target, .dloss = LT_IN(&c, 3)};
        b.dprediction = LT_OUT(&c, 3, 7);
        LT_CHECK_RUN(&c, lt_mse_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_mse_backward(&c.ctx, &b));
        lt_check_gradient(&c, "dprediction", LT_OP_MSE, &f, 1, &f.loss, &b.dloss, f.prediction,
                          &b.dprediction);
    }
    CHECK_OK(lt_check_end(&c));
}

/* Each square is the same number, so the mean is known to the last bit of float32; a float32 sum drifts. */
static void long_sums_keep_their_precision(void) {
    lt_device *device;
    CHECK_OK(lt_device_open("cpu", &device));
    lt_arena scratch;
    CHECK_OK(lt_arena_init(&scratch, device, 1 << 20, "scratch"));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_CPU, .scratch = &scratch};
    int64_t count = 18000000;
    float *values = malloc((size_t)count * sizeof *values), loss = 0;
    CHECK(values != NULL);
    for (int64_t i = 0; values && i < count; i++) values[i] = 0.1f;
    lt_mse_args f = {.prediction = LT_VIEW(values, LT_F32, 1, count), .loss = LT_VIEW(&loss, LT_F32, 1)};
    f.target = LT_VIEW(values, LT_F32, 1, count);
    CHECK_OK(lt_mse_forward(&ctx, &f));
    CHECK(loss == 0);
    float *zeros = calloc((size_t)count, sizeof *zeros);
    CHECK(zeros != NULL);
    f.target = LT_VIEW(zeros, LT_F32, 1, count);
    CHECK_OK(lt_mse_forward(&ctx, &f));
    CHECK_NEAR((double)loss, (double)0.1f * (double)0.1f, 1e-9);
    free(values), free(zeros);
    lt_arena_free(&scratch);
    lt_device_close(device);
}

static void misfits_are_named(void) {
    lt_check c;
    for (lt_check_begin(&c, 1); lt_check_next(&c);) {
        lt_mse_args f = {.prediction = LT_IN(&c, 3, 7), .target = LT_IN(&c, 3, 7), .loss = LT_INOUT(&c, 3)};
        lt_mse_args bad = f;
        bad.target = LT_IN(&c, 3, 8);
        CHECK_FAILS(lt_mse_forward(&c.ctx, &bad), LT_FAILED, "operand target");
        bad = f, bad.loss = LT_INOUT(&c, 1);
        CHECK_FAILS(lt_mse_forward(&c.ctx, &bad), LT_FAILED, "operand loss");
        bad = f, bad.prediction = lt_slice(f.prediction, 1, 0, 0);
        CHECK_FAILS(lt_mse_forward(&c.ctx, &bad), LT_FAILED, "groups of 0 elements");
        lt_mse_backward_args b = {.prediction = f.prediction, .target = f.target, .dloss = f.loss};
        CHECK_FAILS(lt_mse_backward(&c.ctx, &b), LT_FAILED, "operand dprediction");
    }
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(forward_agrees_at_ragged_and_strided_sizes);
    RUN(backward_agrees_and_accumulates);
    RUN(gradient_equals_differences);
    RUN(long_sums_keep_their_precision);
    RUN(misfits_are_named);
    return test_end();
}
