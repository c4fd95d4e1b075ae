#include "kernels/cross_attention/cuda_mma.cuh"

namespace {

enum {
    QUERY_WARPS = 8,                    /* each has 16 queries */
    KEY_WARPS = LT_CROSS_CUDA_KEYS / 16 /* each has 16 keys, at most so many */
};

/* dout . o of a lane's two rows; rows behind the last are zero. */
template <int DIM>
__device__ __forceinline__ void find_delta(const lt_cross_left (&dout)[DIM / 16], const lt_bf16 *o,
                                           int64_t stride, int64_t valid, int D, float (&delta)[2]) {
    const lt_bf16 *p = o + lt_cross_row() * stride + lt_cross_column();
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < DIM / 8; i++) {
            bool there = lt_cross_row() + half * 8 < valid && i * 8 < D;
            if (!there) continue;
            unsigned pair = *reinterpret_cast<const unsigned *>(p + half * 8 * stride + i * 8);
            unsigned g = dout[i / 2][half + i % 2 * 2];
            sum = fmaf(lt_cross_low(g), lt_cross_low(pair), sum);
            sum = fmaf(lt_cross_high(g), lt_cross_high(pair), sum);
        }
        delta[half] = lt_cross_quad_sum(sum);
    }
}

/* One block holds a head's keys and values, as in the forward pass; a warp finds delta and dq of 16 queries at a
 * time. */
template <int DIM>
__global__ void __launch_bounds__(QUERY_WARPS * 32, 1)
    query_gradients_mma(const lt_cross_backward<lt_bf16> a, lt_cross_share share) {
    constexpr int ld = lt_cross_head<DIM>::ld;
    extern __shared__ float4 memory[];
    const lt_cross_dims &n = a.n;
    lt_cross_text<DIM> x(memory, share.room);
    int64_t head = blockIdx.x / share.splits, g = head / n.H, h = head % n.H, text = g % n.B;
    bool whole = n.L <= share.room;
    if (whole && a.dq.data) x.load(n, a.k, a.v, text, h, 0);
    int step = (int)share.splits * QUERY_WARPS * 16, L = a.dq.data ? (int)n.L : 0, T = (int)n.T;
    float scale = n.scale * lt_cross_log2e;
    for (int block = (int)(blockIdx.x % share.splits) * QUERY_WARPS * 16; block < T; block += step) {
        int t = block + threadIdx.x / 32 * 16, row = t + lt_cross_row();
        if (whole && t >= T) break;
        lt_cross_left q[DIM / 16], dout[DIM / 16];
        lt_cross_sums dq[DIM / 8] = {};
        float delta[2], lse[2];
        lt_cross_load_left<DIM>(a.dout.at(g, t, h * n.D), a.dout.token, T - t, n.D, dout);
        lt_cross_load_left<DIM>(a.q.at(g, t, h * n.D), a.q.token, T - t, n.D, q);
        find_delta<DIM>(dout, a.o.at(g, t, h * n.D), a.o.token, T - t, n.D, delta);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            bool there = row + half * 8 < T;
            lse[half] = there ? lt_cross_log2e * a.lse[head * n.T + row + half * 8] : 0;
            if (a.delta && there && lt_cross_column() == 0)
                a.delta[head * n.T + row + half * 8] = delta[half];
        }
        for (int first = 0; first < L; first += share.room) {
            if (!whole) {
                __syncthreads();
                x.load(n, a.k, a.v, text, h, first);
            }
            int last = L - first < share.room ? L - first : share.room;
#pragma unroll 1
            for (int key = 0; key < last; key += 16) {
                lt_cross_sums s[2], dp[2];
                lt_cross_left ds;
                lt_cross_scores<DIM>(q, x.k + key * ld, s);
                lt_cross_scores<DIM>(dout, x.v + key * ld, dp);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    int half = i % 4 / 2;
                    float term = x.terms[key + i / 4 * 8 + lt_cross_column() + i % 2];
                    float p = lt_cross_exp2(fmaf(s[i / 4][i % 4], scale, term) - lse[half]);
                    s[i / 4][i % 4] = p * (dp[i / 4][i % 4] - delta[half]);
                }
                lt_cross_round(s, ds);
                lt_cross_weigh<DIM>(ds, x.k + key * ld, dq);
            }
        }
        float scales[2] = {n.scale, n.scale};
        if (a.dq.data)
            lt_cross_store<DIM>(dq, scales, a.dq.token, T - t, n.D, a.accumulate_dq, a.dq.at(g, t, h * n.D));
    }
}

/* A unit of queries on its way through shared memory. */
template <int DIM> struct unit_tile {
    lt_bf16 q[LT_CROSS_CUDA_QUERIES * lt_cross_head<DIM>::ld],
        dout[LT_CROSS_CUDA_QUERIES * lt_cross_head<DIM>::ld];
    float lse[LT_CROSS_CUDA_QUERIES], delta[LT_CROSS_CUDA_QUERIES];
};

