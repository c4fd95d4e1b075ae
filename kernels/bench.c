#include "kernels/bench.h"

#include "core/config.h"
#include "core/rng.h"
#include "kernels/bench_cases.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/linear/linear.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COPY_SIZES = 5, MOST_REPEATS = 400, FEWEST_REPEATS = 7 };
static const double seconds_per_row = 0.1;
static const size_t operand_bytes = (size_t)1 << 30;
static const size_t scratch_bytes = (size_t)128 << 20;

/* Best rates: FLOP/s, and bandwidth of copies that move 1, 4, 16, 64, 256 MiB (caches make the small ones faster). */
typedef struct {
    double flops, bytes[COPY_SIZES];
} measured;

static double copy_bytes(int size) { return (double)((size_t)1 << (20 + 2 * size)); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one call, after two that warm up: what it usually takes, and the least it took. */
typedef struct {
    double median, best;
} timing;

static lt_status time_call(lt_ctx *ctx, lt_op_id id, const void *args, timing *out) {
    double times[MOST_REPEATS], begin = 0;
    int count = 0;
    for (int i = -2; i < MOST_REPEATS; i++) {
        if (i == 0) begin = now();
        double start = now();
        LT_TRY(lt_op_run(ctx, id, args));
        LT_TRY(lt_device_synchronize(ctx->device, ctx->stream));
        if (i >= 0) times[count++] = now() - start;
        if (count >= FEWEST_REPEATS && now() - begin > seconds_per_row) break;
    }
    qsort(times, (size_t)count, sizeof *times, by_value);
    *out = (timing){times[count / 2], times[0]};
    return LT_OK;
}

lt_tensor lt_bench_tensor(lt_bench *bench, int ndim, const int64_t *shape) {
    lt_tensor t = {0};
    lt_status status = lt_tensor_new(&bench->arena, lt_ctx_dtype(&bench->ctx), &t, ndim, shape);
    size_t bytes = status == LT_OK ? lt_nbytes(&t) : 0, noise = LT_BENCH_NOISE * sizeof(float);
    for (size_t done = 0; status == LT_OK && done < bytes; done += noise)
        status = lt_device_copy(bench->ctx.device, bench->ctx.stream, (char *)t.data + done, bench->noise,
                                bytes - done < noise ? bytes - done : noise, LT_COPY_TO_DEVICE);
    if (bench->status == LT_OK) bench->status = status;
    return t;
}

static lt_status measure_limits(lt_bench *b, measured *m) {
    timing t;
    size_t mark = lt_arena_mark(&b->arena);
    int64_t n = 1024;
    lt_linear_args product = {.x = LT_BENCH_TENSOR(b, n, n), .w = LT_BENCH_TENSOR(b, n, n)};
    product.y = LT_BENCH_TENSOR(b, n, n);
    LT_TRY(b->status);
    LT_TRY(time_call(&b->ctx, LT_OP_LINEAR, &product, &t));
    m->flops = 2.0 * (double)(n * n * n) / t.best;
    lt_arena_release(&b->arena, mark);
    for (int i = 0; i < COPY_SIZES; i++) {
        int64_t count = (int64_t)(copy_bytes(i) / (2 * (double)lt_dtype_size(lt_ctx_dtype(&b->ctx))));
        lt_copy_args copy = {LT_BENCH_TENSOR(b, count), LT_BENCH_TENSOR(b, count), 1, false};
        LT_TRY(b->status);
        LT_TRY(time_call(&b->ctx, LT_OP_COPY, &copy, &t));
        m->bytes[i] = copy_bytes(i) / t.best;
        lt_arena_release(&b->arena, mark);
    }
    return LT_OK;
}

/* The bandwidth of the smallest measured copy that moves at least this much. */
static double bandwidth_for(const measured *m, double bytes) {
    int i = 0;
    while (i + 1 < COPY_SIZES && copy_bytes(i) < bytes) i++;
    return m->bytes[i];
}

static lt_status measure_row(lt_bench *b, lt_op_id id, const measured *m, lt_bench_row *row) {
    const lt_op *op = lt_op_at(id);
    lt_bench_setup setup = lt_bench_setup_of(id);
    LT_CHECK(setup, LT_FAILED, "op %s: no benchmark is described; add one to kernels/bench_cases.c",
             op->name);
    size_t mark = lt_arena_mark(&b->arena);
    setup(b);
    if (b->status != LT_OK) return lt_fail_in(b->status, "benchmark of %s", op->name);
    lt_cost cost = {0};
    timing t;
    LT_TRY(op->describe(&b->ctx, b->args.bytes, &cost));
    LT_TRY(time_call(&b->ctx, id, b->args.bytes, &t));
    lt_arena_release(&b->arena, mark);
    double seconds = t.median, compute = cost.flops / m->flops,
           move = cost.bytes / bandwidth_for(m, cost.bytes);
    *row = (lt_bench_row){.op = op->name,
                          .tokens = b->blocks * b->rope.frames * b->rope.height * b->rope.width,
                          .channels = b->channels,
                          .ms = 1e3 * seconds,
                          .gflops = 1e-9 * cost.flops / seconds,
                          .gbytes = 1e-9 * cost.bytes / seconds,
                          .compute_bound = compute > move,
                          .share = (compute > move ? compute : move) / seconds};
    return LT_OK;
}

/* -1: all ops. */
static lt_status find_op(const char *name, int *found) {
    const char *names[LT_OP_COUNT];
    *found = -1;
    if (!name || strcmp(name, "all") == 0) return LT_OK;
    for (int i = 0; i < LT_OP_COUNT; i++) {
        names[i] = lt_op_at((lt_op_id)i)->name;
        if (strcmp(names[i], name) == 0) *found = i;
    }
    if (*found >= 0) return LT_OK;
    const char *near = lt_nearest(name, names, LT_OP_COUNT);
    return lt_fail(LT_USAGE, "there is no op \"%s\"%s%s%s; `longtake list ops` shows them", name,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

lt_status lt_bench_open(lt_device *device, lt_bench **out) {
    lt_bench *b = *out = calloc(1, sizeof *b);
    LT_CHECK(b, LT_FAILED, "bench: out of memory");
    b->ctx = (lt_ctx){.device = device, .backend = device->ops->backend, .scratch = &b->scratch};
    b->rope = (lt_rope){.frames = 4, .height = 8, .width = 8, .theta = 10000};
    b->noise = malloc(LT_BENCH_NOISE * sizeof *b->noise);
    LT_CHECK(b->noise, LT_FAILED, "bench: out of memory");
    lt_rng_key key = {.purpose = LT_RNG_TEST};
    lt_rng_fill_normal(&key, 0, LT_BENCH_NOISE, b->noise);
    if (device->ops->stream_create) LT_TRY(device->ops->stream_create(device, &b->ctx.stream));
    LT_TRY(lt_arena_init(&b->scratch, device, scratch_bytes, "scratch"));
    return lt_arena_init(&b->arena, device, operand_bytes, "benchmark operands");
}

void lt_bench_close(lt_bench *b) {
    if (!b) return;
    lt_arena_free(&b->arena);
    lt_arena_free(&b->scratch);
    if (b->ctx.stream) b->ctx.device->ops->stream_destroy(b->ctx.device, b->ctx.stream);
    free(b->noise);
    free(b);
}

static lt_status run_all(lt_bench *b, int only, lt_bench_limits *limits, lt_bench_visit visit, void *user) {
    static const struct { int64_t blocks, channels; } sizes[] = {{1, 128}, {8, 128}, {8, 512}};
    measured m;
    LT_TRY(measure_limits(b, &m));
    if (limits) *limits = (lt_bench_limits){1e-9 * m.flops, 1e-9 * m.bytes[COPY_SIZES - 1]};
    for (int id = 0; id < LT_OP_COUNT; id++)
        for (int i = 0; i < 3; i++) {
            if (only >= 0 && id != only) break;
            lt_bench_row row;
            b->blocks = sizes[i].blocks;
            b->channels = sizes[i].channels;
            LT_TRY(measure_row(b, (lt_op_id)id, &m, &row));
            visit(&row, user);
        }
    return LT_OK;
}

lt_status lt_bench_ops(lt_device *device, const char *name, lt_bench_limits *limits, lt_bench_visit visit,
                       void *user) {
    LT_CHECK(!lt_device_is_null(device), LT_UNAVAILABLE, "the null device runs nothing; use cpu");
    int only;
    LT_TRY(find_op(name, &only));
    lt_bench *b;
    lt_status status = lt_bench_open(device, &b);
    if (status == LT_OK) status = run_all(b, only, limits, visit, user);
    lt_bench_close(b);
    return status;
}
