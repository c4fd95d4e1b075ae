/* Gradients of o = S^T (R a) / (z.a) on tensor cores. With u = S g and c = 1 / (z.a):
 *
 *     m = -c^2 (R^T u . a)        da = c R^T u + z m        dS = sum (c R a) g^T        dz = sum m a
 *
 * as g.o = c (u . R a) = c (R^T u . a): o itself is not needed, and g goes into dS as it came. A block of threads takes
 * one head and a chunk of tokens. Of each tile of 64 tokens a warp makes u, m, da and c R a of 16, as in mma_output.cu;
 * then all warps together add the tile to dS, as in mma_state.cu. */
#include "kernels/attention/mma_launch.cuh"
#include "kernels/attention/mma_outer.cuh"
#include "kernels/attention/mma_stream.cuh"

namespace {

struct gradient_job {
    lt_mma_grid grid;
    lt_mma_rows q, g, dq; /* dq: data NULL where not asked for */
    const uint4 *S;       /* transposed, in bf16, ordered */
    const float *z;
    /* dS [D, D] and dz [D] of chunk 0 of item 0; chunks follow each other; NULL where not asked for */
    float *sums;
    int stages;
    bool add_dq;
};

/* Shared memory of a block. */
template <int D> struct memory_map {
    using L = lt_mma_layout<D>;
    static constexpr int READS = L::MATRIX * 16,
                         STAGES = READS + L::TILE_BYTES; /* after S: c R a; then q and g */
    char *base;
    int stages;
    __device__ __forceinline__ const uint4 *S() const { return reinterpret_cast<const uint4 *>(base); }
    __device__ __forceinline__ char *reads() const { return base + READS; }
    __device__ __forceinline__ char *q(int stage) const { return base + STAGES + 2 * L::TILE_BYTES * stage; }
    __device__ __forceinline__ char *g(int stage) const { return q(stage) + L::TILE_BYTES; }
    __device__ __forceinline__ float *z() const { return reinterpret_cast<float *>(q(stages)); }
    __device__ __forceinline__ float *m() const { return z() + D; }
    static __host__ size_t bytes(int stages) {
        return STAGES + 2 * (size_t)L::TILE_BYTES * stages + (D + LT_MMA_TILE) * sizeof(float);
    }
};

/* A warp's 16 tokens of one tile of q and g, which only this warp reads before the block's next barrier. */
template <int D>
__device__ __forceinline__ void fetch(const gradient_job &job, const lt_mma_part &part, int tile,
                                      char *stage) {
    using L = lt_mma_layout<D>;
#if LT_MMA_HOPPER
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    uint32_t to = (uint32_t)__cvta_generic_to_shared(stage);
#    pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = 16 * warp + 8 * half + (lane >> 2), token = part.first + tile * LT_MMA_TILE + row;
        bool there = token < part.last;
        int from = there ? token : part.first;
        const lt_bf16 *q = lt_mma_row<D>(job.q, part, from), *g = lt_mma_row<D>(job.g, part, from);
#    pragma unroll
        for (int group = 0; group < L::GROUPS; group++) {
            int chunk = 4 * group + (lane & 3);
            if (chunk >= L::CHUNKS) continue;
            uint32_t at = to + lt_mma_chunk_at<D, LT_MMA_HOPPER>(row, chunk);
            lt_mma_copy16(at, q + 8 * chunk, there);
            lt_mma_copy16(at + L::TILE_BYTES, g + 8 * chunk, there);
        }
    }
#else
    constexpr int ROWS = 32 / L::CHUNKS; /* tokens at a time; a few lanes are idle where 32 is no multiple */
    int lane = threadIdx.x & 31, row = lane / L::CHUNKS, chunk = lane - row * L::CHUNKS;
    if (row >= ROWS) return;
    row += 16 * (threadIdx.x >> 5);
    uint32_t to = (uint32_t)__cvta_generic_to_shared(stage);
#    pragma unroll 4
    for (int pass = 0; pass < 16 / ROWS; pass++) {
        int token = part.first + tile * LT_MMA_TILE + row + pass * ROWS;
        bool there = token < part.last;
        int from = there ? token : part.first;
        uint32_t at = to + lt_mma_chunk_at<D, LT_MMA_HOPPER>(row + pass * ROWS, chunk);
        lt_mma_copy16(at, lt_mma_row<D>(job.q, part, from) + 8 * chunk, there);
        lt_mma_copy16(at + L::TILE_BYTES, lt_mma_row<D>(job.g, part, from) + 8 * chunk, there);
    }
#endif
}

