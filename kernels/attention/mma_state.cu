/* S and z on tensor cores. A block of threads sums one head over a chunk of tokens: tiles of k and v stream through
 * shared memory, k is turned in place (NORMED: with its norm), then S += (R b)^T v. */
#include "kernels/attention/mma_launch.cuh"
#include "kernels/attention/mma_outer.cuh"

namespace {

struct state_job {
    lt_mma_grid grid;
    lt_mma_rows k, v;
    float *S, *z; /* of chunk 0 of item 0 */
    /* floats from a chunk's S (and z) to the next chunk's, and from an item's to the next item's */
    int64_t S_chunk;
    int64_t S_item, z_item;
    int stages;
    const float *k_gain, *k_scale; /* [H, D], [G, T]: the norm that k still lacks, or NULL */
};

/* A thread's part of that norm. The factors of its tokens are asked for a tile ahead, of the largest heads after the
 * MMAs before it; its channels' gains, which the nearest cache has, come anew for each tile: MMAs leave few
 * registers. */
template <int D> struct key_norm {
    static constexpr bool EARLY = D <= 112;
    float gain[8], scale[lt_mma_share<D>::PASSES];

    __device__ __forceinline__ void fetch(const state_job &job, const lt_mma_part &part,
                                          const lt_mma_share<D> &share, int tile) {
        if (!share.works) return;
        const float *from = job.k_scale + (int64_t)part.block * job.grid.tokens;
#pragma unroll
        for (int pass = 0; pass < share.PASSES; pass++) {
            int token = part.first + tile * LT_MMA_TILE + share.row + pass * share.ROWS;
            scale[pass] = token < part.last ? __ldg(from + token) : 0;
        }
    }
    __device__ __forceinline__ void take_gains(const state_job &job, const lt_mma_part &part,
                                               const lt_mma_share<D> &share) {
        const float *from = job.k_gain + part.head * D + 8 * share.chunk;
        float four[4];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (i % 4 == 0) lt_load_n<4>(from + i, four);
            gain[i] = four[i % 4];
        }
    }
    /* Features of the chunk's pair k in the tile's `pass`. */
    __device__ __forceinline__ float2 features(uint32_t x, int k, int pass) const {
        float2 v = lt_mma_unpack(x);
        return make_float2(lt_attn_phi(v.x * scale[pass] * gain[2 * k]),
                           lt_attn_phi(v.y * scale[pass] * gain[2 * k + 1]));
    }
};

/* One tile of k and v into a stage, the thread's own chunks of it. */
template <int D>
__device__ __forceinline__ void fetch(const state_job &job, const lt_mma_part &part,
                                      const lt_mma_share<D> &share, int tile, char *stage) {
    using L = lt_mma_layout<D>;
    if (share.works) {
        int64_t column = (int64_t)part.head * D + 8 * share.chunk;
        const lt_bf16 *k = job.k.data + part.block * job.k.block + column;
        const lt_bf16 *v = job.v.data + part.block * job.v.block + column;
        uint32_t to = (uint32_t)__cvta_generic_to_shared(stage);
#pragma unroll
        for (int pass = 0; pass < share.PASSES; pass++) {
            int row = share.row + pass * share.ROWS, token = part.first + tile * LT_MMA_TILE + row;
            bool there = token < part.last;
            int64_t from = there ? token : part.first;
            uint32_t at = to + lt_mma_chunk_at<D, false>(row, share.chunk);
            lt_mma_copy16(at, k + from * job.k.token, there);
            lt_mma_copy16(at + L::TILE_BYTES, v + from * job.v.token, there);
        }
    }
}

/* k becomes R phi(k), and z gains phi(k): again each thread its own chunks, so that no barrier lies before. */
template <int D, bool NORMED>
__device__ __forceinline__ void turn_keys(const state_job &job, const lt_mma_part &part,
                                          const lt_mma_share<D> &share, key_norm<D> &norm, int tile,
                                          char *keys, float (&z)[8]) {
    if (!share.works) return;
    if (NORMED) norm.take_gains(job, part, share);
#pragma unroll
    for (int pass = 0; pass < share.PASSES; pass++) {
        int row = share.row + pass * share.ROWS, token = part.first + tile * LT_MMA_TILE + row;
        lt_mma_place at = lt_mma_place_of<D>(job.grid, part.block, min(token, part.last - 1));
        uint4 *chunk = reinterpret_cast<uint4 *>(keys + lt_mma_chunk_at<D, false>(row, share.chunk));
        uint4 loaded = *chunk;
        uint32_t x[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            float4 two = lt_mma_two_turns<D>(job.grid.turns, at, 4 * share.chunk + i);
#pragma unroll
            for (int k = i; k < i + 2; k++) {
                float2 b = NORMED ? norm.features(x[k], k, pass) : lt_mma_unpack(lt_mma_relu(x[k]));
                z[2 * k] += b.x;
                z[2 * k + 1] += b.y;
                x[k] = lt_mma_pack(lt_rope_turn(b, lt_mma_turn_of(two, k - i)));
            }
        }
        *chunk = make_uint4(x[0], x[1], x[2], x[3]);
    }
}

