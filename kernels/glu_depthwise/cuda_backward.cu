#include "kernels/glu_depthwise/cuda_walk.cuh"

namespace {

enum { C = LT_GLU_CUDA_BACKWARD, W = LT_GLU_CUDA_BACKWARD_WARPS };

template <typename T> struct backward_args {
    lt_glu_cut cut;
    int64_t frames, half;
    int chunks;
    const T *dy, *x;
    const float *w, *b;
    T *dx;       /* or NULL */
    float *sums; /* [chunks * tiles][10][2R], or NULL */
    bool accumulate_dx;
};

template <int V> struct exchange { lt_glu_edges<V, W> silu, dh; };

/* Gradients of the taps by [walk][span], and of the bias, over all that a thread has seen. */
template <int V> struct weight_sums {
    float tap[3][3][V] = {}, bias[V] = {};
};

/* One thread's part of one frame. Rows arrive one by one; with row r come h and dh of row r - 1, then dx of row r - 2. What
 * belongs to a row lies with its number modulo 3, so K = r % 3 makes all indices constants. */
template <typename T, int V, bool tiled> struct frame_walk {
    const backward_args<T> &a;
    const lt_glu_place<V, C> &p;
    const lt_glu_weights<V> &w;
    exchange<V> &shared;
    lt_glu_rows<T, V, C> x, dy;
    T *dx; /* row r - 2 */
    float silu[3][C][V] = {}, h[3][C][V] = {}, ds[3][C][V] = {};
    lt_glu_raw<T, V> slope[3][C] = {}; /* SiLU'(x), as precise as an activation */

    __device__ __forceinline__ frame_walk(const backward_args<T> &args, const lt_glu_place<V, C> &place,
                                          const lt_glu_weights<V> &weights, exchange<V> &exchanged,
                                          int64_t frame)
        : a(args), p(place), w(weights), shared(exchanged) {
        const lt_glu_cut &cut = a.cut;
        int64_t at = frame * cut.walk * cut.span * a.half + p.first * cut.span_step;
        int64_t at_x = 2 * at + (p.gate ? a.half : 0) + p.channel;
        x = {a.x + at_x, 2 * cut.walk_step, 2 * cut.span_step, cut.walk};
        dy = {a.dy + at + p.channel, cut.walk_step, cut.span_step, cut.walk};
        dx = a.dx + at_x - 4 * cut.walk_step;
#pragma unroll
        for (int i = 0; i < 3; i++) x.ask(p.there, x.asked[i]);
#pragma unroll
        for (int i = 0; i < 2; i++) dy.ask(p.there, dy.asked[i]);
#pragma unroll
        for (int c = 0; c < C; c++)
#pragma unroll
            for (int v = 0; v < V; v++) h[0][c][v] = w.bias[v];
    }

    /* SiLU of row r enters h of the rows around it; h of row r - 1 is then whole. */
    template <int K> __device__ __forceinline__ void enter_row() {
        float wide[C + 2][V];
#pragma unroll
        for (int c = 0; c < C; c++) {
            float derivative[V];
            x.asked[K][c].unpack(silu[K][c]);
#pragma unroll
            for (int v = 0; v < V; v++) silu[K][c][v] = lt_glu_silu<T>(silu[K][c][v], derivative[v]);
            slope[K][c].pack(derivative);
        }
        x.ask(p.there, x.asked[K]);
        lt_glu_publish(&shared.silu, p, silu[K]);
        __syncthreads();
        lt_glu_widen(&shared.silu, p, silu[K], wide);
        lt_glu_convolve(w, wide, h[(K + 2) % 3], h[K], h[(K + 1) % 3]);
        /* From here on it counts towards dw only, where each position belongs to one tile. */
        if (tiled)
#pragma unroll
            for (int c = 0; c < C; c++)
#pragma unroll
                for (int v = 0; v < V; v++) silu[K][c][v] = p.mine[c] ? silu[K][c][v] : 0;
    }

    /* dh of row r - 1: dy SiLU(g) for u, dy u SiLU'(g) for g; zero outside the frame, where dy is. */
    template <int K> __device__ __forceinline__ void gate(float (&dh)[C][V]) {
        constexpr int before = (K + 2) % 3;
#pragma unroll
        for (int c = 0; c < C; c++) {
            float d[V];
            dy.asked[before][c].unpack(d);
#pragma unroll
            for (int v = 0; v < V; v++) {
                float own = h[before][c][v], other = __shfl_xor_sync(~0u, own, 16), slope_g;
                float silu_g = lt_glu_silu<T>(p.gate ? own : other, slope_g);
                dh[c][v] = d[v] * (p.gate ? other * slope_g : silu_g);
            }
        }
        dy.ask(p.there, dy.asked[before]);
    }

    /* dh of row r - 1 enters ds of the rows around it, and with their SiLU the taps; ds of row r - 2 is then whole. */
    template <int K> __device__ __forceinline__ void spread(const float (&dh)[C][V], weight_sums<V> &sums) {
        float wide[C + 2][V];
        lt_glu_publish(&shared.dh, p, dh);
        __syncthreads();
        lt_glu_widen(&shared.dh, p, dh, wide);
#pragma unroll
        for (int c = 0; c < C; c++)
#pragma unroll
            for (int v = 0; v < V; v++) {
                sums.bias[v] += !tiled || p.mine[c] ? dh[c][v] : 0;
                ds[K][c][v] = 0;
#pragma unroll
                for (int k = 0; k < 9; k++) {
                    int tap = k / 3, at = (K + 1 + tap) % 3; /* row r - 2 + tap */
                    float d = wide[c + 2 - k % 3][v];
                    ds[at][c][v] = fmaf(w.tap[tap][k % 3][v], d, ds[at][c][v]);
                    sums.tap[tap][k % 3][v] = fmaf(silu[at][c][v], d, sums.tap[tap][k % 3][v]);
                }
            }
    }

    template <int K> __device__ __forceinline__ void leave_row(int row) {
        constexpr int done = (K + 1) % 3;
#pragma unroll
        for (int c = 0; c < C; c++) {
            float out[V], old[V], factor[V];
            auto *to = lt_glu_at<T, V>(dx + c * x.span);
            bool writes = row >= 2 && p.mine[c];
            lt_glu_raw<T, V> held = {};
            if (a.accumulate_dx && writes) held = *to;
            held.unpack(old);
            slope[done][c].unpack(factor);
#pragma unroll
            for (int v = 0; v < V; v++) out[v] = fmaf(ds[done][c][v], factor[v], old[v]);
            held.pack(out);
            if (writes) *to = held;
        }
        dx += x.walk;
    }

    /* The two rows past the last are zero and finish the last. */
    template <int K> __device__ __forceinline__ void step(int row, weight_sums<V> &sums) {
        if (row >= a.cut.walk + 2) return;
        float dh[C][V];
        enter_row<K>();
        gate<K>(dh);
        spread<K>(dh, sums);
        if (a.dx) leave_row<K>(row);
    }
};

/* Sums of the block's threads, warp after warp, to row `part` of the workspace. */
template <typename T, int V>
__device__ void write_sums(const backward_args<T> &a, const lt_glu_place<V, C> &p, const weight_sums<V> &sums,
                           int64_t part, float (*shared)[32 * V]) {
    int warps = blockDim.x >> 5;
#pragma unroll
    for (int k = 0; k < LT_GLU_CUDA_SUMS; k++) {
        __syncthreads();
#pragma unroll
        for (int v = 0; v < V; v++)
            shared[p.warp][p.lane * V + v] = k < 9 ? sums.tap[k / 3][k % 3][v] : sums.bias[v];
        __syncthreads();
        if (p.warp > 0 || !p.active) continue;
        int tap = k < 9 ? k / 3 * a.cut.walk_taps + k % 3 * a.cut.span_taps : 9;
        float *out =
            a.sums + (part * LT_GLU_CUDA_SUMS + tap) * 2 * a.half + (p.gate ? a.half : 0) + p.channel;
#pragma unroll
        for (int v = 0; v < V; v++) {
            float sum = 0;
#pragma unroll 1
            for (int i = 0; i < warps; i++) sum += shared[i][p.lane * V + v];
            out[v] = sum;
        }
    }
}

/* Blocks: x = slabs of 16 V channels, side by side in memory, of one tile after the other; y = chunks of frames. */
template <typename T, int V, bool tiled>
__global__ void __launch_bounds__(W * 32, 1) glu_backward(const backward_args<T> a) {
    __shared__ exchange<V> shared;
    int64_t slabs = (a.half + 16 * V - 1) / (16 * V);
    int tile = (int)(blockIdx.x / slabs);
    lt_glu_place<V, C> p(a.cut, a.half, blockIdx.x % slabs, tile);
    lt_glu_weights<V> w(a.cut, a.w, a.b, 2 * a.half, p.channel + (p.gate ? a.half : 0), p.active);
    weight_sums<V> sums;
    int64_t from = a.frames * blockIdx.y / a.chunks, to = a.frames * (blockIdx.y + 1) / a.chunks;
    for (int64_t frame = from; frame < to; frame++) {
        frame_walk<T, V, tiled> walk(a, p, w, shared, frame);
        for (int row = 0; row < a.cut.walk + 2; row += 3) {
            walk.template step<0>(row, sums);
            walk.template step<1>(row + 1, sums);
            walk.template step<2>(row + 2, sums);
        }
    }
    if (a.sums)
        write_sums<T, V>(a, p, sums, blockIdx.y * (int64_t)a.cut.tiles + tile,
                         reinterpret_cast<float(*)[32 * V]>(&shared));
}

/* Adds the partial sums in their order, then writes [9][2R] to dw and [2R] to db. */
__global__ void fold_sums(int64_t parts, int64_t channels, const float *sums, float *dw, float *db,
                          bool accumulate) {
    int64_t count = LT_GLU_CUDA_SUMS * channels;
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        float sum = 0;
        for (int64_t part = 0; part < parts; part++) sum += sums[part * count + i];
        lt_store_or_add(i < 9 * channels ? dw + i : db + i - 9 * channels, sum, accumulate);
    }
}

