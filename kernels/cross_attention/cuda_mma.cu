#include "kernels/cross_attention/cuda_mma.cuh"

namespace {

/* M tiles of 16 queries are a warp's at a time: two halve the reads of shared memory. */
enum { M = 2, WARPS = 8, QUERIES = M * 16 };

/* How far, in powers of two, a score may exceed the one that exponentials refer to before the sums are scaled anew.
 * float32 has room for more. */
constexpr float slack = 8;

/* One warp's queries. Of each tile a lane has two rows. SCALED: each has its own factor besides. CODED: o goes to
 * memory in e4m3. */
template <int DIM, bool SCALED, bool CODED> struct attend {
    lt_cross_left q[M][DIM / 16];
    lt_cross_sums o[M][DIM / 8];
    float most[M][2], sum[M][2], scales[M][2];

    /* Of queries from t on. */
    __device__ __forceinline__ void load_scales(const lt_cross_forward<lt_bf16> &a, int64_t g, int t,
                                                float scale) {
#pragma unroll
        for (int i = 0; i < 2 * M; i++) {
            int row = t + i / 2 * 16 + lt_cross_row() + i % 2 * 8;
            scales[i / 2][i % 2] = row < a.n.T ? scale * a.q_scale[g * a.n.T + row] : 0;
        }
    }

    __device__ __forceinline__ void begin() {
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int i = 0; i < DIM / 2; i++) o[m][i / 4][i % 4] = 0;
            most[m][0] = most[m][1] = -INFINITY;
            sum[m][0] = sum[m][1] = 0;
        }
    }

    /* Scores, times log2 e, with 16 keys. */
    __device__ __forceinline__ void scores(const lt_cross_text<DIM> &x, int key, float scale,
                                           lt_cross_sums (&s)[M][2]) {
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int i = 0; i < 8; i++) s[m][i / 4][i % 4] = 0;
#pragma unroll
        for (int k = 0; k < DIM / 16; k++) {
            unsigned b[4];
            lt_cross_rows<lt_cross_text<DIM>::ld>(x.k + key * lt_cross_text<DIM>::ld + k * 16, b);
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int n = 0; n < 2; n++) lt_cross_mma(s[m][n], q[m][k], b[2 * n], b[2 * n + 1]);
        }
#pragma unroll
        for (int n = 0; n < 2; n++) {
            float term[2];
            lt_load_n<2>(x.terms + key + n * 8 + lt_cross_column(), term);
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    s[m][n][i] = fmaf(s[m][n][i], SCALED ? scales[m][i / 2] : scale, term[i % 2]);
        }
    }

    /* Refers exponentials to the largest score so far, where one has outgrown the slack. Seldom after the first
     * keys. */
    __device__ __forceinline__ void follow(const lt_cross_sums (&s)[M][2]) {
        float largest[M][2];
        bool outgrown = false;
#pragma unroll
        for (int i = 0; i < 2 * M; i++) {
            const lt_cross_sums(&row)[2] = s[i / 2];
            int at = i % 2 * 2;
            largest[i / 2][i % 2] =
                fmaxf(fmaxf(row[0][at], row[0][at + 1]), fmaxf(row[1][at], row[1][at + 1]));
            outgrown |= largest[i / 2][i % 2] > most[i / 2][i % 2] + slack;
        }
        if (!__any_sync(~0u, outgrown)) return;
#pragma unroll
        for (int i = 0; i < 2 * M; i++) {
            float &top = most[i / 2][i % 2];
            float now = fmaxf(top, lt_cross_quad_max(largest[i / 2][i % 2])), fade = lt_cross_exp2(top - now);
            top = now;
            sum[i / 2][i % 2] *= fade;
#pragma unroll
            for (int c = 0; c < DIM / 8; c++)
                o[i / 2][c][i % 2 * 2] *= fade, o[i / 2][c][i % 2 * 2 + 1] *= fade;
        }
    }

    __device__ __forceinline__ void add(const lt_cross_text<DIM> &x, int key, lt_cross_sums (&s)[M][2]) {
        lt_cross_left p[M];
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                float &weight = s[m][i / 4][i % 4];
                weight = lt_cross_exp2(weight - most[m][i % 4 / 2]);
                sum[m][i % 4 / 2] += weight;
            }
            lt_cross_round(s[m], p[m]);
        }
