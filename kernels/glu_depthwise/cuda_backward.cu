/* A warp holds 32 channels of u and the same of g at C neighbouring positions, and walks with them through a frame, as
 * forward. Nothing is exchanged: dL/dh of the positions beside its own is computed twice, so SiLU of two positions on
 * either side as well. */
#include "kernels/glu_depthwise/cuda_rows.cuh"

namespace {

enum { C = LT_GLU_CUDA_BACKWARD, WARPS = LT_GLU_CUDA_BACKWARD_WARPS, BLOCKS = LT_GLU_CUDA_BACKWARD_BLOCKS };
enum { AHEAD = 2 }; /* loads from shared memory under way */

template <typename T> struct backward_args {
    lt_glu_cut cut;
    lt_glu_strides strides;
    int64_t half;
    unsigned tiles, chunks; /* of all frames; blocks of a slab that share them */
    const T *dy, *x;
    const float *w, *b;
    T *dx;       /* or NULL */
    float *sums; /* [chunks][10][2R], or NULL */
    bool accumulate_dx;
};

/* Of one warp. What belongs to a row lies with its number modulo 3. */
template <typename T> struct warp_memory {
    lt_glu_arrived<T, C> rows[3];
    lt_pack<float, 2> silu[3][C][2][32]; /* with its derivative */
    alignas(16) T dx[C][2][32];
};

/* Gradients of the taps by [walk][span], and of the bias, over all that a thread has seen. */
struct weight_sums {
    float tap[3][3] = {}, bias = 0;
};

/* One thread's part of one tile of a frame. Rows arrive one by one; with row r come h and dh of row r - 1, then dx of
 * row r - 2. K = r % 3 makes all indices constants. */
template <typename T, bool whole> struct tile_walk {
    warp_memory<T> &memory;
    const lt_glu_weights_pair<1> &w;
    weight_sums (&sums)[2];
    lt_glu_feed<T, C, whole> feed;
    lt_glu_drain<T, C, whole> drain;
    int lane, rows;
    bool accumulate;
    /* h of the last row and the one after, as far as they have come */
    float before[C + 2][2], here[C + 2][2];
    float dh[3][C + 2][2] = {};

    /* `at`: of the first position in dy and the warp's first channel. */
    __device__ __forceinline__ tile_walk(const backward_args<T> &a, warp_memory<T> &own,
                                         const lt_glu_weights_pair<1> &weights, weight_sums (&gradients)[2],
                                         int64_t at, int first, int64_t channel, int in_warp)
        : memory(own), w(weights), sums(gradients),
          feed(a.cut, a.strides, a.half, a.x, a.dy, at, first, channel, in_warp),
          drain(a.cut, a.strides, a.half, a.dx, at, first, channel, in_warp), lane(in_warp), rows(a.cut.walk),
          accumulate(a.accumulate_dx) {
        lt_glu_copies_wait<0>(); /* until all lanes have left the last tile */
        feed.row(memory.rows[0], 0, rows);
        feed.row(memory.rows[1], 1, rows);
#pragma unroll
        for (int c = 0; c < C + 2; c++)
#pragma unroll
            for (int i = 0; i < 2; i++) before[c][i] = 0, here[c][i] = w.of[i].bias[0];
#pragma unroll
        for (int n = 0; n < 2 * C; n++) /* rows before the first, which add nothing to the sums */
            memory.silu[1][n / 2][n % 2][lane] = memory.silu[2][n / 2][n % 2][lane] = {{0, 0}};
    }

    __device__ __forceinline__ float silu(T raw, int slot, int c, int i) {
        float x = lt_load(&raw), slope;
        if (c < 0 || c >= C) return lt_glu_silu<T>(x);
        float y = lt_glu_silu<T>(x, slope);
        memory.silu[slot][c][i][lane] = {{y, slope}};
        return y;
    }

    /* SiLU of row r enters h of the rows around it. h of row r - 1 is then whole and gives dh: dy SiLU(g) for u, dy u
     * SiLU'(g) for g; zero outside the frame, where dy is. Loads run ahead, because the compiler keeps them behind the
     * stores before. */
    template <int K> __device__ __forceinline__ void enter_row() {
        const lt_glu_arrived<T, C> &row = memory.rows[K];
        T x[C + 4][2], dy[C + 2];
        float s[C + 4][2];
#pragma unroll
        for (int j = -AHEAD; j < C + 4; j++) {
            if (j + AHEAD < C + 4)
                x[j + AHEAD][0] = row.x[j + AHEAD][0][lane], x[j + AHEAD][1] = row.x[j + AHEAD][1][lane];
            if (j + AHEAD >= 2 && j + AHEAD < C + 4) dy[j + AHEAD - 2] = row.dy[j + AHEAD - 2][lane];
            if (j < 0) continue;
#pragma unroll
            for (int i = 0; i < 2; i++) s[j][i] = silu(x[j][i], K, j - 2, i);
            if (j < 2) continue;
            const int c = j - 2;
            float h[2], slope;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const lt_glu_weights<1> &t = w.of[i];
                float of[3] = {before[c][i], here[c][i], t.bias[0]};
#pragma unroll
                for (int k = 0; k < 9; k++)
                    of[2 - k / 3] = fmaf(t.tap[k / 3][k % 3][0], s[c + k % 3][i], of[2 - k / 3]);
                h[i] = of[0], before[c][i] = of[1], here[c][i] = of[2];
            }
            float d = lt_load(&dy[c]), gate = lt_glu_silu<T>(h[1], slope);
            dh[(K + 2) % 3][c][0] = d * gate;
            dh[(K + 2) % 3][c][1] = d * h[0] * slope;
        }
    }

