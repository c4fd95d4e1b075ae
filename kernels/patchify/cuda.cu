/* Latent and tokens hold the same elements along six dimensions [sequences and F/pt, pt, H/ph, ph, W/pw, pw C], so both
 * directions are one strided copy, which converts where their dtypes differ. */
#include "kernels/cuda.cuh"
#include "kernels/elementwise/elementwise.h"
#include "kernels/patchify/patchify.h"

extern "C" lt_status lt_copy_cuda(lt_ctx *ctx, const void *args, void *workspace);

extern "C" lt_status lt_patchify_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_patchify_args *a = (const lt_patchify_args *)args;
    const int64_t *s = a->latent.shape, pt = a->patch[0], ph = a->patch[1], pw = a->patch[2];
    int64_t height = s[2] / ph, columns = s[3] / pw, run = pw * s[4], width = pt * ph * run;
    const int64_t shape[6] = {s[0] * s[1] / pt, pt, height, ph, columns, run};
    const int64_t in_tokens[6] = {height * columns * width, ph * run, columns * width, run, width, 1};
    lt_tensor latent = lt_tensor_of(a->latent.data, a->latent.dtype, 6, shape);
    lt_tensor tokens = lt_tensor_of(a->tokens.data, a->tokens.dtype, 6, shape);
    for (int d = 0; d < 6; d++) tokens.stride[d] = in_tokens[d];
    lt_copy_args copy = {a->inverse ? tokens : latent, a->inverse ? latent : tokens, 1, a->accumulate};
    return lt_copy_cuda(ctx, &copy, workspace);
}
