/* o = S^T (R a) / (z.a) on tensor cores. S waits in shared memory; each warp takes a few tokens at a time: q comes into
 * registers, is turned there, is multiplied with S, and the quotient leaves for memory. */
#include "kernels/attention/mma_launch.cuh"
#include "kernels/attention/mma_stream.cuh"

namespace {

struct output_job {
    lt_mma_grid grid;
    lt_mma_rows q, o;
    const uint4 *S; /* in bf16, ordered */
    const float *z;
    float *r;            /* of chunk 0 of item 0; chunks follow each other; or NULL */
    const float *q_gain; /* [H, D], or NULL */
};

/* phi(x gain), a pair of channels; `which` half of two pairs' gains. */
__device__ __forceinline__ float2 gained(uint32_t x, const float4 &gain, int which) {
    float2 v = lt_mma_unpack(x), g = which ? make_float2(gain.z, gain.w) : make_float2(gain.x, gain.y);
    return make_float2(lt_attn_phi(v.x * g.x), lt_attn_phi(v.y * g.y));
}

/* a = phi(q), and 1 / (z.a) of the lane's tokens; 0 where z.a = 0. GAINED: a stays q, of which features are made anew
 * wherever they are needed, so that they are rounded once, after they were turned. */
template <int D, bool GAINED>
__device__ __forceinline__ void weigh(lt_mma_tokens<D> &a, const float *z, const float *gain,
                                      float (&inverse)[2], int t) {
    using L = lt_mma_layout<D>;
    float mass[2] = {};
#pragma unroll
    for (int r = 0; r < L::PAIRS; r += 2) {
        float4 weights = *reinterpret_cast<const float4 *>(z + L::channel(r, t)), g = {};
        if (GAINED) g = *reinterpret_cast<const float4 *>(gain + L::channel(r, t));
#pragma unroll
        for (int i = 0; i < 2; i++) {
            uint32_t(&x)[L::PAIRS] = a.x[i];
            if (!GAINED) x[r] = lt_mma_relu(x[r]), x[r + 1] = lt_mma_relu(x[r + 1]);
            float2 one = GAINED ? gained(x[r], g, 0) : lt_mma_unpack(x[r]),
                   two = GAINED ? gained(x[r + 1], g, 1) : lt_mma_unpack(x[r + 1]);
            mass[i] += weights.x * one.x + weights.y * one.y + weights.z * two.x + weights.w * two.y;
        }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        mass[i] = lt_mma_quad_sum(mass[i]);
        inverse[i] = mass[i] == 0 ? 0 : __frcp_rn(mass[i]);
    }
}

/* r += a / (z.a), the lane's channels of the lane's tokens. */
template <int D>
__device__ __forceinline__ void add_reads(const lt_mma_tokens<D> &a, const float (&inverse)[2],
                                          float2 (&r)[lt_mma_layout<D>::PAIRS]) {
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int k = 0; k < lt_mma_layout<D>::PAIRS; k++) {
            float2 x = lt_mma_unpack(a.x[i][k]);
            r[k].x += x.x * inverse[i];
            r[k].y += x.y * inverse[i];
        }
}
/* The same of features with gains. */
template <int D>
__device__ __forceinline__ void add_gained_reads(const lt_mma_tokens<D> &a, const float *gain,
                                                 const float (&inverse)[2],
                                                 float2 (&r)[lt_mma_layout<D>::PAIRS], int t) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int k = 0; k < L::PAIRS; k++) {
        float4 two = *reinterpret_cast<const float4 *>(gain + L::channel(k & ~1, t));
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float2 x = gained(a.x[i][k], two, k & 1);
            r[k].x += x.x * inverse[i];
            r[k].y += x.y * inverse[i];
        }
    }
}

