/* Checking an op: the same call on float64 naive, then on float32 cpu with 1 and with 2 threads; with
 * LT_TEST_DEVICE=cuda in the environment, on float32 cuda twice instead, and, where the test says that it knows which
 * operands are sums (`bf16`), on bf16 cuda twice. For tests only.
 *
 *     lt_check c;
 *     for (lt_check_begin(&c, 7); lt_check_next(&c);) {                  the body runs once per pass
 *         lt_linear_args f = {.x = LT_IN(&c, 63, 17), .w = LT_IN(&c, 500, 17), .y = LT_OUT(&c, 63, 500)};
 *         LT_CHECK_RUN(&c, lt_linear_forward(&c.ctx, &f));
 *         ... a backward call; lt_check_gradient(...) ...
 *     }
 *     CHECK_OK(lt_check_end(&c));
 *
 * Operands are known by the order in which a pass makes them, so every pass must make the same ones. Their
 * values are equal in all passes (normals rounded to float32, or to bf16 where a bf16 pass follows). What is checked:
 * outputs against naive, within the bound; bits equal for 1 and 2 threads, and in both runs on cuda; every output
 * element written; nothing written before
 * or after any operand; inputs unchanged; workspace read only after it was written (the scratch arena is
 * poisoned). Under a sanitizer, which sees the last two itself, LT_TEST_POISON=off and LT_TEST_SMALL=1
 * (kernels/testing_device.h).
 */
#ifndef LT_KERNELS_CHECK_H
#define LT_KERNELS_CHECK_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The one table of bounds (DESIGN section 10). */
typedef enum lt_tolerance {
    LT_TOL_CPU,            /* CPU float32 vs naive float64, per op */
    LT_TOL_DIFFERENCES,    /* gradients vs central differences in float64 */
    LT_TOL_CUDA_F32,       /* CUDA float32 vs naive */
    LT_TOL_BF16_FORWARD,   /* CUDA bf16 vs float64 on the same bf16 inputs */
    LT_TOL_BF16_ATTENTION, /* ... the attention op, forward */
    LT_TOL_BF16_GRADIENT,  /* ... gradients */
    LT_TOL_PARITY_FORWARD, /* published implementation, float32 */
    LT_TOL_PARITY_GRADIENT,
    LT_TOL_E4M3,      /* CUDA e4m3 into bf16 vs float64 on the same e4m3: tensor cores add with 14 bits */
    LT_TOL_FP8_MODEL, /* fp8 vs bf16, whole model */
    LT_TOL_COUNT
} lt_tolerance;
double lt_tolerance_bound(lt_tolerance tolerance);

/* error = RMS(found - wanted) / RMS(wanted) over two host tensors of one shape, any strides, f32 or f64.
 * `worst` is the largest RMS of the difference over one row (last dimension), in the same unit. LT_FAILED,
 * naming `what`, when error exceeds the bound, a row exceeds ten times the bound, NaN or Inf disagree, or a
 * zero `wanted` is not met by zeros. */
lt_status lt_compare(const char *what, const lt_tensor *found, const lt_tensor *wanted,
                     lt_tolerance tolerance);

enum { LT_CHECK_OPERANDS = 64, LT_CHECK_PASSES = 5 };

typedef enum lt_check_role { LT_CHECK_INPUT, LT_CHECK_OUTPUT, LT_CHECK_PARTLY, LT_CHECK_BOTH } lt_check_role;

typedef struct lt_check_operand {
    lt_check_role role;
    lt_tensor tensor;        /* contiguous, inside `slab` */
    char *slab;              /* guard words, values, guard words */
    bool on_device;          /* the slab is memory that a GPU reaches too */
    size_t slab_bytes;       /* of such a slab */
    lt_tolerance bf16_bound; /* in a bf16 pass */
    uint64_t sum;            /* of an input's bytes, before the call */
} lt_check_operand;

typedef struct lt_check {
    lt_ctx ctx;              /* of the current pass: give it to the op */
    lt_tolerance tolerance;  /* LT_TOL_CPU; change it after lt_check_begin */
    bool threads_may_differ; /* set it for ops on BLAS: 2 threads need only be within the bound */
    bool bf16; /* set it after lt_check_begin where sums are made by LT_..._SUM: bf16 passes too, on cuda */
    /* of operands made from now on: LT_TOL_BF16_FORWARD; gradients want LT_TOL_BF16_GRADIENT */
    lt_tolerance bf16_bound;
    int pass; /* 0 naive, 1 and 2 cpu with that many threads, or cuda; 3 and 4 cuda in bf16 */
    /* Its own: */
    uint64_t seed;
    int threads_before;
    lt_device *cpu, *cuda; /* cuda: NULL unless LT_TEST_DEVICE asks for it */
    lt_arena scratch, cuda_scratch;
    bool skipped; /* LT_TEST_SMALL=1 and an operand is larger: ops are not run, and the check passes */
    lt_status status;
    char message[512];
    int count[LT_CHECK_PASSES];
    lt_check_operand operands[LT_CHECK_PASSES][LT_CHECK_OPERANDS];
} lt_check;