template <int DIM>
__device__ __forceinline__ void ask_unit(const lt_cross_backward<lt_bf16> &a, int64_t text, int64_t h,
                                         int64_t unit, unit_tile<DIM> *to) {
    constexpr int rows = LT_CROSS_CUDA_QUERIES;
    const lt_cross_dims &n = a.n;
    int64_t g = unit / a.split.units_per_group * n.B + text, t = unit % a.split.units_per_group * rows;
    lt_cross_ask<DIM>(a.q.at(g, t, h * n.D), a.q.token, rows, n.T - t, n.D, to->q);
    lt_cross_ask<DIM>(a.dout.at(g, t, h * n.D), a.dout.token, rows, n.T - t, n.D, to->dout);
    int64_t row = (g * n.H + h) * n.T + t;
    for (int i = threadIdx.x; i < rows; i += blockDim.x) {
        bool there = i < n.T - t;
        lt_cross_ask_float(a.lse + row + (there ? i : 0), there, to->lse + i);
        lt_cross_ask_float(a.delta + row + (there ? i : 0), there, to->delta + i);
    }
}

/* One warp's keys. Rows of its MMAs are keys, columns are queries. */
template <int DIM> struct text_sums {
    lt_cross_left k[DIM / 16], v[DIM / 16];
    lt_cross_sums dk[DIM / 8], dv[DIM / 8];
    float terms[2];

    /* 16 queries. Those behind the last are zero in all operands, so they add nothing. */
    __device__ __forceinline__ void add(const unit_tile<DIM> &x, int query, float scale) {
        constexpr int ld = lt_cross_head<DIM>::ld;
        lt_cross_sums s[2], dp[2];
        lt_cross_left p, ds;
        lt_cross_scores<DIM>(k, x.q + query * ld, s);
#pragma unroll
        for (int n = 0; n < 2; n++) {
            float lse[2];
            lt_load_n<2>(x.lse + query + n * 8 + lt_cross_column(), lse);
#pragma unroll
            for (int i = 0; i < 4; i++)
                s[n][i] =
                    lt_cross_exp2(fmaf(lse[i % 2], -lt_cross_log2e, fmaf(s[n][i], scale, terms[i / 2])));
        }
        lt_cross_round(s, p);
        lt_cross_weigh<DIM>(p, x.dout + query * ld, dv);
        lt_cross_scores<DIM>(v, x.dout + query * ld, dp);
#pragma unroll
        for (int n = 0; n < 2; n++) {
            float delta[2];
            lt_load_n<2>(x.delta + query + n * 8 + lt_cross_column(), delta);
#pragma unroll
            for (int i = 0; i < 4; i++) s[n][i] *= dp[n][i] - delta[i % 2];
        }
        lt_cross_round(s, ds);
        lt_cross_weigh<DIM>(ds, x.q + query * ld, dk);
    }
};

/* Sums times `scale` to 16 rows of a chunk. */
template <int DIM>
__device__ __forceinline__ void store_chunk(const lt_cross_sums (&sums)[DIM / 8], float scale, int64_t stride,
                                            int64_t valid, int D, float *to) {
    float *p = to + lt_cross_row() * stride + lt_cross_column();
#pragma unroll
    for (int half = 0; half < 2; half++) {
        if (lt_cross_row() + half * 8 >= valid) continue;
#pragma unroll
        for (int n = 0; n < DIM / 8; n++)
            if (n * 8 < D)
                *reinterpret_cast<float2 *>(p + half * 8 * stride + n * 8) =
                    make_float2(sums[n][half * 2] * scale, sums[n][half * 2 + 1] * scale);
    }
}

/* One block: dk and dv of some keys of one text and head, over one chunk of the queries that read them. The next unit
 * of queries is under way while one is worked on. */
