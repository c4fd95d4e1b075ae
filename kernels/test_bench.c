#include "kernels/bench.h"
#include "kernels/bench_cases.h"
#include "tests/harness.h"

static lt_bench_row rows[8];
static int row_count;

static void keep(const lt_bench_row *row, void *user) {
    (void)user;
    if (row_count < 8) rows[row_count++] = *row;
}

static void every_op_has_a_benchmark(void) {
    for (int id = 0; id < LT_OP_COUNT; id++) {
        CHECK(lt_bench_setup_of((lt_op_id)id) != NULL);
        if (!lt_bench_setup_of((lt_op_id)id)) printf("op %s has none\n", lt_op_at((lt_op_id)id)->name);
    }
}

static void every_benchmark_is_a_call_that_runs(void) {
    lt_device *device;
    lt_bench *b;
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_OK(lt_bench_open(device, &b));
    b->blocks = 2, b->channels = 64;
    for (int id = 0; id < LT_OP_COUNT; id++) {
        if (!lt_bench_setup_of((lt_op_id)id)) continue;
        size_t mark = lt_arena_mark(&b->arena);
        lt_bench_setup_of((lt_op_id)id)(b);
        CHECK_OK(b->status);
        CHECK_OK(lt_op_run(&b->ctx, (lt_op_id)id, b->args.bytes));
        lt_arena_release(&b->arena, mark);
    }
    lt_bench_close(b);
    lt_device_close(device);
}

static void a_row_says_time_rate_and_share(void) {
    lt_device *device;
    lt_bench_limits limits;
    CHECK_OK(lt_device_open("cpu", &device));
    row_count = 0;
    CHECK_OK(lt_bench_ops(device, "gated_residual", &limits, keep, NULL));
    CHECK(row_count == 3 && limits.gflops > 0 && limits.gbytes > 0);
    for (int i = 0; i < row_count; i++) {
        const lt_bench_row *r = &rows[i];
        double bytes = 3.0 * 4 * (double)(r->tokens * r->channels);
        CHECK(strcmp(r->op, "gated_residual") == 0 && r->share > 0 && r->ms > 0);
        CHECK_NEAR(r->gbytes * r->ms * 1e6 / bytes, 1, 1e-9);
    }
    CHECK(rows[0].tokens == 256 && rows[1].tokens == 2048 && rows[2].channels == 512);
    CHECK(device->allocated_bytes == 0);
    lt_device_close(device);
}

static void unknown_ops_and_the_null_device_are_refused(void) {
    lt_device *cpu, *null;
    CHECK_OK(lt_device_open("cpu", &cpu));
    CHECK_OK(lt_device_open("null", &null));
    CHECK_FAILS(lt_bench_ops(cpu, "gated_residuel", NULL, keep, NULL), LT_USAGE,
                "did you mean \"gated_residual\"?");
    CHECK_FAILS(lt_bench_ops(null, NULL, NULL, keep, NULL), LT_UNAVAILABLE, "null");
    lt_device_close(cpu);
    lt_device_close(null);
}

int main(int argc, char **argv) {
    RUN(every_op_has_a_benchmark);
    RUN(every_benchmark_is_a_call_that_runs);
    RUN(a_row_says_time_rate_and_share);
    RUN(unknown_ops_and_the_null_device_are_refused);
    return test_end();
}
