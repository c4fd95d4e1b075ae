#include "kernels/cross_attention/cuda_tile.cuh"

namespace {

/* Tiles of one shape for queries and keys, for heads of at most DIM channels. */
template <int DIM> struct sizes {
    static constexpr int M = DIM <= 128 ? 2 : 1, P = DIM / 64;
    static constexpr int rows = M * LT_CROSS_SIDE;
    static size_t bytes(int D) {
        return (size_t)(4 * rows * lt_cross_ld(D) + 2 * rows * (rows + 4)) * sizeof(float);
    }
};

/* Shared memory of a block: four tiles of vectors, two of weights. */
template <int DIM> struct tiles {
    float *q, *dout, *k, *v, *p, *ds;
    __device__ tiles(float *memory, int D) {
        constexpr int rows = sizes<DIM>::rows;
        int64_t each = rows * lt_cross_ld(D);
        q = memory, dout = q + each, k = dout + each, v = k + each;
        p = v + each, ds = p + rows * (rows + 4);
    }
};

/* dout . o of a thread's rows of queries; rows behind the last are zero. */
template <typename T, int M>
__device__ __forceinline__ void find_delta(const lt_cross_backward<T> &a, const float *dout, int64_t g,
                                           int64_t first, int64_t h, float (&delta)[M]) {
#pragma unroll
    for (int i = 0; i < M; i++) {
        int row = lt_cross_y() * M + i;
        const T *o = a.o.at(g, first + row, h * a.n.D);
        float sum = 0;
        for (int c = lt_cross_x(); first + row < a.n.T && c < a.n.D; c += LT_CROSS_SIDE)
            sum = fmaf(dout[row * lt_cross_ld(a.n.D) + c], lt_load(o + c), sum);
        delta[i] = lt_cross_row_sum(sum);
    }
}

/* One block: delta, and where it is wanted dq, of a tile of queries of one head. */
template <typename T, int DIM>
__global__ void __launch_bounds__(LT_CROSS_THREADS, 2) query_gradients(const lt_cross_backward<T> a) {
    typedef sizes<DIM> z;
    constexpr int M = z::M;
    extern __shared__ float4 memory[];
    const lt_cross_dims &n = a.n;
    tiles<DIM> x((float *)memory, n.D);
    int64_t each = (n.T + z::rows - 1) / z::rows, head = blockIdx.x / each;
    int64_t first = blockIdx.x % each * z::rows, g = head / n.H, h = head % n.H, text = g % n.B;
    float delta[M], lse[M], dq[M][z::P][4] = {}, visible = lt_cross_visible(n, text);
    lt_cross_fill(a.dout.at(g, first, h * n.D), a.dout.token, z::rows, n.T - first, n.D, a.wide, x.dout);
    lt_cross_fill(a.q.at(g, first, h * n.D), a.q.token, z::rows, n.T - first, n.D, a.wide, x.q);
    __syncthreads();
    find_delta<T, M>(a, x.dout, g, first, h, delta);
#pragma unroll
    for (int i = 0; i < M; i++) {
        int64_t t = first + lt_cross_y() * M + i;
        lse[i] = t < n.T ? a.lse[head * n.T + t] : 0;
        if (a.delta && lt_cross_x() == 0 && t < n.T) a.delta[head * n.T + t] = delta[i];
    }
    if (!a.dq.data) return;
    for (int64_t key = 0; key < n.L; key += z::rows) {
        float s[M][M], dp[M][M];
        __syncthreads();
        lt_cross_fill(a.k.at(text, key, h * n.D), a.k.token, z::rows, n.L - key, n.D, a.wide, x.k);
        lt_cross_fill(a.v.at(text, key, h * n.D), a.v.token, z::rows, n.L - key, n.D, a.wide, x.v);
        __syncthreads();
        lt_cross_dots(x.q, x.k, n.D, s);
        lt_cross_dots(x.dout, x.v, n.D, dp);
#pragma unroll
        for (int j = 0; j < M; j++) {
            float term = lt_cross_term(n, text, key + lt_cross_x() + LT_CROSS_SIDE * j, visible);
#pragma unroll
            for (int i = 0; i < M; i++)
                s[i][j] = expf(fmaf(s[i][j], n.scale, term) - lse[i]) * (dp[i][j] - delta[i]);
        }
        lt_cross_put(s, x.ds);
        __syncwarp();
        lt_cross_add<M, M>(x.ds, x.k, n.D, dq);
    }
#pragma unroll
    for (int i = 0; i < M; i++) {
        int64_t t = first + lt_cross_y() * M + i;
        if (t < n.T) lt_cross_write(dq[i], n.scale, n.D, a.accumulate_dq, a.dq.at(g, t, h * n.D));
    }
}

/* Sums of one thread's rows of keys to dk and dv, or to this block's chunk of the workspace. */
template <typename T, int M, int P>
__device__ __forceinline__ void write_text(const lt_cross_backward<T> &a, int64_t text, int64_t h,
                                           int64_t key, int64_t chunk, const float (&dk)[M][P][4],
                                           const float (&dv)[M][P][4]) {
    const lt_cross_dims &n = a.n;
    int64_t each = n.B * n.L * n.H * n.D;
#pragma unroll
    for (int i = 0; i < M; i++) {
        int64_t j = key + lt_cross_y() * M + i;
        if (j >= n.L) continue;
        if (a.chunks) {
            float *to = a.chunks + chunk * 2 * each + ((text * n.L + j) * n.H + h) * n.D;
            lt_cross_write(dk[i], n.scale, n.D, false, to);
            lt_cross_write(dv[i], 1, n.D, false, to + each);
        } else {
            lt_cross_write(dk[i], n.scale, n.D, a.accumulate_dkv, a.dk.at(text, j, h * n.D));
            lt_cross_write(dv[i], 1, n.D, a.accumulate_dkv, a.dv.at(text, j, h * n.D));
        }
    }
}

/* One block: dk and dv of a tile of keys of one text and head, over one chunk of the queries that read them. */
template <typename T, int DIM>
__global__ void __launch_bounds__(LT_CROSS_THREADS, 2) text_gradients(const lt_cross_backward<T> a) {
    typedef sizes<DIM> z;
    constexpr int M = z::M;
    extern __shared__ float4 memory[];
    const lt_cross_dims &n = a.n;
    tiles<DIM> x((float *)memory, n.D);
    int64_t each = (n.L + z::rows - 1) / z::rows, text = blockIdx.x / each / n.H, chunk = blockIdx.y;
    int64_t key = blockIdx.x % each * z::rows, h = blockIdx.x / each % n.H;
    float terms[M], dk[M][z::P][4] = {}, dv[M][z::P][4] = {}, visible = lt_cross_visible(n, text);
    lt_cross_fill(a.k.at(text, key, h * n.D), a.k.token, z::rows, n.L - key, n.D, a.wide, x.k);
    lt_cross_fill(a.v.at(text, key, h * n.D), a.v.token, z::rows, n.L - key, n.D, a.wide, x.v);
#pragma unroll
    for (int i = 0; i < M; i++) terms[i] = lt_cross_term(n, text, key + lt_cross_y() * M + i, visible);
    int64_t last = a.split.units * (chunk + 1) / a.split.chunks;
    for (int64_t unit = a.split.units * chunk / a.split.chunks; unit < last; unit++) {
        int64_t g = unit / a.split.units_per_group * n.B + text;
        int64_t first = unit % a.split.units_per_group * LT_CROSS_CUDA_QUERIES;
        for (int64_t t = first; t < n.T && t < first + LT_CROSS_CUDA_QUERIES; t += z::rows) {
            float s[M][M], dp[M][M];
            __syncthreads();
            lt_cross_fill(a.q.at(g, t, h * n.D), a.q.token, z::rows, n.T - t, n.D, a.wide, x.q);
            lt_cross_fill(a.dout.at(g, t, h * n.D), a.dout.token, z::rows, n.T - t, n.D, a.wide, x.dout);
            __syncthreads();
            lt_cross_dots(x.k, x.q, n.D, s);
            lt_cross_dots(x.v, x.dout, n.D, dp);
#pragma unroll
            for (int j = 0; j < M; j++) {
                int64_t at = t + lt_cross_x() + LT_CROSS_SIDE * j, row = (g * n.H + h) * n.T + at;
                float lse = at < n.T ? a.lse[row] : INFINITY, delta = at < n.T ? a.delta[row] : 0;
#pragma unroll
                for (int i = 0; i < M; i++) {
                    s[i][j] = expf(fmaf(s[i][j], n.scale, terms[i]) - lse);
                    dp[i][j] = s[i][j] * (dp[i][j] - delta);
                }
            }
            lt_cross_put(s, x.p);
            lt_cross_put(dp, x.ds);
            __syncwarp();
            lt_cross_add<M, M>(x.p, x.dout, n.D, dv);
            lt_cross_add<M, M>(x.ds, x.q, n.D, dk);
        }
    }
    write_text<T>(a, text, h, key, chunk, dk, dv);
}

/* Adds the chunks in their order. */
template <typename T> __global__ void fold_chunks(const lt_cross_backward<T> a) {
    const lt_cross_dims &n = a.n;
    int64_t row = n.H * n.D, each = n.B * n.L * row;
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < 2 * each;
         i += (int64_t)gridDim.x * blockDim.x) {
        float sum = 0;
        for (int64_t chunk = 0; chunk < a.split.chunks; chunk++) sum += a.chunks[chunk * 2 * each + i];
        int64_t token = i % each / row;
        const lt_cross_view<T> &to = i < each ? a.dk : a.dv;
        lt_store_or_add(to.at(token / n.L, token % n.L, i % row), sum, a.accumulate_dkv);
    }
}

