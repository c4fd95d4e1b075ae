#include "kernels/cross_attention/cuda_tile.cuh"

namespace {

enum { LARGEST_THREADS = 1024 };

/* Queries of a thread (16 threads down) and keys (16 across), for heads of at most DIM channels. */
template <int DIM> struct sizes {
    static constexpr int M = DIM <= 128 ? 4 : 2, N = 2, P = DIM / 64;
    static constexpr int queries = M * LT_CROSS_SIDE, keys = N * LT_CROSS_SIDE;
    static size_t bytes(int D) {
        return (size_t)((queries + keys) * lt_cross_ld(D) + queries * (keys + 4)) * sizeof(float);
    }
};

/* Scores to exp(score - largest so far), in place; what was summed before is to be multiplied by `fade`. */
template <int N>
__device__ __forceinline__ void soften(float (&s)[N], const float (&terms)[N], float scale, float &most,
                                       float &sum, float &fade) {
    float largest = -INFINITY;
#pragma unroll
    for (int j = 0; j < N; j++) {
        s[j] = fmaf(s[j], scale, terms[j]);
        largest = fmaxf(largest, s[j]);
    }
    largest = fmaxf(most, lt_cross_row_max(largest));
    fade = expf(most - largest);
    most = largest;
    sum *= fade;
#pragma unroll
    for (int j = 0; j < N; j++) {
        s[j] = expf(s[j] - most);
        sum += s[j];
    }
}

/* One block: a tile of queries of one head (SCALED: each with its own factor besides); keys and then values of 32
 * tokens at a time pass through shared memory. CODED: o goes to memory in e4m3. */
template <typename T, int DIM, bool SCALED, bool CODED>
__global__ void __launch_bounds__(LT_CROSS_THREADS) cross_forward(const lt_cross_forward<T> a) {
    typedef sizes<DIM> z;
    extern __shared__ float4 memory[];
    const lt_cross_dims &n = a.n;
    int ld = lt_cross_ld(n.D);
    float *queries = (float *)memory, *tokens = queries + z::queries * ld, *p = tokens + z::keys * ld;
    int64_t tiles = (n.T + z::queries - 1) / z::queries, head = blockIdx.x / tiles;
    int64_t first = blockIdx.x % tiles * z::queries, g = head / n.H, h = head % n.H, text = g % n.B;
    float most[z::M], sum[z::M] = {}, o[z::M][z::P][4] = {}, visible = lt_cross_visible(n, text), scale[z::M];
#pragma unroll
    for (int i = 0; i < z::M; i++) {
        int64_t t = first + lt_cross_y() * z::M + i;
        most[i] = -INFINITY;
        if (SCALED) scale[i] = t < n.T ? n.scale * a.q_scale[g * n.T + t] : 0;
    }
    lt_cross_fill(a.q.at(g, first, h * n.D), a.q.token, z::queries, n.T - first, n.D, a.wide, queries);
    for (int64_t key = 0; key < n.L; key += z::keys) {
        float s[z::M][z::N], terms[z::N], fade;
        __syncthreads();
        lt_cross_fill(a.k.at(text, key, h * n.D), a.k.token, z::keys, n.L - key, n.D, a.wide, tokens);
        __syncthreads();
        lt_cross_dots(queries, tokens, n.D, s);
#pragma unroll
        for (int j = 0; j < z::N; j++)
            terms[j] = lt_cross_term(n, text, key + lt_cross_x() + LT_CROSS_SIDE * j, visible);
#pragma unroll
        for (int i = 0; i < z::M; i++) {
            soften(s[i], terms, SCALED ? scale[i] : n.scale, most[i], sum[i], fade);
#pragma unroll
            for (int c = 0; c < z::P * 4; c++) o[i][c / 4][c % 4] *= fade;
        }
        lt_cross_put(s, p);
        __syncthreads();
        lt_cross_fill(a.v.at(text, key, h * n.D), a.v.token, z::keys, n.L - key, n.D, a.wide, tokens);
        __syncthreads();
        lt_cross_add<z::M, z::N>(p, tokens, n.D, o);
    }
    float largest = CODED ? lt_cross_largest(a, text) : 0;
#pragma unroll
    for (int i = 0; i < z::M; i++) {
        int64_t t = first + lt_cross_y() * z::M + i;
        float total = lt_cross_row_sum(sum[i]);
        if (t >= n.T) continue;
        if (!CODED) lt_cross_write(o[i], 1 / total, n.D, false, a.o.at(g, t, h * n.D));
        else {
            lt_cross_write_codes<T>(o[i], 1 / total, lt_e4m3_factor(largest), n.D, a.codes.at(g, t, h * n.D));
            if (h == 0 && lt_cross_x() == 0) a.o_scale[g * n.T + t] = lt_e4m3_scale(largest);
        }
        if (a.lse && lt_cross_x() == 0) a.lse[head * n.T + t] = most[i] + logf(total);
    }
}

template <typename T, int DIM> lt_status launch(const lt_cross_forward<T> &a, cudaStream_t stream) {
    size_t bytes = sizes<DIM>::bytes(a.n.D);
    auto *kernel = a.q_scale
                       ? a.codes.data ? cross_forward<T, DIM, true, true> : cross_forward<T, DIM, true, false>
                   : a.codes.data ? cross_forward<T, DIM, false, true>
                                  : cross_forward<T, DIM, false, false>;
    LT_TRY(lt_cuda_allow(kernel, bytes));
    int64_t blocks = a.n.G * a.n.H * lt_ceil_div(a.n.T, sizes<DIM>::queries);
    kernel<<<(unsigned)blocks, LT_CROSS_THREADS, bytes, stream>>>(a);
    return lt_cuda_launched();
}

bool fits(const lt_ctx *, const lt_cross_forward<float> &) { return false; }
bool fits(const lt_ctx *ctx, const lt_cross_forward<lt_bf16> &a) {
    return !ctx->device->generic && lt_cross_forward_mma_fits(a);
}
lt_status run_mma(const lt_cross_forward<float> &, int, cudaStream_t) { return LT_OK; }
lt_status run_mma(const lt_cross_forward<lt_bf16> &a, int multiprocessors, cudaStream_t stream) {
    return lt_cross_forward_mma(a, multiprocessors, stream);
}

/* A block looks at every LT_CROSS_CUDA_PIECES-th stretch of a text's values, N of them at a time. */
template <typename T, int N>
__global__ void __launch_bounds__(LARGEST_THREADS)
    largest_values(const lt_cross_view<const T> v, int64_t L, int64_t C, unsigned *pieces) {
    __shared__ unsigned shared[LARGEST_THREADS / 32];
    int64_t text = blockIdx.x / LT_CROSS_CUDA_PIECES, piece = blockIdx.x % LT_CROSS_CUDA_PIECES, row = C / N;
    unsigned largest = __float_as_uint(LT_E4M3_LEAST);
    for (int64_t i = piece * LARGEST_THREADS + threadIdx.x; i < L * row;
         i += LT_CROSS_CUDA_PIECES * LARGEST_THREADS) {
        const T *p = v.at(text, i / row, i % row * N);
        if constexpr (N == 1) largest = lt_e4m3_larger(largest, lt_load(p));
        else largest = lt_e4m3_larger<T>(largest, lt_load_raw<T>(p, 0));
    }
    float most = lt_e4m3_team_largest<false>(largest, shared);
    if (threadIdx.x == 0) pieces[blockIdx.x] = __float_as_uint(most);
}

template <typename T>
lt_status find_largest(const lt_cross_forward<T> &a, unsigned *pieces, cudaStream_t stream) {
    unsigned blocks = (unsigned)(a.n.B * LT_CROSS_CUDA_PIECES);
    int64_t C = a.n.H * a.n.D; /* a multiple of 16 */
    constexpr int N = lt_pack_of<T>;
    if (a.v.aligned(N)) largest_values<T, N><<<blocks, LARGEST_THREADS, 0, stream>>>(a.v, a.n.L, C, pieces);
    else largest_values<T, 1><<<blocks, LARGEST_THREADS, 0, stream>>>(a.v, a.n.L, C, pieces);
    return lt_cuda_launched();
}

template <typename T>
lt_status run(const lt_ctx *ctx, const lt_cross_attention_args *args, unsigned *workspace) {
    lt_cross_forward<T> a;
    a.n = lt_cross_dims_of(args->q, args->k, args->mask, args->scale);
    a.q = lt_cross_view<const T>::of(args->q), a.k = lt_cross_view<const T>::of(args->k);
    a.v = lt_cross_view<const T>::of(args->v), a.o = lt_cross_view<T>::of(args->o);
    a.lse = (float *)args->lse.data;
    a.q_scale = (const float *)args->q_scale.data;
    a.wide = a.n.D % 4 == 0 && a.q.aligned(4) && a.k.aligned(4) && a.v.aligned(4);
    cudaStream_t stream = lt_cuda_stream(ctx);
    a.codes = {}, a.o_scale = (float *)args->o_scale.data, a.largest = workspace;
    if (a.o_scale) {
        a.codes = lt_cross_view<uint8_t>::of(args->o);
        LT_TRY(find_largest(a, workspace, stream));
    }
    if (fits(ctx, a)) return run_mma(a, lt_cuda_multiprocessors(ctx->device), stream);
    if (a.n.D <= 64) return launch<T, 64>(a, stream);
    if (a.n.D <= 128) return launch<T, 128>(a, stream);
    return launch<T, 256>(a, stream);
}

} // namespace

extern "C" lt_status lt_cross_attention_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    LT_CUDA_BY_DTYPE(lt_ctx_dtype(ctx), T,
                     return run<T>(ctx, (const lt_cross_attention_args *)args, (unsigned *)workspace));
}