/* c = 1 / (z.a) of the lane's tokens `row` and `row` + 8; 0 where z.a = 0. */
template <int D>
__device__ __forceinline__ void weigh(const char *q, int row, const float *z, int t, float (&c)[2]) {
    using L = lt_mma_layout<D>;
    float mass[2] = {};
#pragma unroll
    for (int group = 0; group < L::GROUPS; group++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t x[4];
            lt_mma_take_group<D, LT_MMA_HOPPER>(x, q, row + 8 * half, group, t);
#pragma unroll
            for (int n = 0; n < L::pairs(group); n++) {
                float2 weight = *reinterpret_cast<const float2 *>(z + L::channel(4 * group + n, t));
                float2 a = lt_mma_unpack(lt_mma_relu(x[n]));
                mass[half] += weight.x * a.x + weight.y * a.y;
            }
        }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        mass[half] = lt_mma_quad_sum(mass[half]);
        c[half] = mass[half] == 0 ? 0 : __frcp_rn(mass[half]);
    }
}

/* u = S g of the lane's two tokens: u[pair][2 * half + e]. On Hopper it is there after the next wait. */
template <int D>
__device__ __forceinline__ void multiply(float (&u)[lt_mma_layout<D>::PAIRS][4], const char *g, int row,
                                         const uint4 *S, int lane) {
    using L = lt_mma_layout<D>;
#if LT_MMA_HOPPER
    uint32_t low[4 * L::GROUPS], high[4 * L::GROUPS];
#    pragma unroll
    for (int group = 0; group < L::GROUPS; group++) {
        uint32_t x[4], y[4];
        lt_mma_take_group<D, LT_MMA_HOPPER>(x, g, row, group, lane & 3);
        lt_mma_take_group<D, LT_MMA_HOPPER>(y, g, row + 8, group, lane & 3);
#    pragma unroll
        for (int i = 0; i < 4; i++) low[4 * group + i] = x[i], high[4 * group + i] = y[i];
    }
    lt_mma_rows_times<D>(u, low, high, S);
#else
#    pragma unroll
    for (int n = 0; n < L::PAIRS; n++)
#    pragma unroll
        for (int i = 0; i < 4; i++) u[n][i] = 0;
#    pragma unroll
    for (int group = 0; group < L::GROUPS; group++) {
        uint32_t low[4], high[4];
        lt_mma_take_group<D, LT_MMA_HOPPER>(low, g, row, group, lane & 3);
        lt_mma_take_group<D, LT_MMA_HOPPER>(high, g, row + 8, group, lane & 3);
#    pragma unroll
        for (int i = 0; i < L::pairs(group); i += 2) {
            int step = 2 * group + i / 2;
#    pragma unroll
            for (int n = 0; n < L::PAIRS; n += 2) {
                uint4 b = S[(step * L::STEPS + n / 2) * 32 + lane];
                lt_mma(u[n], low[i], high[i], low[i + 1], high[i + 1], b.x, b.y);
                lt_mma(u[n + 1], low[i], high[i], low[i + 1], high[i + 1], b.z, b.w);
            }
        }
    }
#endif
}

/* u becomes R^T u, c R a goes to `reads`, and m comes out, of one of the lane's tokens. */
template <int D>
__device__ __forceinline__ float turn_back(float (&u)[lt_mma_layout<D>::PAIRS][4], int half, const char *q,
                                           char *reads, int row, float c, const float2 *turns,
                                           const lt_mma_place &at, int t) {
    using L = lt_mma_layout<D>;
    float dot = 0;
#pragma unroll
    for (int group = 0; group < L::GROUPS; group++) {
        uint32_t x[4];
        __syncwarp();
        lt_mma_take_group<D, LT_MMA_HOPPER>(x, q, row, group, t);
#pragma unroll
        for (int n = 0; n < L::pairs(group); n++) {
            float4 two = lt_mma_two_turns<D>(turns, at, L::channel(4 * group + (n & ~1), t) / 2);
            float2 turn = lt_mma_turn_of(two, n & 1), a = lt_mma_unpack(lt_mma_relu(x[n]));
            float *w = u[4 * group + n] + 2 * half;
            float2 back = lt_rope_turn_back(make_float2(w[0], w[1]), turn), there = lt_rope_turn(a, turn);
            w[0] = back.x;
            w[1] = back.y;
            dot += back.x * a.x + back.y * a.y;
            x[n] = lt_mma_pack(make_float2(there.x * c, there.y * c));
        }
        lt_mma_put_group<D, LT_MMA_HOPPER>(reads, row, group, t, x);
    }
    dot = lt_mma_quad_sum(dot);
    return c == 0 ? 0 : -dot * c * c;
}