    /* Row r - 2 and dh of the rows around it give its dx, and what it adds to the taps. */
    template <int K> __device__ __forceinline__ void leave_row() {
        lt_pack<float, 2> kept[2 * C];
#pragma unroll
        for (int n = -AHEAD; n < 2 * C; n++) {
            if (n + AHEAD < 2 * C)
                kept[n + AHEAD] = memory.silu[(K + 1) % 3][(n + AHEAD) / 2][(n + AHEAD) % 2][lane];
            if (n < 0) continue;
            const int c = n / 2, i = n % 2;
            float ds = 0;
#pragma unroll
            for (int k = 0; k < 9; k++) {
                float d = dh[(K + 2 + 2 * (k / 3)) % 3][c + 2 - k % 3][i], tap = w.of[i].tap[k / 3][k % 3][0];
                ds = k == 0 ? tap * d : fmaf(tap, d, ds);
                sums[i].tap[k / 3][k % 3] = fmaf(kept[n].v[0], d, sums[i].tap[k / 3][k % 3]);
            }
            sums[i].bias += dh[(K + 2) % 3][c + 1][i];
            lt_store(&memory.dx[c][i][lane], ds * kept[n].v[1]);
        }
    }

    /* The rows past the last are zero; two of them finish the last. */
    template <int K> __device__ __forceinline__ void step(int row) {
        lt_glu_copies_wait<1>();
        feed.row(memory.rows[(K + 2) % 3], row + 2, rows);
        enter_row<K>();
        leave_row<K>();
        __syncwarp();
        if (row >= 2 && row < rows + 2) drain.row(memory.dx, accumulate);
    }
};

/* Sums of the block's warps, one after the other, to row `chunk` of the workspace. */
template <typename T>
__device__ void write_sums(const backward_args<T> &a, const weight_sums (&sums)[2], int64_t chunk,
                           int64_t channel, float *shared) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    enum { N = 2 * LT_GLU_CUDA_SUMS * 32 };
    lt_glu_copies_wait<0>(); /* of rows past the last, into the memory that serves again */
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int k = 0; k < LT_GLU_CUDA_SUMS; k++)
            shared[warp * N + (i * LT_GLU_CUDA_SUMS + k) * 32 + lane] =
                k < 9 ? sums[i].tap[k / 3][k % 3] : sums[i].bias;
    __syncthreads();
    for (int at = threadIdx.x; at < N; at += WARPS * 32) {
        int i = at / 32 / LT_GLU_CUDA_SUMS, k = at / 32 % LT_GLU_CUDA_SUMS;
        int tap = k < 9 ? k / 3 * a.cut.walk_taps + k % 3 * a.cut.span_taps : 9;
        float sum = 0;
        for (int other = 0; other < WARPS; other++) sum += shared[other * N + at];
        if (channel + at % 32 < a.half)
            a.sums[(chunk * LT_GLU_CUDA_SUMS + tap) * 2 * a.half + i * a.half + channel + at % 32] = sum;
    }
}

/* Chunks differ by one group at most. */
__device__ __forceinline__ unsigned chunk_begin(unsigned groups, unsigned chunk, unsigned chunks) {
    unsigned longer = groups % chunks;
    return groups / chunks * chunk + (chunk < longer ? chunk : longer);
}

