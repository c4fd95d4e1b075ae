#include "kernels/attention/cuda_sum.cuh"

/* Tokens whose places are worked out together, one a thread. */
enum { GROUP = LT_ATTN_THREADS };

/* What is summed, of the three of cuda_sum.cuh. */
enum sum_kind { PLAIN, WEIGHED, NORMED };

template <typename T> struct sum_plan {
    lt_attn_tokens<const T> a, x;
    const float2 *masses;
    const float *gain, *scale;
    lt_rope_table table;
    lt_attn_boxes boxes;
    float *S, *z; /* results, or partial sums: [chunks, items, D, D], [chunks, items, D] */
    int64_t items;
    int heads, dim, block_tokens, chunk_tokens;
    bool wide, add;
};

/* A stage of 2048 / (16 M) tokens in shared memory, twice: while one is multiplied, the next one is on its way. */
template <typename T, int M, sum_kind KIND> struct stage {
    static constexpr int TILE = 16 * M, QUADS = TILE / 4, ROWS = LT_ATTN_THREADS / QUADS, TOKENS = 2 * ROWS;
    struct memory {
        float a[2][TOKENS][TILE], x[2][TOKENS][TILE];
        lt_attn_spot spots[GROUP];
    };

    /* Of this thread: quad `quad` of tokens row and row + ROWS of the stage. */
    int quad, row, a_left, x_left; /* channels from the quad on that exist */
    const T *a, *x;
    const float2 *masses;
    const float *scales;
    int block, first_pair;
    lt_pack<T, 4> raw_a[2], raw_x[2];
    float2 mass[2];
    float z[4], scale[2];
    const float *gains;

    __device__ __forceinline__ stage(const sum_plan<T> &p, int g, int head, int row_part, int column_part) {
        quad = threadIdx.x % QUADS;
        row = threadIdx.x / QUADS;
        int a_channel = row_part * LT_ATTN_CUDA_PART + 4 * quad;
        int x_channel = column_part * LT_ATTN_CUDA_PART + 4 * quad;
        a_left = p.dim - a_channel;
        x_left = p.dim - x_channel;
        a = p.a.data + g * p.a.block + (int64_t)head * p.dim + a_channel;
        x = p.x.data + g * p.x.block + (int64_t)head * p.dim + x_channel;
        masses = p.masses + ((int64_t)g * p.heads + head) * p.block_tokens;
        scales = p.scale + (int64_t)g * p.block_tokens;
        block = g;
        first_pair = a_channel / 2;
        z[0] = z[1] = z[2] = z[3] = 0;
        gains = p.gain + head * p.dim + a_channel;
    }

    /* Asks for the tokens of the group from `first` on, of which `count` exist in all. */
    __device__ __forceinline__ void fetch(const sum_plan<T> &p, const memory &shared, int first, int count) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int n = first + row + i * ROWS;
            bool exists = n < count;
            int64_t token = exists ? shared.spots[n].token : 0;
            raw_a[i] = lt_attn_fetch<4>(a + token * p.a.token, exists ? a_left : 0, p.a.wide);
            raw_x[i] = lt_attn_fetch<4>(x + token * p.x.token, exists ? x_left : 0, p.x.wide);
            if (KIND == WEIGHED) mass[i] = exists ? masses[token] : make_float2(0, 0);
            if (KIND == NORMED) scale[i] = exists ? scales[token] : 0;
        }
    }

    /* Features, turned, and values go to buffer `side`. */
    __device__ __forceinline__ void put(const sum_plan<T> &p, memory &shared, int side, int first,
                                        int count) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int n = row + i * ROWS, place = lt_attn_quad<M>(quad);
            float b[4], v[4], inverse = KIND == WEIGHED && mass[i].x != 0 ? 1 / mass[i].x : 1;
            bool counts = KIND != WEIGHED || mass[i].x != 0;
