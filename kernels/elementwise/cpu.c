#include "kernels/column_sums.h"
#include "kernels/e4m3.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/rows.h"
#include "kernels/vec.h"

#include <string.h>

/* A loop over [begin, end) of one function, vectorised with the function inlined. Outputs may be inputs. */
#define MAP(function)                                                                                        \
    do {                                                                                                     \
        _Pragma("omp simd") for (int64_t i = begin; i < end; i++) y[i] = function(x[i]);                     \
    } while (0)
#define MAP_SLOPE(function)                                                                                  \
    do {                                                                                                     \
        if (accumulate) {                                                                                    \
            _Pragma("omp simd") for (int64_t i = begin; i < end; i++) dx[i] += dy[i] * function(x[i]);       \
        } else {                                                                                             \
            _Pragma("omp simd") for (int64_t i = begin; i < end; i++) dx[i] = dy[i] * function(x[i]);        \
        }                                                                                                    \
    } while (0)

LT_INLINE float sigmoid2(float x) { return 2.0f * lt_vec_sigmoid(x); }
LT_INLINE float sigmoid2_slope(float x) {
    float s = lt_vec_sigmoid(x);
    return 2.0f * s * (1.0f - s);
}
LT_INLINE float tanh_slope(float x) {
    float s = lt_vec_sigmoid(2.0f * x); /* 1 - tanh^2 = 4 s (1 - s), exact in the tails */
    return 4.0f * s * lt_vec_sigmoid(-2.0f * x);
}

static void unary_piece(lt_unary kind, const float *x, float *y, int64_t begin, int64_t end) {
    switch (kind) {
    case LT_SILU: MAP(lt_vec_silu); break;
    case LT_GELU_TANH: MAP(lt_vec_gelu); break;
    case LT_TANH: MAP(lt_vec_tanh); break;
    default: MAP(sigmoid2); break;
    }
}

static void unary_backward_piece(lt_unary kind, const float *dy, const float *x, float *dx, bool accumulate,
                                 int64_t begin, int64_t end) {
    switch (kind) {
    case LT_SILU: MAP_SLOPE(lt_vec_silu_slope); break;
    case LT_GELU_TANH: MAP_SLOPE(lt_vec_gelu_slope); break;
    case LT_TANH: MAP_SLOPE(tanh_slope); break;
    default: MAP_SLOPE(sigmoid2_slope); break;
    }
}

lt_status lt_unary_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_unary_args *a = args;
    int64_t n = lt_numel(&a->x);
#pragma omp parallel for schedule(static) if (n >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < lt_pieces(n, LT_PIECE); p++)
        unary_piece(a->kind, a->x.data, a->y.data, p * LT_PIECE, lt_piece_end(p, n, LT_PIECE));
    return LT_OK;
}

lt_status lt_unary_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_unary_backward_args *a = args;
    int64_t n = lt_numel(&a->x);
#pragma omp parallel for schedule(static) if (n >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < lt_pieces(n, LT_PIECE); p++)
        unary_backward_piece(a->kind, a->dy.data, a->x.data, a->dx.data, a->accumulate_dx, p * LT_PIECE,
                             lt_piece_end(p, n, LT_PIECE));
    return LT_OK;
}

lt_status lt_add_broadcast_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_add_broadcast_args *a = args;
    int64_t groups = a->y.shape[0], rows = a->y.shape[1], n = a->y.shape[2];
    bool single = a->b.shape[1] == 1;
#pragma omp parallel for schedule(static) if (groups * rows * n >= LT_PARALLEL_FROM)
    for (int64_t r = 0; r < groups * rows; r++) {
        const float *x = (const float *)a->a.data + r % rows * n;
        const float *b = (const float *)a->b.data + (single ? r / rows : r) * n;
        float *y = (float *)a->y.data + r * n;
#pragma omp simd
        for (int64_t c = 0; c < n; c++) y[c] = x[c] + b[c];
    }
    return LT_OK;
}

/* da[i] (+)= sum over g of dy[g, i]; count = M * C elements a group. */
static void sum_groups(const float *dy, int64_t groups, int64_t count, float *da, bool accumulate) {
#pragma omp parallel for schedule(static) if (groups * count >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < lt_pieces(count, LT_PIECE); p++) {
        int64_t begin = p * LT_PIECE, end = lt_piece_end(p, count, LT_PIECE);
        lt_fold_pieces(dy + begin, groups, count, end - begin, da + begin, accumulate);
    }
}

static void add_to(const float *x, float *y, int64_t count) {
#pragma omp parallel for schedule(static) if (count >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < lt_pieces(count, LT_PIECE); p++) {
#pragma omp simd
        for (int64_t i = p * LT_PIECE; i < lt_piece_end(p, count, LT_PIECE); i++) y[i] += x[i];
    }
}

