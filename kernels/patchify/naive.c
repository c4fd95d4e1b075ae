#include "kernels/patchify/patchify.h"

/* Where element i of the tokens lies in the latent. */
static int64_t latent_index(const lt_patchify_args *a, int64_t i) {
    const int64_t *s = a->latent.shape;
    int64_t grid[3], inside[3], c = i % s[4];
    i /= s[4];
    for (int d = 2; d >= 0; d--) inside[d] = i % a->patch[d], i /= a->patch[d];
    for (int d = 2; d >= 0; d--) grid[d] = i % (s[1 + d] / a->patch[d]), i /= s[1 + d] / a->patch[d];
    int64_t at = i; /* sequence */
    for (int d = 0; d < 3; d++) at = at * s[1 + d] + grid[d] * a->patch[d] + inside[d];
    return at * s[4] + c;
}

lt_status lt_patchify_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_patchify_args *a = args;
    double *latent = a->latent.data, *tokens = a->tokens.data;
    for (int64_t i = 0; i < lt_numel(&a->tokens); i++) {
        double *in_latent = &latent[latent_index(a, i)];
        double *to = a->inverse ? in_latent : &tokens[i], from = a->inverse ? tokens[i] : *in_latent;
        *to = (a->accumulate ? *to : 0) + from;
    }
    return LT_OK;
}
