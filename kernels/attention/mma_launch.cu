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

template <int D, bool TRANSPOSED>
static __global__ void __launch_bounds__(THREADS) order_matrices(const float *S, int64_t pieces, uint4 *to) {
    using L = lt_mma_layout<D>;
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= pieces) return;
    int64_t item = index / L::MATRIX;
    int piece = (int)(index - item * L::MATRIX), lane = piece & 31, g = lane >> 2, t = lane & 3;
    int two = piece / 32 % L::STEPS, step = piece / 32 / L::STEPS;
    const float *matrix = S + item * D * D;
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int n = L::channel(2 * two + (i >> 1), g >> 1) + (g & 1), k = L::channel(2 * step + (i & 1), t);
        const float *at = TRANSPOSED ? matrix + n * D + k : matrix + k * D + n;
        words[i] = lt_mma_pack(make_float2(at[0], at[TRANSPOSED ? 1 : D]));
    }
    to[index] = make_uint4(words[0], words[1], words[2], words[3]);
}

lt_status lt_mma_order_matrices(lt_ctx *ctx, const float *S, int64_t items, int64_t dim, bool transposed,
                                uint4 *to) {
    return lt_mma_by_dim(dim, [&](auto size) {
        constexpr int D = decltype(size)::value;
        int64_t pieces = items * lt_mma_layout<D>::MATRIX;
        unsigned blocks = (unsigned)lt_ceil_div(pieces, THREADS);
        if (transposed) order_matrices<D, true><<<blocks, THREADS, 0, lt_cuda_stream(ctx)>>>(S, pieces, to);
        else order_matrices<D, false><<<blocks, THREADS, 0, lt_cuda_stream(ctx)>>>(S, pieces, to);
        return lt_cuda_launched();
    });
}

static __global__ void __launch_bounds__(THREADS) fold(const __grid_constant__ lt_mma_fold_job job) {
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
    fold<<<(unsigned)lt_ceil_div(threads, THREADS), THREADS, 0, lt_cuda_stream(ctx)>>>(*job);
    return lt_cuda_launched();
}
