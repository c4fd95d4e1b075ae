#include "kernels/attention/attention.h"

lt_status lt_attn_dots_naive(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_dots_args *a = untyped;
    int64_t H = a->out.shape[1];
    double *out = a->out.data;
    for (int i = 0; i < a->count; i++)
        for (int64_t h = 0; h < H; h++) {
            int64_t K = a->A[i].shape[1];
            const double *A = (const double *)a->A[i].data + h * K, *B = (const double *)a->B[i].data + h * K;
            double sum = 0;
            for (int64_t c = 0; c < K; c++) sum += A[c] * B[c];
            out[i * H + h] = sum;
        }
    return LT_OK;
}
