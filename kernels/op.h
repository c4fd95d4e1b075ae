/* Ops and the table that serves them.
 *
 * An op is a folder: `op.h` (arguments, mathematics), `op.c` (description: shape checks, can_run with a reason, FLOPs,
 * bytes, workspace), `naive.c` (float64 reference, plain loops), `cpu.c` (fast float32), later `cuda.cu`, and
 * `test.c`. The row in ops.def ties them together. One generic launcher serves all of them:
 *
 *     describe (checks shapes, says what it costs)  ->  workspace from the scratch arena  ->  backend function
 *
 * so the planner on the null device, the benchmark and the real run read the same numbers.
 *
 * Conventions, everywhere: x is input, y output, w weight, b bias; dx is the gradient of x. `accumulate_dx` true adds
 * to what dx holds, false overwrites it. An empty tensor (data NULL) for an optional operand means "absent"; an empty
 * gradient is not computed. Floating operands of one call share one dtype: float64 on naive, float32 on cpu (where an
 * op says otherwise, it says so). Leading dimensions may be strided as lt_as_rows allows unless an op says contiguous.
 */
#ifndef LT_KERNELS_OP_H
#define LT_KERNELS_OP_H

#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_op_id {
#define LT_OP(ID, name) LT_OP_##ID,
#include "kernels/ops.def"
#undef LT_OP
    LT_OP_COUNT
} lt_op_id;

/* What one call costs, computed from shapes alone. */
typedef struct lt_cost {
    double flops;     /* multiply and add count as two */
    double bytes;     /* each operand moved once */
    size_t workspace; /* scratch bytes for the backend asked */
} lt_cost;

/* Totals per op, filled by the launcher when a context has a meter. */
typedef struct lt_meter {
    struct {
        int64_t calls;
        double flops, bytes, seconds;
    } op[LT_OP_COUNT];
    double flops, bytes;
    /* count seconds too: those until a call returns; on cuda, with sync, those until it is complete */
    bool timed;
} lt_meter;

/* Where and how ops run. One per stream; not shared between threads. */
typedef struct lt_ctx {
    lt_device *device;
    /* usually device->ops->backend; naive on host memory for references; any on a null device, which counts what that
     * backend would take and runs nothing */
    lt_backend backend;
    lt_stream *stream;
    lt_arena *scratch; /* workspaces; holds nothing between ops */
    lt_meter *meter;   /* or NULL */
    /* LT_BF16: activations and matrices in bf16 (cuda); else the backend's own, see lt_ctx_dtype */
    lt_dtype dtype;
    bool sync;        /* wait after each op and name the one that failed */
    lt_status sticky; /* first device failure; no op runs after it */
} lt_ctx;

/* Checks `args` for this context's backend: LT_FAILED with the reason if it cannot run, else fills `cost`. */
typedef lt_status (*lt_describe_fn)(const lt_ctx *ctx, const void *args, lt_cost *cost);
typedef lt_status (*lt_kernel_fn)(lt_ctx *ctx, const void *args, void *workspace);

typedef struct lt_op {
    const char *name;
    lt_describe_fn describe;
    lt_kernel_fn run[LT_BACKEND_COUNT]; /* NULL: not available there. The null column is never called. */
} lt_op;

/* Row of the table; NULL for a number that no op has. */
const lt_op *lt_op_at(lt_op_id id);

/* The launcher. Typed wrappers (lt_linear_forward, ...) call it; nothing else does. */
lt_status lt_op_run(lt_ctx *ctx, lt_op_id id, const void *args);

/* The dtype of activations and of the matrices they are multiplied with: float64 on naive; bf16 where ctx->dtype says
 * so; else float32. */
lt_dtype lt_ctx_dtype(const lt_ctx *ctx);
/* The dtype of everything that sums or steers: S and z, weights of entries, gradients of parameters, biases, norms,
 * tables, modulation, latents, losses. float64 on naive, else float32. */
lt_dtype lt_ctx_sum_dtype(const lt_ctx *ctx);
/* The dtype of matrices in e4m3, whose rows have a scale each (a sum): on naive their numbers in float64. */
lt_dtype lt_ctx_e4m3_dtype(const lt_ctx *ctx);

/* For describe functions: LT_FAILED naming op, operand and both shapes unless `t` has this many dimensions with these
 * sizes (-1: any) and dtype. `optional` lets an empty tensor pass. */
lt_status lt_expect(const char *op, const char *operand, const lt_tensor *t, lt_dtype dtype, bool optional,
                    int ndim, const int64_t *shape);
#define LT_EXPECT(op, operand, t, dtype, optional, ...)                                                      \
    lt_expect((op), (operand), (t), (dtype), (optional), LT_DIMS(__VA_ARGS__))
/* LT_FAILED unless the tensor collapses to rows with unit column stride (lt_as_rows with `inner`). */
lt_status lt_expect_rows(const char *op, const char *operand, const lt_tensor *t, int inner);
/* Both at once for [..., columns]: `rows` rows in all (-1: any), at one distance. */
lt_status lt_expect_matrix(const char *op, const char *operand, const lt_tensor *t, lt_dtype dtype,
                           bool optional, int64_t rows, int64_t columns);

#ifdef __cplusplus
}
#endif
#endif
