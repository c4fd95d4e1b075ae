/* A warp holds 32 * V channels of u and the same channels of g at a few neighbouring positions, and walks with them
 * through a frame. No warp waits for another: SiLU of the two positions beside its own is computed twice, which costs
 * less than to exchange it. */
#include "kernels/glu_depthwise/cuda_walk.cuh"

namespace {

enum { C = LT_GLU_CUDA_FORWARD, WARPS = LT_GLU_CUDA_FORWARD_WARPS, AHEAD = 2 };

template <typename T> struct forward_args {
    lt_glu_cut cut;
    int64_t frames, half;
    const T *x;
    const float *w, *b;
    T *y;
};

/* Of both halves, at the thread's positions and one beyond on either side. */
template <typename T, int V> struct raw_row { lt_glu_raw<T, V> at[C + 2][2]; };

/* One thread's part of one frame. With row r of SiLU(x), h of row r - 1 is whole. */
template <typename T, int V> struct frame_walk {
    const T *x;               /* the next row to load, one position before the thread's first */
    T *y;                     /* the row that the next h belongs to */
    int64_t half, walk, span; /* walk and span: elements of y between neighbours */
    int rows;                 /* not loaded yet */
    bool there[C + 2];        /* in the frame */
    raw_row<T, V> asked[AHEAD];
    float before[C][2][V], here[C][2][V]; /* h of the last row and the one after, as far as they have come */

    __device__ __forceinline__ frame_walk(const forward_args<T> &a, int64_t channel, int64_t frame,
                                          int first) {
        const lt_glu_cut &cut = a.cut;
        half = a.half, walk = cut.walk_step, span = cut.span_step, rows = cut.walk;
        int64_t at = frame * cut.walk * cut.span * half + first * span;
        x = a.x + 2 * (at - span) + channel;
        y = a.y + at + channel - walk;
#pragma unroll
        for (int j = 0; j < C + 2; j++) there[j] = channel < half && first + j > 0 && first + j <= cut.span;
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            asked[i] = {};
            for (int j = 0; j < C + 2; j++) load(asked[i], j);
            advance();
        }
    }

    /* What lies outside the frame keeps the zero that it began with. */
    __device__ __forceinline__ void load(raw_row<T, V> &row, int j) const {
        const T *from = x + 2 * j * span;
        if (!there[j] || rows <= 0) return;
        row.at[j][0] = *reinterpret_cast<const lt_glu_raw<T, V> *>(from);
        row.at[j][1] = *reinterpret_cast<const lt_glu_raw<T, V> *>(from + half);
    }
    __device__ __forceinline__ void advance() { x += 2 * walk, rows--; }

    __device__ __forceinline__ void store(int c, const float (&h)[2][V], bool wanted) const {
        float out[V];
#pragma unroll
        for (int v = 0; v < V; v++) out[v] = h[0][v] * lt_glu_silu<T>(h[1][v]);
        lt_glu_raw<T, V> packed;
        packed.pack(out);
        if (wanted && there[c + 1]) *lt_glu_at<T, V>(y + c * span) = packed;
    }

    /* A row enters; `first` is the frame's, which finishes none. */
    __device__ __forceinline__ void step(const lt_glu_weights_pair<V> &w, raw_row<T, V> &row, bool first) {
        float s[C + 2][2][V];
#pragma unroll
        for (int j = 0; j < C + 2; j++) {
#pragma unroll
            for (int i = 0; i < 2; i++) lt_glu_silu_of<T, V>(row.at[j][i], s[j][i]);
            load(row, j);
            if (j < 2) continue;
            const int c = j - 2;
            float whole[2][V];
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int v = 0; v < V; v++) {
                    const lt_glu_weights<V> &t = w.of[i];
                    float sums[3] = {before[c][i][v], here[c][i][v], t.bias[v]};
#pragma unroll
                    for (int k = 0; k < 9; k++)
                        sums[2 - k / 3] = fmaf(t.tap[k / 3][k % 3][v], s[c + k % 3][i][v], sums[2 - k / 3]);
                    whole[i][v] = sums[0], before[c][i][v] = sums[1], here[c][i][v] = sums[2];
                }
            store(c, whole, !first);
        }
        advance();
        y += walk;
    }
};

template <typename T, int V>
__device__ __forceinline__ void run_frame(const forward_args<T> &a, const lt_glu_weights_pair<V> &w,
                                          int64_t channel, int64_t frame, int first) {
    frame_walk<T, V> walk(a, channel, frame, first);
#pragma unroll
    for (int c = 0; c < C; c++)
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int v = 0; v < V; v++) walk.before[c][i][v] = 0, walk.here[c][i][v] = w.of[i].bias[v];
    for (int at = 0; at < a.cut.walk; at += AHEAD)
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (at + i < a.cut.walk) walk.step(w, walk.asked[i], at + i == 0);
#pragma unroll
    for (int c = 0; c < C; c++) walk.store(c, walk.before[c], true);
}

/* Blocks: slabs of 32 V channels, side by side in memory, of one group of tiles after the other. */
template <typename T, int V>
__global__ void __launch_bounds__(WARPS * 32, 4) glu_forward(const forward_args<T> a) {
    int64_t slabs = (a.half + 32 * V - 1) / (32 * V), tiles = a.frames * a.cut.tiles;
    int64_t tile = blockIdx.x / slabs * WARPS + (threadIdx.x >> 5);
    int64_t channel = (blockIdx.x % slabs * 32 + (threadIdx.x & 31)) * V;
    if (tile >= tiles) return;
    lt_glu_weights_pair<V> w(a.cut, a.w, a.b, a.half, channel);
    run_frame(a, w, channel, tile / a.cut.tiles, (int)(tile % a.cut.tiles) * C);
}

template <typename T, int V> void launch(const forward_args<T> &a, cudaStream_t stream) {
    int64_t groups = lt_ceil_div(a.frames * a.cut.tiles, WARPS);
    glu_forward<T, V><<<(unsigned)(groups * lt_ceil_div(a.half, 32 * V)), WARPS * 32, 0, stream>>>(a);
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
    constexpr int most = 4 / (int)sizeof(T); /* channels in four bytes */
    if (lt_glu_pairs<T>(s.half, operands, 2)) launch<T, most>(a, lt_cuda_stream(ctx));
    else launch<T, 1>(a, lt_cuda_stream(ctx));
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_glu_depthwise_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    LT_CUDA_BY_DTYPE(lt_ctx_dtype(ctx), T, return run<T>(ctx, (const lt_glu_depthwise_args *)args));
}
