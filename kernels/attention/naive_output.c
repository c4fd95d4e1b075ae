#include "kernels/attention/naive_rope.h"

static double dot(int64_t n, const double *a, const double *b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

lt_status lt_attn_output_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_attn_output_args *a = untyped;
    int64_t G = a->q.shape[0], T = a->q.shape[1], H = a->q.shape[2], D = a->q.shape[3];
    lt_naive_token token = lt_naive_token_in(workspace, D);
    double *r = a->r.data;
    const double *gain = a->q_gain.data;
    for (int64_t i = 0; r && i < G * H * D; i++) r[i] = 0;
    for (int64_t g = 0; g < G; g++)
        for (int64_t t = 0; t < T; t++) {
            lt_naive_angles(&token, &a->rope, D, g, t);
            for (int64_t h = 0; h < H; h++) {
                const double *S = (const double *)a->S.data + (g * H + h) * D * D;
                const double *z = (const double *)a->z.data + (g * H + h) * D;
                double *o = lt_naive_at(&a->o, g, t, h);
                lt_naive_gained_features(&token, D, lt_naive_at(&a->q, g, t, h), 1,
                                         gain ? gain + h * D : NULL);
                double mass = dot(D, z, token.features);
                for (int64_t j = 0; j < D; j++) {
                    double sum = 0;
                    for (int64_t i = 0; i < D; i++) sum += S[i * D + j] * token.rotated[i];
                    o[j] = mass == 0 ? 0 : sum / mass;
                }
                for (int64_t i = 0; r && mass != 0 && i < D; i++)
                    r[(g * H + h) * D + i] += token.features[i] / mass;
            }
        }
    return LT_OK;
}

/* One token and head; o and n are scratch vectors. Nothing flows through a token with z.a = 0: its output is the
 * constant 0. */
static void output_backward(const lt_attn_output_backward_args *a, const lt_naive_token *token,
                            const double *q, const double *g, int64_t head, double *dq, double *o,
                            double *n) {
    int64_t D = a->q.shape[3];
    const double *S = (const double *)a->S.data + head * D * D, *z = (const double *)a->z.data + head * D;
    double mass = dot(D, z, token->features);
    if (mass == 0) {
        for (int64_t i = 0; dq && !a->accumulate_dq && i < D; i++) dq[i] = 0;
        return;
    }
    for (int64_t j = 0; j < D; j++) {
        o[j] = 0;
        for (int64_t i = 0; i < D; i++) o[j] += S[i * D + j] * token->rotated[i] / mass;
        n[j] = g[j] / mass;
    }
    double m = -dot(D, g, o) / mass;
    if (!lt_is_empty(&a->dS)) {
        double *dS = (double *)a->dS.data + head * D * D, *dz = (double *)a->dz.data + head * D;
        for (int64_t i = 0; i < D; i++) {
            dz[i] += token->features[i] * m;
            for (int64_t j = 0; j < D; j++) dS[i * D + j] += token->rotated[i] * n[j];
        }
    }
    if (!dq) return;
    for (int64_t i = 0; i < D; i++) o[i] = dot(D, S + i * D, n);
    lt_naive_rotate(token, D, true, o, n);
    for (int64_t i = 0; i < D; i++) {
        double value = q[i] > 0 ? n[i] + z[i] * m : 0;
        dq[i] = a->accumulate_dq ? dq[i] + value : value;
    }
}

lt_status lt_attn_output_backward_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_attn_output_backward_args *a = untyped;
    int64_t G = a->q.shape[0], T = a->q.shape[1], H = a->q.shape[2], D = a->q.shape[3];
    lt_naive_token token = lt_naive_token_in(workspace, D);
    double *o = (double *)workspace + 3 * D, *n = o + D;
    bool clear = !lt_is_empty(&a->dS) && !a->accumulate_dS;
    for (int64_t i = 0; clear && i < G * H * D * D; i++) ((double *)a->dS.data)[i] = 0;
    for (int64_t i = 0; clear && i < G * H * D; i++) ((double *)a->dz.data)[i] = 0;
    for (int64_t g = 0; g < G; g++)
        for (int64_t t = 0; t < T; t++) {
            lt_naive_angles(&token, &a->rope, D, g, t);
            for (int64_t h = 0; h < H; h++) {
                const double *q = lt_naive_at(&a->q, g, t, h);
                double *dq = lt_is_empty(&a->dq) ? NULL : lt_naive_at(&a->dq, g, t, h);
                lt_naive_features(&token, D, q);
                output_backward(a, &token, q, lt_naive_at(&a->dout, g, t, h), g * H + h, dq, o, n);
            }
        }
    return LT_OK;
}
