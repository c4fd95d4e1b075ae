/* dv = dS^T (R b) and dk from R^T (dS v) + dz on tensor cores: two MMAs of the tokens of a warp, as in mma_output.cu.
 *
 * state_gradients serves all calls. Its tokens come and go in registers; __syncwarp keeps the compiler from starting
 * the next group's loads early, which would take more registers than there are.
 *
 * both_gradients, on Hopper, is for calls that want both gradients and add to neither: tokens come and go as boxes
 * through shared memory (mma_box.cuh), so that loads of angles never stand behind loads from memory.
 */
#include "kernels/attention/mma_box.cuh"
#include "kernels/attention/mma_launch.cuh"
#include "kernels/attention/mma_stream.cuh"

namespace {

struct gradient_job {
    lt_mma_grid grid;
    lt_mma_rows k, v, dk, dv;        /* dk, dv: data NULL where not asked for */
    const uint4 *dS, *dS_transposed; /* in bf16, ordered */
    const float *dz;
    bool add_dk, add_dv;
};
struct boxed_job {
    gradient_job rows;
    CUtensorMap k, v, dk, dv;
};

/* b = phi(k) in place; bits r and 16 + r say which channels of pair r are positive. */
template <int D> __device__ __forceinline__ void find_features(lt_mma_tokens<D> &k, uint32_t (&positive)[2]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        uint32_t bits = 0;
#pragma unroll
        for (int r = 0; r < lt_mma_layout<D>::PAIRS; r++) {
            uint32_t &x = k.x[i][r];
            bits |= lt_mma_positive(x) & 0x00010001u << r;
            x = lt_mma_relu(x);
        }
        positive[i] = bits;
    }
}

template <int D>
__device__ __forceinline__ void put_dv(const float (&value)[lt_mma_at_once<D>::PAIRS][4], int first,
                                       lt_bf16 *row, int stride, int token, int last, int group, int t,
                                       bool add) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float2 dv[4];
        const uint32_t all[4] = {~0u, ~0u, ~0u, ~0u};
#pragma unroll
        for (int n = 0; n < lt_mma_layout<D>::pairs(group); n++) {
            const float *c = value[first + n] + 2 * i;
            dv[n] = make_float2(c[0], c[1]);
        }
        if (token + 8 * i < last) lt_mma_write_group<D>(row + 8 * i * stride, group, t, dv, all, add);
    }
}

/* dk = R^T u + dz where k > 0, one group of channels of token i. */
template <int D>
__device__ __forceinline__ void make_dk(float2 (&dk)[4], uint32_t (&mask)[4],
                                        const float (&u)[lt_mma_at_once<D>::PAIRS][4], int first,
                                        const float *dz, const float2 *turns, const lt_mma_place &at,
                                        uint32_t positive, int i, int group, int t) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int n = 0; n < L::pairs(group); n++) {
        int pair = 4 * group + (n & ~1), bit = 4 * group + n;
        float4 two = lt_mma_two_turns<D>(turns, at, L::channel(pair, t) / 2);
        float2 plus = *reinterpret_cast<const float2 *>(dz + L::channel(bit, t));
        const float *c = u[first + n] + 2 * i;
        float2 db = lt_rope_turn_back(make_float2(c[0], c[1]), lt_mma_turn_of(two, n & 1));
        mask[n] = lt_mma_mask_of(positive, bit);
        dk[n] = make_float2(db.x + plus.x, db.y + plus.y);
    }
}

template <int D>
__device__ __forceinline__ void put_dk(const float (&u)[lt_mma_at_once<D>::PAIRS][4], int first,
                                       const float *dz, const float2 *turns, const lt_mma_place (&at)[2],
                                       const uint32_t (&positive)[2], lt_bf16 *row, int stride, int token,
                                       int last, int group, int t, bool add) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float2 dk[4];
        uint32_t mask[4];
        make_dk<D>(dk, mask, u, first, dz, turns, at[i], positive[i], i, group, t);
        if (token + 8 * i < last) lt_mma_write_group<D>(row + 8 * i * stride, group, t, dk, mask, add);
    }
}

