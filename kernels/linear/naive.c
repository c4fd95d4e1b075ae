#include "kernels/e4m3.h"
#include "kernels/linear/linear.h"
#include "kernels/rows.h"

lt_status lt_linear_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_linear_args *a = args;
    lt_rows xr = lt_rows_of(&a->x, 1), wr = lt_rows_of(&a->w, 1), yr = lt_rows_of(&a->y, 1);
    const double *w = a->w.data, *b = a->b.data, *scale = a->scale.data, *x_scale = a->x_scale.data;
    double *y = a->y.data;
    for (int64_t n = 0; n < yr.rows; n++) {
        const double *x = (const double *)a->x.data + n * xr.ld;
        if (scale && !x_scale) lt_e4m3_round_exactly(x, xr.columns, workspace), x = workspace;
        for (int64_t m = 0; m < yr.columns; m++) {
            double sum = 0;
            for (int64_t k = 0; k < xr.columns; k++) sum += x[k] * w[m * wr.ld + k];
            if (scale) sum *= scale[m] * (x_scale ? x_scale[n] : 1);
            y[n * yr.ld + m] = (a->accumulate ? y[n * yr.ld + m] : 0) + sum + (b ? b[m] : 0);
        }
    }
    return LT_OK;
}

static void backward_x(const lt_linear_backward_args *a) {
    lt_rows gr = lt_rows_of(&a->dy, 1), wr = lt_rows_of(&a->w, 1), dr = lt_rows_of(&a->dx, 1);
    const double *dy = a->dy.data, *w = a->w.data;
    double *dx = a->dx.data;
    for (int64_t n = 0; n < dr.rows; n++)
        for (int64_t k = 0; k < dr.columns; k++) {
            double sum = a->accumulate_dx ? dx[n * dr.ld + k] : 0;
            for (int64_t m = 0; m < gr.columns; m++) sum += dy[n * gr.ld + m] * w[m * wr.ld + k];
            dx[n * dr.ld + k] = sum;
        }
}

static void backward_w(const lt_linear_backward_args *a) {
    lt_rows gr = lt_rows_of(&a->dy, 1), xr = lt_rows_of(&a->x, 1), dr = lt_rows_of(&a->dw, 1);
    const double *dy = a->dy.data, *x = a->x.data;
    double *dw = a->dw.data;
    for (int64_t m = 0; m < dr.rows; m++)
        for (int64_t k = 0; k < dr.columns; k++) {
            double sum = a->accumulate_dw ? dw[m * dr.ld + k] : 0;
            for (int64_t n = 0; n < gr.rows; n++) sum += dy[n * gr.ld + m] * x[n * xr.ld + k];
            dw[m * dr.ld + k] = sum;
        }
}

lt_status lt_linear_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_linear_backward_args *a = args;
    if (!lt_is_empty(&a->dx)) backward_x(a);
    if (!lt_is_empty(&a->dw)) backward_w(a);
    lt_rows gr = lt_rows_of(&a->dy, 1);
    const double *dy = a->dy.data;
    double *db = a->db.data;
    for (int64_t m = 0; db && m < gr.columns; m++) {
        double sum = a->accumulate_dw ? db[m] : 0;
        for (int64_t n = 0; n < gr.rows; n++) sum += dy[n * gr.ld + m];
        db[m] = sum;
    }
    return LT_OK;
}
