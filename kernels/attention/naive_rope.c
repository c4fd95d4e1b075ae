#include "kernels/attention/naive_rope.h"

size_t lt_naive_token_bytes(int64_t dim) { return (size_t)(3 * dim) * sizeof(double); }

lt_naive_token lt_naive_token_in(void *workspace, int64_t dim) {
    double *base = workspace;
    return (lt_naive_token){base, base + dim / 2, base + dim, base + 2 * dim};
}

void lt_naive_angles(lt_naive_token *token, const lt_rope *rope, int64_t dim, int64_t g, int64_t index) {
    int t, h, w;
    lt_rope_split((int)dim, &t, &h, &w);
    int64_t frame =
        index / ((int64_t)rope->height * rope->width) + (rope->first_frame ? rope->first_frame[g] : 0);
    double *c = token->cosine, *s = token->sine;
    lt_rope_axis(frame, 1, t, rope->theta, c, s);
    lt_rope_axis(index / rope->width % rope->height, 1, h, rope->theta, c + t / 2, s + t / 2);
    lt_rope_axis(index % rope->width, 1, w, rope->theta, c + (t + h) / 2, s + (t + h) / 2);
}

void lt_naive_rotate(const lt_naive_token *token, int64_t dim, bool transposed, const double *from,
                     double *to) {
    for (int64_t i = 0; i < dim / 2; i++) {
        double c = token->cosine[i], s = transposed ? -token->sine[i] : token->sine[i];
        to[2 * i] = c * from[2 * i] - s * from[2 * i + 1];
        to[2 * i + 1] = s * from[2 * i] + c * from[2 * i + 1];
    }
}

void lt_naive_gained_features(lt_naive_token *token, int64_t dim, const double *x, double scale,
                              const double *gain) {
    for (int64_t c = 0; c < dim; c++) token->features[c] = lt_naive_phi(gain ? x[c] * scale * gain[c] : x[c]);
    lt_naive_rotate(token, dim, false, token->features, token->rotated);
}

void lt_naive_features(lt_naive_token *token, int64_t dim, const double *x) {
    lt_naive_gained_features(token, dim, x, 1, NULL);
}