template <int D> __device__ __forceinline__ void gradients_by_rows(const gradient_job &job) {
    using L = lt_mma_layout<D>;
    using tokens = lt_mma_tokens<D>;
    extern __shared__ __align__(1024) uint4 shared[];
    const uint4 *dS = shared, *dS_transposed = shared + L::MATRIX;
    float *dz = reinterpret_cast<float *>(shared + 2 * L::MATRIX);
    lt_mma_part part = lt_mma_part_of(job.grid);
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, t = lane & 3;
    int token = part.first + warp * tokens::WARP + (lane >> 2);
    int ahead = token - part.first -
                (LT_MMA_HOPPER ? 0 : warp * tokens::WARP); /* all warps end together, or each alone */
    tokens keys, values;
    lt_mma_load(keys, lt_mma_row<D>(job.k, part, token), (int)job.k.token, token, part.last, t);
    lt_mma_load(values, lt_mma_row<D>(job.v, part, token), (int)job.v.token, token, part.last, t);
    lt_mma_await();
    lt_mma_copy_matrix(shared, job.dS + part.item * L::MATRIX, L::MATRIX);
    lt_mma_copy_matrix(shared + L::MATRIX, job.dS_transposed + part.item * L::MATRIX, L::MATRIX);
    if (threadIdx.x < D) dz[threadIdx.x] = job.dz[part.item * D + threadIdx.x];
    lt_mma_copies_wait<0>();
    lt_mma_publish();
    __syncthreads();
    for (; token - ahead < part.last; token += tokens::BLOCK) {
        int later = token + tokens::BLOCK;
        float value[lt_mma_at_once<D>::PAIRS][4];
        uint32_t positive[2];
        lt_mma_place at[2];
        lt_mma_places<D>(at, job.grid, part.block, token, part.last);
        find_features(keys, positive);
        if (job.dv.data) {
            lt_bf16 *dv = lt_mma_row<D>(job.dv, part, token);
            __syncwarp();
            lt_mma_turn(keys, job.grid.turns, at, t);
#pragma unroll
            for (int group = 0; group < L::GROUPS; group += lt_mma_at_once<D>::GROUPS) {
                __syncwarp();
                lt_mma_product(value, keys, dS, group, lane);
#pragma unroll
                for (int i = 0; i < lt_mma_at_once<D>::GROUPS; i++)
                    put_dv<D>(value, 4 * i, dv, (int)job.dv.token, token, part.last, group + i, t,
                              job.add_dv);
            }
        }
        __syncwarp();
        lt_mma_load(keys, lt_mma_row<D>(job.k, part, later), (int)job.k.token, later, part.last, t);
        if (job.dk.data) {
            lt_bf16 *dk = lt_mma_row<D>(job.dk, part, token);
#pragma unroll
            for (int group = 0; group < L::GROUPS; group += lt_mma_at_once<D>::GROUPS) {
                __syncwarp();
                lt_mma_product(value, values, dS_transposed, group, lane);
#pragma unroll
                for (int i = 0; i < lt_mma_at_once<D>::GROUPS; i++)
                    put_dk<D>(value, 4 * i, dz, job.grid.turns, at, positive, dk, (int)job.dk.token, token,
                              part.last, group + i, t, job.add_dk);
            }
        }
        lt_mma_load(values, lt_mma_row<D>(job.v, part, later), (int)job.v.token, later, part.last, t);
    }
}

template <int D>
__global__ void __launch_bounds__(LT_MMA_THREADS, LT_MMA_READ_RESIDENT)
    state_gradients(const __grid_constant__ gradient_job job) {
    gradients_by_rows<D>(job);
}

#if LT_MMA_HOPPER
/* A group's values in bf16, 0 where the mask is. */
template <int D>
__device__ __forceinline__ void pack_group(uint32_t (&x)[4], const float2 (&value)[4],
                                           const uint32_t (&mask)[4], int group) {
#    pragma unroll
    for (int n = 0; n < 4; n++)
        x[n] = n < lt_mma_layout<D>::pairs(group) ? lt_mma_pack(value[n]) & mask[n] : 0;
}