/* Starts anew; inputs are drawn from `seed`. */
void lt_check_begin(lt_check *check, uint64_t seed);
/* Closes the pass before, opens the next; false after the last one or the first failure. */
bool lt_check_next(lt_check *check);
/* Frees everything; the first failure and its message, or LT_OK. */
lt_status lt_check_end(lt_check *check);

/* New contiguous operand in the pass's dtype for activations, or for sums (lt_ctx_sum_dtype). Take views of it
 * (lt_slice, lt_split) for strided operands. */
lt_tensor lt_check_operand_new(lt_check *check, lt_check_role role, bool sum, int ndim, const int64_t *shape);
#define LT_IN(check, ...)    lt_check_operand_new((check), LT_CHECK_INPUT, false, LT_DIMS(__VA_ARGS__))
#define LT_OUT(check, ...)   lt_check_operand_new((check), LT_CHECK_OUTPUT, false, LT_DIMS(__VA_ARGS__))
#define LT_INOUT(check, ...) lt_check_operand_new((check), LT_CHECK_BOTH, false, LT_DIMS(__VA_ARGS__))
/* An output of which the op sees only a view: what lies outside must stay untouched. */
#define LT_OUT_PARTLY(check, ...) lt_check_operand_new((check), LT_CHECK_PARTLY, false, LT_DIMS(__VA_ARGS__))
#define LT_IN_SUM(check, ...)     lt_check_operand_new((check), LT_CHECK_INPUT, true, LT_DIMS(__VA_ARGS__))
#define LT_OUT_SUM(check, ...)    lt_check_operand_new((check), LT_CHECK_OUTPUT, true, LT_DIMS(__VA_ARGS__))
#define LT_INOUT_SUM(check, ...)  lt_check_operand_new((check), LT_CHECK_BOTH, true, LT_DIMS(__VA_ARGS__))
#define LT_OUT_PARTLY_SUM(check, ...)                                                                        \
    lt_check_operand_new((check), LT_CHECK_PARTLY, true, LT_DIMS(__VA_ARGS__))
/* Input in e4m3 (on naive the same numbers in float64): normals times 64. */
lt_tensor lt_check_e4m3(lt_check *check, int ndim, const int64_t *shape);
#define LT_IN_E4M3(check, ...) lt_check_e4m3((check), LT_DIMS(__VA_ARGS__))
/* Output in e4m3, as such an input. It is not compared with naive: a number that differs by its last digit may lie on
 * the other side of a boundary between codes. lt_check_coded says what it should be. */
lt_tensor lt_check_e4m3_out(lt_check *check, int ndim, const int64_t *shape);
#define LT_OUT_E4M3(check, ...) lt_check_e4m3_out((check), LT_DIMS(__VA_ARGS__))
/* Whether `codes` and `scale` hold the rows of contiguous y [..., columns] as kernels/e4m3.h rounds them. */
bool lt_check_coded(const lt_tensor *y, const lt_tensor *codes, const lt_tensor *scale);
/* int32 input, uniform in [0, bound). */
lt_tensor lt_check_ids(lt_check *check, int bound, int ndim, const int64_t *shape);

/* Element access in row-major order through any strides (f32, f64, bf16, e4m3, i32); a value set is rounded to float32
 * first, or to bf16 where a bf16 pass follows. */
double lt_check_get(const lt_tensor *t, int64_t index);
void lt_check_set(lt_tensor *t, int64_t index, double value);
/* t = scale * t + offset, for operands that should not be standard normals. */
void lt_check_affine(lt_tensor *t, double scale, double offset);

#define LT_CHECK_RUN(check, call)                                                                            \
    ((check)->skipped ? (void)0 : (lt_check_before(check), lt_check_after((check), (call))))
void lt_check_before(lt_check *check);
void lt_check_after(lt_check *check, lt_status status);

/* Central differences of L = sum_o <dy_o, y_o>, where the op `forward` with `args` writes the `outputs`
 * tensors y, against dx, for every element of x (a tensor of args, perturbed in place and restored). Only
 * pass 0 does it. */
void lt_check_gradient(lt_check *check, const char *what, lt_op_id forward, const void *args, int outputs,
                       const lt_tensor *y, const lt_tensor *dy, lt_tensor x, const lt_tensor *dx);

#ifdef __cplusplus
}
#endif
#endif