#pragma unroll
            for (int c = 0; c < 4; c++) {
                b[c] = lt_load(&raw_a[i].v[c]);
                if (KIND == NORMED) b[c] = c < a_left ? b[c] * scale[i] * gains[c] : 0;
                b[c] = lt_attn_phi(b[c]);
                v[c] = counts ? lt_load(&raw_x[i].v[c]) * inverse : 0;
                z[c] += KIND == WEIGHED ? b[c] * mass[i].y : b[c];
            }
            if (first + n < count) turn(p, shared.spots[first + n], b);
            lt_attn_store_quad(&shared.a[side][n][place], b);
            lt_attn_store_quad(&shared.x[side][n][place], v);
        }
    }

    __device__ __forceinline__ void turn(const sum_plan<T> &p, const lt_attn_spot &spot, float (&b)[4]) {
#pragma unroll
        for (int c = 0; c < 4; c += 2) {
            if (c >= a_left) continue;
            float2 angle = lt_rope_pair(p.table, block, spot, first_pair + c / 2);
            float2 turned = lt_rope_turn(make_float2(b[c], b[c + 1]), angle);
            b[c] = turned.x;
            b[c + 1] = turned.y;
        }
    }

    /* z of this part of the head: threads of one quad add up in the order of their rows. */
    __device__ __forceinline__ void put_z(memory &shared, float *out, int channels, bool add) {
        float *sums = &shared.a[0][0][0];
        __syncthreads();
        lt_attn_store_quad(sums + row * TILE + 4 * quad, z);
        __syncthreads();
        int c = threadIdx.x;
        if (c >= channels) return;
        float sum = 0;
        for (int i = 0; i < ROWS; i++) sum += sums[i * TILE + c];
        lt_store_or_add(out + c, sum, add);
    }
};

template <int M, int TOKENS>
static __device__ __forceinline__ void multiply(const float (&a)[TOKENS][16 * M],
                                                const float (&x)[TOKENS][16 * M], int ty, int tx,
                                                float (&sum)[M][M]) {
    constexpr int UNROLL = M == 8 ? 1 : 4; /* 64 sums leave no room for more */
#pragma unroll UNROLL
    for (int n = 0; n < TOKENS; n++) {
        float b[M], v[M];
        lt_attn_take<M>(a[n], ty, b);
        lt_attn_take<M>(x[n], tx, v);
#pragma unroll
        for (int i = 0; i < M; i++)
#pragma unroll
            for (int j = 0; j < M; j++) sum[i][j] = fmaf(b[i], v[j], sum[i][j]);
    }
}

/* Grid: items, chunks, parts of S. */
template <typename T, int M, int PARTS, sum_kind KIND>
static __global__ void __launch_bounds__(LT_ATTN_THREADS, 2)
    sum_tokens(const __grid_constant__ sum_plan<T> p) {
    typedef stage<T, M, KIND> Stage;
    __shared__ typename Stage::memory shared;
    int head = blockIdx.x % p.heads, segment_index = blockIdx.x / p.heads % p.boxes.count;
    int g = blockIdx.x / p.heads / p.boxes.count;
    int row_part = blockIdx.z / PARTS, column_part = blockIdx.z % PARTS;
    lt_attn_segment segment = lt_attn_segment_at(p.boxes, segment_index);
    int begin = blockIdx.y * p.chunk_tokens, end = min(begin + p.chunk_tokens, segment.tokens);
    if (begin >= end) return; /* a small segment has fewer chunks */

    Stage stage(p, g, head, row_part, column_part);
    int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    int row0 = row_part * LT_ATTN_CUDA_PART + M * ty, column0 = column_part * LT_ATTN_CUDA_PART + M * tx;
    bool active = row0 < p.dim && column0 < p.dim;
    float sum[M][M] = {};
    for (int first = begin; first < end; first += GROUP) {
        int count = min(GROUP, end - first);
        __syncthreads();
        if (threadIdx.x < count)
            shared.spots[threadIdx.x] = lt_attn_spot_at(p.boxes, segment, first + threadIdx.x);
        __syncthreads();
        stage.fetch(p, shared, 0, count);
        for (int n = 0, side = 0; n < count; n += Stage::TOKENS, side ^= 1) {
            stage.put(p, shared, side, n, count);
            __syncthreads();
            if (n + Stage::TOKENS < count) stage.fetch(p, shared, n + Stage::TOKENS, count);
            if (active) multiply<M>(shared.a[side], shared.x[side], ty, tx, sum);
        }
    }

    int64_t item = blockIdx.y * p.items + blockIdx.x;
    float *S = p.S + item * p.dim * p.dim, *z = p.z + item * p.dim + row_part * LT_ATTN_CUDA_PART;
#pragma unroll
    for (int i = 0; i < M; i++)
        if (active && row0 + i < p.dim)
            lt_attn_put_all<M>(S + (int64_t)(row0 + i) * p.dim + column0, sum[i], p.dim - column0, p.wide,
                               p.add);
    if (column_part == 0) stage.put_z(shared, z, min(p.dim - row_part * LT_ATTN_CUDA_PART, 16 * M), p.add);
}