template <int D>
__device__ __forceinline__ void gradients_by_boxes(const boxed_job &job, const lt_mma_part &part,
                                                   const uint4 *dS, const float *dz,
                                                   const lt_mma_boxes<D> &own) {
    using L = lt_mma_layout<D>;
    int lane = threadIdx.x & 31, t = lane & 3, warp = threadIdx.x >> 5, parity = 0;
    for (int first = part.first; first < part.last; first += LT_MMA_TILE, parity ^= 1) {
        int top = first + 16 * warp, token = top + (lane >> 2);
        lt_mma_tokens<D> keys, values;
        float value[L::PAIRS][4];
        uint32_t positive[2];
        lt_mma_place at[2];
        own.await(parity);
        own.take(keys, 0, lane);
        own.take(values, 1, lane);
        __syncwarp(); /* all lanes have theirs */
        if (first + LT_MMA_TILE < part.last) own.fetch(&job.k, &job.v, part, top + LT_MMA_TILE);
        lt_mma_places<D>(at, job.rows.grid, part.block, token, part.last);
        find_features(keys, positive);
        lt_mma_turn(keys, job.rows.grid.turns, at, t);
        lt_mma_rows_times<D>(value, keys.x[0], keys.x[1], dS);
        lt_mma_products_wait();
        own.await_sent();
#    pragma unroll
        for (int group = 0; group < L::GROUPS; group++)
#    pragma unroll
            for (int i = 0; i < 2; i++) {
                uint32_t x[4];
#    pragma unroll
                for (int n = 0; n < L::pairs(group); n++)
                    x[n] = lt_mma_pack(
                        make_float2(value[4 * group + n][2 * i], value[4 * group + n][2 * i + 1]));
                own.put(i, group, lane, x);
            }
        own.send(&job.dv, job.rows.dv, part, top);
        lt_mma_rows_times<D>(value, values.x[0], values.x[1], dS + L::MATRIX);
        lt_mma_products_wait();
        own.await_sent();
#    pragma unroll
        for (int group = 0; group < L::GROUPS; group++)
#    pragma unroll
            for (int i = 0; i < 2; i++) {
                float2 g[4];
                uint32_t mask[4], x[4];
                make_dk<D>(g, mask, value, 4 * group, dz, job.rows.grid.turns, at[i], positive[i], i, group,
                           t);
                pack_group<D>(x, g, mask, group);
                own.put(i, group, lane, x);
            }
        own.send(&job.dk, job.rows.dk, part, top);
    }
    own.await_all();
}
#endif

/* Capability alone does not tell the host code for sm_90a from that for plain sm_90, which has no wgmma. */
template <int D>
__global__ void __launch_bounds__(LT_MMA_THREADS, LT_MMA_BOX_RESIDENT)
    both_gradients(const __grid_constant__ boxed_job job) {
#if LT_MMA_HOPPER
    using L = lt_mma_layout<D>;
    extern __shared__ __align__(1024) uint4 shared[];
    lt_mma_part part = lt_mma_part_of(job.rows.grid);
    int warp = threadIdx.x >> 5;
    char *boxes = reinterpret_cast<char *>(shared + 2 * L::MATRIX);
    float *dz = reinterpret_cast<float *>(boxes + 4 * lt_mma_boxes<D>::BYTES);
    lt_mma_boxes<D> own(boxes + warp * lt_mma_boxes<D>::BYTES, reinterpret_cast<uint64_t *>(dz + D) + warp);
    if (part.first < part.last) own.fetch(&job.k, &job.v, part, part.first + 16 * warp);
    lt_mma_await();
    lt_mma_copy_matrix(shared, job.rows.dS + part.item * L::MATRIX, L::MATRIX);
    lt_mma_copy_matrix(shared + L::MATRIX, job.rows.dS_transposed + part.item * L::MATRIX, L::MATRIX);
    if (threadIdx.x < D) dz[threadIdx.x] = job.rows.dz[part.item * D + threadIdx.x];
    lt_mma_copies_wait<0>();
    lt_mma_publish();
    __syncthreads();
    gradients_by_boxes<D>(job, part, shared, dz, own);
#elif __CUDA_ARCH__ == 900
    gradients_by_rows<D>(job.rows);
#else
    __trap(); /* never launched: wants_boxes */
#endif
}

/* Whether both_gradients takes the call: on a device of capability 90 that runs code compiled for it. */
bool wants_boxes(const lt_ctx *ctx, const lt_attn_state_backward_args &a) {
    return lt_cuda_capability(ctx->device) == 90 && lt_mma_overlaps(ctx) && !lt_is_empty(&a.dk) &&
           !lt_is_empty(&a.dv) && !a.accumulate_dk && !a.accumulate_dv && lt_mma_boxes_reach(&a.k) &&
           lt_mma_boxes_reach(&a.v) && lt_mma_boxes_reach(&a.dk) && lt_mma_boxes_reach(&a.dv);
}

