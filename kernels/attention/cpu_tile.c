#include "kernels/attention/cpu_tile.h"

/* gcc would fold a load into each multiplication that uses it, and loads are what a processor has too few of. */
#if defined(__AVX512F__)
#    define KEEP_IN_REGISTER(x) __asm__("" : "+v"(x))
#else
#    define KEEP_IN_REGISTER(x) (void)(x)
#endif

/* Element (i, p) of A at A[i * row_step + p * k_step], one of the two a constant 1 where this is inlined. Every third
 * row has a pointer, from which an address reaches two more. */
LT_INLINE lt_v entry_of(const float *const *third, int i, int64_t row_step, int64_t at) {
    lt_v a = third[i / 3][i % 3 * row_step + at] - (lt_v){0};
    KEEP_IN_REGISTER(a);
    return a;
}

/* One block of C, `rows` x `vectors`, held in registers; both are constants where this is inlined. */
LT_INLINE void block(const int rows, const int vectors, int64_t k, const float *A, int64_t row_step,
                     int64_t k_step, const float *B, int64_t ldb, const lt_tile_out *out, int64_t row,
                     int64_t column) {
    lt_v sum[8][4] = {0};
    const float *third[3];
    for (int i = 0; i < rows; i += 3) third[i / 3] = A + i * row_step;
    for (int64_t p = 0; p < k; p++) {
        lt_v b[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            b[v] = lt_v_load(B + p * ldb + LT_LANES * v);
            KEEP_IN_REGISTER(b[v]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            lt_v a = entry_of(third, i, row_step, p * k_step);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] += a * b[v];
        }
    }
    const float *start = out->start ? out->start + row * out->start_step + column : NULL;
    float *C = out->C + row * out->ldc + column;
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            if (start) sum[i][v] += lt_v_load(start + i * out->start_step + LT_LANES * v);
            lt_v_store(C + i * out->ldc + LT_LANES * v, sum[i][v]);
        }
}

/* Blocks of `rows` rows down a strip of `vectors` vectors, then what is left. */
LT_INLINE void strip(const int rows, const int vectors, int64_t m, int64_t k, const float *A,
                     int64_t row_step, int64_t k_step, const float *B, int64_t ldb, const lt_tile_out *out,
                     int64_t column) {
    int64_t i = 0;
#define BLOCK(rows)                                                                                          \
    block((rows), vectors, k, A + i * row_step, row_step, k_step, B, ldb, out, i, column), i += (rows)
    while (i + rows <= m) BLOCK(rows);
    if (rows > 4 && i + 4 <= m) BLOCK(4);
    if (rows > 2 && i + 2 <= m) BLOCK(2);
    while (i < m) BLOCK(1);
#undef BLOCK
}

/* Rows are chosen so that half the registers hold sums, or more: enough to hide the latency of a multiplication. */
LT_INLINE void product(int64_t m, int64_t n, int64_t k, const float *A, int64_t row_step, int64_t k_step,
                       const float *B, int64_t ldb, const lt_tile_out *out) {
    int64_t j = 0;
#if LT_LANES == 16
    for (; j + 64 <= n; j += 64) strip(6, 4, m, k, A, row_step, k_step, B + j, ldb, out, j);
    for (; j + 48 <= n; j += 48) strip(6, 3, m, k, A, row_step, k_step, B + j, ldb, out, j);
    for (; j + 32 <= n; j += 32) strip(8, 2, m, k, A, row_step, k_step, B + j, ldb, out, j);
    for (; j < n; j += 16) strip(8, 1, m, k, A, row_step, k_step, B + j, ldb, out, j);
#else
    const int rows = LT_LANES == 8 ? 4 : 2, vectors = 16 / LT_LANES;
    for (; j < n; j += 16) strip(rows, vectors, m, k, A, row_step, k_step, B + j, ldb, out, j);
#endif
}

void lt_tile_product_from(int64_t m, int64_t n, int64_t k, const float *A, int64_t step, bool transposed,
                          const float *B, int64_t ldb, lt_tile_out out) {
    if (transposed) product(m, n, k, A, 1, step, B, ldb, &out);
    else product(m, n, k, A, step, 1, B, ldb, &out);
}

void lt_tile_product(int64_t m, int64_t n, int64_t k, const float *A, int64_t row_step, int64_t k_step,
                     const float *B, int64_t ldb, float *C, int64_t ldc, bool accumulate) {
    bool transposed = k_step != 1;
    lt_tile_product_from(m, n, k, A, transposed ? k_step : row_step, transposed, B, ldb,
                         (lt_tile_out){C, ldc, accumulate ? C : NULL, ldc});
}

void lt_tile_pad(int64_t rows, int64_t columns, const float *from, int64_t step, float *to) {
    int64_t padded = lt_pad16(columns);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < padded; c += LT_LANES)
            lt_v_store(to + i * padded + c, lt_v_load_part(from + i * step + c, columns - c));
}

void lt_tile_transpose(int64_t rows, int64_t columns, const float *from, int64_t step, float *to) {
    int64_t padded = lt_pad16(rows);
    for (int64_t j = 0; j < columns; j++) {
        for (int64_t i = 0; i < rows; i++) to[j * padded + i] = from[i * step + j];
        for (int64_t i = rows; i < padded; i++) to[j * padded + i] = 0;
    }
}

void lt_tile_unpad(int64_t rows, int64_t columns, const float *from, float *to, int64_t step,
                   bool accumulate) {
    int64_t padded = lt_pad16(columns);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < columns; c += LT_LANES) {
            lt_v value = lt_v_load(from + i * padded + c);
            float *at = to + i * step + c;
            if (accumulate) value += lt_v_load_part(at, columns - c);
            lt_v_store_part(at, value, columns - c);
        }
}