#pragma unroll
        for (int k = 0; k < DIM / 16; k++) {
            unsigned b[4];
            lt_cross_columns<lt_cross_text<DIM>::ld>(x.v + key * lt_cross_text<DIM>::ld + k * 16, b);
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int n = 0; n < 2; n++) lt_cross_mma(o[m][2 * k + n], p[m], b[2 * n], b[2 * n + 1]);
        }
    }

    __device__ __forceinline__ void write(const lt_cross_forward<lt_bf16> &a, int64_t g, int64_t h, int t) {
        float largest = CODED ? lt_cross_largest(a, g % a.n.B) : 0;
#pragma unroll
        for (int m = 0; m < M; m++) {
            float inverse[2];
            int first = t + m * 16;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float total = lt_cross_quad_sum(sum[m][half]);
                int row = first + lt_cross_row() + half * 8;
                inverse[half] = 1 / total;
                if (a.lse && lt_cross_column() == 0 && row < a.n.T)
                    a.lse[(g * a.n.H + h) * a.n.T + row] = most[m][half] / lt_cross_log2e + logf(total);
                if (CODED && h == 0 && lt_cross_column() == 0 && row < a.n.T)
                    a.o_scale[g * a.n.T + row] = lt_e4m3_scale(largest);
            }
            if (CODED)
                lt_cross_store_codes<DIM>(o[m], inverse, lt_e4m3_factor(largest), a.codes.token,
                                          a.n.T - first, a.n.D, a.codes.at(g, first, h * a.n.D));
            else
                lt_cross_store<DIM>(o[m], inverse, a.o.token, a.n.T - first, a.n.D, false,
                                    a.o.at(g, first, h * a.n.D));
        }
    }
};

/* One block holds a head's keys and values; its warps take tiles of queries in turn. Only where they do not all fit do
 * the warps move from part to part together. */
template <int DIM, bool SCALED, bool CODED>
__global__ void __launch_bounds__(WARPS * 32, 1)
    cross_forward_mma(const lt_cross_forward<lt_bf16> a, lt_cross_share share) {
    extern __shared__ float4 memory[];
    const lt_cross_dims &n = a.n;
    lt_cross_text<DIM> x(memory, share.room);
    int64_t head = blockIdx.x / share.splits, g = head / n.H, h = head % n.H, text = g % n.B;
    bool whole = n.L <= share.room;
    if (whole) x.load(n, a.k, a.v, text, h, 0);
    int step = (int)share.splits * WARPS * QUERIES, L = (int)n.L, T = (int)n.T;
    int first_query = (int)(blockIdx.x % share.splits) * WARPS * QUERIES;
    float scale = n.scale * lt_cross_log2e;
    attend<DIM, SCALED, CODED> w;
    for (int block = first_query; block < T; block += step) {
        int t = block + threadIdx.x / 32 * QUERIES;
        if (whole && t >= T) break;
#pragma unroll
        for (int m = 0; m < M; m++)
            lt_cross_load_left<DIM>(a.q.at(g, t + m * 16, h * n.D), a.q.token, T - t - m * 16, n.D, w.q[m]);
        if (SCALED) w.load_scales(a, g, t, scale);
        w.begin();
        for (int first = 0; first < L; first += share.room) {
            if (!whole) {
                __syncthreads();
                x.load(n, a.k, a.v, text, h, first);
            }
            int last = L - first < share.room ? L - first : share.room;
#pragma unroll 1
            for (int key = 0; key < last; key += 16) {
                lt_cross_sums s[M][2];
                w.scores(x, key, scale, s);
                w.follow(s);
                w.add(x, key, s);
            }
        }
        w.write(a, g, h, t);
    }
}

template <int DIM>
lt_status launch(const lt_cross_forward<lt_bf16> &a, int multiprocessors, cudaStream_t stream) {
    lt_cross_share share;
    LT_TRY(lt_cross_share_out(a.n, (int64_t)lt_cross_text<DIM>::bytes(1), WARPS * QUERIES, multiprocessors,
                              &share));
    size_t bytes = lt_cross_text<DIM>::bytes(share.room);
    auto *kernel =
        a.q_scale ? a.codes.data ? cross_forward_mma<DIM, true, true> : cross_forward_mma<DIM, true, false>
        : a.codes.data ? cross_forward_mma<DIM, false, true>
                       : cross_forward_mma<DIM, false, false>;
    LT_TRY(lt_cuda_allow(kernel, bytes));
    kernel<<<(unsigned)(a.n.G * a.n.H * share.splits), WARPS * 32, bytes, stream>>>(a, share);
    return lt_cuda_launched();
}

} // namespace

bool lt_cross_forward_mma_fits(const lt_cross_forward<lt_bf16> &a) {
    return a.n.T < 1 << 30 && a.n.L < 1 << 30 && a.n.D <= 128 && a.n.D % 8 == 0 && a.q.aligned(2) &&
           a.k.aligned(8) && a.v.aligned(8) && (a.codes.data ? a.codes.aligned(4) : a.o.aligned(2));
}

lt_status lt_cross_forward_mma(const lt_cross_forward<lt_bf16> &a, int multiprocessors, cudaStream_t stream) {
    if (lt_cross_forward_wgmma_fits(a)) return lt_cross_forward_wgmma(a, multiprocessors, stream);
    if (a.n.D <= 32) return launch<32>(a, multiprocessors, stream);
    if (a.n.D <= 64) return launch<64>(a, multiprocessors, stream);
    if (a.n.D <= 112) return launch<112>(a, multiprocessors, stream);
    return launch<128>(a, multiprocessors, stream);
}