template <typename T, int DIM>
lt_status run_queries(const lt_cross_backward<T> &a, int, cudaStream_t stream) {
    size_t bytes = sizes<DIM>::bytes(a.n.D);
    LT_TRY(lt_cuda_allow(query_gradients<T, DIM>, bytes));
    int64_t blocks = a.n.G * a.n.H * lt_ceil_div(a.n.T, sizes<DIM>::rows);
    query_gradients<T, DIM><<<(unsigned)blocks, LT_CROSS_THREADS, bytes, stream>>>(a);
    return lt_cuda_launched();
}

template <typename T, int DIM> lt_status run_text(const lt_cross_backward<T> &a, cudaStream_t stream) {
    size_t bytes = sizes<DIM>::bytes(a.n.D);
    LT_TRY(lt_cuda_allow(text_gradients<T, DIM>, bytes));
    int64_t blocks = a.n.B * a.n.H * lt_ceil_div(a.n.L, sizes<DIM>::rows);
    dim3 grid((unsigned)blocks, (unsigned)a.split.chunks);
    text_gradients<T, DIM><<<grid, LT_CROSS_THREADS, bytes, stream>>>(a);
    return lt_cuda_launched();
}

/* What serves these operands. */
template <typename T> struct kernels {
    lt_status (*queries)(const lt_cross_backward<T> &a, int multiprocessors, cudaStream_t stream);
    lt_status (*text)(const lt_cross_backward<T> &a, cudaStream_t stream);
};

