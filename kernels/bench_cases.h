/* How the benchmark prepares one call of each op. */
#ifndef LT_KERNELS_BENCH_CASES_H
#define LT_KERNELS_BENCH_CASES_H

#include "kernels/attention/attention.h"
#include "kernels/optimizer/optimizer.h"

enum { LT_BENCH_NOISE = 1 << 18, LT_BENCH_LIST = 8, LT_BENCH_ARGS = 4096 };

/* One call: its size, then, once a setup function has run, its operands. */
typedef struct lt_bench {
    lt_ctx ctx;
    lt_arena scratch;
    lt_arena arena;           /* operands */
    float *noise;             /* host, LT_BENCH_NOISE normals: what operands are filled with */
    int64_t blocks, channels; /* size asked for */
    lt_rope rope;             /* grid of one block */
    lt_status status;         /* first failure of a setup function */
    lt_tensor lists[4][LT_BENCH_LIST];
    bool flags[LT_BENCH_LIST];
    lt_attn_sum sum;
    lt_attn_sum_gradient sum_gradient;
    lt_adamw_param param;
    union {
        max_align_t align;
        char bytes[LT_BENCH_ARGS];
    } args;
} lt_bench;

/* A context on the device's backend and memory for operands. lt_bench_close frees it, after a failure too. */
lt_status lt_bench_open(lt_device *device, lt_bench **out);
void lt_bench_close(lt_bench *bench);

/* Makes the operands and fills `args`. */
typedef void (*lt_bench_setup)(lt_bench *bench);
/* NULL if the op has none: a test says so. */
lt_bench_setup lt_bench_setup_of(lt_op_id id);

/* A tensor of the compute dtype full of normals; an empty one, and `status` set, when memory is short. */
lt_tensor lt_bench_tensor(lt_bench *bench, int ndim, const int64_t *shape);
#define LT_BENCH_TENSOR(bench, ...) lt_bench_tensor((bench), LT_DIMS(__VA_ARGS__))

#endif
