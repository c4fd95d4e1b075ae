/* Copies between any strides and floating dtypes. A piece of work is a run of about LT_PIECE elements of one or several
 * lines. */
#include "kernels/elementwise/copy_walk.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/elementwise/scalar.h"
#include "kernels/rows.h"

#include <string.h>

static void line_f32(const float *x, float *y, const lt_copy_walk *w, int64_t n, float scale,
                     bool accumulate) {
    if (w->x_step == 1 && w->y_step == 1) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = accumulate ? y[i] + scale * x[i] : scale * x[i];
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float v = scale * x[i * w->x_step];
        y[i * w->y_step] = accumulate ? y[i * w->y_step] + v : v;
    }
}

static void line_any(const lt_copy_args *a, const char *x, char *y, const lt_copy_walk *w, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double v = a->scale * lt_scalar_load(x, a->x.dtype, i * w->x_step);
        if (a->accumulate) v += lt_scalar_load(y, a->y.dtype, i * w->y_step);
        lt_scalar_store(y, a->y.dtype, i * w->y_step, v);
    }
}

static void line_bits(const char *x, char *y, const lt_copy_walk *w, int64_t n, size_t size) {
    if (w->x_step == 1 && w->y_step == 1) memcpy(y, x, (size_t)n * size);
    else if (size == 4)
        for (int64_t i = 0; i < n; i++) ((uint32_t *)y)[i * w->y_step] = ((const uint32_t *)x)[i * w->x_step];
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(y + i * w->y_step * (int64_t)size, x + i * w->x_step * (int64_t)size, size);
}

/* Scale 0 never reads x: what lies there may be uninitialised. */
static void line_zero(char *y, const lt_copy_walk *w, int64_t n, size_t size) {
    if (w->y_step == 1) memset(y, 0, (size_t)n * size);
    else
        for (int64_t i = 0; i < n; i++) memset(y + i * w->y_step * (int64_t)size, 0, size);
}

/* Elements [begin, begin + n) of line `line`. */
static void copy_line(const lt_copy_args *a, const lt_copy_walk *w, int64_t line, int64_t begin, int64_t n) {
    int64_t from = begin * w->x_step, to = begin * w->y_step;
    for (int d = w->ndim - 1; d >= 0; line /= w->shape[d], d--) {
        from += line % w->shape[d] * w->x_stride[d];
        to += line % w->shape[d] * w->y_stride[d];
    }
    size_t x_size = lt_dtype_size(a->x.dtype), y_size = lt_dtype_size(a->y.dtype);
    const char *x = (const char *)a->x.data + from * (int64_t)x_size;
    char *y = (char *)a->y.data + to * (int64_t)y_size;
    if (a->scale == 0) line_zero(y, w, n, y_size);
    else if (a->x.dtype == a->y.dtype && a->scale == 1 && !a->accumulate) line_bits(x, y, w, n, x_size);
    else if (a->x.dtype == LT_F32 && a->y.dtype == LT_F32)
        line_f32((const float *)x, (float *)y, w, n, (float)a->scale, a->accumulate);
    else line_any(a, x, y, w, n);
}

lt_status lt_copy_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_copy_args *a = args;
    int64_t count = lt_numel(&a->x);
    if (count == 0 || (a->scale == 0 && a->accumulate)) return LT_OK;
    lt_copy_walk w = lt_copy_walk_of(&a->x, &a->y);
    int64_t lines = count / w.length, per_line = lt_pieces(w.length, LT_PIECE);
    int64_t together = per_line > 1 ? 1 : LT_PIECE / w.length; /* short lines a piece */
#pragma omp parallel for schedule(static) if (count >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < lt_pieces(lines, together) * per_line; p++) {
        int64_t first = p / per_line * together, begin = p % per_line * LT_PIECE;
        int64_t n = lt_piece_end(p % per_line, w.length, LT_PIECE) - begin;
        int64_t end = first + together < lines ? first + together : lines;
        for (int64_t line = first; line < end; line++) copy_line(a, &w, line, begin, n);
    }
    return LT_OK;
}