lt_status lt_add_broadcast_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_add_broadcast_backward_args *a = args;
    int64_t groups = a->dy.shape[0], rows = a->dy.shape[1], n = a->dy.shape[2];
    const float *dy = a->dy.data;
    float *db = a->db.data;
    if (!lt_is_empty(&a->da)) sum_groups(dy, groups, rows * n, a->da.data, a->accumulate_da);
    if (!db) return LT_OK;
    if (a->db.shape[1] == 1)
        lt_group_column_sums(dy, NULL, groups, rows, n, db, n, a->accumulate_db, workspace);
    else if (a->accumulate_db) add_to(dy, db, groups * rows * n);
    else memcpy(db, dy, lt_nbytes(&a->dy));
    return LT_OK;
}

static const float *gate_row(const lt_tensor *gate, int64_t g) {
    return lt_is_empty(gate) ? NULL : (const float *)gate->data + g * gate->stride[0];
}

lt_status lt_gated_residual_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_gated_residual_args *a = args;
    int64_t rows = a->x.shape[1], n = a->x.shape[2], all = a->x.shape[0] * rows;
#pragma omp parallel for schedule(static) if (all * n >= LT_PARALLEL_FROM)
    for (int64_t r = 0; r < all; r++) {
        const float *x = (const float *)a->x.data + r * n, *h = (const float *)a->h.data + r * n;
        const float *gate = gate_row(&a->gate, r / rows);
        float *y = (float *)a->y.data + r * n;
#pragma omp simd
        for (int64_t c = 0; c < n; c++) y[c] = gate ? x[c] + gate[c] * h[c] : x[c] + h[c];
    }
    if (!lt_is_empty(&a->codes)) lt_e4m3_code_rows(a->y.data, all, n, a->codes.data, a->codes_scale.data);
    return LT_OK;
}

static void gate_rows_backward(const lt_gated_residual_backward_args *a) {
    int64_t rows = a->dy.shape[1], n = a->dy.shape[2], all = a->dy.shape[0] * rows;
    bool accumulate = a->accumulate_dh;
#pragma omp parallel for schedule(static) if (all * n >= LT_PARALLEL_FROM)
    for (int64_t r = 0; r < all; r++) {
        const float *dy = (const float *)a->dy.data + r * n, *gate = gate_row(&a->gate, r / rows);
        float *dh = (float *)a->dh.data + r * n;
#pragma omp simd
        for (int64_t c = 0; c < n; c++) {
            float v = gate ? gate[c] * dy[c] : dy[c];
            dh[c] = accumulate ? dh[c] + v : v;
        }
    }
}

lt_status lt_gated_residual_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_gated_residual_backward_args *a = args;
    if (!lt_is_empty(&a->dgate))
        lt_group_column_sums(a->dy.data, a->h.data, a->dy.shape[0], a->dy.shape[1], a->dy.shape[2],
                             a->dgate.data, a->dgate.stride[0], a->accumulate_dgate, workspace);
    if (!lt_is_empty(&a->dh)) gate_rows_backward(a);
    return LT_OK;
}

lt_status lt_mix_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_mix_args *m = args;
    int64_t n = m->a.shape[1], pieces = lt_pieces(n, LT_PIECE);
    const float *a = m->a.data, *b = m->b.data;
    float *y = m->y.data;
#pragma omp parallel for schedule(static) if (lt_numel(&m->a) >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < m->a.shape[0] * pieces; p++) {
        int64_t g = p / pieces, begin = g * n + p % pieces * LT_PIECE;
        int64_t end = g * n + lt_piece_end(p % pieces, n, LT_PIECE);
        float alpha = ((const float *)m->alpha.data)[g], beta = ((const float *)m->beta.data)[g];
#pragma omp simd
        for (int64_t i = begin; i < end; i++) y[i] = alpha * a[i] + beta * b[i];
    }
    return LT_OK;
}

lt_status lt_sum_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_sum_args *a = args;
    int64_t groups = a->x.shape[0], n = a->x.shape[1], pieces = lt_pieces(n, LT_PIECE);
    double *partial = workspace;
#pragma omp parallel for schedule(static) if (groups * n >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < groups * pieces; p++) {
        const float *x = (const float *)a->x.data + p / pieces * n;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = p % pieces * LT_PIECE; i < lt_piece_end(p % pieces, n, LT_PIECE); i++)
            sum += (double)x[i];
        partial[p] = sum;
    }
    for (int64_t g = 0; g < groups; g++) {
        double sum = 0;
        for (int64_t p = 0; p < pieces; p++) sum += partial[g * pieces + p];
        ((float *)a->y.data)[g] = (float)sum;
    }
    return LT_OK;
}
