/* `longtake bench --op`: how long each op takes at the tiny model's shapes, and how near that is to what the machine
 * can do, measured in the same run. */
#ifndef LT_KERNELS_BENCH_H
#define LT_KERNELS_BENCH_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One op at one size: blocks of 4 frames of 8 x 8 tokens, heads of 32 channels, Mix-FFN twice as wide. */
typedef struct lt_bench_row {
    const char *op;
    int64_t tokens, channels;
    /* median of repeated calls with operands where the last call left them (in cache, if they fit) */
    double ms;
    double gflops;      /* GFLOP/s */
    double gbytes;      /* GB/s, every operand moved once */
    bool compute_bound; /* the nearer of the two limits is the GEMM's */
    double share;       /* of that limit: time at the limit / time taken */
} lt_bench_row;

/* What the machine can do. */
typedef struct lt_bench_limits {
    double gflops; /* a GEMM of 1024 x 1024 x 1024 */
    /* a copy that moves 256 MiB; rows are compared with a copy that moves about as much as they do */
    double gbytes;
} lt_bench_limits;

typedef void (*lt_bench_visit)(const lt_bench_row *row, void *user);

/* Measures the limits, then op `name` (NULL or "all": every op) on the device's backend, calling `visit` for each row
 * as it is known. LT_USAGE for an unknown op, naming the nearest; LT_UNAVAILABLE on the null device. Takes 0.1 s a
 * row. */
lt_status lt_bench_ops(lt_device *device, const char *name, lt_bench_limits *limits, lt_bench_visit visit,
                       void *user);

#ifdef __cplusplus
}
#endif
#endif