/* dq = c R^T u + z m where q > 0, of one of the lane's tokens. */
template <int D>
__device__ __forceinline__ void put_dq(const float (&u)[lt_mma_layout<D>::PAIRS][4], int half, const char *q,
                                       int row, float c, float m, const float *z, lt_bf16 *dq, bool there,
                                       bool add, int t) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int group = 0; group < L::GROUPS; group++) {
        uint32_t x[4], mask[4];
        float2 value[4];
        __syncwarp();
        lt_mma_take_group<D, LT_MMA_HOPPER>(x, q, row, group, t);
#pragma unroll
        for (int n = 0; n < L::pairs(group); n++) {
            float2 weight = *reinterpret_cast<const float2 *>(z + L::channel(4 * group + n, t));
            const float *w = u[4 * group + n] + 2 * half;
            mask[n] = c == 0 ? 0 : lt_mma_positive(x[n]);
            value[n] = make_float2(c * w[0] + m * weight.x, c * w[1] + m * weight.y);
        }
        if (there) lt_mma_write_group<D>(dq, group, t, value, mask, add);
    }
}

/* What a warp does with its tokens of one tile once u and c are known. */
template <int D>
__device__ __forceinline__ void end_tile(const gradient_job &job, const lt_mma_part &part, int tile,
                                         const memory_map<D> &memory, int stage,
                                         float (&u)[lt_mma_layout<D>::PAIRS][4], const float (&c)[2]) {
    using L = lt_mma_layout<D>;
    int lane = threadIdx.x & 31, t = lane & 3, row = 16 * (threadIdx.x >> 5) + (lane >> 2);
    int token = part.first + tile * LT_MMA_TILE + row;
    const char *q = memory.q(stage);
    __syncwarp(); /* g has been read: */
#pragma unroll
    for (int half = 0; half < 2; half++) {
        lt_mma_place at = lt_mma_place_of<D>(job.grid, part.block, min(token + 8 * half, part.last - 1));
        float m = turn_back<D>(u, half, q, memory.reads(), row + 8 * half, c[half], job.grid.turns, at, t);
        if (t == 0) memory.m()[row + 8 * half] = m;
        if (c[half] == 0) { /* nothing passes through this token, whatever g is */
            const uint32_t none[4] = {};
            for (int group = 0; group < L::GROUPS; group++)
                lt_mma_put_group<D, LT_MMA_HOPPER>(memory.g(stage), row + 8 * half, group, t, none);
        }
        if (job.dq.data)
            put_dq<D>(u, half, q, row + 8 * half, c[half], m, memory.z(),
                      lt_mma_row<D>(job.dq, part, token + 8 * half), token + 8 * half < part.last, job.add_dq,
                      t);
    }
}

/* dz += m a, the thread's own chunks of one tile. */
template <int D>
__device__ __forceinline__ void add_masses(const lt_mma_share<D> &share, const char *q, const float *m,
                                           float (&dz)[8]) {
    if (!share.works) return;
#pragma unroll 2
    for (int pass = 0; pass < share.PASSES; pass++) {
        int row = share.row + pass * share.ROWS;
        uint4 loaded =
            *reinterpret_cast<const uint4 *>(q + lt_mma_chunk_at<D, LT_MMA_HOPPER>(row, share.chunk));
        const uint32_t x[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
        float weight = m[row];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 a = lt_mma_unpack(lt_mma_relu(x[i]));
            dz[2 * i] += weight * a.x;
            dz[2 * i + 1] += weight * a.y;
        }
    }
}

template <int D, bool WANTS_S>
__global__ void __launch_bounds__(LT_MMA_THREADS, LT_MMA_SUM_RESIDENT)
    output_gradients(const __grid_constant__ gradient_job job) {
    using L = lt_mma_layout<D>;
    extern __shared__ __align__(1024) uint4 shared[];
    memory_map<D> memory = {reinterpret_cast<char *>(shared), job.stages};
    lt_mma_part part = lt_mma_part_of(job.grid);
    lt_mma_share<D> share = lt_mma_share_of<D, LT_MMA_HOPPER>(threadIdx.x);
    int lane = threadIdx.x & 31, row = 16 * (threadIdx.x >> 5) + (lane >> 2);
    int tiles = (part.last - part.first + LT_MMA_TILE - 1) / LT_MMA_TILE, stage = 0;
    lt_mma_outer<D, LT_MMA_HOPPER> outer;
    float dz[8] = {0}, u[L::PAIRS][4], c[2];
    lt_mma_outer_clear(outer);
    for (int tile = 0; tile < job.stages; tile++)
        if (tile < tiles) fetch<D>(job, part, tile, memory.q(tile));
    lt_mma_await();
    lt_mma_copy_matrix(shared, job.S + part.item * L::MATRIX, L::MATRIX);
    if (threadIdx.x < D) memory.z()[threadIdx.x] = job.z[part.item * D + threadIdx.x];
    lt_mma_copies_wait<0>();
    lt_mma_publish();
    __syncthreads(); /* S, z and the first tiles are there */
    for (int tile = 0; tile < tiles; tile++) {
        if (job.stages == 2) lt_mma_copies_wait<1>();
        else lt_mma_copies_wait<0>();
        __syncwarp();
        weigh<D>(memory.q(stage), row, memory.z(), lane & 3, c);
        multiply<D>(u, memory.g(stage), row, memory.S(), lane);
        lt_mma_products_wait();
        end_tile<D>(job, part, tile, memory, stage, u, c);
        if (WANTS_S) {
            lt_mma_publish();
            __syncthreads(); /* c R a, m and g of the whole tile are there */
            lt_mma_outer_add(outer, (uint32_t)__cvta_generic_to_shared(memory.reads()),
                             (uint32_t)__cvta_generic_to_shared(memory.g(stage)));
        }
        if (WANTS_S) add_masses<D>(share, memory.q(stage), memory.m(), dz);
        lt_mma_products_wait();
        __syncthreads(); /* no one reads this stage any more */
        if (tile + job.stages < tiles) fetch<D>(job, part, tile + job.stages, memory.q(stage));
        lt_mma_copies_end_group();
        stage = stage + 1 == job.stages ? 0 : stage + 1;
    }
    if (!WANTS_S) return;
    lt_mma_let_next_start();
    float *sums = job.sums + (part.item * gridDim.y + blockIdx.y) * (D * (D + 1));
    lt_mma_outer_put(outer, sums);
    lt_mma_share_put(share, dz, reinterpret_cast<float *>(shared), sums + D * D);
}

} // namespace

