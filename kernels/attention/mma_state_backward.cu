/* dv = dS^T (R b) and dk from R^T (dS v) + dz on tensor cores: two products of the tokens of a warp, as in mma_output.cu.
 *
 * __syncwarp keeps the compiler from starting the next group's loads early, which would take more registers than there are.
 */
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

/* b = phi(k) in place; bits r and 16 + r say which channels of pair r are positive. */
template <int D, int M>
__device__ __forceinline__ void find_features(lt_mma_tokens<D, M> &k, uint32_t (&positive)[2 * M]) {
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        uint32_t bits = 0;
#pragma unroll
        for (int r = 0; r < lt_mma_layout<D>::PAIRS; r++) {
            uint32_t &x = k.x[i][r];
            bits |= lt_mma_positive(x) << r;
            x = lt_mma_relu(x);
        }
        positive[i] = bits;
    }
}

template <int D, int M>
__device__ __forceinline__ void put_dv(const float (&value)[M][4][4], lt_bf16 *row, int stride, int token,
                                       int last, int group, int t, bool add) {
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        float2 dv[4];
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const float *c = value[i >> 1][n] + 2 * (i & 1);
            dv[n] = make_float2(c[0], c[1]);
        }
        if (token + 8 * i < last) lt_mma_write_group<D>(row + 8 * i * stride, group, t, dv, add);
    }
}

/* dk = R^T u + dz where k > 0, one group of channels. */
template <int D, int M>
__device__ __forceinline__ void put_dk(const float (&u)[M][4][4], const float *dz, const float2 *turns,
                                       const lt_mma_place (&at)[2 * M], const uint32_t (&positive)[2 * M],
                                       lt_bf16 *row, int stride, int token, int last, int group, int t,
                                       bool add) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        float2 dk[4];
#pragma unroll
        for (int n = 0; n < L::pairs(group); n++) {
            int pair = 4 * group + (n & ~1), bit = 4 * group + n;
            float4 two = lt_mma_two_turns<D>(turns, at[i], L::channel(pair, t) / 2);
            float2 plus = *reinterpret_cast<const float2 *>(dz + L::channel(bit, t));
            const float *c = u[i >> 1][n] + 2 * (i & 1);
            float2 db = lt_rope_turn_back(make_float2(c[0], c[1]), lt_mma_turn_of(two, n & 1));
            uint32_t bits = positive[i];
            dk[n].x = bits >> bit & 1 ? db.x + plus.x : 0;
            dk[n].y = bits >> (16 + bit) & 1 ? db.y + plus.y : 0;
        }
        if (token + 8 * i < last) lt_mma_write_group<D>(row + 8 * i * stride, group, t, dk, add);
    }
}

template <int D, int M>
__global__ void __launch_bounds__(LT_MMA_THREADS, LT_MMA_READ_RESIDENT)
    state_gradients(const __grid_constant__ gradient_job job) {
    using L = lt_mma_layout<D>;
    using tokens = lt_mma_tokens<D, M>;
    extern __shared__ uint4 shared[];
    const uint4 *dS = shared, *dS_transposed = shared + L::MATRIX;
    float *dz = reinterpret_cast<float *>(shared + 2 * L::MATRIX);
    lt_mma_part part = lt_mma_part_of(job.grid);
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, t = lane & 3;
    int token = part.first + warp * tokens::WARP + (lane >> 2);
    tokens keys, values;
    lt_mma_load(keys, lt_mma_row<D>(job.k, part, token), (int)job.k.token, token, part.last, t);
    lt_mma_load(values, lt_mma_row<D>(job.v, part, token), (int)job.v.token, token, part.last, t);
    lt_mma_copy_matrix(shared, job.dS + part.item * L::MATRIX, L::MATRIX);
    lt_mma_copy_matrix(shared + L::MATRIX, job.dS_transposed + part.item * L::MATRIX, L::MATRIX);
    if (threadIdx.x < D) dz[threadIdx.x] = job.dz[part.item * D + threadIdx.x];
    lt_mma_copies_wait<0>();
    __syncthreads();
    for (; token - (lane >> 2) < part.last; token += tokens::BLOCK) {
        int later = token + tokens::BLOCK;
        float value[M][4][4];
        uint32_t positive[2 * M];
        lt_mma_place at[2 * M];
        lt_mma_places<D, M>(at, job.grid, part.block, token, part.last);
        find_features(keys, positive);
        if (job.dv.data) {
            lt_bf16 *dv = lt_mma_row<D>(job.dv, part, token);
            __syncwarp();
            lt_mma_turn(keys, job.grid.turns, at, t);
#pragma unroll
            for (int group = 0; group < L::GROUPS; group++) {
                __syncwarp();
                lt_mma_product(value, keys, dS, group, lane);
                put_dv<D, M>(value, dv, (int)job.dv.token, token, part.last, group, t, job.add_dv);
            }
        }
        __syncwarp();
        lt_mma_load(keys, lt_mma_row<D>(job.k, part, later), (int)job.k.token, later, part.last, t);
        if (job.dk.data) {
            lt_bf16 *dk = lt_mma_row<D>(job.dk, part, token);
#pragma unroll
            for (int group = 0; group < L::GROUPS; group++) {
                __syncwarp();
                lt_mma_product(value, values, dS_transposed, group, lane);
                put_dk<D, M>(value, dz, job.grid.turns, at, positive, dk, (int)job.dk.token, token, part.last,
                             group, t, job.add_dk);
            }
        }
        lt_mma_load(values, lt_mma_row<D>(job.v, part, later), (int)job.v.token, later, part.last, t);
    }
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
    LT_TRY(lt_mma_begin(ctx, &a->rope, a->box, &shape, LT_MMA_READ_RESIDENT, &memory, &job.grid));
    int64_t D = shape.dim, E = job.grid.segments, items = shape.blocks * E * shape.heads;
    size_t matrices = (size_t)(items * D * D) * sizeof(lt_bf16);
    uint4 *dS = (uint4 *)lt_mma_take(&memory, matrices),
          *transposed = (uint4 *)lt_mma_take(&memory, matrices);
    LT_TRY(lt_mma_order_matrices(ctx, (const float *)a->dS.data, items, D, false, dS));
    LT_TRY(lt_mma_order_matrices(ctx, (const float *)a->dS.data, items, D, true, transposed));
    job.k = lt_mma_rows_of(&a->k), job.v = lt_mma_rows_of(&a->v);
    job.dk = lt_mma_rows_of(&a->dk), job.dv = lt_mma_rows_of(&a->dv);
    job.dS = dS, job.dS_transposed = transposed, job.dz = (const float *)a->dz.data;
    job.add_dk = a->accumulate_dk, job.add_dv = a->accumulate_dv;
    dim3 blocks((unsigned)shape.heads, (unsigned)lt_ceil_div(job.grid.segment, job.grid.chunk),
                (unsigned)(shape.blocks * E));
    return lt_mma_by_dim(D, [&](auto size) {
        constexpr int dim = decltype(size)::value;
        size_t bytes = 2 * lt_mma_layout<dim>::MATRIX * sizeof(uint4) + dim * sizeof(float);
        LT_TRY(lt_mma_allow(state_gradients<dim, LT_MMA_TILES>, bytes));
        state_gradients<dim, LT_MMA_TILES><<<blocks, LT_MMA_THREADS, bytes, lt_cuda_stream(ctx)>>>(job);
        return lt_cuda_launched();
    });
}