/* Blocks: slabs of 32 channels, side by side in memory, of one chunk of tiles after the other. */
template <typename T, bool whole>
__global__ void __launch_bounds__(WARPS * 32, BLOCKS) glu_backward(const backward_args<T> a) {
    __shared__ warp_memory<T> memory[WARPS];
    static_assert(sizeof memory[0] >= 2 * LT_GLU_CUDA_SUMS * 32 * sizeof(float), "the sums fit");
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    unsigned slabs = (unsigned)((a.half + 31) / 32), chunk = blockIdx.x / slabs;
    int64_t channel = blockIdx.x % slabs * 32;
    lt_glu_weights_pair<1> w(a.cut, a.w, a.b, a.half, channel + lane);
    weight_sums sums[2];
    unsigned groups = (a.tiles + WARPS - 1) / WARPS;
    unsigned tile = chunk_begin(groups, chunk, a.chunks) * WARPS + warp;
    unsigned end = chunk_begin(groups, chunk + 1, a.chunks) * WARPS;
    for (; tile < end && tile < a.tiles; tile += WARPS) {
        unsigned frame = tile / a.cut.tiles;
        int first = (int)(tile - frame * a.cut.tiles) * C;
        int64_t at = (int64_t)frame * a.cut.walk * a.cut.span * a.half + first * a.cut.span_step;
        tile_walk<T, whole> walk(a, memory[warp], w, sums, at, first, channel, lane);
#pragma unroll 1
        for (int row = 0; row < a.cut.walk + 2; row += 3) {
            walk.template step<0>(row);
            walk.template step<1>(row + 1);
            walk.template step<2>(row + 2);
        }
    }
    if (a.sums) write_sums<T>(a, sums, chunk, channel, reinterpret_cast<float *>(memory));
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

/* Whether every line of 32 channels starts and ends with a piece of 16 bytes. */
template <typename T> bool in_whole_pieces(const backward_args<T> &a) {
    uintptr_t bits = (uintptr_t)a.half * sizeof(T) | (uintptr_t)a.x | (uintptr_t)a.dy | (uintptr_t)a.dx;
    return bits % 16 == 0;
}

template <typename T, bool whole> lt_status launch(backward_args<T> &a, cudaStream_t stream) {
    unsigned blocks = (unsigned)(lt_ceil_div(a.half, 32) * a.chunks);
    /* As many blocks as registers allow: their rows lie in shared memory, the first-level cache serves none. */
    LT_TRY(lt_cuda_check(cudaFuncSetAttribute((const void *)glu_backward<T, whole>,
                                              cudaFuncAttributePreferredSharedMemoryCarveout,
                                              cudaSharedmemCarveoutMaxShared)));
    a.strides = lt_glu_strides::of<T, whole>(a.cut, a.half);
    glu_backward<T, whole><<<blocks, WARPS * 32, 0, stream>>>(a);
    return lt_cuda_launched();
}

template <typename T>
lt_status run(const lt_ctx *ctx, const lt_glu_depthwise_backward_args *args, void *workspace) {
    lt_glu_shape s = lt_glu_shape_of(&args->x);
    bool wants_weights = !lt_is_empty(&args->dw);
    backward_args<T> a;
    a.cut = lt_glu_cut_backward(s);
    a.half = s.half;
    a.tiles = (unsigned)(s.frames * a.cut.tiles), a.chunks = (unsigned)lt_glu_cuda_partials(s);
    a.dy = (const T *)args->dy.data, a.x = (const T *)args->x.data, a.dx = (T *)args->dx.data;
    a.w = (const float *)args->w.data, a.b = (const float *)args->b.data;
    a.sums = wants_weights ? (float *)workspace : NULL;
    a.accumulate_dx = args->accumulate_dx;
    if (a.chunks > 0 && (wants_weights || a.dx)) {
        if (in_whole_pieces(a)) LT_TRY((launch<T, true>(a, lt_cuda_stream(ctx))));
        else LT_TRY((launch<T, false>(a, lt_cuda_stream(ctx))));
    }
    if (!wants_weights) return LT_OK;
    fold_sums<<<lt_grid(LT_GLU_CUDA_SUMS * 2 * s.half, 256), 256, 0, lt_cuda_stream(ctx)>>>(
        a.chunks, 2 * s.half, a.sums, (float *)args->dw.data, (float *)args->db.data, args->accumulate_dw);
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_glu_depthwise_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    LT_CUDA_BY_DTYPE(lt_ctx_dtype(ctx), T,
                     return run<T>(ctx, (const lt_glu_depthwise_backward_args *)args, workspace));
}