template <int D, bool NORMED>
__global__ void __launch_bounds__(LT_MMA_THREADS, LT_MMA_SUM_RESIDENT)
    sum_chunk(const __grid_constant__ state_job job) {
    using L = lt_mma_layout<D>;
    extern __shared__ __align__(16) uint4 shared[];
    char *stages = reinterpret_cast<char *>(shared);
    lt_mma_part part = lt_mma_part_of(job.grid);
    lt_mma_share<D> share = lt_mma_share_of<D, false>(threadIdx.x);
    int tiles = (part.last - part.first + LT_MMA_TILE - 1) / LT_MMA_TILE;
    lt_mma_outer<D, false> outer;
    float z[8] = {0};
    key_norm<D> norm;
    lt_mma_outer_clear(outer);
    if (NORMED) norm.fetch(job, part, share, 0);
    for (int tile = 0; tile < job.stages - 1; tile++) {
        if (tile < tiles) fetch<D>(job, part, share, tile, stages + 2 * L::TILE_BYTES * tile);
        lt_mma_copies_end_group();
    }
    lt_mma_await();
    int now = 0, next = job.stages - 1; /* stages of this tile, and of the tile that is fetched meanwhile */
    for (int tile = 0; tile < tiles; tile++) {
        if (job.stages == 3) lt_mma_copies_wait<1>();
        else lt_mma_copies_wait<0>();
        char *keys = stages + 2 * L::TILE_BYTES * now;
        turn_keys<D, NORMED>(job, part, share, norm, tile, keys, z);
        if (NORMED && norm.EARLY) norm.fetch(job, part, share, tile + 1);
        __syncthreads(); /* this tile is complete; and no one reads the tile before it any more */
        if (tile + job.stages - 1 < tiles)
            fetch<D>(job, part, share, tile + job.stages - 1, stages + 2 * L::TILE_BYTES * next);
        lt_mma_copies_end_group();
        uint32_t a = (uint32_t)__cvta_generic_to_shared(keys);
        lt_mma_outer_add(outer, a, a + L::TILE_BYTES);
        if (NORMED && !norm.EARLY) norm.fetch(job, part, share, tile + 1);
        now = now + 1 == job.stages ? 0 : now + 1;
        next = next + 1 == job.stages ? 0 : next + 1;
    }
    lt_mma_let_next_start();
    int64_t skip = blockIdx.y * job.S_chunk;
    lt_mma_outer_put(outer, job.S + part.item * job.S_item + skip);
    lt_mma_share_put(share, z, reinterpret_cast<float *>(shared), job.z + part.item * job.z_item + skip);
}

} // namespace

bool lt_attn_state_mma_serves(const lt_ctx *ctx, const lt_attn_state_args *a) {
    lt_attn_shape shape = {a->k.shape[0], a->k.shape[1], a->k.shape[2], a->k.shape[3]};
    return lt_mma_runs_on(ctx) && lt_attn_mma_fits(&shape, &a->rope, a->box) && lt_mma_rows_aligned(&a->k) &&
           lt_mma_rows_aligned(&a->v) && lt_mma_aligned(&a->S) && lt_mma_aligned(&a->z) &&
           lt_mma_aligned(&a->k_gain);
}

lt_status lt_attn_state_mma(lt_ctx *ctx, const lt_attn_state_args *a, void *workspace) {
    lt_attn_shape shape = {a->k.shape[0], a->k.shape[1], a->k.shape[2], a->k.shape[3]};
    char *memory = (char *)workspace;
    state_job job;
    LT_TRY(lt_mma_begin(ctx, &a->rope, a->box, &shape, LT_MMA_SUM_RESIDENT, &memory, &job.grid));
    int64_t D = shape.dim, sums = D * (D + 1), E = job.grid.segments, items = shape.blocks * E * shape.heads;
    int count = (int)lt_ceil_div(job.grid.segment, job.grid.chunk);
    float *partial = (float *)memory;
    job.k = lt_mma_rows_of(&a->k), job.v = lt_mma_rows_of(&a->v);
    job.S = count > 1 ? partial : (float *)a->S.data;
    job.z = count > 1 ? partial + D * D : (float *)a->z.data;
    job.S_item = count > 1 ? count * sums : D * D;
    job.z_item = count > 1 ? count * sums : D;
    job.S_chunk = sums;
    dim3 blocks((unsigned)shape.heads, (unsigned)count, (unsigned)(shape.blocks * E));
    job.k_gain = (const float *)a->k_gain.data, job.k_scale = (const float *)a->k_scale.data;
    LT_TRY(lt_mma_by_dim(D, [&](auto size) {
        constexpr int dim = decltype(size)::value;
        size_t stage = 2 * lt_mma_layout<dim>::TILE_BYTES;
        auto *kernel = job.k_gain ? sum_chunk<dim, true> : sum_chunk<dim, false>;
        job.stages = 3 * stage <= lt_mma_shared_most(ctx) ? 3 : 2;
        LT_TRY(lt_cuda_allow(kernel, job.stages * stage));
        return lt_mma_launch(ctx, kernel, blocks, LT_MMA_THREADS, job.stages * stage, job);
    }));
    if (count == 1) return LT_OK;
    lt_mma_fold_job fold = {
        partial, (float *)a->S.data, (float *)a->z.data, items, count, (int)(D * D), (int)D, false};
    return lt_mma_fold(ctx, &fold);
}