/* The block's sum of r: over the 8 lanes of a channel by exchange, over the warps in shared memory. */
template <int D>
__device__ __forceinline__ void put_reads(float2 (&r)[lt_mma_layout<D>::PAIRS], float *shared, float *to) {
    using L = lt_mma_layout<D>;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#pragma unroll
    for (int k = 0; k < L::PAIRS; k++) {
#pragma unroll
        for (int mask = 4; mask < 32; mask <<= 1) {
            r[k].x += __shfl_xor_sync(~0u, r[k].x, mask);
            r[k].y += __shfl_xor_sync(~0u, r[k].y, mask);
        }
        if (lane < 4) *reinterpret_cast<float2 *>(shared + warp * D + L::channel(k, lane)) = r[k];
    }
    __syncthreads();
    int c = threadIdx.x;
    if (c < D) to[c] = ((shared[c] + shared[D + c]) + shared[2 * D + c]) + shared[3 * D + c];
}

/* One group of channels of o, for all of the warp's tokens. */
template <int D>
__device__ __forceinline__ void put_group(const float (&value)[lt_mma_at_once<D>::PAIRS][4], int first,
                                          const float (&inverse)[2], lt_bf16 *row, int stride, int token,
                                          int last, int group, int t) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float scale = inverse[i];
        float2 o[4];
        const uint32_t all[4] = {~0u, ~0u, ~0u, ~0u};
#pragma unroll
        for (int n = 0; n < lt_mma_layout<D>::pairs(group); n++) {
            const float *c = value[first + n] + 2 * i;
            o[n] = scale == 0 ? make_float2(0, 0) : make_float2(c[0] * scale, c[1] * scale);
        }
        if (token + 8 * i < last) lt_mma_write_group<D>(row + 8 * i * stride, group, t, o, all, false);
    }
}

template <int D, bool WANTS_R, bool GAINED>
__global__ void __launch_bounds__(LT_MMA_THREADS, LT_MMA_OUTPUT_RESIDENT(D, WANTS_R))
    read_state(const __grid_constant__ output_job job) {
    using L = lt_mma_layout<D>;
    using tokens = lt_mma_tokens<D>;
    extern __shared__ __align__(1024) uint4 shared[];
    float *z = reinterpret_cast<float *>(shared + L::MATRIX), *gain = z + D, *sums = gain + (GAINED ? D : 0);
    lt_mma_part part = lt_mma_part_of(job.grid);
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, t = lane & 3;
    int token = part.first + warp * tokens::WARP + (lane >> 2);
    int ahead = token - part.first -
                (LT_MMA_HOPPER ? 0 : warp * tokens::WARP); /* all warps end together, or each alone */
    tokens next, a;
    float2 r[L::PAIRS];
    lt_mma_load(next, lt_mma_row<D>(job.q, part, token), (int)job.q.token, token, part.last, t);
    lt_mma_await();
    lt_mma_copy_matrix(shared, job.S + part.item * L::MATRIX, L::MATRIX);
    if (threadIdx.x < D) z[threadIdx.x] = job.z[part.item * D + threadIdx.x];
    if (GAINED && threadIdx.x < D) gain[threadIdx.x] = job.q_gain[part.head * D + threadIdx.x];
    if (WANTS_R)
        for (int k = 0; k < L::PAIRS; k++) r[k] = make_float2(0, 0);
    lt_mma_copies_wait<0>();
    lt_mma_publish();
    __syncthreads();
    for (; token - ahead < part.last; token += tokens::BLOCK) {
        float inverse[2], value[lt_mma_at_once<D>::PAIRS][4];
        lt_mma_place at[2];
        a = next;
        weigh<D, GAINED>(a, z, gain, inverse, t);
        if (WANTS_R && GAINED) add_gained_reads(a, gain, inverse, r, t);
        else if (WANTS_R) add_reads(a, inverse, r);
        lt_mma_places<D>(at, job.grid, part.block, token, part.last);
        if (GAINED)
            lt_mma_turn_features(
                a, job.grid.turns, at, t,
                [&](int pair) { return *reinterpret_cast<const float4 *>(gain + L::channel(pair, t)); },
                gained);
        else lt_mma_turn(a, job.grid.turns, at, t);
        int later = token + tokens::BLOCK;
        lt_mma_load(next, lt_mma_row<D>(job.q, part, later), (int)job.q.token, later, part.last, t);
        lt_bf16 *o = lt_mma_row<D>(job.o, part, token);
#pragma unroll
        for (int group = 0; group < L::GROUPS; group += lt_mma_at_once<D>::GROUPS) {
            __syncwarp(); /* without it, the next group's loads would start early and take too many registers */
            lt_mma_product(value, a, shared, group, lane);
#pragma unroll
            for (int i = 0; i < lt_mma_at_once<D>::GROUPS; i++)
                put_group<D>(value, 4 * i, inverse, o, (int)job.o.token, token, part.last, group + i, t);
        }
    }
    if (!WANTS_R) return;
    lt_mma_let_next_start();
    put_reads<D>(r, sums, job.r + (part.item * gridDim.y + blockIdx.y) * D);
}