template <typename T, int V> void launch(const backward_args<T> &a, cudaStream_t stream) {
    dim3 grid((unsigned)(lt_ceil_div(a.half, 16 * V) * a.cut.tiles), (unsigned)a.chunks);
    if (a.cut.tiles > 1) glu_backward<T, V, true><<<grid, a.cut.warps * 32, 0, stream>>>(a);
    else glu_backward<T, V, false><<<grid, a.cut.warps * 32, 0, stream>>>(a);
}

template <typename T>
lt_status run(const lt_ctx *ctx, const lt_glu_depthwise_backward_args *args, void *workspace) {
    lt_glu_shape s = lt_glu_shape_of(&args->x);
    bool wants_weights = !lt_is_empty(&args->dw);
    backward_args<T> a;
    a.cut = lt_glu_cut_backward(s);
    a.frames = s.frames, a.half = s.half;
    a.chunks = (int)lt_glu_cuda_chunks(s);
    a.dy = (const T *)args->dy.data, a.x = (const T *)args->x.data, a.dx = (T *)args->dx.data;
    a.w = (const float *)args->w.data, a.b = (const float *)args->b.data;
    a.sums = wants_weights ? (float *)workspace : NULL;
    a.accumulate_dx = args->accumulate_dx;
    int64_t partials = lt_glu_cuda_partials(s);
    const void *operands[] = {a.dy, a.x, a.dx};
    if (partials > 0 && (wants_weights || a.dx)) {
        /* Two float channels do not fit in a thread's registers. */
        constexpr int most = sizeof(T) == 2 ? 2 : 1;
        if (lt_glu_pairs<T>(s.half, operands, 3)) launch<T, most>(a, lt_cuda_stream(ctx));
        else launch<T, 1>(a, lt_cuda_stream(ctx));
        LT_TRY(lt_cuda_launched());
    }
    if (!wants_weights) return LT_OK;
    fold_sums<<<lt_grid(LT_GLU_CUDA_SUMS * 2 * s.half, 256), 256, 0, lt_cuda_stream(ctx)>>>(
        partials, 2 * s.half, a.sums, (float *)args->dw.data, (float *)args->db.data, args->accumulate_dw);
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_glu_depthwise_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    LT_CUDA_BY_DTYPE(lt_ctx_dtype(ctx), T,
                     return run<T>(ctx, (const lt_glu_depthwise_backward_args *)args, workspace));
}
