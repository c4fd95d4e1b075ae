#include "kernels/attention/attention.h"

#include <math.h>

static double weight(const lt_tensor *weights, int weighted, int e, int64_t h, int64_t heads) {
    return lt_is_empty(weights) || e >= weighted ? 1 : ((const double *)weights->data)[e * heads + h];
}

/* Per head `size` elements; the sources are folded from the left. */
static void fold(const lt_attn_sum *s, const lt_tensor *sources, int64_t heads, int64_t size, double *out) {
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = h * size; i < (h + 1) * size; i++) {
            double sum = weight(&s->weights, s->weighted, 0, h, heads) * ((const double *)sources[0].data)[i];
            for (int e = 1; e < s->count; e++)
                sum = fma(weight(&s->weights, s->weighted, e, h, heads), ((const double *)sources[e].data)[i],
                          sum);
            out[i] = sum;
        }
}

lt_status lt_attn_combine_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_combine_args *a = untyped;
    int64_t H = a->sums[0].S.shape[0], D = a->sums[0].S.shape[1];
    for (int s = 0; s < a->count; s++) {
        const lt_attn_sum *sum = &a->sums[s];
        fold(sum, a->S + sum->first, H, D * D, sum->S.data);
        fold(sum, a->z + sum->first, H, D, sum->z.data);
    }
    return LT_OK;
}

static double dot(int64_t n, const double *a, const double *b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void spread(int64_t n, double w, const double *from, const lt_tensor *to, int64_t offset,
                   bool accumulate) {
    if (lt_is_empty(to)) return;
    double *out = (double *)to->data + offset;
    for (int64_t i = 0; i < n; i++) out[i] = accumulate ? out[i] + w * from[i] : w * from[i];
}

/* Head h of the combination's source number i. */
static void backward(const lt_attn_combine_backward_args *a, const lt_attn_sum_gradient *sum, int i,
                     int64_t h) {
    int64_t H = sum->dS.shape[0], D = sum->dS.shape[1];
    const double *dS = (const double *)sum->dS.data + h * D * D, *dz = (const double *)sum->dz.data + h * D;
    double w = weight(&sum->weights, sum->weighted, i, h, H);
    int e = sum->first + i;
    bool accumulate = a->accumulate && a->accumulate[e];
    if (a->dS_e) spread(D * D, w, dS, &a->dS_e[e], h * D * D, accumulate);
    if (a->dz_e) spread(D, w, dz, &a->dz_e[e], h * D, accumulate);
    if (lt_is_empty(&sum->dweights) || i >= sum->weighted) return;
    double dw = dot(D * D, dS, (const double *)a->S[e].data + h * D * D) +
                dot(D, dz, (const double *)a->z[e].data + h * D);
    double *out = (double *)sum->dweights.data + i * H + h;
    *out = sum->accumulate_dweights ? *out + dw : dw;
}

lt_status lt_attn_combine_backward_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_combine_backward_args *a = untyped;
    for (int s = 0; s < a->count; s++)
        for (int i = 0; i < a->sums[s].count; i++)
            for (int64_t h = 0; h < a->sums[s].dS.shape[0]; h++) backward(a, &a->sums[s], i, h);
    return LT_OK;
}
