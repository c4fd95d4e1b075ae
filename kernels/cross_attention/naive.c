#include "kernels/attention/naive_rope.h"
#include "kernels/cross_attention/cross_attention.h"
#include "kernels/e4m3.h"

#include <math.h>

static double dot(int64_t n, const double *a, const double *b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* -10000 for what is masked, less the largest of them. */
static double mask_term(const lt_tensor *mask, int64_t b, int64_t j) {
    if (lt_is_empty(mask)) return 0;
    int64_t L = mask->shape[1];
    const double *row = (const double *)mask->data + b * L;
    double visible = row[0];
    for (int64_t i = 1; i < L; i++) visible = fmax(visible, row[i]);
    return -10000 * (visible - row[j]);
}

/* Scores of one query of group b, scale q.k + mask: it attends to text b % texts. */
static void scores(const lt_tensor *q, const lt_tensor *k, const lt_tensor *mask, double scale, int64_t b,
                   int64_t t, int64_t h, double *s) {
    int64_t L = k->shape[1], D = k->shape[3];
    for (int64_t j = 0; j < L; j++)
        s[j] = scale * dot(D, lt_naive_at(q, b, t, h), lt_naive_at(k, b % k->shape[0], j, h)) +
               mask_term(mask, b % k->shape[0], j);
}

/* The largest magnitude of a text's values, NaN where one is, and at least LT_E4M3_LEAST. */
static double largest_of(const lt_tensor *v, int64_t text) {
    double largest = (double)LT_E4M3_LEAST;
    for (int64_t j = 0; j < v->shape[1]; j++)
        for (int64_t i = 0; i < v->shape[2] * v->shape[3]; i++) {
            double magnitude = fabs(lt_naive_at(v, text, j, 0)[i]);
            if (!(magnitude <= largest) && largest == largest) largest = magnitude;
        }
    return largest;
}

/* One head of a query's o, in place. */
static void round_head(const lt_cross_attention_args *a, int64_t b, int64_t t, double largest, double *o) {
    float factor = lt_e4m3_factor((float)largest);
    for (int64_t c = 0; c < a->o.shape[3]; c++)
        o[c] = (double)lt_e4m3_to_f32(lt_f32_to_e4m3((float)o[c] * factor));
    ((double *)a->o_scale.data)[b * a->o.shape[1] + t] = (double)lt_e4m3_scale((float)largest);
}

lt_status lt_cross_attention_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_cross_attention_args *a = untyped;
    int64_t B = a->q.shape[0], T = a->q.shape[1], H = a->q.shape[2], D = a->q.shape[3], L = a->k.shape[1];
    bool rounded = !lt_is_empty(&a->o_scale);
    double *s = workspace, *largest = s + L;
    const double *q_scale = a->q_scale.data;
    for (int64_t text = 0; rounded && text < a->v.shape[0]; text++) largest[text] = largest_of(&a->v, text);
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t h = 0; h < H; h++) {
                scores(&a->q, &a->k, &a->mask, a->scale * (q_scale ? q_scale[b * T + t] : 1), b, t, h, s);
                double most = s[0], sum = 0, *o = lt_naive_at(&a->o, b, t, h);
                for (int64_t j = 1; j < L; j++) most = fmax(most, s[j]);
                for (int64_t j = 0; j < L; j++) sum += exp(s[j] - most);
                for (int64_t c = 0; c < D; c++) o[c] = 0;
                for (int64_t j = 0; j < L; j++)
                    for (int64_t c = 0; c < D; c++)
                        o[c] += exp(s[j] - most) / sum * lt_naive_at(&a->v, b % a->v.shape[0], j, h)[c];
                if (rounded) round_head(a, b, t, largest[b % a->v.shape[0]], o);
                if (!lt_is_empty(&a->lse)) ((double *)a->lse.data)[(b * H + h) * T + t] = most + log(sum);
            }
    return LT_OK;
}

static void clear(const lt_tensor *x) {
    for (int64_t b = 0; b < x->shape[0]; b++)
        for (int64_t j = 0; j < x->shape[1]; j++)
            for (int64_t h = 0; h < x->shape[2]; h++)
                for (int64_t c = 0; c < x->shape[3]; c++) lt_naive_at(x, b, j, h)[c] = 0;
}

/* p_j = exp(s_j - lse), dv_j += p_j g, ds_j = scale p_j (g.v_j - g.o), dq = sum_j ds_j k_j, dk_j += ds_j q. */
static void query_backward(const lt_cross_attention_backward_args *a, int64_t b, int64_t t, int64_t h,
                           double *s) {
    int64_t T = a->q.shape[1], H = a->q.shape[2], D = a->q.shape[3], L = a->k.shape[1],
            text = b % a->k.shape[0];
    const double *q = lt_naive_at(&a->q, b, t, h), *g = lt_naive_at(&a->dout, b, t, h);
    double lse = ((const double *)a->lse.data)[(b * H + h) * T + t],
           go = dot(D, g, lt_naive_at(&a->o, b, t, h));
    scores(&a->q, &a->k, &a->mask, a->scale, b, t, h, s);
    for (int64_t j = 0; j < L; j++) {
        double p = exp(s[j] - lse), ds = a->scale * p * (dot(D, g, lt_naive_at(&a->v, text, j, h)) - go);
        for (int64_t c = 0; !lt_is_empty(&a->dq) && c < D; c++)
            lt_naive_at(&a->dq, b, t, h)[c] += ds * lt_naive_at(&a->k, text, j, h)[c];
        for (int64_t c = 0; !lt_is_empty(&a->dk) && c < D; c++) {
            lt_naive_at(&a->dk, text, j, h)[c] += ds * q[c];
            lt_naive_at(&a->dv, text, j, h)[c] += p * g[c];
        }
    }
}

lt_status lt_cross_attention_backward_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_cross_attention_backward_args *a = untyped;
    if (!lt_is_empty(&a->dq) && !a->accumulate_dq) clear(&a->dq);
    if (!lt_is_empty(&a->dk) && !a->accumulate_dkv) clear(&a->dk), clear(&a->dv);
    for (int64_t b = 0; b < a->q.shape[0]; b++)
        for (int64_t t = 0; t < a->q.shape[1]; t++)
            for (int64_t h = 0; h < a->q.shape[2]; h++) query_backward(a, b, t, h, workspace);
    return LT_OK;
}
