#include "kernels/attention/cpu_tile.h"

/* gcc would fold a load into each multiplication that uses it, and loads are what a processor has too few of. */
#if defined(__AVX512F__)
#    define KEEP_IN_REGISTER(x) __asm__("" : "+v"(x))
#else
#    define KEEP_IN_REGISTER(x) (void)(x)
#endif

/* One block of C, `rows` x `vectors`, held in registers; both are constants where this is inlined. */
LT_INLINE void block(const int rows, const int vectors, int64_t k, const float *A, int64_t row_step,
                     int64_t k_step, const float *B, int64_t ldb, float *C, int64_t ldc, bool accumulate) {
    lt_v sum[8][4] = {0};
    for (int64_t p = 0; p < k; p++) {
        lt_v b[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            b[v] = lt_v_load(B + p * ldb + LT_LANES * v);
            KEEP_IN_REGISTER(b[v]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            float a = A[i * row_step + p * k_step];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] += a * b[v];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            float *c = C + i * ldc + LT_LANES * v;
            if (accumulate) sum[i][v] += lt_v_load(c);
            lt_v_store(c, sum[i][v]);
        }
}

LT_INLINE void strip(const int rows, const int vectors, int64_t m, int64_t k, const float *A,
                     int64_t row_step, int64_t k_step, const float *B, int64_t ldb, float *C, int64_t ldc,
                     bool accumulate) {
    int64_t i = 0;
    for (; i + rows <= m; i += rows)
        block(rows, vectors, k, A + i * row_step, row_step, k_step, B, ldb, C + i * ldc, ldc, accumulate);
    for (; i < m; i++)
        block(1, vectors, k, A + i * row_step, row_step, k_step, B, ldb, C + i * ldc, ldc, accumulate);
}

/* Rows are chosen so that about half the registers hold sums: enough to hide the latency of a multiplication. */
void lt_tile_product(int64_t m, int64_t n, int64_t k, const float *A, int64_t row_step, int64_t k_step,
                     const float *B, int64_t ldb, float *C, int64_t ldc, bool accumulate) {
    int64_t j = 0;
#if LT_LANES == 16
    for (; j + 64 <= n; j += 64) strip(4, 4, m, k, A, row_step, k_step, B + j, ldb, C + j, ldc, accumulate);
    for (; j + 48 <= n; j += 48) strip(4, 3, m, k, A, row_step, k_step, B + j, ldb, C + j, ldc, accumulate);
    for (; j + 32 <= n; j += 32) strip(8, 2, m, k, A, row_step, k_step, B + j, ldb, C + j, ldc, accumulate);
    for (; j < n; j += 16) strip(8, 1, m, k, A, row_step, k_step, B + j, ldb, C + j, ldc, accumulate);
#else
    const int rows = LT_LANES == 8 ? 4 : 2, vectors = 16 / LT_LANES;
    for (; j < n; j += 16)
        strip(rows, vectors, m, k, A, row_step, k_step, B + j, ldb, C + j, ldc, accumulate);
#endif
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