template <int D, bool WANTS_R> lt_status launch(lt_ctx *ctx, const output_job &job, dim3 blocks) {
    int vectors = 1 + (job.q_gain ? 1 : 0) + (WANTS_R ? 4 : 0);
    size_t bytes = lt_mma_layout<D>::MATRIX * sizeof(uint4) + vectors * D * sizeof(float);
    auto *kernel = job.q_gain ? read_state<D, WANTS_R, true> : read_state<D, WANTS_R, false>;
    LT_TRY(lt_cuda_allow(kernel, bytes));
    return lt_mma_launch(ctx, kernel, blocks, LT_MMA_THREADS, bytes, job);
}

} // namespace

bool lt_attn_output_mma_serves(const lt_ctx *ctx, const lt_attn_output_args *a) {
    lt_attn_shape shape = {a->q.shape[0], a->q.shape[1], a->q.shape[2], a->q.shape[3]};
    return lt_mma_runs_on(ctx) && lt_attn_mma_fits(&shape, &a->rope, lt_attn_whole(&a->rope)) &&
           lt_mma_rows_aligned(&a->q) && lt_mma_rows_aligned(&a->o) && lt_mma_aligned(&a->r);
}

lt_status lt_attn_output_mma(lt_ctx *ctx, const lt_attn_output_args *a, void *workspace) {
    lt_attn_shape shape = {a->q.shape[0], a->q.shape[1], a->q.shape[2], a->q.shape[3]};
    int64_t D = shape.dim, items = shape.blocks * shape.heads;
    char *memory = (char *)workspace;
    output_job job;
    bool wants_r = !lt_is_empty(&a->r);
    LT_TRY(lt_mma_begin(ctx, &a->rope, lt_attn_whole(&a->rope), &shape, LT_MMA_OUTPUT_RESIDENT(D, wants_r),
                        &memory, &job.grid));
    uint4 *S = (uint4 *)lt_mma_take(&memory, (size_t)(items * D * D) * sizeof(lt_bf16));
    LT_TRY(lt_mma_order_matrices(ctx, (const float *)a->S.data, items, D, S, NULL));
    int count = (int)lt_ceil_div(job.grid.tokens, job.grid.chunk);
    float *partial = (float *)memory;
    job.q = lt_mma_rows_of(&a->q), job.o = lt_mma_rows_of(&a->o);
    job.S = S, job.z = (const float *)a->z.data, job.q_gain = (const float *)a->q_gain.data;
    job.r = count > 1 ? partial : (float *)a->r.data;
    dim3 blocks((unsigned)shape.heads, (unsigned)count, (unsigned)shape.blocks);
    LT_TRY(lt_mma_by_dim(D, [&](auto size) {
        constexpr int dim = decltype(size)::value;
        return wants_r ? launch<dim, true>(ctx, job, blocks) : launch<dim, false>(ctx, job, blocks);
    }));
    if (!wants_r || count == 1) return LT_OK;
    lt_mma_fold_job fold = {partial, (float *)a->r.data, NULL, items, count, (int)D, 0, false};
    return lt_mma_fold(ctx, &fold);
}
