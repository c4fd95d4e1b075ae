#include "kernels/e4m3.h"
#include "kernels/norm/norm.h"
#include "kernels/rows.h"

#include <math.h>

/* Mean and 1 / sqrt(variance + eps) of a row. */
static void moments(const double *x, int64_t n, double eps, double *mean, double *scale) {
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < n; c++) sum += x[c];
    *mean = sum / (double)n;
    for (int64_t c = 0; c < n; c++) squares += (x[c] - *mean) * (x[c] - *mean);
    *scale = 1 / sqrt(squares / (double)n + eps);
}

lt_status lt_norm_modulate_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_norm_modulate_args *a = args;
    int64_t groups = a->x.shape[0], rows = a->x.shape[1], n = a->x.shape[2];
    bool modulated = !lt_is_empty(&a->scale), rounded = !lt_is_empty(&a->y_scale);
    const double *shift = a->shift.data, *scale = a->scale.data;
    double *all = rounded ? workspace : a->y.data;
    for (int64_t g = 0; g < groups; g++)
        for (int64_t t = 0; t < rows; t++) {
            const double *x = (const double *)a->x.data + (g * rows + t) * n;
            double *y = all + (g * rows + t) * n, mean, inverse;
            moments(x, n, a->eps, &mean, &inverse);
            for (int64_t c = 0; c < n; c++) {
                y[c] = (x[c] - mean) * inverse;
                if (modulated)
                    y[c] = y[c] * (1 + scale[g * a->scale.stride[0] + c]) + shift[g * a->shift.stride[0] + c];
            }
        }
    if (rounded) lt_e4m3_code_rows_exactly(all, groups * rows, n, a->y.data, a->y_scale.data);
    return LT_OK;
}

/* dx = inverse (g - mean(g) - xhat mean(g xhat)) with g = dy (1 + scale). */
static void norm_row_backward(const lt_norm_modulate_backward_args *a, int64_t g, int64_t row, int64_t n) {
    const double *x = (const double *)a->x.data + row * n, *dy = (const double *)a->dy.data + row * n;
    const double *scale = a->scale.data;
    double mean, inverse, mean_g = 0, mean_gx = 0;
    moments(x, n, a->eps, &mean, &inverse);
    for (int64_t c = 0; c < n; c++) {
        double xhat = (x[c] - mean) * inverse,
               up = dy[c] * (scale ? 1 + scale[g * a->scale.stride[0] + c] : 1);
        mean_g += up / (double)n;
        mean_gx += up * xhat / (double)n;
        if (!lt_is_empty(&a->dshift)) {
            ((double *)a->dshift.data)[g * a->dshift.stride[0] + c] += dy[c];
            ((double *)a->dscale.data)[g * a->dscale.stride[0] + c] += dy[c] * xhat;
        }
    }
    for (int64_t c = 0; !lt_is_empty(&a->dx) && c < n; c++) {
        double xhat = (x[c] - mean) * inverse,
               up = dy[c] * (scale ? 1 + scale[g * a->scale.stride[0] + c] : 1);
        double *dx = (double *)a->dx.data + row * n + c;
        *dx = (a->accumulate_dx ? *dx : 0) + inverse * (up - mean_g - xhat * mean_gx);
    }
}

lt_status lt_norm_modulate_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_norm_modulate_backward_args *a = args;
    int64_t groups = a->x.shape[0], rows = a->x.shape[1], n = a->x.shape[2];
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t c = 0; !lt_is_empty(&a->dshift) && !a->accumulate_dmod && c < n; c++) {
            ((double *)a->dshift.data)[g * a->dshift.stride[0] + c] = 0;
            ((double *)a->dscale.data)[g * a->dscale.stride[0] + c] = 0;
        }
        for (int64_t t = 0; t < rows; t++) norm_row_backward(a, g, g * rows + t, n);
    }
    return LT_OK;
}

static double inverse_rms(const double *x, int64_t n, double eps) {
    double squares = 0;
    for (int64_t c = 0; c < n; c++) squares += x[c] * x[c];
    return 1 / sqrt(squares / (double)n + eps);
}

lt_status lt_rms_norm_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_rms_norm_args *a = args;
    lt_rows xr = lt_rows_of(&a->x, 1), yr = lt_rows_of(&a->y, 1);
    const double *weight = a->weight.data, *gain = a->gain.data;
    for (int64_t r = 0; r < xr.rows; r++) {
        const double *x = (const double *)a->x.data + r * xr.ld;
        double *y = (double *)a->y.data + r * yr.ld, inverse = inverse_rms(x, xr.columns, a->eps);
        for (int64_t c = 0; c < xr.columns; c++) y[c] = x[c] * inverse * weight[c] * (gain ? gain[c] : 1);
    }
    return LT_OK;
}

lt_status lt_rms_scale_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_rms_scale_args *a = args;
    lt_rows xr = lt_rows_of(&a->x, 1);
    for (int64_t r = 0; r < xr.rows; r++)
        ((double *)a->scale.data)[r] = inverse_rms((const double *)a->x.data + r * xr.ld, xr.columns, a->eps);
    return LT_OK;
}

/* dx = inverse (g - xhat mean(g xhat)) with g = dy weight, xhat = x inverse. */
lt_status lt_rms_norm_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_rms_norm_backward_args *a = args;
    lt_rows xr = lt_rows_of(&a->x, 1), gr = lt_rows_of(&a->dy, 1), dr = lt_rows_of(&a->dx, 1);
    const double *weight = a->weight.data;
    double *dweight = a->dweight.data, *dx = a->dx.data;
    for (int64_t c = 0; dweight && !a->accumulate_dweight && c < xr.columns; c++) dweight[c] = 0;
    for (int64_t r = 0; r < xr.rows; r++) {
        const double *x = (const double *)a->x.data + r * xr.ld, *dy = (const double *)a->dy.data + r * gr.ld;
        double inverse = inverse_rms(x, xr.columns, a->eps), mean = 0;
        for (int64_t c = 0; c < xr.columns; c++) {
            mean += dy[c] * weight[c] * x[c] * inverse / (double)xr.columns;
            if (dweight) dweight[c] += dy[c] * x[c] * inverse;
        }
        for (int64_t c = 0; dx && c < xr.columns; c++) {
            double *out = dx + r * dr.ld + c;
            *out = (a->accumulate_dx ? *out : 0) + inverse * (dy[c] * weight[c] - x[c] * inverse * mean);
        }
    }
    return LT_OK;
}
