#include "kernels/glu_depthwise/shape.h"

#include <math.h>
#include <string.h>

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double silu(double x) { return x * sigmoid(x); }
static double silu_derivative(double x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }

/* Where pixel (i, j) of frame n begins in an array of `channels`; -1 outside the frame. */
static int64_t pixel(lt_glu_shape s, int64_t n, int64_t i, int64_t j, int64_t channels) {
    if (i < 0 || i >= s.height || j < 0 || j >= s.width) return -1;
    return ((n * s.height + i) * s.width + j) * channels;
}

/* h[n, i, j, c] */
static double depthwise(lt_glu_shape s, const double *x, const double *w, const double *b, int64_t n,
                        int64_t i, int64_t j, int64_t c) {
    int64_t channels = 2 * s.half;
    double h = b[c];
    for (int ki = 0; ki < 3; ki++)
        for (int kj = 0; kj < 3; kj++) {
            int64_t at = pixel(s, n, i + ki - 1, j + kj - 1, channels);
            if (at >= 0) h += w[(ki * 3 + kj) * channels + c] * silu(x[at + c]);
        }
    return h;
}

lt_status lt_glu_depthwise_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_glu_depthwise_args *a = args;
    lt_glu_shape s = lt_glu_shape_of(&a->x);
    const double *x = a->x.data, *w = a->w.data, *b = a->b.data;
    double *y = a->y.data;
    for (int64_t n = 0; n < s.frames; n++)
        for (int64_t i = 0; i < s.height; i++)
            for (int64_t j = 0; j < s.width; j++)
                for (int64_t c = 0; c < s.half; c++) {
                    double u = depthwise(s, x, w, b, n, i, j, c);
                    double g = depthwise(s, x, w, b, n, i, j, s.half + c);
                    y[pixel(s, n, i, j, s.half) + c] = u * silu(g);
                }
    return LT_OK;
}

/* dh: du = dy SiLU(g), dg = dy u SiLU'(g). */
static void gate_backward(lt_glu_shape s, const lt_glu_depthwise_backward_args *a, double *dh) {
    const double *x = a->x.data, *w = a->w.data, *b = a->b.data, *dy = a->dy.data;
    for (int64_t n = 0; n < s.frames; n++)
        for (int64_t i = 0; i < s.height; i++)
            for (int64_t j = 0; j < s.width; j++)
                for (int64_t c = 0; c < s.half; c++) {
                    double u = depthwise(s, x, w, b, n, i, j, c);
                    double g = depthwise(s, x, w, b, n, i, j, s.half + c);
                    double dy_c = dy[pixel(s, n, i, j, s.half) + c];
                    dh[pixel(s, n, i, j, 2 * s.half) + c] = dy_c * silu(g);
                    dh[pixel(s, n, i, j, 2 * s.half) + s.half + c] = dy_c * u * silu_derivative(g);
                }
}

/* dx[n, i, j, c]: every output whose window holds (i, j). */
static void glu_input_gradient(lt_glu_shape s, const lt_glu_depthwise_backward_args *a, const double *dh) {
    const double *x = a->x.data, *w = a->w.data;
    double *dx = a->dx.data;
    int64_t channels = 2 * s.half;
    for (int64_t n = 0; n < s.frames; n++)
        for (int64_t i = 0; i < s.height; i++)
            for (int64_t j = 0; j < s.width; j++)
                for (int64_t c = 0; c < channels; c++) {
                    double ds = 0;
                    for (int k = 0; k < 9; k++) {
                        int64_t at = pixel(s, n, i - (k / 3 - 1), j - (k % 3 - 1), channels);
                        if (at >= 0) ds += w[k * channels + c] * dh[at + c];
                    }
                    int64_t at = pixel(s, n, i, j, channels) + c;
                    dx[at] = (a->accumulate_dx ? dx[at] : 0) + ds * silu_derivative(x[at]);
                }
}

static void glu_weight_gradient(lt_glu_shape s, const lt_glu_depthwise_backward_args *a, const double *dh) {
    const double *x = a->x.data;
    double *dw = a->dw.data, *db = a->db.data;
    int64_t channels = 2 * s.half;
    if (!a->accumulate_dw) memset(dw, 0, lt_nbytes(&a->dw)), memset(db, 0, lt_nbytes(&a->db));
    for (int64_t n = 0; n < s.frames; n++)
        for (int64_t i = 0; i < s.height; i++)
            for (int64_t j = 0; j < s.width; j++)
                for (int64_t c = 0; c < channels; c++) {
                    double dh_c = dh[pixel(s, n, i, j, channels) + c];
                    db[c] += dh_c;
                    for (int k = 0; k < 9; k++) {
                        int64_t at = pixel(s, n, i + k / 3 - 1, j + k % 3 - 1, channels);
                        if (at >= 0) dw[k * channels + c] += dh_c * silu(x[at + c]);
                    }
                }
}

lt_status lt_glu_depthwise_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_glu_depthwise_backward_args *a = args;
    lt_glu_shape s = lt_glu_shape_of(&a->x);
    gate_backward(s, a, workspace);
    if (!lt_is_empty(&a->dx)) glu_input_gradient(s, a, workspace);
    if (!lt_is_empty(&a->dw)) glu_weight_gradient(s, a, workspace);
    return LT_OK;
}
