/* Small GEMMs for use inside parallel loops, where BLAS must not be called, and the vector type they are
 * written with: the processor's widest.
 *
 * Operands of one head are packed into rows of lt_pad16(d) floats, padding zero, so that no loop has a ragged end.
 */
#ifndef LT_KERNELS_CPU_TILE_H
#define LT_KERNELS_CPU_TILE_H

#include "kernels/vec.h"

#include <stdbool.h>

#if defined(__AVX512F__)
#    define LT_LANES 16
#elif defined(__AVX__)
#    define LT_LANES 8
#else
#    define LT_LANES 4
#endif
typedef float lt_v __attribute__((vector_size(4 * LT_LANES), aligned(4), may_alias));
typedef int32_t lt_vi __attribute__((vector_size(4 * LT_LANES)));

LT_INLINE int64_t lt_pad16(int64_t n) { return (n + 15) / 16 * 16; }
LT_INLINE lt_v lt_v_load(const float *x) { return *(const lt_v *)x; }
LT_INLINE void lt_v_store(float *x, lt_v v) { *(lt_v *)x = v; }

/* The first `left` elements, zeros behind them; a whole vector where left is large enough. */
LT_INLINE lt_v lt_v_load_part(const float *x, int64_t left) {
    if (left >= LT_LANES) return lt_v_load(x);
    lt_v v = {0};
    if (left > 0) memcpy(&v, x, (size_t)left * sizeof *x);
    return v;
}

LT_INLINE void lt_v_store_part(float *x, lt_v v, int64_t left) {
    if (left >= LT_LANES) lt_v_store(x, v);
    else if (left > 0) memcpy(x, &v, (size_t)left * sizeof *x);
}

/* ReLU that keeps NaN. */
LT_INLINE lt_v lt_v_relu(lt_v x) { return (lt_v)((lt_vi)x & ~(x < 0)); }

/* x where the condition holds (comparisons of vectors give all bits or none), 0 elsewhere. */
LT_INLINE lt_v lt_v_where(lt_vi condition, lt_v x) { return (lt_v)((lt_vi)x & condition); }

/* Channels 2i and 2i + 1 change places. */
LT_INLINE lt_v lt_v_swap_pairs(lt_v x) {
#if LT_LANES == 16
    return __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
#elif LT_LANES == 8
    return __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
#else
    return __builtin_shufflevector(x, x, 1, 0, 3, 2);
#endif
}

/* The sum of all lanes, always in the same order. */
LT_INLINE float lt_v_sum(lt_v x) {
#if LT_LANES == 16
    x += __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
#elif LT_LANES == 8
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
#endif
    return (x[0] + x[2]) + (x[1] + x[3]);
}

/* C[m, n] = or += A[m, k] B[k, n]. Element (i, p) of A is A[i * row_step + p * k_step], one of the steps 1, so A may be
 * transposed; rows of B and C lie ldb and ldc apart. n is a multiple of 16, m and k are any. The sum over k is complete
 * before it is added to C. */
void lt_tile_product(int64_t m, int64_t n, int64_t k, const float *A, int64_t row_step, int64_t k_step,
                     const float *B, int64_t ldb, float *C, int64_t ldc, bool accumulate);

/* Where a GEMM goes and what it is added to: C itself, rows of something else, one row (start_step 0), or, where
 * `start` is NULL, nothing. */
typedef struct lt_tile_out {
    float *C;
    int64_t ldc;
    const float *start;
    int64_t start_step;
} lt_tile_out;

/* The same for any such sum; element (i, p) of A is A[i * step + p], or A[p * step + i] where it is transposed. */
void lt_tile_product_from(int64_t m, int64_t n, int64_t k, const float *A, int64_t step, bool transposed,
                          const float *B, int64_t ldb, lt_tile_out out);

/* to[rows, lt_pad16(columns)] = from[rows, columns], padded with zeros; `from` rows lie `step` apart. */
void lt_tile_pad(int64_t rows, int64_t columns, const float *from, int64_t step, float *to);
/* to[columns, lt_pad16(rows)] = from[rows, columns] transposed, padded with zeros. */
void lt_tile_transpose(int64_t rows, int64_t columns, const float *from, int64_t step, float *to);
/* to[rows, columns] = or += from[rows, lt_pad16(columns)]; `to` rows lie `step` apart. */
void lt_tile_unpad(int64_t rows, int64_t columns, const float *from, float *to, int64_t step,
                   bool accumulate);

#endif