/* The fewest stages must fit as well. */
static size_t least_bytes(int64_t dim) {
    switch (dim) {
    case 32: return memory_map<32>::bytes(1);
    case 64: return memory_map<64>::bytes(1);
    case 96: return memory_map<96>::bytes(1);
    case 112: return memory_map<112>::bytes(1);
    default: return memory_map<128>::bytes(1);
    }
}

bool lt_attn_output_backward_mma_serves(const lt_ctx *ctx, const lt_attn_output_backward_args *a) {
    lt_attn_shape shape = {a->q.shape[0], a->q.shape[1], a->q.shape[2], a->q.shape[3]};
    return lt_mma_runs_on(ctx) && lt_attn_mma_fits(&shape, &a->rope, lt_attn_whole(&a->rope)) &&
           least_bytes(shape.dim) <= lt_mma_shared_most(ctx) && lt_mma_rows_aligned(&a->q) &&
           lt_mma_rows_aligned(&a->dout) && (lt_is_empty(&a->dq) || lt_mma_rows_aligned(&a->dq)) &&
           lt_mma_aligned(&a->dS) && lt_mma_aligned(&a->dz);
}

lt_status lt_attn_output_backward_mma(lt_ctx *ctx, const lt_attn_output_backward_args *a, void *workspace) {
    lt_attn_shape shape = {a->q.shape[0], a->q.shape[1], a->q.shape[2], a->q.shape[3]};
    int64_t D = shape.dim, items = shape.blocks * shape.heads;
    char *memory = (char *)workspace;
    gradient_job job;
    LT_TRY(lt_mma_begin(ctx, &a->rope, lt_attn_whole(&a->rope), &shape, LT_MMA_SUM_RESIDENT, &memory,
                        &job.grid));
    uint4 *S = (uint4 *)lt_mma_take(&memory, (size_t)(items * D * D) * sizeof(lt_bf16));
    LT_TRY(lt_mma_order_matrices(ctx, (const float *)a->S.data, items, D, NULL, S));
    int count = (int)lt_ceil_div(job.grid.tokens, job.grid.chunk);
    bool wants_S = !lt_is_empty(&a->dS);
    float *partial = (float *)memory;
    job.q = lt_mma_rows_of(&a->q), job.g = lt_mma_rows_of(&a->dout), job.dq = lt_mma_rows_of(&a->dq);
    job.S = S, job.z = (const float *)a->z.data;
    job.sums = wants_S ? partial : NULL;
    job.add_dq = a->accumulate_dq;
    dim3 blocks((unsigned)shape.heads, (unsigned)count, (unsigned)shape.blocks);
    LT_TRY(lt_mma_by_dim(D, [&](auto size) {
        using map = memory_map<decltype(size)::value>;
        constexpr int dim = decltype(size)::value;
        auto *kernel = wants_S ? output_gradients<dim, true> : output_gradients<dim, false>;
        job.stages = map::bytes(2) <= lt_mma_shared_most(ctx) ? 2 : 1;
        size_t bytes = map::bytes(job.stages);
        LT_TRY(lt_cuda_allow(kernel, bytes));
        return lt_mma_launch(ctx, kernel, blocks, LT_MMA_THREADS, bytes, job);
    }));
    if (!wants_S) return LT_OK;
    lt_mma_fold_job fold = {partial, (float *)a->dS.data, (float *)a->dz.data, items, count, (int)(D * D),
                            (int)D,  a->accumulate_dS};
    return lt_mma_fold(ctx, &fold);
}
