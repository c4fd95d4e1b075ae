#include "kernels/attention/cuda_product.cuh"

/* y as it is; divided by z . features; and that of features of a gained. */
enum read_kind { PLAIN, DIVIDED, GAINED };

template <typename T> struct read_plan {
    lt_attn_tokens<const T> a;
    lt_attn_tokens<T> y;
    const float *S, *z, *gain;
    float *r;
    lt_rope_table table;
    lt_attn_boxes boxes;
    int64_t items;
    int heads, dim, chunk_tokens, depth, pitch;
    bool wide, add;
};

/* Columns [128 * part, + 16 M) of S, in rows of 16 * M floats. */
template <int M, typename T>
static __device__ __forceinline__ void load_matrix(const read_plan<T> &p, int part, float *matrix) {
    constexpr int QUADS = 4 * M, ROWS = LT_ATTN_THREADS / QUADS;
    int quad = threadIdx.x % QUADS, column = part * LT_ATTN_CUDA_PART + 4 * quad;
    const float *S = p.S + (int64_t)blockIdx.x * p.dim * p.dim + column;
#pragma unroll 4
    for (int i = threadIdx.x / QUADS; i < p.depth; i += ROWS) {
        lt_pack<float, 4> four =
            lt_attn_fetch<4>(S + (int64_t)i * p.dim, i < p.dim ? p.dim - column : 0, p.wide);
        lt_attn_store_quad(matrix + i * 16 * M + lt_attn_quad<M>(quad), four.v);
    }
}

/* What a thread does with features: it has the same PARTS quads of every token that it loads. */
template <typename T, int M, int PARTS, read_kind KIND> struct features {
    static constexpr bool NORMALISED = KIND != PLAIN;
    static constexpr int QUADS = 4 * M, ROWS = LT_ATTN_THREADS / QUADS, PASSES = LT_ATTN_TILE / ROWS;
    int quad, row;
    float z[PARTS][4], r[PARTS][4], gain[PARTS][4];

    __device__ __forceinline__ features(const read_plan<T> &p) {
        quad = threadIdx.x % QUADS;
        row = threadIdx.x / QUADS;
#pragma unroll
        for (int i = 0; i < 4 * PARTS; i++) {
            int channel = channel_of(i / 4) + i % 4;
            z[i / 4][i % 4] = NORMALISED && channel < p.dim ? p.z[(int64_t)blockIdx.x * p.dim + channel] : 0;
            r[i / 4][i % 4] = 0;
            if (KIND == GAINED)
                gain[i / 4][i % 4] =
                    channel < p.dim ? p.gain[(int)(blockIdx.x % p.heads) * p.dim + channel] : 0;
        }
    }
    __device__ __forceinline__ int channel_of(int part) const { return 4 * (part * QUADS + quad); }

    /* Features of a tile of `count` tokens, turned, into rows; z . features behind each row. */
    __device__ __forceinline__ void load(const read_plan<T> &p, const lt_attn_span &s,
                                         const lt_attn_spot *spots, int count, float *rows) {
        lt_pack<T, 4> raw[PASSES][PARTS];
        const T *a = p.a.data + s.g * p.a.block + (int64_t)s.head * p.dim;
#pragma unroll
        for (int i = 0; i < PASSES; i++)
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
                int n = row + i * ROWS, channel = channel_of(part);
                int64_t token = n < count ? spots[n].token : 0;
                raw[i][part] = lt_attn_fetch<4>(a + token * p.a.token + channel,
                                                n < count ? p.dim - channel : 0, p.a.wide);
            }
#pragma unroll
        for (int i = 0; i < PASSES; i++) {
            int n = row + i * ROWS;
            put(p, s.g, spots[n], n < count, raw[i], rows + n * p.pitch);
        }
    }

    __device__ __forceinline__ void put(const read_plan<T> &p, int g, const lt_attn_spot &spot, bool exists,
                                        const lt_pack<T, 4> (&raw)[PARTS], float *to) {
        float b[PARTS][4], mass = 0;
#pragma unroll
        for (int i = 0; i < 4 * PARTS; i++) {
            float x = lt_load(&raw[i / 4].v[i % 4]);
            b[i / 4][i % 4] = lt_attn_phi(KIND == GAINED ? x * gain[i / 4][i % 4] : x);
            mass = fmaf(b[i / 4][i % 4], z[i / 4][i % 4], mass);
        }
        if (NORMALISED) {
#pragma unroll
            for (int mask = QUADS / 2; mask > 0; mask >>= 1) mass += __shfl_xor_sync(~0u, mass, mask);
            float inverse = mass == 0 ? 0 : 1 / mass;
#pragma unroll
            for (int i = 0; i < 4 * PARTS; i++)
                if (mass != 0) r[i / 4][i % 4] = fmaf(b[i / 4][i % 4], inverse, r[i / 4][i % 4]);
            if (quad == 0) to[p.depth] = mass;
        }
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            int channel = channel_of(part);
            if (channel >= p.depth) continue;
#pragma unroll
            for (int c = 0; c < 4; c += 2) {
                float2 angle = make_float2(1, 0);
                if (exists && channel + c < p.dim) angle = lt_rope_pair(p.table, g, spot, (channel + c) / 2);
                float2 turned = lt_rope_turn(make_float2(b[part][c], b[part][c + 1]), angle);
                b[part][c] = turned.x;
                b[part][c + 1] = turned.y;
            }
            lt_attn_store_quad(to + channel, b[part]);
        }
    }

    /* r of this chunk: threads of one quad add up in the order of their rows. */
    __device__ __forceinline__ void put_r(const read_plan<T> &p, float *shared) {
        constexpr int WIDTH = PARTS * 16 * M;
        __syncthreads();
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            lt_attn_store_quad(shared + row * WIDTH + channel_of(part), r[part]);
        __syncthreads();
        int c = threadIdx.x;
        if (c >= p.dim) return;
        float sum = 0;
        for (int i = 0; i < ROWS; i++) sum += shared[i * WIDTH + c];
        p.r[(blockIdx.y * p.items + blockIdx.x) * p.dim + c] = sum;
    }
};

