/* Rows in e4m3: every row of a matrix is divided by a scale of its own, so that its largest number becomes 448, and
 * rounded to the nearest. The same arithmetic, to the bit, on the host and on a GPU.
 */
#ifndef LT_KERNELS_E4M3_H
#define LT_KERNELS_E4M3_H

#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __CUDACC__
#    define LT_EVERYWHERE __host__ __device__
#else
#    define LT_EVERYWHERE
#endif

#define LT_E4M3_LARGEST 448.0f
/* Rows that hold nothing larger are rounded as if they did: their factor would not be finite. */
#define LT_E4M3_LEAST 0x1p-100f

/* What a row is multiplied with, and what makes up for it afterwards. `largest`: of its magnitudes, at least
 * LT_E4M3_LEAST. */
static inline LT_EVERYWHERE float lt_e4m3_factor(float largest) { return LT_E4M3_LARGEST / largest; }
static inline LT_EVERYWHERE float lt_e4m3_scale(float largest) { return largest / LT_E4M3_LARGEST; }

/* NaN where the row holds one. */
static inline float lt_e4m3_largest(const float *row, int64_t count) {
    float largest = LT_E4M3_LEAST;
    for (int64_t i = 0; i < count; i++) {
        float magnitude = row[i] < 0 ? -row[i] : row[i];
        if (!(magnitude <= largest) && largest == largest) largest = magnitude;
    }
    return largest;
}

/* codes * the scale that is returned = row, rounded. */
static inline float lt_e4m3_row(const float *row, int64_t count, uint8_t *codes) {
    float largest = lt_e4m3_largest(row, count), factor = lt_e4m3_factor(largest);
    for (int64_t i = 0; i < count; i++) codes[i] = lt_f32_to_e4m3(row[i] * factor);
    return lt_e4m3_scale(largest);
}

/* The rounded row itself: codes * scale. */
static inline void lt_e4m3_round(const float *row, int64_t count, float *out) {
    float largest = lt_e4m3_largest(row, count), factor = lt_e4m3_factor(largest);
    float scale = lt_e4m3_scale(largest);
    for (int64_t i = 0; i < count; i++) out[i] = lt_e4m3_to_f32(lt_f32_to_e4m3(row[i] * factor)) * scale;
}

/* Whole matrices on the CPU: rows that lie ld apart, rounded, and e4m3 with its scales as float32; `to` is
 * contiguous. */
static inline void lt_e4m3_round_rows(const float *from, int64_t rows, int64_t columns, int64_t ld,
                                      float *to) {
#pragma omp parallel for schedule(static) if (rows * columns >= 1 << 15)
    for (int64_t row = 0; row < rows; row++) lt_e4m3_round(from + row * ld, columns, to + row * columns);
}
static inline void lt_e4m3_widen_rows(const uint8_t *codes, const float *scale, int64_t rows, int64_t columns,
                                      float *to) {
#pragma omp parallel for schedule(static) if (rows * columns >= 1 << 15)
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = row * columns; i < (row + 1) * columns; i++)
            to[i] = lt_e4m3_to_f32(codes[i]) * scale[row];
}

/* Codes and scales of contiguous rows. */
static inline void lt_e4m3_code_rows(const float *from, int64_t rows, int64_t columns, uint8_t *codes,
                                     float *scale) {
#pragma omp parallel for schedule(static) if (rows * columns >= 1 << 15)
    for (int64_t row = 0; row < rows; row++)
        scale[row] = lt_e4m3_row(from + row * columns, columns, codes + row * columns);
}

/* The same of float32 numbers in float64: numbers * the scale that is returned = row, rounded. For references. */
static inline double lt_e4m3_row_exactly(const double *row, int64_t count, double *numbers) {
    float largest = LT_E4M3_LEAST;
    for (int64_t i = 0; i < count; i++) {
        float magnitude = (float)(row[i] < 0 ? -row[i] : row[i]);
        if (!(magnitude <= largest) && largest == largest) largest = magnitude;
    }
    float factor = lt_e4m3_factor(largest);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = (double)lt_e4m3_to_f32(lt_f32_to_e4m3((float)row[i] * factor));
    return (double)lt_e4m3_scale(largest);
}
static inline void lt_e4m3_round_exactly(const double *row, int64_t count, double *out) {
    double scale = lt_e4m3_row_exactly(row, count, out);
    for (int64_t i = 0; i < count; i++) out[i] *= scale;
}
static inline void lt_e4m3_code_rows_exactly(const double *from, int64_t rows, int64_t columns,
                                             double *numbers, double *scale) {
    for (int64_t row = 0; row < rows; row++)
        scale[row] = lt_e4m3_row_exactly(from + row * columns, columns, numbers + row * columns);
}

#ifdef __cplusplus
}
#endif
#endif
