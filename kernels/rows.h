/* For backends in host memory: tensors as matrices, and how their work is cut into pieces.
 *
 * Pieces depend on the problem only, never on the number of threads: every sum and every vectorised loop then
 * has the same beginnings and ends, so results are bit-equal for any thread count.
 */
#ifndef LT_KERNELS_ROWS_H
#define LT_KERNELS_ROWS_H

#include "core/tensor.h"

/* Elements an OpenMP region must have to do before it pays (about 2 us of region against 1 ns per 8
 * elements). */
enum { LT_PARALLEL_FROM = 1 << 15 };
/* Elements per piece of an elementwise loop: 16 KiB of float32, half an L1. */
enum { LT_PIECE = 4096 };
/* Rows per piece where rows are summed: a partial sum of `columns` values each. */
enum { LT_ROW_PIECE = 64 };

static inline int64_t lt_pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }
static inline int64_t lt_piece_end(int64_t piece, int64_t count, int64_t size) {
    return (piece + 1) * size < count ? (piece + 1) * size : count;
}

typedef struct lt_rows {
    int64_t rows, columns, ld;
} lt_rows;

/* Of a tensor that lt_expect_rows let pass; zeros for an empty one. */
static inline lt_rows lt_rows_of(const lt_tensor *t, int inner) {
    lt_rows r = {0, 0, 0};
    lt_as_rows(t, inner, &r.rows, &r.columns, &r.ld);
    return r;
}

#endif
