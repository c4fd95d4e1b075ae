#include "kernels/attention/attention.h"
#include "kernels/attention/cuda_lists.cuh"

/* Pairs a launch, whose arguments have room for 32,764 bytes; most of its time on the host goes by their size. */
enum { MOST = 1280, FEW = 64, THREADS = 256 };

struct dot_pair {
    const float *A, *B;
    int64_t size; /* elements a head */
};

template <int PAIRS> struct dots_plan {
    dot_pair pair[PAIRS];
    float *out; /* of the first pair of this launch */
};

/* This thread's share of <A, B>. */
template <int N>
static __device__ __forceinline__ float share(const float *__restrict__ A, const float *__restrict__ B,
                                              int64_t size) {
    float sum[N] = {};
#pragma unroll 4
    for (int64_t i = N * threadIdx.x; i < size; i += N * THREADS) {
        float a[N], b[N];
        lt_load_n<N>(A + i, a);
        lt_load_n<N>(B + i, b);
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] = fmaf(a[k], b[k], sum[k]);
    }
    float dot = 0;
#pragma unroll
    for (int k = 0; k < N; k++) dot += sum[k];
    return dot;
}

/* Grid: heads, pairs. The order of a sum goes by the pair alone, not by what else the launch has. */
template <int PAIRS>
static __global__ void __launch_bounds__(THREADS) dots(const __grid_constant__ dots_plan<PAIRS> p) {
    __shared__ float sums[32];
    const dot_pair &pair = p.pair[blockIdx.y];
    int64_t at = blockIdx.x * pair.size;
    const float *A = pair.A + at, *B = pair.B + at;
    bool wide = pair.size % 4 == 0 && ((uintptr_t)A | (uintptr_t)B) % 16 == 0;
    float dot = lt_block_sum(wide ? share<4>(A, B, pair.size) : share<1>(A, B, pair.size), sums);
    if (threadIdx.x == 0) p.out[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = dot;
}

template <int PAIRS>
static lt_status launch_dots(lt_ctx *ctx, const lt_attn_dots_args *a, int first, int count) {
    int64_t H = a->out.shape[1];
    dots_plan<PAIRS> p;
    for (int i = 0; i < count; i++)
        p.pair[i] = {(const float *)a->A[first + i].data, (const float *)a->B[first + i].data,
                     a->A[first + i].shape[1]};
    p.out = (float *)a->out.data + first * H;
    dots<PAIRS><<<dim3((unsigned)H, (unsigned)count), THREADS, 0, lt_cuda_stream(ctx)>>>(p);
    return lt_cuda_launched();
}

extern "C" lt_status lt_attn_dots_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)workspace;
    const lt_attn_dots_args *a = (const lt_attn_dots_args *)untyped;
    for (int first = 0; first < a->count; first += MOST) {
        int left = a->count - first, count = left < MOST ? left : MOST;
        LT_TRY(count <= FEW ? launch_dots<FEW>(ctx, a, first, count)
                            : launch_dots<MOST>(ctx, a, first, count));
    }
    return LT_OK;
}
