#include "kernels/attention/naive_rope.h"

/* The segment that token t of a block lies in. */
static int64_t segment_of(const lt_rope *rope, lt_segment_box box, int64_t t) {
    int64_t columns = (rope->width - 1) / box.width + 1, rows = (rope->height - 1) / box.height + 1;
    int64_t frame = t / ((int64_t)rope->height * rope->width), row = t / rope->width % rope->height;
    return (frame / box.frames * rows + row / box.height) * columns + t % rope->width / box.width;
}

lt_status lt_attn_state_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_attn_state_args *a = untyped;
    int64_t G = a->k.shape[0], T = a->k.shape[1], H = a->k.shape[2], D = a->k.shape[3], E = a->S.shape[1];
    double *S = a->S.data, *z = a->z.data;
    const double *gain = a->k_gain.data, *scale = a->k_scale.data;
    lt_naive_token token = lt_naive_token_in(workspace, D);
    for (int64_t i = 0; i < G * E * H * D * D; i++) S[i] = 0;
    for (int64_t i = 0; i < G * E * H * D; i++) z[i] = 0;
    for (int64_t g = 0; g < G; g++)
        for (int64_t t = 0; t < T; t++) {
            lt_naive_angles(&token, &a->rope, D, g, t);
            int64_t e = segment_of(&a->rope, a->box, t);
            for (int64_t h = 0; h < H; h++) {
                const double *v = lt_naive_at(&a->v, g, t, h);
                double *S_e = S + ((g * E + e) * H + h) * D * D, *z_e = z + ((g * E + e) * H + h) * D;
                lt_naive_gained_features(&token, D, lt_naive_at(&a->k, g, t, h), gain ? scale[g * T + t] : 1,
                                         gain ? gain + h * D : NULL);
                for (int64_t i = 0; i < D; i++) {
                    z_e[i] += token.features[i];
                    for (int64_t j = 0; j < D; j++) S_e[i * D + j] += token.rotated[i] * v[j];
                }
            }
        }
    return LT_OK;
}

static void put(double *to, int64_t index, double value, bool accumulate) {
    to[index] = accumulate ? to[index] + value : value;
}

/* db = R^T (dS v) + dz, and dk = db where k > 0; token.features is free by now and holds dS v. */
static void state_dk(const lt_attn_state_backward_args *a, lt_naive_token *token, const double *k,
                     const double *v, const double *dS, const double *dz, double *dk) {
    int64_t D = a->k.shape[3];
    for (int64_t i = 0; i < D; i++) {
        double sum = 0;
        for (int64_t j = 0; j < D; j++) sum += dS[i * D + j] * v[j];
        token->features[i] = sum;
    }
    lt_naive_rotate(token, D, true, token->features, token->rotated);
    for (int64_t i = 0; i < D; i++) put(dk, i, k[i] > 0 ? token->rotated[i] + dz[i] : 0, a->accumulate_dk);
}

static void state_dv(const lt_attn_state_backward_args *a, const lt_naive_token *token, const double *dS,
                     double *dv) {
    int64_t D = a->k.shape[3];
    for (int64_t j = 0; j < D; j++) {
        double sum = 0;
        for (int64_t i = 0; i < D; i++) sum += dS[i * D + j] * token->rotated[i];
        put(dv, j, sum, a->accumulate_dv);
    }
}

lt_status lt_attn_state_backward_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_attn_state_backward_args *a = untyped;
    int64_t G = a->k.shape[0], T = a->k.shape[1], H = a->k.shape[2], D = a->k.shape[3], E = a->dS.shape[1];
    lt_naive_token token = lt_naive_token_in(workspace, D);
    for (int64_t g = 0; g < G; g++)
        for (int64_t t = 0; t < T; t++) {
            lt_naive_angles(&token, &a->rope, D, g, t);
            int64_t e = segment_of(&a->rope, a->box, t);
            for (int64_t h = 0; h < H; h++) {
                const double *k = lt_naive_at(&a->k, g, t, h), *v = lt_naive_at(&a->v, g, t, h);
                const double *dS = (const double *)a->dS.data + ((g * E + e) * H + h) * D * D;
                const double *dz = (const double *)a->dz.data + ((g * E + e) * H + h) * D;
                lt_naive_features(&token, D, k);
                if (!lt_is_empty(&a->dv)) state_dv(a, &token, dS, lt_naive_at(&a->dv, g, t, h));
                if (!lt_is_empty(&a->dk)) state_dk(a, &token, k, v, dS, dz, lt_naive_at(&a->dk, g, t, h));
            }
        }
    return LT_OK;
}