template <int M, bool NORMALISED, typename T>
static __device__ __forceinline__ void put_tile(const read_plan<T> &p, const lt_attn_span &s,
                                                const lt_attn_spot *spots, int count, const float *rows,
                                                int column, float (&sum)[4][M]) {
    T *y = p.y.data + s.g * p.y.block + (int64_t)s.head * p.dim + column;
#pragma unroll
    for (int r = 0; r < 4; r++) {
        int n = threadIdx.x / 16 * 4 + r;
        if (n >= count) continue;
        if (NORMALISED) {
            float mass = rows[n * p.pitch + p.depth], inverse = 1 / mass;
#pragma unroll
            for (int j = 0; j < M; j++) sum[r][j] = mass == 0 ? 0 : sum[r][j] * inverse;
        }
        lt_attn_put_all<M>(y + spots[n].token * p.y.token, sum[r], p.dim - column, p.y.wide, p.add);
    }
}

/* Grid: items, chunks, parts of the columns of S. */
template <typename T, int M, int PARTS, read_kind KIND>
static __global__ void __launch_bounds__(LT_ATTN_THREADS, PARTS == 1 ? 2 : 1)
    read_tokens(const __grid_constant__ read_plan<T> p) {
    constexpr bool NORMALISED = KIND != PLAIN;
    extern __shared__ float4 memory[];
    lt_attn_spot *spots = (lt_attn_spot *)memory; /* of two tiles */
    float *matrix = (float *)(spots + 2 * LT_ATTN_TILE), *rows = matrix + p.depth * 16 * M;
    lt_attn_span s = lt_attn_span_of(p.boxes, p.heads, p.chunk_tokens);
    if (s.begin >= s.end) return; /* a small segment has fewer chunks */
    int ty = threadIdx.x / 16, tx = threadIdx.x % 16, column = blockIdx.z * LT_ATTN_CUDA_PART + M * tx;

    lt_attn_place_tile(p.boxes, s, s.begin, spots);
    load_matrix<M>(p, blockIdx.z, matrix);
    features<T, M, PARTS, KIND> mine(p);
    for (int first = s.begin; first < s.end; first += LT_ATTN_TILE) {
        int count = min(LT_ATTN_TILE, s.end - first);
        __syncthreads();
        mine.load(p, s, spots, count, rows);
        __syncthreads();
        lt_attn_spot *next = (lt_attn_spot *)memory + (spots == (lt_attn_spot *)memory ? LT_ATTN_TILE : 0);
        lt_attn_place_tile(p.boxes, s, first + LT_ATTN_TILE, next);
        if (4 * ty < count && column < p.dim) {
            float sum[4][M] = {};
            lt_attn_product<M>(rows, p.pitch, matrix, p.depth, ty, tx, sum);
            put_tile<M, NORMALISED>(p, s, spots, count, rows, column, sum);
        }
        spots = next;
    }
    if (NORMALISED && p.r && blockIdx.z == 0) mine.put_r(p, matrix);
}

template <typename T, int M, int PARTS, read_kind KIND>
static lt_status launch_one(lt_ctx *ctx, const read_plan<T> &p, int chunks) {
    int floats = p.depth * 16 * M + LT_ATTN_TILE * p.pitch, for_r = PARTS * 1024;
    size_t bytes =
        2 * LT_ATTN_TILE * sizeof(lt_attn_spot) + (floats > for_r ? floats : for_r) * sizeof(float);
    LT_TRY(lt_cuda_allow(read_tokens<T, M, PARTS, KIND>, bytes));
    dim3 grid((unsigned)p.items, (unsigned)chunks, PARTS);
    read_tokens<T, M, PARTS, KIND><<<grid, LT_ATTN_THREADS, bytes, lt_cuda_stream(ctx)>>>(p);
    return lt_cuda_launched();
}

template <typename T> static lt_status launch(lt_ctx *ctx, const lt_attn_read_args *args) {
    const int64_t *shape = args->a->shape;
    read_plan<T> p;
    p.a = lt_attn_tokens_of<const T>(args->a);
    p.y = lt_attn_tokens_of<T>(args->y);
    p.S = args->S;
    p.z = args->z;
    p.gain = args->gain;
    p.r = args->r;
    p.table = args->table;
    p.boxes = args->boxes;
    p.items = shape[0] * args->boxes.count * shape[2];
    p.heads = (int)shape[2];
    p.dim = (int)shape[3];
    p.chunk_tokens = args->chunks.tokens;
    p.depth = lt_attn_depth(p.dim);
    p.pitch = lt_attn_pitch(p.dim);
    p.wide = lt_attn_wide(p.S, p.dim, sizeof *p.S);
    p.add = args->add;
    LT_ATTN_BY_DIM(p.dim, M, PARTS, {
        if (p.z && p.gain) return launch_one<T, M, PARTS, GAINED>(ctx, p, args->chunks.count);
        if (p.z) return launch_one<T, M, PARTS, DIVIDED>(ctx, p, args->chunks.count);
        return launch_one<T, M, PARTS, PLAIN>(ctx, p, args->chunks.count);
    });
}

lt_status lt_attn_read(lt_ctx *ctx, const lt_attn_read_args *args) {
    LT_CUDA_BY_DTYPE(args->a->dtype, T, return launch<T>(ctx, args));
}
