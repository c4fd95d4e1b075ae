/* Hopper's forward pass for up to 304 text tokens. A block holds a head's keys and values; two teams of four warps take
 * tiles of 64 queries in turn, all of whose scores, exponentials and sums are in registers.
 *
 * Of 20 heads of 112 channels and 32,760 queries on an H100, MMAs would take 97 us at 1.7 GHz (2,128 clocks a tile),
 * bytes 98 us, instructions 66 us (9.6 a score), exponentials 55 us (16 a clock of a multiprocessor); it takes 227 us.
 * One team's MMAs are to run while the other has its exponentials: each multiplies by the keys only when the other is
 * done with that, and weighs values 80 at a time while it makes the next weights. A tile's queries are asked for during
 * the one before. */
#include "kernels/cross_attention/cuda_wgmma.cuh"

namespace {

enum {
    THREADS = LT_CROSS_TEAMS * LT_CROSS_TEAM,
    TILE = LT_CROSS_TEAMS * LT_CROSS_ROWS, /* queries of a block at a time */
    STEPS = LT_CROSS_KEYS / 16,            /* of the sum over values */
    AT_ONCE = 2,                           /* of them */
    ASK = 16, /* steps before the next queries are asked for: registers are free by then */
    SHORTEST =
        128 /* with fewer keys cuda_mma.cu, which skips what is not there, should take no longer (not measured) */
};

#if LT_MMA_HOPPER

/* Teams take turns; each has a barrier, at which it waits and the other only arrives. */
__device__ __forceinline__ void await_turn(int team) {
    asm volatile("bar.sync %0, %1;" : : "r"(1 + team), "n"((int)THREADS) : "memory");
}
__device__ __forceinline__ void pass_turn(int team) {
    asm volatile("bar.arrive %0, %1;" : : "r"(2 - team), "n"((int)THREADS) : "memory");
}

/* Which four channels of every 32 are this lane's; read anew, as places that depend on it would wait in registers
 * otherwise. */
__device__ __forceinline__ int lane_of_four() {
    int lane;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane & 3;
}

/* One head of a group, whose text is in shared memory. Of a tile a lane has two rows. CODED: o goes to memory in
 * e4m3. */
template <int D, bool CODED> struct attend {
    typedef lt_cross_place<D> place;
    typedef lt_mma_layout<D> layout;
    lt_mma_tokens<D> q;
    float s[LT_CROSS_PRODUCTS][LT_CROSS_EIGHTS][4], o[D / 8][4];
    float scales[2], most[2], sum[2];

    /* `row` is the lane's first. */
    __device__ __forceinline__ void ask(const lt_cross_forward<lt_bf16> &a, int g, int h, int row) {
        int T = (int)a.n.T;
        lt_mma_load(q, a.q.at(g, row, h * D), (int)a.q.token, row, T, lane_of_four());
#    pragma unroll
        for (int i = 0; i < 2; i++) {
            scales[i] = a.n.scale * lt_cross_log2e;
            if (a.q_scale) scales[i] *= row + 8 * i < T ? a.q_scale[(int64_t)g * T + row + 8 * i] : 0;
        }
    }

    __device__ __forceinline__ void multiply(uint64_t keys) {
        lt_wgmma_begin();
#    pragma unroll
        for (int i = 0; i < LT_CROSS_PRODUCTS; i++) {
            uint64_t b = keys + (i * place::NEXT_KEYS >> 4);
            lt_wgmma_rows_first(s[i], q.x[0][0], q.x[1][0], q.x[0][1], q.x[1][1], b);
#    pragma unroll
            for (int k = 1; k < layout::STEPS; k++)
                lt_wgmma_rows_more(s[i], q.x[0][2 * k], q.x[1][2 * k], q.x[0][2 * k + 1], q.x[1][2 * k + 1],
                                   b + (k * place::NEXT_CHANNELS >> 4));
            lt_wgmma_send();
        }
    }

    /* Scores, times log2 e, of one MMA; largest[i] of every column i % 2 and row i / 2. */
    __device__ __forceinline__ void score(int product, const float *terms, float (&largest)[4]) {
#    pragma unroll
        for (int n = 0; n < LT_CROSS_EIGHTS; n++) {
            float term[2];
            lt_load_n<2>(terms + (product * LT_CROSS_EIGHTS + n) * 8 + lt_cross_column(), term);
#    pragma unroll
            for (int i = 0; i < 4; i++) {
                float &score = s[product][n][i];
                score = fmaf(score, scales[i / 2], term[i % 2]);
                largest[i] = fmaxf(largest[i], score);
                asm volatile(""
                             : "+f"(score), "+f"(largest[i])); /* else many terms would wait in registers */
            }
        }
    }

    __device__ __forceinline__ void scores(const float *terms, bool others_turn) {
        float largest[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
        lt_mma_products_wait<1>();
        lt_wgmma_arrived(s[0]);
        score(0, terms, largest);
        lt_mma_products_wait();
        lt_wgmma_arrived(s[1]);
        if (others_turn) pass_turn(threadIdx.x / LT_CROSS_TEAM);
        score(1, terms, largest);
#    pragma unroll
        for (int i = 0; i < 2; i++) most[i] = lt_cross_quad_max(fmaxf(largest[2 * i], largest[2 * i + 1]));
    }

    /* Exponentials of 16 keys' scores, as a left operand. */
    __device__ __forceinline__ void weights(int step, float (&sums)[4], uint32_t (&p)[4]) {
#    pragma unroll
        for (int half = 0; half < 2; half++) {
            int n = 2 * step + half;
            float(&x)[4] = s[n / LT_CROSS_EIGHTS][n % LT_CROSS_EIGHTS];
#    pragma unroll
            for (int i = 0; i < 4; i++) {
                x[i] = lt_cross_exp2(x[i] - most[i / 2]);
                sums[i] += x[i];
            }
            p[2 * half] = lt_cross_pair(x[0], x[1]), p[2 * half + 1] = lt_cross_pair(x[2], x[3]);
        }
    }

    /* Sends the MMAs of steps [first, first + AT_ONCE) with their values. */
    __device__ __forceinline__ void weigh(int first, uint64_t values, float (&sums)[4]) {
        uint32_t p[AT_ONCE][4];
#    pragma unroll
        for (int i = 0; i < AT_ONCE; i++)
            if (first + i < STEPS) weights(first + i, sums, p[i]);
        lt_wgmma_begin();
#    pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            uint64_t b = values + ((first + i) * place::NEXT_VALUES >> 4);
            if (first + i == 0) lt_wgmma_rows_first<D / 8, 1>(o, p[i][0], p[i][1], p[i][2], p[i][3], b);
            else if (first + i < STEPS)
                lt_wgmma_rows_more<D / 8, 1>(o, p[i][0], p[i][1], p[i][2], p[i][3], b);
        }
        lt_wgmma_send();
    }

    /* `largest`: of the text's values. */
    __device__ __forceinline__ void write(const lt_cross_forward<lt_bf16> &a, int g, int h, int row,
                                          float largest) {
        const uint32_t all[4] = {~0u, ~0u, ~0u, ~0u};
        int t = lane_of_four();
#    pragma unroll
        for (int half = 0; half < 2; half++, row += 8) {
            float inverse = 1 / sum[half];
            if (row >= a.n.T) continue;
            if (a.lse && t == 0)
                a.lse[((int64_t)g * a.n.H + h) * a.n.T + row] = most[half] / lt_cross_log2e + logf(sum[half]);
            if (CODED && h == 0 && t == 0) a.o_scale[(int64_t)g * a.n.T + row] = lt_e4m3_scale(largest);
#    pragma unroll
            for (int group = 0; group < layout::GROUPS; group++) {
                float2 x[4];
#    pragma unroll
                for (int n = 0; n < layout::pairs(group); n++) {
                    const float *c = o[4 * group + n] + 2 * half;
                    x[n] = make_float2(c[0] * inverse, c[1] * inverse);
                }
                if (CODED) write_codes(a.codes.at(g, row, h * D), group, t, x, lt_e4m3_factor(largest));
                else lt_mma_write_group<D>(a.o.at(g, row, h * D), group, t, x, all, false);
            }
        }
    }

    /* One group of a row in e4m3, rounded to bf16 first. */
    static __device__ __forceinline__ void write_codes(uint8_t *row, int group, int t, const float2 (&x)[4],
                                                       float factor) {
        uint8_t *to = row + layout::first_channel(group, t);
        uint32_t two[4];
#    pragma unroll
        for (int n = 0; n < layout::pairs(group); n++) {
            float2 rounded = lt_mma_unpack(lt_mma_pack(x[n]));
            two[n] = lt_e4m3_two(rounded.x, rounded.y, factor);
        }
        if (group < layout::WIDE) lt_mma_store8(to, two[0] | two[1] << 16, two[2] | two[3] << 16);
        else *reinterpret_cast<uint32_t *>(to) = two[0] | two[1] << 16;
    }
};

/* Keys, values and terms of a head, zeros behind the last token. All that a thread moves is under way at once. */
template <int D>
__device__ __forceinline__ void fill(const lt_cross_forward<lt_bf16> &a, int text, int h, char *memory) {
    typedef lt_cross_place<D> place;
    constexpr int WARPS = THREADS / 32, TILES = LT_CROSS_KEYS / 16, MOST = (2 * TILES + WARPS - 1) / WARPS;
    int warp = threadIdx.x / 32, t = threadIdx.x & 3, L = (int)a.n.L;
    lt_mma_tokens<D> x[MOST];
#    pragma unroll
    for (int i = 0; i < MOST; i++) {
        int tile = warp + i * WARPS, token = tile % TILES * 16 + lt_cross_row();
        const lt_cross_view<const lt_bf16> &from = tile < TILES ? a.k : a.v;
        lt_mma_load(x[i], from.at(text, token, h * D), (int)from.token, token, tile < 2 * TILES ? L : 0, t);
    }
    float visible = lt_cross_visible(a.n, text), *terms = (float *)(memory + place::TERMS);
    for (int j = threadIdx.x; j < LT_CROSS_KEYS; j += THREADS)
        terms[j] = lt_cross_log2e * lt_cross_term(a.n, text, j, visible);
#    pragma unroll
    for (int i = 0; i < MOST; i++) {
        int tile = warp + i * WARPS;
        if (tile >= 2 * TILES) continue;
#    pragma unroll
        for (int half = 0; half < 2; half++) {
            int token = tile % TILES * 16 + lt_cross_row() + 8 * half;
#    pragma unroll
            for (int r = 0; r < D / 8; r++)
                *(uint32_t *)(memory + (tile < TILES ? place::key(token, r, t) : place::value(token, r, t))) =
                    x[i].x[half][r];
        }
    }
    lt_mma_publish();
}

#endif

/* Units are a head's tiles, then the next head's; a block takes as many as any other. Code for other GPUs is empty and
 * says so by how many threads it allows. */
template <int D, bool CODED>
__global__ void __launch_bounds__(LT_MMA_HOPPER ? THREADS : 32, 1)
    cross_forward_wgmma(const __grid_constant__ lt_cross_forward<lt_bf16> a) {
#if LT_MMA_HOPPER
    typedef lt_cross_place<D> place;
    extern __shared__ __align__(1024) char text[];
    uint32_t base = (uint32_t)__cvta_generic_to_shared(text);
    uint64_t keys = lt_wgmma_at(base, place::HALF, 128, LT_WGMMA_PLAIN);
    uint64_t values = lt_wgmma_at(base + place::VALUES, place::PANEL, 512, LT_WGMMA_SWAP64);
    const float *terms = (const float *)(text + place::TERMS);
    int team = threadIdx.x / LT_CROSS_TEAM;
    int H = (int)a.n.H, tiles = ((int)a.n.T + TILE - 1) / TILE;
    int64_t units = a.n.G * H * tiles;
    int unit = (int)(units * blockIdx.x / gridDim.x), last = (int)(units * (blockIdx.x + 1) / gridDim.x);
    attend<D, CODED> w;
    while (unit < last) {
        int head = unit / tiles, g = head / H, h = head - g * H, end = min(last, (head + 1) * tiles);
        int row = (unit - head * tiles) * TILE + threadIdx.x / 32 * 16 + lt_cross_row();
        __syncthreads();
        fill<D>(a, g % (int)a.n.B, h, text);
        float largest = CODED ? lt_cross_largest(a, g % (int)a.n.B) : 0;
        w.ask(a, g, h, row);
        __syncthreads();
        if (team == 1) pass_turn(team);
        for (; unit < end; unit++, row += TILE) {
            float sums[4] = {};
            await_turn(team);
            w.multiply(keys);
            w.scores(terms, unit + 1 < end || team == 0);
#    pragma unroll
            for (int step = 0; step < STEPS; step += AT_ONCE) {
                if (step == ASK) w.ask(a, g, h, row + TILE);
                w.weigh(step, values, sums);
            }
            w.sum[0] = lt_cross_quad_sum(sums[0] + sums[1]), w.sum[1] = lt_cross_quad_sum(sums[2] + sums[3]);
            lt_mma_products_wait();
            lt_wgmma_arrived(w.o);
            w.write(a, g, h, row, largest);
        }
    }
#endif
}

int64_t units_of(const lt_cross_dims &n) { return n.G * n.H * lt_ceil_div(n.T, TILE); }

/* Whether the program has this kernel for the GPU it runs on. */
template <int D> bool compiled() {
    cudaFuncAttributes attributes;
    if (cudaFuncGetAttributes(&attributes, cross_forward_wgmma<D, false>) == cudaSuccess)
        return attributes.maxThreadsPerBlock >= THREADS;
    (void)cudaGetLastError();
    return false;
}

template <int D>
lt_status launch(const lt_cross_forward<lt_bf16> &a, int multiprocessors, cudaStream_t stream) {
    int64_t units = units_of(a.n);
    unsigned blocks = (unsigned)(units < multiprocessors ? units : multiprocessors);
    auto *kernel = a.codes.data ? cross_forward_wgmma<D, true> : cross_forward_wgmma<D, false>;
    LT_TRY(lt_cuda_allow(kernel, lt_cross_place<D>::BYTES));
    kernel<<<blocks, THREADS, lt_cross_place<D>::BYTES, stream>>>(a);
    return lt_cuda_launched();
}

} // namespace

bool lt_cross_forward_wgmma_fits(const lt_cross_forward<lt_bf16> &a) {
    bool sizes = a.n.T < 1 << 30 && units_of(a.n) < 1 << 30 && a.n.L > SHORTEST && a.n.L <= LT_CROSS_KEYS &&
                 a.q.token < 1 << 25 && a.k.token < 1 << 25 && a.v.token < 1 << 25;
    bool aligned = a.q.aligned(8) && a.k.aligned(8) && a.v.aligned(8) &&
                   (a.codes.data ? a.codes.aligned(8) : a.o.aligned(8));
    if (!sizes || !aligned) return false;
    return a.n.D == 64 ? compiled<64>() : a.n.D == 112 ? compiled<112>() : a.n.D == 128 && compiled<128>();
}

lt_status lt_cross_forward_wgmma(const lt_cross_forward<lt_bf16> &a, int multiprocessors,
                                 cudaStream_t stream) {
    if (a.n.D == 64) return launch<64>(a, multiprocessors, stream);
    if (a.n.D == 112) return launch<112>(a, multiprocessors, stream);
    return launch<128>(a, multiprocessors, stream);
}