template <int DIM>
__global__ void __launch_bounds__(KEY_WARPS * 32, 1) text_gradients_mma(const lt_cross_backward<lt_bf16> a) {
    extern __shared__ float4 memory[];
    unit_tile<DIM> *tile = (unit_tile<DIM> *)memory;
    const lt_cross_dims &n = a.n;
    int64_t text = blockIdx.x / a.split.key_blocks / n.H, h = blockIdx.x / a.split.key_blocks % n.H;
    int key = ((int)(blockIdx.x % a.split.key_blocks) * (blockDim.x / 32) + threadIdx.x / 32) * 16;
    int64_t left = n.L - key;
    text_sums<DIM> w;
    lt_cross_load_left<DIM>(a.k.at(text, key, h * n.D), a.k.token, left, n.D, w.k);
    lt_cross_load_left<DIM>(a.v.at(text, key, h * n.D), a.v.token, left, n.D, w.v);
#pragma unroll
    for (int i = 0; i < DIM / 2; i++) w.dk[i / 4][i % 4] = w.dv[i / 4][i % 4] = 0;
    float visible = lt_cross_visible(n, text), scale = n.scale * lt_cross_log2e;
    w.terms[0] = lt_cross_log2e * lt_cross_term(n, text, key + lt_cross_row(), visible);
    w.terms[1] = lt_cross_log2e * lt_cross_term(n, text, key + lt_cross_row() + 8, visible);

    int64_t chunk = blockIdx.y, unit = a.split.units * chunk / a.split.chunks;
    int count = (int)(a.split.units * (chunk + 1) / a.split.chunks - unit);
    ask_unit<DIM>(a, text, h, unit, tile);
    lt_cross_batch();
    for (int i = 0; i < count; i++) {
        if (i + 1 < count) ask_unit<DIM>(a, text, h, unit + i + 1, tile + (i + 1) % 2);
        lt_cross_batch();
        lt_cross_wait<1>();
        __syncthreads();
#pragma unroll 1
        for (int query = 0; query < LT_CROSS_CUDA_QUERIES; query += 16) w.add(tile[i % 2], query, scale);
        __syncthreads();
    }
    int64_t row = n.H * n.D, each = n.B * n.L * row;
    if (a.chunks) {
        float *to = a.chunks + chunk * 2 * each + (text * n.L + key) * row + h * n.D;
        store_chunk<DIM>(w.dk, n.scale, row, left, n.D, to);
        store_chunk<DIM>(w.dv, 1, row, left, n.D, to + each);
    } else {
        float scales[2] = {n.scale, n.scale}, ones[2] = {1, 1};
        lt_cross_store<DIM>(w.dk, scales, a.dk.token, left, n.D, a.accumulate_dkv,
                            a.dk.at(text, key, h * n.D));
        lt_cross_store<DIM>(w.dv, ones, a.dv.token, left, n.D, a.accumulate_dkv, a.dv.at(text, key, h * n.D));
    }
}

template <int DIM>
lt_status run_queries(const lt_cross_backward<lt_bf16> &a, int multiprocessors, cudaStream_t stream) {
    lt_cross_share share;
    LT_TRY(lt_cross_share_out(a.n, (int64_t)lt_cross_text<DIM>::bytes(1), QUERY_WARPS * 16, multiprocessors,
                              &share));
    size_t bytes = lt_cross_text<DIM>::bytes(share.room);
    LT_TRY(lt_cuda_allow(query_gradients_mma<DIM>, bytes));
    query_gradients_mma<DIM>
        <<<(unsigned)(a.n.G * a.n.H * share.splits), QUERY_WARPS * 32, bytes, stream>>>(a, share);
    return lt_cuda_launched();
}

template <int DIM> lt_status run_text(const lt_cross_backward<lt_bf16> &a, cudaStream_t stream) {
    size_t bytes = 2 * sizeof(unit_tile<DIM>);
    LT_TRY(lt_cuda_allow(text_gradients_mma<DIM>, bytes));
    int warps = (int)lt_ceil_div(lt_ceil_div(a.n.L, a.split.key_blocks), 16);
    dim3 grid((unsigned)(a.n.B * a.n.H * a.split.key_blocks), (unsigned)a.split.chunks);
    text_gradients_mma<DIM><<<grid, warps * 32, bytes, stream>>>(a);
    return lt_cuda_launched();
}

} // namespace

bool lt_cross_backward_mma_fits(const lt_cross_backward<lt_bf16> &a) {
    bool streamed = a.q.aligned(8) && a.dout.aligned(8) && a.k.aligned(8) && a.v.aligned(8);
    bool paired = a.o.aligned(2) && a.dq.aligned(2) && a.dk.aligned(2) && a.dv.aligned(2);
    return a.n.T < 1 << 30 && a.n.L < 1 << 30 && a.n.D <= 128 && a.n.D % 8 == 0 && streamed && paired;
}

lt_status lt_cross_backward_mma_queries(const lt_cross_backward<lt_bf16> &a, int multiprocessors,
                                        cudaStream_t stream) {
    if (a.n.D <= 32) return run_queries<32>(a, multiprocessors, stream);
    if (a.n.D <= 64) return run_queries<64>(a, multiprocessors, stream);
    if (a.n.D <= 112) return run_queries<112>(a, multiprocessors, stream);
    return run_queries<128>(a, multiprocessors, stream);
}

lt_status lt_cross_backward_mma_text(const lt_cross_backward<lt_bf16> &a, cudaStream_t stream) {
    if (a.n.D <= 32) return run_text<32>(a, stream);
    if (a.n.D <= 64) return run_text<64>(a, stream);
    if (a.n.D <= 112) return run_text<112>(a, stream);
    return run_text<128>(a, stream);
}
