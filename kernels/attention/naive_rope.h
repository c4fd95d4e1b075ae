/* Inside kernels/attention: features and rotation of one token and head in float64, for the references. */
#ifndef LT_KERNELS_ATTENTION_NAIVE_ROPE_H
#define LT_KERNELS_ATTENTION_NAIVE_ROPE_H

#include "kernels/attention/grid.h"

/* cos and sin for one token, one per pair of channels, and two vectors of one head. */
typedef struct lt_naive_token {
    double *cosine, *sine, *features, *rotated;
} lt_naive_token;

/* Bytes of a token's vectors, and a token whose vectors lie in that much memory. */
size_t lt_naive_token_bytes(int64_t dim);
lt_naive_token lt_naive_token_in(void *workspace, int64_t dim);

/* phi = ReLU; NaN stays NaN. */
static inline double lt_naive_phi(double x) { return x < 0 ? 0 : x; }

/* Fills cosine and sine for token `index` of block g. */
void lt_naive_angles(lt_naive_token *token, const lt_rope *rope, int64_t dim, int64_t g, int64_t index);
/* to = R from, or R^T from. `to` and `from` differ. */
void lt_naive_rotate(const lt_naive_token *token, int64_t dim, bool transposed, const double *from,
                     double *to);
/* features = phi(x), rotated = R phi(x) for the angles filled last; of x * scale * gain where there is a gain. */
void lt_naive_features(lt_naive_token *token, int64_t dim, const double *x);
void lt_naive_gained_features(lt_naive_token *token, int64_t dim, const double *x, double scale,
                              const double *gain);

/* Element (g, t, h, 0) of a [G, T, H, D] operand. */
static inline double *lt_naive_at(const lt_tensor *x, int64_t g, int64_t t, int64_t h) {
    return (double *)x->data + g * x->stride[0] + t * x->stride[1] + h * x->shape[3];
}

#endif
