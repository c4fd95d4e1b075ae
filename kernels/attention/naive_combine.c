#include "kernels/attention/attention.h"

#include <math.h>

static double weight(const lt_tensor *weights, int weighted, int e, int64_t h, int64_t heads) {
    return lt_is_empty(weights) || e >= weighted ? 1 : ((const double *)weights->data)[e * heads + h];
}

/* Per head `size` elements; the sources are folded from the left. */
static void fold(const lt_attn_combine_args *a, const lt_tensor *sources, int64_t heads, int64_t size,
                 double *out) {
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = h * size; i < (h + 1) * size; i++) {
            double sum = weight(&a->weights, a->weighted, 0, h, heads) * ((const double *)sources[0].data)[i];
            for (int e = 1; e < a->count; e++)
                sum = fma(weight(&a->weights, a->weighted, e, h, heads), ((const double *)sources[e].data)[i],
                          sum);
            out[i] = sum;
        }
}

lt_status lt_attn_combine_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_combine_args *a = untyped;
    int64_t H = a->out_S.shape[0], D = a->out_S.shape[1];
    fold(a, a->S, H, D * D, a->out_S.data);
    fold(a, a->z, H, D, a->out_z.data);
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

lt_status lt_attn_combine_backward_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_combine_backward_args *a = untyped;
    int64_t H = a->dS.shape[0], D = a->dS.shape[1];
    for (int e = 0; e < a->count; e++)
        for (int64_t h = 0; h < H; h++) {
            const double *dS = (const double *)a->dS.data + h * D * D,
                         *dz = (const double *)a->dz.data + h * D;
            double w = weight(&a->weights, a->weighted, e, h, H);
            if (a->dS_e) spread(D * D, w, dS, &a->dS_e[e], h * D * D, a->accumulate && a->accumulate[e]);
            if (a->dz_e) spread(D, w, dz, &a->dz_e[e], h * D, a->accumulate && a->accumulate[e]);
            if (lt_is_empty(&a->dweights) || e >= a->weighted) continue;
            double dw = dot(D * D, dS, (const double *)a->S[e].data + h * D * D) +
                        dot(D, dz, (const double *)a->z[e].data + h * D);
            double *out = (double *)a->dweights.data + e * H + h;
            *out = a->accumulate_dweights ? *out + dw : dw;
        }
    return LT_OK;
}
