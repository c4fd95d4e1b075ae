#include "kernels/e4m3.h"
#include "kernels/linear/cpu_product.h"
#include "kernels/rows.h"
#include "kernels/temporal_conv/temporal_conv.h"

#include <string.h>

/* Rows of channels: one frame is `pixels` rows, one block `frames` frames. */
typedef struct conv_shape {
    int64_t blocks, frames, pixels, channels;
    int64_t frame; /* elements */
} conv_shape;

static conv_shape conv_shape_of(const lt_tensor *x) {
    const int64_t *s = x->shape;
    return (conv_shape){s[0], s[1], s[2], s[3], s[2] * s[3]};
}

/* to += from */
static void add_floats(float *to, const float *from, int64_t count) {
#pragma omp parallel for simd schedule(static) if (count >= LT_PARALLEL_FROM)
    for (int64_t i = 0; i < count; i++) to[i] += from[i];
}

/* Rows of `frames` frames, times a tap's weights or transposed weights. */
static lt_status apply(const conv_shape *s, int64_t frames, const float *x, const float *w, bool transposed,
                       const float *start, float *y) {
    int64_t c = s->channels;
    return lt_product_cpu(&(lt_product){.m = frames * s->pixels,
                                        .n = c,
                                        .k = c,
                                        .a = {x, c, false},
                                        .b = {w, c, transposed},
                                        .start = start,
                                        .start_step = c,
                                        .c = y,
                                        .c_step = c});
}

/* dw += dy^T x over `frames` frames */
static lt_status correlate(const conv_shape *s, int64_t frames, const float *dy, const float *x, float *dw) {
    int64_t c = s->channels, rows = frames * s->pixels;
    if (rows == 0) return LT_OK;
    return lt_product_cpu(&(lt_product){.m = c,
                                        .n = c,
                                        .k = rows,
                                        .a = {dy, c, true},
                                        .b = {x, c, false},
                                        .start = dw,
                                        .start_step = c,
                                        .c = dw,
                                        .c_step = c});
}

/* What GEMMs read with w in e4m3: x, tail and w as float32, in workspace. */
static void round_factors(const lt_temporal_conv_args *a, float *memory, const float **x, const float **tail,
                          const float **w) {
    int64_t c = a->x.shape[3], rows = lt_numel(&a->x) / c;
    int64_t tails = lt_is_empty(&a->tail) ? 0 : lt_numel(&a->tail) / c;
    float *rounded = memory + rows * c, *wide = rounded + tails * c;
    lt_e4m3_round_rows(*x, rows, c, c, memory);
    lt_e4m3_round_rows(*tail, tails, c, c, rounded);
    lt_e4m3_widen_rows(a->w.data, a->scale.data, 3 * c, c, wide);
    *x = memory, *tail = *tail ? rounded : NULL, *w = wide;
}

/* The middle tap does not see blocks, so it is one GEMM; the outer taps stop at block boundaries. */
lt_status lt_temporal_conv_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_temporal_conv_args *a = args;
    conv_shape s = conv_shape_of(&a->x);
    const float *x = a->x.data, *tail = a->tail.data, *w = a->w.data;
    if (!lt_is_empty(&a->scale)) round_factors(a, workspace, &x, &tail, &w);
    const float *left = w, *middle = w + s.channels * s.channels, *right = middle + s.channels * s.channels;
    float *y = a->y.data;
    LT_TRY(apply(&s, s.blocks * s.frames, x, middle, true, a->x.data, y));
    for (int64_t g = 0; g < s.blocks; g++) {
        int64_t at = g * s.frames * s.frame;
        float *second = y + at + s.frame;
        LT_TRY(apply(&s, s.frames - 1, x + at, left, true, second, second));
        LT_TRY(apply(&s, s.frames - 1, x + at + s.frame, right, true, y + at, y + at));
        if (tail) LT_TRY(apply(&s, 1, tail + g * s.frame, left, true, y + at, y + at));
    }
    return LT_OK;
}

static lt_status conv_input_gradient(const lt_temporal_conv_backward_args *a, const conv_shape *s) {
    const float *dy = a->dy.data, *w = a->w.data;
    const float *left = w, *middle = w + s->channels * s->channels,
                *right = middle + s->channels * s->channels;
    float *dx = a->dx.data;
    if (a->accumulate_dx) add_floats(dx, dy, lt_numel(&a->x));
    LT_TRY(apply(s, s->blocks * s->frames, dy, middle, false, a->accumulate_dx ? dx : dy, dx));
    for (int64_t g = 0; g < s->blocks; g++) {
        int64_t at = g * s->frames * s->frame;
        float *second = dx + at + s->frame;
        LT_TRY(apply(s, s->frames - 1, dy + at + s->frame, left, false, dx + at, dx + at));
        LT_TRY(apply(s, s->frames - 1, dy + at, right, false, second, second));
    }
    return LT_OK;
}

static lt_status conv_weight_gradient(const lt_temporal_conv_backward_args *a, const conv_shape *s) {
    const float *dy = a->dy.data, *x = a->x.data, *tail = a->tail.data;
    float *left = a->dw.data, *middle = left + s->channels * s->channels;
    float *right = middle + s->channels * s->channels;
    if (!a->accumulate_dw) memset(left, 0, lt_nbytes(&a->dw));
    LT_TRY(correlate(s, s->blocks * s->frames, dy, x, middle));
    for (int64_t g = 0; g < s->blocks; g++) {
        int64_t at = g * s->frames * s->frame;
        LT_TRY(correlate(s, s->frames - 1, dy + at + s->frame, x + at, left));
        LT_TRY(correlate(s, s->frames - 1, dy + at, x + at + s->frame, right));
        if (tail) LT_TRY(correlate(s, 1, dy + at, tail + g * s->frame, left));
    }
    return LT_OK;
}

lt_status lt_temporal_conv_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_temporal_conv_backward_args *a = args;
    conv_shape s = conv_shape_of(&a->x);
    const float *dy = a->dy.data, *w = a->w.data;
    if (!lt_is_empty(&a->dx)) LT_TRY(conv_input_gradient(a, &s));
    for (int64_t g = 0; g < s.blocks && !lt_is_empty(&a->dtail); g++) {
        float *dtail = (float *)a->dtail.data + g * s.frame;
        LT_TRY(
            apply(&s, 1, dy + g * s.frames * s.frame, w, false, a->accumulate_dtail ? dtail : NULL, dtail));
    }
    return lt_is_empty(&a->dw) ? LT_OK : conv_weight_gradient(a, &s);
}
