#include "kernels/glu_depthwise/cuda_walk.cuh"

namespace {

template <typename T> struct forward_args {
    lt_glu_cut cut;
    int64_t frames, half;
    const T *x;
    const float *w, *b;
    T *y;
};

/* One frame. Row r of h lies with r modulo 3, as does the x that was asked for. */
template <typename T, int V, int C, int W>
__device__ __forceinline__ void run_frame(const forward_args<T> &a, const lt_glu_place<V, C> &p,
                                          const lt_glu_weights<V> &w, int64_t frame,
                                          lt_glu_edges<V, W> *edges, int &parity) {
    const lt_glu_cut &cut = a.cut;
    int64_t at = frame * cut.walk * cut.span * a.half + p.first * cut.span_step; /* in y, without channels */
    lt_glu_rows<T, V, C> x = {a.x + 2 * at + (p.gate ? a.half : 0) + p.channel, 2 * cut.walk_step,
                              2 * cut.span_step, cut.walk};
    T *y = a.y + at + p.channel - cut.walk_step; /* of the row before */
    float h[3][C][V] = {};
#pragma unroll
    for (int i = 0; i < 3; i++) x.ask(p.there, x.asked[i]);
#pragma unroll
    for (int c = 0; c < C; c++)
#pragma unroll
        for (int v = 0; v < V; v++) h[0][c][v] = w.bias[v];

    for (int first = 0; first <= cut.walk; first += 3)
#pragma unroll
        for (int k = 0; k < 3; k++) {
            int row = first + k; /* the one past the last is zero and finishes the last */
            if (row > cut.walk) break;
            float s[C][V], wide[C + 2][V];
#pragma unroll
            for (int c = 0; c < C; c++) {
                x.asked[k][c].unpack(s[c]);
#pragma unroll
                for (int v = 0; v < V; v++) s[c][v] = lt_glu_silu<T>(s[c][v]);
            }
            x.ask(p.there, x.asked[k]);
            /* Two buffers: what is read below is written again only behind the next barrier. */
            lt_glu_publish(edges + parity, p, s);
            __syncthreads();
            lt_glu_widen(edges + parity, p, s, wide);
            parity ^= 1;
            float(&done)[C][V] = h[(k + 2) % 3];
            lt_glu_convolve(w, wide, done, h[k], h[(k + 1) % 3]);
#pragma unroll
            for (int c = 0; c < C; c++) {
                float out[V];
                lt_glu_raw<T, V> packed;
#pragma unroll
                for (int v = 0; v < V; v++)
                    out[v] = done[c][v] * __shfl_xor_sync(~0u, lt_glu_silu<T>(done[c][v]), 16);
                packed.pack(out);
                if (row > 0 && !p.gate && p.mine[c]) *lt_glu_at<T, V>(y + c * cut.span_step) = packed;
            }
            y += cut.walk_step;
        }
}

/* Blocks: x = slabs of 16 V channels, side by side in memory, of one tile after the other; y = frames. */
template <typename T, int V>
__global__ void __launch_bounds__(LT_GLU_CUDA_FORWARD_WARPS * 32, 2) glu_forward(const forward_args<T> a) {
    __shared__ lt_glu_edges<V, LT_GLU_CUDA_FORWARD_WARPS> edges[2];
    int64_t slabs = (a.half + 16 * V - 1) / (16 * V);
    lt_glu_place<V, LT_GLU_CUDA_FORWARD> p(a.cut, a.half, blockIdx.x % slabs, (int)(blockIdx.x / slabs));
    lt_glu_weights<V> w(a.cut, a.w, a.b, 2 * a.half, p.channel + (p.gate ? a.half : 0), p.active);
    int parity = 0;
    for (int64_t frame = blockIdx.y; frame < a.frames; frame += gridDim.y)
        run_frame(a, p, w, frame, edges, parity);
}

template <typename T, int V> void launch(const forward_args<T> &a, cudaStream_t stream) {
    dim3 grid((unsigned)(lt_ceil_div(a.half, 16 * V) * a.cut.tiles),
              (unsigned)(a.frames < 65535 ? a.frames : 65535));
    glu_forward<T, V><<<grid, a.cut.warps * 32, 0, stream>>>(a);
}

template <typename T> lt_status run(const lt_ctx *ctx, const lt_glu_depthwise_args *args) {
    lt_glu_shape s = lt_glu_shape_of(&args->x);
    forward_args<T> a;
    a.cut = lt_glu_cut_forward(s);
    a.frames = s.frames, a.half = s.half;
    a.x = (const T *)args->x.data, a.y = (T *)args->y.data;
    a.w = (const float *)args->w.data, a.b = (const float *)args->b.data;
    if (s.frames * a.cut.tiles == 0 || a.cut.walk == 0) return LT_OK;
    const void *operands[] = {a.x, a.y};
    if (lt_glu_pairs<T>(s.half, operands, 2)) launch<T, 2>(a, lt_cuda_stream(ctx));
    else launch<T, 1>(a, lt_cuda_stream(ctx));
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_glu_depthwise_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    LT_CUDA_BY_DTYPE(lt_ctx_dtype(ctx), T, return run<T>(ctx, (const lt_glu_depthwise_args *)args));
}
