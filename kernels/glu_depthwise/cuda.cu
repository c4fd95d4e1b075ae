/* A warp holds 32 * V channels of u and the same channels of g at a few neighbouring positions, and walks with them through a frame.
 * No warp waits for another: SiLU of the two positions beside its own is computed twice, which costs less than to exchange it. */
#include "kernels/e4m3.cuh"
#include "kernels/glu_depthwise/cuda_walk.cuh"
#include "kernels/overlap.cuh"

namespace {

enum { C = LT_GLU_CUDA_FORWARD, WARPS = LT_GLU_CUDA_FORWARD_WARPS, THREADS = 32 * WARPS, AHEAD = 2 };

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
template <typename T, int V, bool PART> struct frame_walk {
    const T *x;               /* the next row to load, one position before the thread's first */
    T *y;                     /* the row that the next h belongs to */
    int64_t half, walk, span; /* walk and span: elements of y between neighbours */
    int begin, end;           /* the rows that are read */
    int rows;                 /* not loaded yet */
    bool there[C + 2];        /* in the frame */
    raw_row<T, V> asked[AHEAD];
    float before[C][2][V], here[C][2][V]; /* h of the last row and the one after, as far as they have come */

    __device__ __forceinline__ frame_walk(const forward_args<T> &a, int64_t channel, int64_t frame,
                                          int first) {
        const lt_glu_cut &cut = a.cut;
        half = a.half, walk = cut.walk_step, span = cut.span_step;
        begin = PART ? max(cut.begin - 1, 0) : 0, end = PART ? min(cut.end + 1, cut.walk) : cut.walk;
        rows = end - begin;
        int64_t at = frame * cut.walk * cut.span * half + begin * walk + first * span;
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
        lt_glu_load<PART>(row.at[j][0], from);
        lt_glu_load<PART>(row.at[j][1], from + half);
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

    /* A row enters; whether the one before, which it finishes, is wanted. */
    __device__ __forceinline__ void step(const lt_glu_weights_pair<V> &w, raw_row<T, V> &row, bool wanted) {
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
            store(c, whole, wanted);
        }
        advance();
        y += walk;
    }
};

/* PART: rows a.cut.begin to a.cut.end of the walk, to memory that is in use until the kernel ahead has ended. */
template <typename T, int V, bool PART>
__device__ __forceinline__ void run_frame(const forward_args<T> &a, const lt_glu_weights_pair<V> &w,
                                          int64_t channel, int64_t frame, int first) {
    frame_walk<T, V, PART> walk(a, channel, frame, first);
    if (PART) lt_overlap_await();
#pragma unroll
    for (int c = 0; c < C; c++)
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int v = 0; v < V; v++) walk.before[c][i][v] = 0, walk.here[c][i][v] = w.of[i].bias[v];
    for (int at = walk.begin; at < walk.end; at += AHEAD)
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (at + i < walk.end) walk.step(w, walk.asked[i], at + i > (PART ? a.cut.begin : 0));
    if (PART && a.cut.end < a.cut.walk) return;
#pragma unroll
    for (int c = 0; c < C; c++) walk.store(c, walk.before[c], true);
}

/* Blocks: slabs of 32 V channels, side by side in memory, of one group of tiles after the other; the last tiles, too few for a
 * group, share their blocks with those of further slabs. */
template <typename T, int V> unsigned blocks_of(const forward_args<T> &a) {
    int64_t slabs = lt_ceil_div(a.half, 32 * V), tiles = a.frames * a.cut.tiles;
    return (unsigned)(tiles / WARPS * slabs + lt_ceil_div(tiles % WARPS * slabs, WARPS));
}

template <typename T, int V, bool PART> __device__ __forceinline__ void run_block(const forward_args<T> &a) {
    int64_t slabs = (a.half + 32 * V - 1) / (32 * V), tiles = a.frames * a.cut.tiles;
    int64_t tile = blockIdx.x / slabs * WARPS + (threadIdx.x >> 5), slab = blockIdx.x % slabs;
    int64_t left = tiles % WARPS, grouped = tiles / WARPS * slabs;
    if (blockIdx.x >= grouped) {
        int64_t item = (blockIdx.x - grouped) * WARPS + (threadIdx.x >> 5);
        tile = tiles - left + item % left, slab = item / left;
    }
    if (slab < slabs) {
        int64_t channel = (slab * 32 + (threadIdx.x & 31)) * V;
        lt_glu_weights_pair<V> w(a.cut, a.w, a.b, a.half, channel);
        run_frame<T, V, PART>(a, w, channel, tile / a.cut.tiles,
                              (PART ? a.cut.first : 0) + (int)(tile % a.cut.tiles) * C);
    } else if (PART) lt_overlap_await();
}

template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 4) glu_forward(const forward_args<T> a) {
    run_block<T, V, false>(a);
}