template <typename T> kernels<T> any_kernels(const lt_cross_backward<T> &a) {
    if (a.n.D <= 64) return {run_queries<T, 64>, run_text<T, 64>};
    if (a.n.D <= 128) return {run_queries<T, 128>, run_text<T, 128>};
    return {run_queries<T, 256>, run_text<T, 256>};
}
kernels<float> choose(const lt_ctx *, const lt_cross_backward<float> &a) { return any_kernels(a); }
kernels<lt_bf16> choose(const lt_ctx *ctx, const lt_cross_backward<lt_bf16> &a) {
    if (!ctx->device->generic && lt_cross_backward_mma_fits(a))
        return {lt_cross_backward_mma_queries, lt_cross_backward_mma_text};
    return any_kernels(a);
}

template <typename T>
lt_cross_backward<T> operands(const lt_cross_attention_backward_args *args, void *workspace) {
    lt_cross_backward<T> a;
    bool wants_text = !lt_is_empty(&args->dk);
    a.n = lt_cross_dims_of(args->q, args->k, args->mask, args->scale);
    a.split = lt_cross_split_of(a.n.G, a.n.T, a.n.H, a.n.B, a.n.L);
    a.q = lt_cross_view<const T>::of(args->q), a.k = lt_cross_view<const T>::of(args->k);
    a.v = lt_cross_view<const T>::of(args->v), a.o = lt_cross_view<const T>::of(args->o);
    a.dout = lt_cross_view<const T>::of(args->dout), a.dq = lt_cross_view<T>::of(args->dq);
    a.dk = lt_cross_view<T>::of(args->dk), a.dv = lt_cross_view<T>::of(args->dv);
    a.lse = (const float *)args->lse.data;
    a.delta = wants_text ? (float *)workspace : NULL;
    a.chunks = wants_text && a.split.chunks > 1 ? a.delta + lt_cross_delta_floats(a.n.G, a.n.T, a.n.H) : NULL;
    a.accumulate_dq = args->accumulate_dq, a.accumulate_dkv = args->accumulate_dkv;
    a.wide = a.n.D % 4 == 0 && a.q.aligned(4) && a.k.aligned(4) && a.v.aligned(4) && a.dout.aligned(4);
    return a;
}

template <typename T>
lt_status run(const lt_ctx *ctx, const lt_cross_attention_backward_args *args, void *workspace) {
    lt_cross_backward<T> a = operands<T>(args, workspace);
    cudaStream_t stream = lt_cuda_stream(ctx);
    kernels<T> kernel = choose(ctx, a);
    if (!a.dq.data && !a.delta) return LT_OK;
    LT_TRY(kernel.queries(a, lt_cuda_multiprocessors(ctx->device), stream));
    if (!a.delta) return LT_OK;
    LT_TRY(kernel.text(a, stream));
    if (!a.chunks) return LT_OK;
    fold_chunks<T><<<lt_grid(lt_cross_chunk_floats(a.n.H, a.n.D, a.n.B, a.n.L), 256), 256, 0, stream>>>(a);
    return lt_cuda_launched();
}

} // namespace

extern "C" lt_status lt_cross_attention_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    LT_CUDA_BY_DTYPE(lt_ctx_dtype(ctx), T,
                     return run<T>(ctx, (const lt_cross_attention_backward_args *)args, workspace));
}
