/* A row stays in L1 while it is read two to four times. */
#include "kernels/column_sums.h"
#include "kernels/e4m3.h"
#include "kernels/norm/norm.h"
#include "kernels/rows.h"
#include "kernels/vec.h"

#include <math.h>
#include <string.h>

static inline float centred_squares(const float *x, float mean, int64_t n) {
    float sum = 0;
    for (int64_t at = 0; at < n; at += LT_VEC_PIECE) {
        int64_t end = at + LT_VEC_PIECE < n ? at + LT_VEC_PIECE : n;
        float piece = 0;
#pragma omp simd reduction(+ : piece)
        for (int64_t c = at; c < end; c++) piece += (x[c] - mean) * (x[c] - mean);
        sum += piece;
    }
    return sum;
}

static inline void moments(const float *x, int64_t n, float eps, float *mean, float *inverse) {
    *mean = lt_vec_sum(x, n) / (float)n;
    *inverse = 1.0f / sqrtf(centred_squares(x, *mean, n) / (float)n + eps);
}

static void norm_row(const float *restrict x, const float *restrict shift, const float *restrict scale,
                     float *restrict y, int64_t n, float eps) {
    float mean, inverse;
    moments(x, n, eps, &mean, &inverse);
    if (scale)
        for (int64_t c = 0; c < n; c++) y[c] = (x[c] - mean) * inverse * (1.0f + scale[c]) + shift[c];
    else
        for (int64_t c = 0; c < n; c++) y[c] = (x[c] - mean) * inverse;
}

/* Row g of an optional [G, C]. */
static float *group_row(const lt_tensor *t, int64_t g) {
    return lt_is_empty(t) ? NULL : (float *)t->data + g * t->stride[0];
}

lt_status lt_norm_modulate_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_norm_modulate_args *a = args;
    int64_t rows = a->x.shape[1], n = a->x.shape[2], all = a->x.shape[0] * rows;
    bool rounded = !lt_is_empty(&a->y_scale);
    const float *x = a->x.data;
    float *y = rounded ? workspace : a->y.data;
#pragma omp parallel for schedule(static) if (all * n >= LT_PARALLEL_FROM)
    for (int64_t r = 0; r < all; r++)
        norm_row(x + r * n, group_row(&a->shift, r / rows), group_row(&a->scale, r / rows), y + r * n, n,
                 (float)a->eps);
    if (rounded) lt_e4m3_code_rows(y, all, n, a->y.data, a->y_scale.data);
    return LT_OK;
}

/* What the backward pass of one row needs besides the row. */
typedef struct {
    float mean, inverse, mean_g, mean_gx;
} row_terms;

/* Conditions that do not change within a row are written inside the loops: the compiler takes them out. */
static row_terms terms_of(const float *restrict x, const float *restrict dy, const float *restrict scale,
                          int64_t n, float eps) {
    row_terms t;
    moments(x, n, eps, &t.mean, &t.inverse);
    float sum = 0, sum_x = 0, mean = t.mean;
    for (int64_t at = 0; at < n; at += LT_VEC_PIECE) {
        int64_t end = at + LT_VEC_PIECE < n ? at + LT_VEC_PIECE : n;
        float piece = 0, piece_x = 0;
#pragma omp simd reduction(+ : piece, piece_x)
        for (int64_t c = at; c < end; c++) {
            float g = scale ? dy[c] * (1.0f + scale[c]) : dy[c];
            piece += g;
            piece_x += g * (x[c] - mean);
        }
        sum += piece;
        sum_x += piece_x;
    }
    t.mean_g = sum / (float)n;
    t.mean_gx = sum_x * t.inverse / (float)n;
    return t;
}

static void add_modulation(const float *restrict x, const float *restrict dy, row_terms t,
                           float *restrict dshift, float *restrict dscale, int64_t n) {
    for (int64_t c = 0; c < n; c++) {
        dshift[c] += dy[c];
        dscale[c] += dy[c] * ((x[c] - t.mean) * t.inverse);
    }
}

static void norm_row_backward(const float *restrict x, const float *restrict dy, const float *restrict scale,
                              row_terms t, float *restrict dx, int64_t n, bool accumulate) {
    for (int64_t c = 0; c < n; c++) {
        float g = scale ? dy[c] * (1.0f + scale[c]) : dy[c];
        float value = t.inverse * (g - t.mean_g - (x[c] - t.mean) * t.inverse * t.mean_gx);
        dx[c] = accumulate ? dx[c] + value : value;
    }
}

/* Rows [begin, end) of group g; `partial` is a row of dshift and one of dscale, or NULL. */
static void norm_piece_backward(const lt_norm_modulate_backward_args *a, int64_t g, int64_t begin,
                                int64_t end, float *partial) {
    int64_t rows = a->x.shape[1], n = a->x.shape[2];
    const float *scale = group_row(&a->scale, g);
    if (partial) memset(partial, 0, (size_t)(2 * n) * sizeof *partial);
    for (int64_t r = g * rows + begin; r < g * rows + end; r++) {
        const float *x = (const float *)a->x.data + r * n, *dy = (const float *)a->dy.data + r * n;
        row_terms t = terms_of(x, dy, scale, n, (float)a->eps);
        if (partial) add_modulation(x, dy, t, partial, partial + n, n);
        if (!lt_is_empty(&a->dx))
            norm_row_backward(x, dy, scale, t, (float *)a->dx.data + r * n, n, a->accumulate_dx);
    }
}

