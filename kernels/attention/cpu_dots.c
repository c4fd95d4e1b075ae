#include "kernels/attention/cpu_dot.h"
#include "kernels/attention/cpu_rope.h"

#include <omp.h>

lt_status lt_attn_dots_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_dots_args *a = untyped;
    int64_t H = a->out.shape[1];
    float *out = a->out.data;
    double products = 0;
    for (int i = 0; i < a->count; i++) products += (double)lt_numel(&a->A[i]);
    int threads = lt_attn_threads(products);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t index = 0; index < a->count * H; index++) {
        int64_t pair = index / H, h = index % H, K = a->A[pair].shape[1];
        const float *A = a->A[pair].data, *B = a->B[pair].data;
        out[index] = (float)lt_cpu_dot(K, A + h * K, B + h * K);
    }
    return LT_OK;
}
