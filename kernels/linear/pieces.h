/* How CUDA cuts the rows whose sum is db: every piece is summed by one block, then the pieces in order. */
#ifndef LT_KERNELS_LINEAR_PIECES_H
#define LT_KERNELS_LINEAR_PIECES_H

#include <stddef.h>
#include <stdint.h>

/* Enough blocks to fill a GPU even where there are few columns, and no piece that is too small to be worth a partial
 * sum. */
enum { LT_DB_MOST_PIECES = 128, LT_DB_LEAST_ROWS = 64 };

static inline int64_t lt_db_pieces(int64_t rows) {
    int64_t pieces = (rows + LT_DB_LEAST_ROWS - 1) / LT_DB_LEAST_ROWS;
    return pieces < 1 ? 1 : pieces > LT_DB_MOST_PIECES ? (int64_t)LT_DB_MOST_PIECES : pieces;
}
/* One piece goes to db at once. */
static inline size_t lt_db_bytes(int64_t rows, int64_t columns) {
    int64_t pieces = lt_db_pieces(rows);
    return pieces > 1 ? (size_t)(pieces * columns) * sizeof(float) : 0;
}

#endif
