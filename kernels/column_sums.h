/* Sums over rows for the fast CPU kernels, in float32, with the same bits for any number of threads: pieces
 * of LT_ROW_PIECE rows are summed into partial rows, then the partial rows in order. */
#ifndef LT_KERNELS_COLUMN_SUMS_H
#define LT_KERNELS_COLUMN_SUMS_H

#include "kernels/rows.h"

/* out[c] (+)= sum over p < pieces of partial[p * stride + c], c < columns. */
static inline void lt_fold_pieces(const float *partial, int64_t pieces, int64_t stride, int64_t columns,
                                  float *out, bool accumulate) {
    int64_t first = 0;
    if (!accumulate && pieces > 0) {
        for (int64_t c = 0; c < columns; c++) out[c] = partial[c];
        first = 1;
    } else if (!accumulate) {
        for (int64_t c = 0; c < columns; c++) out[c] = 0;
    }
    for (int64_t p = first; p < pieces; p++) {
        const float *row = partial + p * stride;
        for (int64_t c = 0; c < columns; c++) out[c] += row[c];
    }
}

/* db[c] (+)= column sums of `t`; `workspace` holds lt_pieces(rows, LT_ROW_PIECE) * columns floats. */
static inline void lt_column_sums(const lt_tensor *t, float *out, bool accumulate, float *workspace) {
    lt_rows r = lt_rows_of(t, 1);
    const float *values = (const float *)t->data;
    int64_t pieces = lt_pieces(r.rows, LT_ROW_PIECE);
#pragma omp parallel for schedule(static) if (r.rows * r.columns >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < pieces; p++) {
        int64_t begin = p * LT_ROW_PIECE, end = lt_piece_end(p, r.rows, LT_ROW_PIECE);
        lt_fold_pieces(values + begin * r.ld, end - begin, r.ld, r.columns, workspace + p * r.columns, false);
    }
    lt_fold_pieces(workspace, pieces, r.columns, r.columns, out, accumulate);
}

/* out[g, c] (+)= sum over rows of x[g, row, c], or of x * h when h is given; x, h [groups, rows, columns] contiguous,
 * rows of out `ld` apart. `workspace` holds groups * lt_pieces(rows, LT_ROW_PIECE) * columns floats. */
static inline void lt_group_column_sums(const float *x, const float *h, int64_t groups, int64_t rows,
                                        int64_t columns, float *out, int64_t ld, bool accumulate,
                                        float *workspace) {
    int64_t pieces = lt_pieces(rows, LT_ROW_PIECE);
#pragma omp parallel for schedule(static) if (groups * rows * columns >= LT_PARALLEL_FROM)
    for (int64_t i = 0; i < groups * pieces; i++) {
        int64_t first = i / pieces * rows + i % pieces * LT_ROW_PIECE;
        int64_t end = i / pieces * rows + lt_piece_end(i % pieces, rows, LT_ROW_PIECE);
        float *restrict sum = workspace + i * columns;
        for (int64_t c = 0; c < columns; c++) sum[c] = 0;
        for (int64_t r = first; r < end; r++)
            for (int64_t c = 0; c < columns; c++)
                sum[c] += h ? x[r * columns + c] * h[r * columns + c] : x[r * columns + c];
    }
    for (int64_t g = 0; g < groups; g++)
        lt_fold_pieces(workspace + g * pieces * columns, pieces, columns, columns, out + g * ld, accumulate);
}

#endif