template <int D>
lt_status launch_boxes(lt_ctx *ctx, dim3 blocks, const gradient_job &rows, const lt_attn_shape &shape) {
    boxed_job job = {rows, {}, {}, {}, {}};
    LT_TRY(lt_mma_map_boxes(&job.k, rows.k, shape));
    LT_TRY(lt_mma_map_boxes(&job.v, rows.v, shape));
    LT_TRY(lt_mma_map_boxes(&job.dk, rows.dk, shape));
    LT_TRY(lt_mma_map_boxes(&job.dv, rows.dv, shape));
    size_t bytes = 2 * lt_mma_layout<D>::MATRIX * sizeof(uint4) + D * sizeof(float) + lt_mma_box_bytes<D>();
    LT_TRY(lt_cuda_allow(both_gradients<D>, bytes));
    return lt_mma_launch(ctx, both_gradients<D>, blocks, LT_MMA_THREADS, bytes, job);
}

template <int D> lt_status launch_rows(lt_ctx *ctx, dim3 blocks, const gradient_job &job) {
    size_t bytes = 2 * lt_mma_layout<D>::MATRIX * sizeof(uint4) + D * sizeof(float);
    LT_TRY(lt_cuda_allow(state_gradients<D>, bytes));
    return lt_mma_launch(ctx, state_gradients<D>, blocks, LT_MMA_THREADS, bytes, job);
}

} // namespace

bool lt_attn_state_backward_mma_serves(const lt_ctx *ctx, const lt_attn_state_backward_args *a) {
    lt_attn_shape shape = {a->k.shape[0], a->k.shape[1], a->k.shape[2], a->k.shape[3]};
    return lt_mma_runs_on(ctx) && lt_attn_mma_fits(&shape, &a->rope, a->box) && lt_mma_rows_aligned(&a->k) &&
           lt_mma_rows_aligned(&a->v) && (lt_is_empty(&a->dk) || lt_mma_rows_aligned(&a->dk)) &&
           (lt_is_empty(&a->dv) || lt_mma_rows_aligned(&a->dv));
}

lt_status lt_attn_state_backward_mma(lt_ctx *ctx, const lt_attn_state_backward_args *a, void *workspace) {
    lt_attn_shape shape = {a->k.shape[0], a->k.shape[1], a->k.shape[2], a->k.shape[3]};
    char *memory = (char *)workspace;
    gradient_job job;
    bool boxes = wants_boxes(ctx, *a);
    LT_TRY(lt_mma_begin(ctx, &a->rope, a->box, &shape, boxes ? LT_MMA_BOX_RESIDENT : LT_MMA_READ_RESIDENT,
                        &memory, &job.grid));
    int64_t D = shape.dim, E = job.grid.segments, items = shape.blocks * E * shape.heads;
    size_t matrices = (size_t)(items * D * D) * sizeof(lt_bf16);
    uint4 *dS = (uint4 *)lt_mma_take(&memory, matrices),
          *transposed = (uint4 *)lt_mma_take(&memory, matrices);
    LT_TRY(lt_mma_order_matrices(ctx, (const float *)a->dS.data, items, D, dS, transposed));
    job.k = lt_mma_rows_of(&a->k), job.v = lt_mma_rows_of(&a->v);
    job.dk = lt_mma_rows_of(&a->dk), job.dv = lt_mma_rows_of(&a->dv);
    job.dS = dS, job.dS_transposed = transposed, job.dz = (const float *)a->dz.data;
    job.add_dk = a->accumulate_dk, job.add_dv = a->accumulate_dv;
    dim3 grid((unsigned)shape.heads, (unsigned)lt_ceil_div(job.grid.segment, job.grid.chunk),
              (unsigned)(shape.blocks * E));
    return lt_mma_by_dim(D, [&](auto size) {
        constexpr int dim = decltype(size)::value;
        return boxes ? launch_boxes<dim>(ctx, grid, job, shape) : launch_rows<dim>(ctx, grid, job);
    });
}