lt_status lt_norm_modulate_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_norm_modulate_backward_args *a = args;
    int64_t groups = a->x.shape[0], rows = a->x.shape[1], n = a->x.shape[2];
    int64_t pieces = lt_pieces(rows, LT_ROW_PIECE);
    bool sums = !lt_is_empty(&a->dshift);
    float *partial = workspace;
#pragma omp parallel for schedule(static) if (groups * rows * n >= LT_PARALLEL_FROM)
    for (int64_t i = 0; i < groups * pieces; i++) {
        int64_t begin = i % pieces * LT_ROW_PIECE, end = lt_piece_end(i % pieces, rows, LT_ROW_PIECE);
        norm_piece_backward(a, i / pieces, begin, end, sums ? partial + i * 2 * n : NULL);
    }
    for (int64_t g = 0; sums && g < groups; g++) {
        const float *first = partial + g * pieces * 2 * n;
        lt_fold_pieces(first, pieces, 2 * n, n, group_row(&a->dshift, g), a->accumulate_dmod);
        lt_fold_pieces(first + n, pieces, 2 * n, n, group_row(&a->dscale, g), a->accumulate_dmod);
    }
    return LT_OK;
}

static inline float inverse_rms(const float *x, int64_t n, float eps) {
    return 1.0f / sqrtf(lt_vec_dot(x, x, n) / (float)n + eps);
}

/* y may be x: each element is read before it is written. */
static void rms_row(const float *x, const float *restrict weight, const float *restrict gain, float *y,
                    int64_t n, float eps) {
    float inverse = inverse_rms(x, n, eps);
#pragma omp simd
    for (int64_t c = 0; c < n; c++) y[c] = x[c] * inverse * (gain ? weight[c] * gain[c] : weight[c]);
}

lt_status lt_rms_norm_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_rms_norm_args *a = args;
    lt_rows xr = lt_rows_of(&a->x, 1), yr = lt_rows_of(&a->y, 1);
    const float *x = a->x.data, *weight = a->weight.data, *gain = a->gain.data;
    float *y = a->y.data;
#pragma omp parallel for schedule(static) if (xr.rows * xr.columns >= LT_PARALLEL_FROM)
    for (int64_t r = 0; r < xr.rows; r++)
        rms_row(x + r * xr.ld, weight, gain, y + r * yr.ld, xr.columns, (float)a->eps);
    return LT_OK;
}

lt_status lt_rms_scale_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_rms_scale_args *a = args;
    lt_rows xr = lt_rows_of(&a->x, 1);
    const float *x = a->x.data;
    float *scale = a->scale.data;
#pragma omp parallel for schedule(static) if (xr.rows * xr.columns >= LT_PARALLEL_FROM)
    for (int64_t r = 0; r < xr.rows; r++) scale[r] = inverse_rms(x + r * xr.ld, xr.columns, (float)a->eps);
    return LT_OK;
}

static void rms_row_backward(const float *restrict x, const float *restrict dy, const float *restrict weight,
                             float eps, float *dx, bool accumulate, float *restrict dweight, int64_t n) {
    float inverse = inverse_rms(x, n, eps), sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < n; c++) sum += dy[c] * weight[c] * x[c];
    float slope = sum * inverse * inverse / (float)n;
    if (dweight)
        for (int64_t c = 0; c < n; c++) dweight[c] += dy[c] * (x[c] * inverse);
    if (!dx) return;
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float value = inverse * (dy[c] * weight[c] - x[c] * slope);
        dx[c] = accumulate ? dx[c] + value : value;
    }
}

lt_status lt_rms_norm_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_rms_norm_backward_args *a = args;
    lt_rows xr = lt_rows_of(&a->x, 1), gr = lt_rows_of(&a->dy, 1), dr = lt_rows_of(&a->dx, 1);
    const float *x = a->x.data, *dy = a->dy.data, *weight = a->weight.data;
    float *dx = a->dx.data, *partial = workspace;
    int64_t n = xr.columns, pieces = lt_pieces(xr.rows, LT_ROW_PIECE);
    bool sums = !lt_is_empty(&a->dweight);
#pragma omp parallel for schedule(static) if (xr.rows * n >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < pieces; p++) {
        float *dweight = sums ? partial + p * n : NULL;
        if (sums) memset(dweight, 0, (size_t)n * sizeof *dweight);
        for (int64_t r = p * LT_ROW_PIECE; r < lt_piece_end(p, xr.rows, LT_ROW_PIECE); r++)
            rms_row_backward(x + r * xr.ld, dy + r * gr.ld, weight, (float)a->eps, dx ? dx + r * dr.ld : NULL,
                             a->accumulate_dx, dweight, n);
    }
    if (sums) lt_fold_pieces(partial, pieces, n, n, a->dweight.data, a->accumulate_dweight);
    return LT_OK;
}