/* y goes to args->y, or of a part to `place`. */
template <typename T>
forward_args<T> args_of(const lt_glu_depthwise_args *args, lt_glu_shape s, lt_glu_part part, void *place) {
    int64_t pixel = (part.frame * s.height) * s.width, skipped = part.row * s.width * s.half;
    forward_args<T> a;
    a.cut = lt_glu_cut_part(s, part);
    a.frames = part.frames, a.half = s.half;
    a.x = (const T *)args->x.data + pixel * 2 * s.half, a.y = (T *)place - skipped;
    a.w = (const float *)args->w.data, a.b = (const float *)args->b.data;
    return a;
}

/* ---- y in e4m3 ---------------------------------------------------------------------------------------------------- */

/* Rows of y as they lie in the workspace, and where they go. */
template <typename T> struct rounding {
    const T *y;
    int64_t rows, columns;
    uint8_t *codes;
    float *scales;
};

/* Computes one part, in the first `computing` blocks, while the others each round a row of the part before: its bytes pass through
 * L2 alone, and the rows fill the multiprocessors that a part leaves idle. */
template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 4)
    glu_forward_part(const forward_args<T> a, const rounding<T> r, unsigned computing) {
    static_assert((int)THREADS == (int)LT_E4M3_THREADS, "a block rounds a row");
    constexpr int HELD = 8;
    lt_overlap_let_next_start();
    if (blockIdx.x < computing) {
        run_block<T, V, true>(a);
        return;
    }
    int64_t row = blockIdx.x - computing;
    lt_overlap_await();
    lt_e4m3_round_packs<T, HELD>(r.y + row * r.columns, r.columns, r.codes + row * r.columns, r.scales + row);
}

template <typename T, int V>
lt_status launch_part(lt_ctx *ctx, const forward_args<T> &a, const rounding<T> &r, bool first) {
    unsigned computing = a.frames > 0 ? blocks_of<T, V>(a) : 0, blocks = computing + (unsigned)r.rows;
    if (!first)
        return lt_overlap_launch(ctx, glu_forward_part<T, V>, dim3(blocks), THREADS, 0, a, r, computing);
    glu_forward_part<T, V><<<blocks, THREADS, 0, lt_cuda_stream(ctx)>>>(a, r, computing);
    return lt_cuda_launched();
}

template <typename T, int V>
lt_status run_parts(lt_ctx *ctx, const lt_glu_depthwise_args *args, lt_glu_shape s, T *workspace) {
    lt_glu_parts parts = lt_glu_parts_of(s, sizeof(T));
    rounding<T> before = {};
    for (int64_t i = 0; i <= parts.count; i++) {
        forward_args<T> a = {};
        rounding<T> now = {};
        if (i < parts.count) {
            lt_glu_part part = lt_glu_part_at(s, &parts, i);
            int64_t pixel = (part.frame * s.height + part.row) * s.width;
            T *place = workspace + i % 2 * parts.elements;
            a = args_of<T>(args, s, part, place);
            now = {place, part.frames * part.rows * s.width, s.half, (uint8_t *)args->y.data + pixel * s.half,
                   (float *)args->y_scale.data + pixel};
        }
        LT_TRY((launch_part<T, V>(ctx, a, before, i == 0)));
        before = now;
    }
    return LT_OK;
}

template <typename T, int V>
lt_status run(lt_ctx *ctx, const lt_glu_depthwise_args *args, lt_glu_shape s, T *workspace) {
    if (!lt_is_empty(&args->y_scale)) return run_parts<T, V>(ctx, args, s, workspace);
    forward_args<T> a = args_of<T>(args, s, {0, s.frames, 0, s.height}, args->y.data);
    glu_forward<T, V><<<blocks_of<T, V>(a), THREADS, 0, lt_cuda_stream(ctx)>>>(a);
    return lt_cuda_launched();
}

template <typename T> lt_status run_pairs(lt_ctx *ctx, const lt_glu_depthwise_args *args, T *workspace) {
    lt_glu_shape s = lt_glu_shape_of(&args->x);
    const void *operands[] = {args->x.data, lt_is_empty(&args->y_scale) ? args->y.data : workspace};
    constexpr int most = 4 / (int)sizeof(T); /* channels in four bytes */
    if (lt_glu_pixels(s) == 0) return LT_OK;
    if (lt_glu_pairs<T>(s.half, operands, 2)) return run<T, most>(ctx, args, s, workspace);
    return run<T, 1>(ctx, args, s, workspace);
}

} // namespace

extern "C" lt_status lt_glu_depthwise_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    LT_CUDA_BY_DTYPE(lt_ctx_dtype(ctx), T,
                     return run_pairs<T>(ctx, (const lt_glu_depthwise_args *)args, (T *)workspace));
}
