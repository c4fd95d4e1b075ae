#include "core/parallel.h"
#include "kernels/rows.h"
#include "kernels/temporal_conv/temporal_conv.h"

#include <cblas.h>
#include <string.h>

/* Rows of channels: one frame is `pixels` rows, one block `frames` frames. */
typedef struct conv_shape {
    int64_t blocks, frames, pixels, channels;
    int64_t frame; /* elements */
} conv_shape;

static conv_shape shape_of(const lt_tensor *x) {
    const int64_t *s = x->shape;
    return (conv_shape){s[0], s[1], s[2], s[3], s[2] * s[3]};
}

/* y += x w^T over `frames` frames */
static void apply(const conv_shape *s, int64_t frames, const float *x, const float *w, float *y) {
    blasint c = (blasint)s->channels, rows = (blasint)(frames * s->pixels);
    if (rows == 0) return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, c, c, 1, x, c, w, c, 1, y, c);
}

/* dx = beta dx + dy w */
static void apply_transposed(const conv_shape *s, int64_t frames, const float *dy, const float *w, float beta,
                             float *dx) {
    blasint c = (blasint)s->channels, rows = (blasint)(frames * s->pixels);
    if (rows == 0) return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, c, c, 1, dy, c, w, c, beta, dx, c);
}

/* dw += dy^T x */
static void correlate(const conv_shape *s, int64_t frames, const float *dy, const float *x, float *dw) {
    blasint c = (blasint)s->channels, rows = (blasint)(frames * s->pixels);
    if (rows == 0) return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, c, c, rows, 1, dy, c, x, c, 1, dw, c);
}

/* to = from, or to += from */
static void copy_rows(float *to, const float *from, int64_t count, bool add) {
#pragma omp parallel for simd schedule(static) num_threads(lt_threads()) if (count >= LT_PARALLEL_FROM)
    for (int64_t i = 0; i < count; i++) to[i] = add ? to[i] + from[i] : from[i];
}

/* The middle tap does not see blocks, so it is one product; the outer taps stop at block boundaries. */
lt_status lt_temporal_conv_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_temporal_conv_args *a = args;
    conv_shape s = shape_of(&a->x);
    const float *x = a->x.data, *tail = a->tail.data, *w = a->w.data;
    const float *left = w, *middle = w + s.channels * s.channels, *right = middle + s.channels * s.channels;
    float *y = a->y.data;
    copy_rows(y, x, lt_numel(&a->x), false);
    apply(&s, s.blocks * s.frames, x, middle, y);
    for (int64_t g = 0; g < s.blocks; g++) {
        int64_t at = g * s.frames * s.frame;
        apply(&s, s.frames - 1, x + at, left, y + at + s.frame);
        apply(&s, s.frames - 1, x + at + s.frame, right, y + at);
        if (tail) apply(&s, 1, tail + g * s.frame, left, y + at);
    }
    return LT_OK;
}

static void input_gradient(const lt_temporal_conv_backward_args *a, const conv_shape *s) {
    const float *dy = a->dy.data, *w = a->w.data;
    const float *left = w, *middle = w + s->channels * s->channels,
                *right = middle + s->channels * s->channels;
    float *dx = a->dx.data;
    copy_rows(dx, dy, lt_numel(&a->x), a->accumulate_dx);
    apply_transposed(s, s->blocks * s->frames, dy, middle, 1, dx);
    for (int64_t g = 0; g < s->blocks; g++) {
        int64_t at = g * s->frames * s->frame;
        apply_transposed(s, s->frames - 1, dy + at + s->frame, left, 1, dx + at);
        apply_transposed(s, s->frames - 1, dy + at, right, 1, dx + at + s->frame);
    }
}

static void weight_gradient(const lt_temporal_conv_backward_args *a, const conv_shape *s) {
    const float *dy = a->dy.data, *x = a->x.data, *tail = a->tail.data;
    float *left = a->dw.data, *middle = left + s->channels * s->channels;
    float *right = middle + s->channels * s->channels;
    if (!a->accumulate_dw) memset(left, 0, lt_nbytes(&a->dw));
    correlate(s, s->blocks * s->frames, dy, x, middle);
    for (int64_t g = 0; g < s->blocks; g++) {
        int64_t at = g * s->frames * s->frame;
        correlate(s, s->frames - 1, dy + at + s->frame, x + at, left);
        correlate(s, s->frames - 1, dy + at, x + at + s->frame, right);
        if (tail) correlate(s, 1, dy + at, tail + g * s->frame, left);
    }
}

lt_status lt_temporal_conv_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_temporal_conv_backward_args *a = args;
    conv_shape s = shape_of(&a->x);
    const float *dy = a->dy.data, *w = a->w.data;
    if (!lt_is_empty(&a->dx)) input_gradient(a, &s);
    for (int64_t g = 0; g < s.blocks && !lt_is_empty(&a->dtail); g++)
        apply_transposed(&s, 1, dy + g * s.frames * s.frame, w, a->accumulate_dtail ? 1 : 0,
                         (float *)a->dtail.data + g * s.frame);
    if (!lt_is_empty(&a->dw)) weight_gradient(a, &s);
    return LT_OK;
}
