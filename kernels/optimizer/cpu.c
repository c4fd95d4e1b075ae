#include "kernels/optimizer/chunks.h"
#include "kernels/optimizer/coefficients.h"

/* In float64: squares of float32 neither overflow nor lose anything there. */
static double squares_of(const float *g, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += (double)g[i] * (double)g[i];
    return sum;
}

/* The tensor that holds chunk `chunk`: the last one whose first chunk is not behind it. */
static int find_parameter(const int64_t *first, int count, int64_t chunk) {
    int low = 0, high = count;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (first[middle] <= chunk) low = middle;
        else high = middle;
    }
    return low;
}

lt_status lt_grad_norm_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_grad_norm_args *a = args;
    int64_t *first = workspace;
    first[0] = 0;
    for (int t = 0; t < a->count; t++)
        first[t + 1] = first[t] + lt_pieces(lt_numel(&a->grads[t]), LT_NORM_CHUNK);
    int64_t chunks = first[a->count];
    double *partial = (double *)(first + a->count + 1), squares = 0, control[3];
#pragma omp parallel for schedule(static) if (chunks > 4)
    for (int64_t c = 0; c < chunks; c++) {
        int t = find_parameter(first, a->count, c);
        int64_t begin = (c - first[t]) * LT_NORM_CHUNK;
        int64_t end = lt_piece_end(c - first[t], lt_numel(&a->grads[t]), LT_NORM_CHUNK);
        partial[c] = squares_of((const float *)a->grads[t].data + begin, end - begin);
    }
    for (int64_t c = 0; c < chunks; c++) squares += partial[c];
    lt_norm_control(squares, a->scale, a->max_norm, control);
    for (int i = 0; i < 3; i++) ((float *)a->control.data)[i] = (float)control[i];
    return LT_OK;
}

static void adamw_update(lt_adamw_coefficients k, float factor, const float *restrict grad, float *restrict p,
                         float *restrict m, float *restrict v, float *restrict ema, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float g = factor * grad[i];
        m[i] = k.beta1 * m[i] + k.rest1 * g;
        v[i] = k.beta2 * v[i] + k.rest2 * g * g;
        p[i] = k.shrink * p[i] - k.rate * m[i] / (sqrtf(v[i]) * k.unbias + k.eps);
        if (ema) ema[i] = k.ema_decay * ema[i] + k.ema_rest * p[i];
    }
}

static void update_param(lt_adamw_coefficients k, float factor, const lt_adamw_param *x) {
    int64_t n = lt_numel(&x->param);
    if (!x->decays) k.shrink = 1;
#pragma omp parallel for schedule(static) if (n >= LT_PARALLEL_FROM)
    for (int64_t p = 0; p < lt_pieces(n, LT_PIECE); p++) {
        int64_t i = p * LT_PIECE;
        float *ema = lt_is_empty(&x->ema) ? NULL : (float *)x->ema.data + i;
        adamw_update(k, factor, (const float *)x->grad.data + i, (float *)x->param.data + i,
                     (float *)x->m.data + i, (float *)x->v.data + i, ema, lt_piece_end(p, n, LT_PIECE) - i);
    }
}

lt_status lt_adamw_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_adamw_args *a = args;
    const float *control = a->control.data;
    if (control[2] == 0) return LT_OK;
    lt_adamw_coefficients k = lt_adamw_coefficients_of(a);
    for (int i = 0; i < a->count; i++) update_param(k, control[1], &a->params[i]);
    return LT_OK;
}
