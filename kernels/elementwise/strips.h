/* How CUDA kernels cut the rows of a tensor into the strips that one block of threads sums: by the problem alone, so
 * that every GPU gives the same bits. */
#ifndef LT_KERNELS_ELEMENTWISE_STRIPS_H
#define LT_KERNELS_ELEMENTWISE_STRIPS_H

#include "kernels/rows.h"

/* Strips wanted in all: two waves of three blocks on each of 132 multiprocessors, less a few. Partial sums of more
 * strips cost traffic, those of fewer leave a GPU idle at the end. */
enum { LT_STRIPS = 768, LT_STRIP_MIN = 8 };

static inline int64_t lt_strip_rows(int64_t groups, int64_t rows) {
    int64_t each = lt_pieces(groups * rows, LT_STRIPS);
    return each < LT_STRIP_MIN ? (int64_t)LT_STRIP_MIN : each;
}

/* Strips of one group. */
static inline int64_t lt_strips(int64_t groups, int64_t rows) {
    return lt_pieces(rows, lt_strip_rows(groups, rows));
}

#endif
