#include "kernels/attention/mma_launch.cuh"

enum { THREADS = 128 };

lt_status lt_mma_begin(lt_ctx *ctx, const lt_rope *rope, lt_segment_box box, const lt_attn_shape *shape,
                       int resident, char **workspace, lt_mma_grid *grid) {
    lt_rope_table table;
    void *memory = *workspace;
    *workspace += lt_rope_table_bytes(rope, shape);
    LT_TRY(lt_rope_table_fill(ctx, rope, shape, memory, &table));
    grid->turns = table.frames;
    grid->rows = (int)(table.rows - table.frames);
    grid->columns = (int)(table.columns - table.frames);
    grid->frames = rope->frames;
    grid->height = lt_mma_divide_by(rope->height);
    grid->width = lt_mma_divide_by(rope->width);
    grid->tokens = (int)shape->tokens;
    grid->heads = (int)shape->heads;
    grid->segments = lt_segment_count(rope, box);
    grid->segment = lt_segment_tokens(rope, box, 0);
    grid->chunk =
        lt_mma_chunks_of(shape->blocks * shape->heads * grid->segments, grid->segment, resident).tokens;
    return LT_OK;
}

/* Piece `piece` of a matrix, or of the transposed one. */
template <int D>
static __device__ __forceinline__ uint4 ordered(const float *matrix, int piece, bool turned) {
    using L = lt_mma_layout<D>;
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
#if LT_MMA_HOPPER
        int column = piece & 7, n = L::channel(piece / 8 % L::PAIRS, column >> 1) + (column & 1);
        int k = L::channel(piece / 8 / L::PAIRS, i);
#else
        int lane = piece & 31, g = lane >> 2, t = lane & 3, two = piece / 32 % L::STEPS;
        int step = piece / 32 / L::STEPS;
        int n = L::channel(2 * two + (i >> 1), g >> 1) + (g & 1), k = L::channel(2 * step + (i & 1), t);
#endif
        const float *at = turned ? matrix + n * D + k : matrix + k * D + n;
        words[i] = lt_mma_pack(make_float2(at[0], at[turned ? 1 : D]));
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
}

/* Rows of blocks: S, then S^T, of those that are asked for. Neither reads nor writes what the kernel ahead writes, and
 * awaits it only so that the next kernel need not. */
template <int D>
static __global__ void __launch_bounds__(THREADS)
    order_matrices(const float *S, int64_t pieces, uint4 *plain, uint4 *transposed) {
    using L = lt_mma_layout<D>;
    bool turned = !plain || blockIdx.y > 0;
    lt_mma_let_next_start();
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x, item = index / L::MATRIX;
    if (index < pieces)
        (turned ? transposed : plain)[index] =
            ordered<D>(S + item * D * D, (int)(index - item * L::MATRIX), turned);
    lt_mma_await();
}

lt_status lt_mma_order_matrices(lt_ctx *ctx, const float *S, int64_t items, int64_t dim, uint4 *plain,
                                uint4 *transposed) {
    return lt_mma_by_dim(dim, [&](auto size) {
        constexpr int D = decltype(size)::value;
        int64_t pieces = items * lt_mma_layout<D>::MATRIX;
        dim3 blocks((unsigned)lt_ceil_div(pieces, THREADS), plain && transposed ? 2 : 1);
        return lt_mma_launch(ctx, order_matrices<D>, blocks, THREADS, 0, S, pieces, plain, transposed);
    });
}

static __global__ void __launch_bounds__(THREADS) fold(const __grid_constant__ lt_mma_fold_job job) {
    lt_mma_await();
    int size = job.one_floats + job.two_floats, fours = size / 4;
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x, item = index / fours;
    if (item >= job.items) return;
    int at = 4 * (int)(index - item * fours);
    const float *from = job.partial + item * job.count * size + at;
    float4 sum = *reinterpret_cast<const float4 *>(from);
#pragma unroll 8
    for (int i = 1; i < job.count; i++) {
        float4 x = *reinterpret_cast<const float4 *>(from + (int64_t)i * size);
        sum = make_float4(sum.x + x.x, sum.y + x.y, sum.z + x.z, sum.w + x.w);
    }
    float *to = at < job.one_floats ? job.one + item * job.one_floats + at
                                    : job.two + item * job.two_floats + at - job.one_floats;
    float4 *put = reinterpret_cast<float4 *>(to);
    if (job.add) {
        float4 x = *put;
        sum = make_float4(x.x + sum.x, x.y + sum.y, x.z + sum.z, x.w + sum.w);
    }
    *put = sum;
}

lt_status lt_mma_fold(lt_ctx *ctx, const lt_mma_fold_job *job) {
    int64_t threads = job->items * ((job->one_floats + job->two_floats) / 4);
    return lt_mma_launch(ctx, fold, dim3((unsigned)lt_ceil_div(threads, THREADS)), THREADS, 0, *job);
}