/* Grid: items, then pieces of an item. */
static __global__ void __launch_bounds__(LT_ATTN_THREADS)
    fold_chunks(const __grid_constant__ lt_attn_fold_args p) {
    int64_t item = blockIdx.x, S_quads = p.S_size / 4;
    int64_t i = (int64_t)blockIdx.y * LT_ATTN_THREADS + threadIdx.x;
    int segment = (int)(item / p.heads % p.boxes.count);
    int chunks = (lt_attn_segment_at(p.boxes, segment).tokens - 1) / p.chunk_tokens + 1;
    if (i < S_quads) {
        const float *from = p.S_parts + item * p.S_size + 4 * i;
        float sum[4] = {};
#pragma unroll 4
        for (int c = 0; c < chunks; c++) {
            float part[4];
            lt_load_n<4>(from + c * p.items * p.S_size, part);
#pragma unroll
            for (int k = 0; k < 4; k++) sum[k] += part[k];
        }
        lt_attn_put<4>(p.S + item * p.S_size + 4 * i, sum, 4, p.wide, p.add);
    } else if (i - S_quads < p.z_size) {
        int64_t at = item * p.z_size + i - S_quads;
        float sum = 0;
#pragma unroll 4
        for (int c = 0; c < chunks; c++) sum += p.z_parts[c * p.items * p.z_size + at];
        lt_store_or_add(p.z + at, sum, p.add);
    }
}

lt_status lt_attn_fold(lt_ctx *ctx, const lt_attn_fold_args *args) {
    int64_t size = args->S_size / 4 + args->z_size;
    dim3 grid((unsigned)args->items, (unsigned)lt_ceil_div(size, LT_ATTN_THREADS));
    fold_chunks<<<grid, LT_ATTN_THREADS, 0, lt_cuda_stream(ctx)>>>(*args);
    return lt_cuda_launched();
}

template <typename T>
static lt_status launch(lt_ctx *ctx, const lt_attn_partials_args *args, float *S, float *z, bool add) {
    const int64_t *shape = args->a->shape;
    sum_plan<T> p;
    p.a = lt_attn_tokens_of<const T>(args->a);
    p.x = lt_attn_tokens_of<const T>(args->x);
    p.masses = args->masses;
    p.gain = args->gain;
    p.scale = args->scale;
    p.table = args->table;
    p.boxes = args->boxes;
    p.S = S;
    p.z = z;
    p.items = shape[0] * args->boxes.count * shape[2];
    p.block_tokens = (int)shape[1];
    p.heads = (int)shape[2];
    p.dim = (int)shape[3];
    p.chunk_tokens = args->chunks.tokens;
    p.wide = lt_attn_wide(S, p.dim, sizeof *S);
    p.add = add;
    dim3 grid((unsigned)p.items, (unsigned)args->chunks.count);
    LT_ATTN_BY_DIM(p.dim, M, PARTS, {
        grid.z = PARTS * PARTS;
        cudaStream_t stream = lt_cuda_stream(ctx);
        if (args->masses) sum_tokens<T, M, PARTS, WEIGHED><<<grid, LT_ATTN_THREADS, 0, stream>>>(p);
        else if (args->gain) sum_tokens<T, M, PARTS, NORMED><<<grid, LT_ATTN_THREADS, 0, stream>>>(p);
        else sum_tokens<T, M, PARTS, PLAIN><<<grid, LT_ATTN_THREADS, 0, stream>>>(p);
    });
    return lt_cuda_launched();
}

lt_status lt_attn_sum_partials(lt_ctx *ctx, const lt_attn_partials_args *args) {
    int64_t H = args->a->shape[2], D = args->a->shape[3];
    int64_t items = args->a->shape[0] * args->boxes.count * H;
    bool direct = args->chunks.count == 1;
    float *S = (float *)args->partial;
    float *z =
        (float *)((char *)args->partial + lt_attn_round(args->chunks.count * items * D * D * sizeof *S));
    if (direct) S = args->S, z = args->z;
    LT_CUDA_BY_DTYPE(args->a->dtype, T, LT_TRY(launch<T>(ctx, args, S, z, direct && args->add)));
    if (direct) return LT_OK;
    lt_attn_fold_args fold = {S, z, args->S, args->z, D * D, D, items};
    fold.heads = (int)H;
    fold.chunk_tokens = args->chunks.tokens;
    fold.boxes = args->boxes;
    fold.wide = lt_attn_wide(args->S, 4, sizeof(float));
    fold.add = args->add;
    return lt_attn_fold(ctx, &fold);
}
