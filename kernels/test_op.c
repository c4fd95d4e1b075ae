#include "kernels/elementwise/elementwise.h"
#include "kernels/linear/linear.h"
#include "tests/harness.h"

static float values[1 << 12];

static void every_op_has_a_name_a_description_and_two_backends(void) {
    for (int id = 0; id < LT_OP_COUNT; id++) {
        const lt_op *op = lt_op_at((lt_op_id)id);
        CHECK(op && op->name && op->describe && op->run[LT_BACKEND_NAIVE] && op->run[LT_BACKEND_CPU]);
        CHECK(!op->run[LT_BACKEND_NULL]);
    }
    CHECK(lt_op_at(LT_OP_COUNT) == NULL && lt_op_at((lt_op_id)-1) == NULL);
}

static void the_null_device_counts_cost_and_workspace_and_touches_nothing(void) {
    lt_device *device;
    lt_arena arena, scratch;
    lt_meter meter = {0};
    CHECK_OK(lt_device_open("null", &device));
    CHECK_OK(lt_arena_init(&arena, device, 0, "step"));
    CHECK_OK(lt_arena_init(&scratch, device, 0, "scratch"));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_NULL, .scratch = &scratch, .meter = &meter};
    lt_linear_backward_args a = {0};
    CHECK_OK(LT_NEW(&arena, LT_F32, &a.dy, 1000, 30));
    CHECK_OK(LT_NEW(&arena, LT_F32, &a.w, 30, 20));
    CHECK_OK(LT_NEW(&arena, LT_F32, &a.dx, 1000, 20));
    CHECK_OK(LT_NEW(&arena, LT_F32, &a.db, 30));
    CHECK_OK(lt_linear_backward(&ctx, &a));
    CHECK_OK(lt_linear_backward(&ctx, &a));
    CHECK(meter.op[LT_OP_LINEAR_BACKWARD].calls == 2);
    CHECK_NEAR(meter.flops, 2.0 * (2.0 * 1000 * 30 * 20 + 1000 * 30), 0.5);
    CHECK(meter.bytes == meter.op[LT_OP_LINEAR_BACKWARD].bytes && meter.bytes > 0);
    CHECK(scratch.used == 0 &&
          scratch.peak == 2048); /* 16 pieces of 30 floats, rounded up to LT_ARENA_ALIGN */
    lt_arena_free(&arena);
    lt_arena_free(&scratch);
    lt_device_close(device);
}

static void no_op_runs_after_the_device_failed(void) {
    lt_device *device;
    CHECK_OK(lt_device_open("cpu", &device));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_CPU, .sync = true};
    lt_copy_args a = {LT_VIEW(values, LT_F32, 8), LT_VIEW(values + 8, LT_F32, 8), 1, false};
    CHECK_OK(lt_copy(&ctx, &a));
    ctx.sticky = LT_FAILED;
    CHECK_FAILS(lt_copy(&ctx, &a), LT_FAILED, "op copy was not run: the device failed before it");
    lt_device_close(device);
}

static void missing_backends_and_short_scratch_are_named(void) {
    lt_device *device;
    CHECK_OK(lt_device_open("cpu", &device));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_CPU};
    lt_sum_args a = {LT_VIEW(values, LT_F32, 1, 64), LT_VIEW(values + 64, LT_F32, 1)};
    CHECK_FAILS(lt_sum(&ctx, &a), LT_FAILED, "op sum: needs 8 bytes of workspace");
    lt_arena small;
    CHECK_OK(lt_arena_init(&small, device, 0, "scratch"));
    ctx.scratch = &small;
    CHECK_FAILS(lt_sum(&ctx, &a), LT_FAILED, "op sum: ");
    lt_arena_free(&small);
    if (!lt_op_at(LT_OP_SUM)->run[LT_BACKEND_CUDA]) {
        ctx.backend = LT_BACKEND_CUDA;
        CHECK_FAILS(lt_sum(&ctx, &a), LT_UNAVAILABLE, "op sum: not available on backend cuda");
    }
    lt_device_close(device);
}

static void expectations_name_op_operand_and_both_shapes(void) {
    lt_tensor t = LT_VIEW(values, LT_F32, 4, 6), none = {0};
    CHECK_OK(LT_EXPECT("op", "x", &t, LT_F32, false, 4, -1));
    CHECK_OK(LT_EXPECT("op", "x", &none, LT_F32, true, 4, -1));
    CHECK_FAILS(LT_EXPECT("op", "x", &none, LT_F32, false, 4), LT_FAILED,
                "operand x is an empty tensor, expected f32[4]");
    CHECK_FAILS(LT_EXPECT("op", "x", &t, LT_F64, false, 4, -1), LT_FAILED,
                "x is f32[4,6], expected f64[4,*]");
    CHECK_FAILS(LT_EXPECT("op", "x", &t, LT_F32, false, 24), LT_FAILED, "x is f32[4,6], expected f32[24]");
    lt_tensor turned = t;
    turned.stride[0] = 1, turned.stride[1] = 4;
    CHECK_FAILS(lt_expect_rows("op", "x", &turned, 1), LT_FAILED, "op op: operand x f32[4,6] is not rows");
    CHECK_FAILS(lt_expect_matrix("op", "x", &t, LT_F32, false, 5, 6), LT_FAILED,
                "expected f32[...,6] with 5 rows");
}

int main(int argc, char **argv) {
    RUN(every_op_has_a_name_a_description_and_two_backends);
    RUN(the_null_device_counts_cost_and_workspace_and_touches_nothing);
    RUN(no_op_runs_after_the_device_failed);
    RUN(missing_backends_and_short_scratch_are_named);
    RUN(expectations_name_op_operand_and_both_shapes);
    return test_end();
}
