#include "kernels/attention/cpu_dot.h"
#include "kernels/attention/cpu_rope.h"

#include <omp.h>

lt_status lt_attn_dots_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_dots_args *a = untyped;
    int64_t H = a->out.shape[2], K = a->A[0].shape[1], m = a->m;
    float *out = a->out.data;
    int threads = lt_attn_threads((double)a->n * m * H * K);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t index = 0; index < a->n * m * H; index++) {
        int64_t pair = index / H, h = index % H;
        const float *A = a->A[pair / m].data, *B = a->B[pair % m].data;
        out[index] = (float)lt_cpu_dot(K, A + h * K, B + h * K);
    }
    return LT_OK;
}
