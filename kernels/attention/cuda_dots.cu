#include "kernels/attention/attention.h"
#include "kernels/attention/cuda_lists.cuh"

/* Vectors of each list a launch, threads a product. */
enum { MOST = 240, THREADS = 256 };

struct dots_plan {
    const float *A[MOST], *B[MOST];
    float *out; /* of the first pair of this launch */
    int64_t size;
    int m; /* vectors of the whole list B */
};

/* Grid: heads, B, A. */
template <int N> static __global__ void __launch_bounds__(THREADS) dots(const __grid_constant__ dots_plan p) {
    __shared__ float sums[32];
    int64_t at = blockIdx.x * p.size;
    const float *A = p.A[blockIdx.z] + at, *B = p.B[blockIdx.y] + at;
    float sum[N] = {};
#pragma unroll 4
    for (int64_t i = N * threadIdx.x; i < p.size; i += N * THREADS) {
        float a[N], b[N];
        lt_load_n<N>(A + i, a);
        lt_load_n<N>(B + i, b);
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] = fmaf(a[k], b[k], sum[k]);
    }
    float dot = 0;
#pragma unroll
    for (int k = 0; k < N; k++) dot += sum[k];
    dot = lt_block_sum(dot, sums);
    if (threadIdx.x == 0) p.out[((int64_t)blockIdx.z * p.m + blockIdx.y) * gridDim.x + blockIdx.x] = dot;
}

static int batch(int left) { return left < MOST ? left : MOST; }

/* The next vectors of a list. */
static bool take(const lt_tensor *list, int count, int64_t size, const float **out) {
    bool wide = true;
    for (int i = 0; i < count; i++) {
        out[i] = (const float *)list[i].data;
        wide = wide && lt_fits_quads(size, out[i]);
    }
    return wide;
}

extern "C" lt_status lt_attn_dots_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)workspace;
    const lt_attn_dots_args *a = (const lt_attn_dots_args *)untyped;
    int64_t H = a->out.shape[2];
    dots_plan p;
    p.size = a->A[0].shape[1];
    p.m = a->m;
    for (int i = 0; i < a->n; i += batch(a->n - i))
        for (int j = 0; j < a->m; j += batch(a->m - j)) {
            int n = batch(a->n - i), m = batch(a->m - j);
            bool wide_A = take(a->A + i, n, p.size, p.A), wide_B = take(a->B + j, m, p.size, p.B);
            p.out = (float *)a->out.data + ((int64_t)i * a->m + j) * H;
            dim3 grid((unsigned)H, (unsigned)m, (unsigned)n);
            if (wide_A && wide_B) dots<4><<<grid, THREADS, 0, lt_cuda_stream(ctx)>>>(p);
            else dots<1><<<grid, THREADS, 0, lt_cuda_stream(ctx)>>>(p);
            LT_TRY(lt_cuda_launched());
        }
    return LT_OK;
}
