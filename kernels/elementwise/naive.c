#include "kernels/e4m3.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/elementwise/scalar.h"

#include <math.h>

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double value(lt_unary kind, double x) {
    switch (kind) {
    case LT_SILU: return x * sigmoid(x);
    case LT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case LT_TANH: return tanh(x);
    default: return 2 * sigmoid(x);
    }
}

static double slope(lt_unary kind, double x) {
    double s = sigmoid(x), t = tanh(kind == LT_GELU_TANH ? sqrt(2 / M_PI) * (x + 0.044715 * x * x * x) : x);
    switch (kind) {
    case LT_SILU: return s * (1 + x * (1 - s));
    case LT_GELU_TANH:
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
    case LT_TANH: return 1 - t * t;
    default: return 2 * s * (1 - s);
    }
}

lt_status lt_unary_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_unary_args *a = args;
    const double *x = a->x.data;
    double *y = a->y.data;
    for (int64_t i = 0; i < lt_numel(&a->x); i++) y[i] = value(a->kind, x[i]);
    return LT_OK;
}

lt_status lt_unary_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_unary_backward_args *a = args;
    const double *x = a->x.data, *dy = a->dy.data;
    double *dx = a->dx.data;
    for (int64_t i = 0; i < lt_numel(&a->x); i++)
        dx[i] = (a->accumulate_dx ? dx[i] : 0) + dy[i] * slope(a->kind, x[i]);
    return LT_OK;
}

lt_status lt_add_broadcast_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_add_broadcast_args *a = args;
    int64_t groups = a->y.shape[0], rows = a->y.shape[1], n = a->y.shape[2], b_rows = a->b.shape[1];
    const double *x = a->a.data, *b = a->b.data;
    double *y = a->y.data;
    for (int64_t g = 0; g < groups; g++)
        for (int64_t m = 0; m < rows; m++)
            for (int64_t c = 0; c < n; c++)
                y[(g * rows + m) * n + c] = x[m * n + c] + b[(g * b_rows + m % b_rows) * n + c];
    return LT_OK;
}

lt_status lt_add_broadcast_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_add_broadcast_backward_args *a = args;
    int64_t groups = a->dy.shape[0], rows = a->dy.shape[1], n = a->dy.shape[2];
    const double *dy = a->dy.data;
    double *da = a->da.data, *db = a->db.data;
    for (int64_t i = 0; da && !a->accumulate_da && i < lt_numel(&a->da); i++) da[i] = 0;
    for (int64_t i = 0; db && !a->accumulate_db && i < lt_numel(&a->db); i++) db[i] = 0;
    for (int64_t g = 0; g < groups; g++)
        for (int64_t m = 0; m < rows; m++)
            for (int64_t c = 0; c < n; c++) {
                double up = dy[(g * rows + m) * n + c];
                if (da) da[m * n + c] += up;
                if (db) db[(g * a->db.shape[1] + m % a->db.shape[1]) * n + c] += up;
            }
    return LT_OK;
}

/* Element [g, c] of an optional [G, C]; 1 where absent. */
static double gate_at(const lt_tensor *gate, int64_t g, int64_t c) {
    return lt_is_empty(gate) ? 1 : ((const double *)gate->data)[g * gate->stride[0] + c];
}

lt_status lt_gated_residual_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_gated_residual_args *a = args;
    int64_t rows = a->x.shape[1], n = a->x.shape[2];
    const double *x = a->x.data, *h = a->h.data;
    double *y = a->y.data;
    for (int64_t i = 0; i < lt_numel(&a->x); i++)
        y[i] = x[i] + gate_at(&a->gate, i / (rows * n), i % n) * h[i];
    if (!lt_is_empty(&a->codes))
        lt_e4m3_code_rows_exactly(y, a->x.shape[0] * rows, n, a->codes.data, a->codes_scale.data);
    return LT_OK;
}

lt_status lt_gated_residual_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_gated_residual_backward_args *a = args;
    int64_t groups = a->dy.shape[0], rows = a->dy.shape[1], n = a->dy.shape[2];
    const double *dy = a->dy.data, *h = a->h.data;
    double *dh = a->dh.data, *dgate = a->dgate.data;
    for (int64_t i = 0; dh && i < groups * rows * n; i++)
        dh[i] = (a->accumulate_dh ? dh[i] : 0) + gate_at(&a->gate, i / (rows * n), i % n) * dy[i];
    for (int64_t g = 0; dgate && g < groups; g++)
        for (int64_t c = 0; c < n; c++) {
            double *out = dgate + g * a->dgate.stride[0] + c;
            if (!a->accumulate_dgate) *out = 0;
            for (int64_t t = 0; t < rows; t++) *out += h[(g * rows + t) * n + c] * dy[(g * rows + t) * n + c];
        }
    return LT_OK;
}

/* Offset of the i-th element, in row-major order. */
static int64_t offset(const lt_tensor *t, int64_t i) {
    int64_t sum = 0;
    for (int d = t->ndim - 1; d >= 0; i /= t->shape[d], d--) sum += i % t->shape[d] * t->stride[d];
    return sum;
}

lt_status lt_copy_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_copy_args *a = args;
    for (int64_t i = 0; i < lt_numel(&a->x); i++) {
        int64_t to = offset(&a->y, i);
        double v = a->scale == 0 ? 0 : a->scale * lt_scalar_load(a->x.data, a->x.dtype, offset(&a->x, i));
        if (a->accumulate) v += lt_scalar_load(a->y.data, a->y.dtype, to);
        lt_scalar_store(a->y.data, a->y.dtype, to, v);
    }
    return LT_OK;
}

lt_status lt_mix_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_mix_args *m = args;
    const double *a = m->a.data, *b = m->b.data, *alpha = m->alpha.data, *beta = m->beta.data;
    double *y = m->y.data;
    int64_t n = m->a.shape[1];
    for (int64_t i = 0; i < lt_numel(&m->a); i++) y[i] = alpha[i / n] * a[i] + beta[i / n] * b[i];
    return LT_OK;
}

lt_status lt_sum_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_sum_args *a = args;
    const double *x = a->x.data;
    double *y = a->y.data;
    for (int64_t g = 0; g < a->x.shape[0]; g++) {
        y[g] = 0;
        for (int64_t i = 0; i < a->x.shape[1]; i++) y[g] += x[g * a->x.shape[1] + i];
    }
    return LT_OK;
}
