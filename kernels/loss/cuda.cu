/* The sum runs in float64 over the chunks of the CPU version. */
#include "kernels/elementwise/access.cuh"
#include "kernels/elementwise/chunk_sums.cuh"
#include "kernels/loss/mse_chunks.h"

enum { THREADS = 256 };

extern "C" lt_status lt_mse_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_mse_args *a = (const lt_mse_args *)args;
    const float *prediction = (const float *)a->prediction.data, *target = (const float *)a->target.data;
    int64_t count = a->prediction.shape[1], ld = a->prediction.stride[0], target_ld = a->target.stride[0];
    auto value = [=] __device__(int64_t g, int64_t i) {
        double d = (double)prediction[g * ld + i] - (double)target[g * target_ld + i];
        return d * d;
    };
    return lt_chunk_sums(ctx, value, a->prediction.shape[0], count, LT_MSE_CHUNK, (double)count,
                         (double *)workspace, (float *)a->loss.data);
}

typedef struct mse_backward_work {
    const float *prediction, *target, *dloss;
    float *out;
    int64_t prediction_ld, target_ld, out_ld, count;
    bool add;
} mse_backward_work;

/* A block takes V * THREADS elements of one group. */
template <int V> static __global__ void mse_backward_rows(mse_backward_work a) {
    int64_t tiles = (a.count + THREADS * V - 1) / (THREADS * V), g = blockIdx.x / tiles;
    int64_t i = (blockIdx.x % tiles * THREADS + threadIdx.x) * V;
    if (i >= a.count) return;
    float scale = (float)(2.0 * (double)a.dloss[g] / (double)a.count), p[V], t[V], old[V] = {};
    float *out = a.out + g * a.out_ld + i;
    lt_load_n<V>(a.prediction + g * a.prediction_ld + i, p);
    lt_load_n<V>(a.target + g * a.target_ld + i, t);
    if (a.add) lt_load_n<V>(out, old);
#pragma unroll
    for (int k = 0; k < V; k++) p[k] = old[k] + scale * (p[k] - t[k]);
    lt_store_n<V>(out, p);
}

extern "C" lt_status lt_mse_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_mse_backward_args *a = (const lt_mse_backward_args *)args;
    int64_t groups = a->prediction.shape[0], n = a->prediction.shape[1];
    mse_backward_work w = {(const float *)a->prediction.data, (const float *)a->target.data,
                           (const float *)a->dloss.data, (float *)a->dprediction.data};
    w.prediction_ld = a->prediction.stride[0], w.target_ld = a->target.stride[0];
    w.out_ld = a->dprediction.stride[0], w.count = n, w.add = a->accumulate_dprediction;
    if (groups == 0) return LT_OK;
    unsigned all = (unsigned)groups;
    cudaStream_t stream = lt_cuda_stream(ctx);
    bool packs = lt_packs(w.prediction, n, w.prediction_ld) && lt_packs(w.target, n, w.target_ld) &&
                 lt_packs(w.out, n, w.out_ld);
    if (packs) mse_backward_rows<4><<<lt_blocks(n, THREADS * 4) * all, THREADS, 0, stream>>>(w);
    else mse_backward_rows<1><<<lt_blocks(n, THREADS) * all, THREADS, 0, stream>>>(w);
    return lt_cuda_launched();
}
