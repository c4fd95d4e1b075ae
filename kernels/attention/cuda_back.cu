#include "kernels/attention/cuda_product.cuh"

template <typename T> struct back_plan {
    lt_attn_tokens<const T> a, x;
    lt_attn_tokens<T> da;
    const float *S, *z;
    float2 *masses;
    lt_rope_table table;
    lt_attn_boxes boxes;
    int64_t items;
    int heads, dim, block_tokens, chunk_tokens, depth, pitch;
    bool wide, add;
};

/* Rows [128 * part, + 16 M) of S become the columns of the matrix. Neighbouring threads read neighbouring rows, so that
 * their stores do not meet in one bank; the rest of what a row's access fetches waits in the cache for the next
 * turn. */
template <int M, typename T>
static __device__ __forceinline__ void load_transposed(const back_plan<T> &p, int part, float *matrix) {
    constexpr int TILE = 16 * M, GROUPS = LT_ATTN_THREADS / TILE;
    int i = threadIdx.x % TILE, row = part * LT_ATTN_CUDA_PART + i, place = lt_attn_place<M>(i);
    const float *S = p.S + ((int64_t)blockIdx.x * p.dim + row) * p.dim;
#pragma unroll 4
    for (int j = 4 * (threadIdx.x / TILE); j < p.depth; j += 4 * GROUPS) {
        lt_pack<float, 4> four = lt_attn_fetch<4>(S + j, row < p.dim ? p.dim - j : 0, p.wide);
#pragma unroll
        for (int c = 0; c < 4; c++) matrix[(j + c) * TILE + place] = four.v[c];
    }
}

/* x of a tile of `count` tokens, as it is. */
template <int M, int PARTS, typename T>
static __device__ __forceinline__ void load_tokens(const back_plan<T> &p, const lt_attn_span &s,
                                                   const lt_attn_spot *spots, int count, float *rows) {
    constexpr int QUADS = 4 * M, ROWS = LT_ATTN_THREADS / QUADS, PASSES = LT_ATTN_TILE / ROWS;
    int quad = threadIdx.x % QUADS, row = threadIdx.x / QUADS;
    const T *x = p.x.data + s.g * p.x.block + (int64_t)s.head * p.dim;
    lt_pack<T, 4> raw[PASSES][PARTS];
#pragma unroll
    for (int i = 0; i < PASSES * PARTS; i++) {
        int n = row + i / PARTS * ROWS, channel = 4 * (i % PARTS * QUADS + quad);
        int64_t token = n < count ? spots[n].token : 0;
        raw[i / PARTS][i % PARTS] =
            lt_attn_fetch<4>(x + token * p.x.token + channel, n < count ? p.dim - channel : 0, p.x.wide);
    }
#pragma unroll
    for (int i = 0; i < PASSES * PARTS; i++) {
        int n = row + i / PARTS * ROWS, channel = 4 * (i % PARTS * QUADS + quad);
        float four[4];
#pragma unroll
        for (int c = 0; c < 4; c++) four[c] = lt_load(&raw[i / PARTS][i % PARTS].v[c]);
        if (channel < p.depth) lt_attn_store_quad(rows + n * p.pitch + channel, four);
    }
}

/* One token's M channels from `channel` on: w, turned back in place, and a, of which left exist. */
template <int M, typename T>
static __device__ __forceinline__ void turn_back(const back_plan<T> &p, int g, const lt_attn_spot &spot,
                                                 const T *a, int channel, int left, float (&w)[M],
                                                 float (&value)[M]) {
    constexpr int N = lt_attn_width<M>;
#pragma unroll
    for (int j = 0; j < M; j += N) {
        lt_pack<T, N> raw = lt_attn_fetch<N>(a + channel + j, left - j, p.a.wide);
#pragma unroll
        for (int c = 0; c < N; c++) value[j + c] = lt_load(&raw.v[c]);
    }
#pragma unroll
    for (int j = 0; j < M; j += 2) {
        if (j >= left) continue;
        float2 angle = lt_rope_pair(p.table, g, spot, (channel + j) / 2);
        float2 turned = lt_rope_turn_back(make_float2(w[j], w[j + 1]), angle);
        w[j] = turned.x;
        w[j + 1] = turned.y;
    }
}

/* Over the 16 threads that share a token. */
static __device__ __forceinline__ float token_sum(float x) {
#pragma unroll
    for (int mask = 8; mask > 0; mask >>= 1) x += __shfl_xor_sync(~0u, x, mask);
    return x;
}

/* From w of a tile's tokens to da. All threads of a warp come here: they add up masses. */
template <int M, int PARTS, bool NORMALISED, typename T>
static __device__ __forceinline__ void put_tile(const back_plan<T> &p, const lt_attn_span &s,
                                                const lt_attn_spot *spots, int count, const float *z,
                                                float (&w)[PARTS][4][M]) {
    int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    int64_t head_at = (int64_t)s.head * p.dim;
#pragma unroll
    for (int r = 0; r < 4; r++) {
        int n = 4 * ty + r;
        bool exists = n < count;
        int64_t token = exists ? spots[n].token : 0;
        const T *a = p.a.data + s.g * p.a.block + token * p.a.token + head_at;
        float value[PARTS][M], mass = 0, dot = 0, scale = 1, m = 1;
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            int channel = part * LT_ATTN_CUDA_PART + M * tx;
            turn_back<M>(p, s.g, spots[n], a, channel, exists ? p.dim - channel : 0, w[part][r], value[part]);
#pragma unroll
            for (int j = 0; NORMALISED && j < M; j++) {
                float feature = lt_attn_phi(value[part][j]);
                mass = fmaf(z[channel + j], feature, mass);
                dot = fmaf(w[part][r][j], feature, dot);
            }
        }
        if (NORMALISED) {
            mass = token_sum(mass);
            dot = token_sum(dot);
            scale = mass == 0 ? 0 : 1 / mass;
            m = mass == 0 ? 0 : -(dot * scale) * scale;
            if (exists && tx == 0 && p.masses)
                p.masses[((int64_t)s.g * p.heads + s.head) * p.block_tokens + token] = make_float2(mass, m);
        }
        if (!exists || !p.da.data) continue;
        T *da = p.da.data + s.g * p.da.block + token * p.da.token + head_at;
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            int channel = part * LT_ATTN_CUDA_PART + M * tx;
            float gradient[M];
#pragma unroll
            for (int j = 0; j < M; j++) {
                float flows = NORMALISED ? fmaf(z[channel + j], m, w[part][r][j] * scale)
                                         : w[part][r][j] + z[channel + j];
                gradient[j] = value[part][j] > 0 && !(NORMALISED && mass == 0) ? flows : 0;
            }
            lt_attn_put_all<M>(da + channel, gradient, p.dim - channel, p.da.wide, p.add);
        }
    }
}

/* Grid: items, chunks. */
template <typename T, int M, int PARTS, bool NORMALISED>
static __global__ void __launch_bounds__(LT_ATTN_THREADS, PARTS == 1 ? 2 : 1)
    read_back(const __grid_constant__ back_plan<T> p) {
    constexpr int TILE = 16 * M;
    extern __shared__ float4 memory[];
    lt_attn_spot *spots = (lt_attn_spot *)memory;
    float *z = (float *)(spots + LT_ATTN_TILE), *matrix = z + PARTS * TILE, *rows = matrix + p.depth * TILE;
    lt_attn_span s = lt_attn_span_of(p.boxes, p.heads, p.chunk_tokens);
    if (s.begin >= s.end) return; /* a small segment has fewer chunks */
    int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    if (threadIdx.x < PARTS * TILE)
        z[threadIdx.x] = threadIdx.x < p.dim ? p.z[(int64_t)blockIdx.x * p.dim + threadIdx.x] : 0;
    if (PARTS == 1) load_transposed<M>(p, 0, matrix);

    for (int first = s.begin; first < s.end; first += LT_ATTN_TILE) {
        int count = min(LT_ATTN_TILE, s.end - first);
        __syncthreads();
        lt_attn_place_tile(p.boxes, s, first, spots);
        __syncthreads();
        load_tokens<M, PARTS>(p, s, spots, count, rows);
        float w[PARTS][4][M] = {};
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            if (PARTS > 1) {
                if (part > 0) __syncthreads();
                load_transposed<M>(p, part, matrix);
            }
            __syncthreads();
            if (4 * ty < count && part * LT_ATTN_CUDA_PART + M * tx < p.dim)
                lt_attn_product<M>(rows, p.pitch, matrix, p.depth, ty, tx, w[part]);
        }
        put_tile<M, PARTS, NORMALISED>(p, s, spots, count, z, w);
    }
}

template <typename T, int M, int PARTS, bool NORMALISED>
static lt_status launch_one(lt_ctx *ctx, const back_plan<T> &p, int chunks) {
    int floats = (PARTS + p.depth) * 16 * M + LT_ATTN_TILE * p.pitch;
    size_t bytes = LT_ATTN_TILE * sizeof(lt_attn_spot) + floats * sizeof(float);
    LT_TRY(lt_cuda_allow(read_back<T, M, PARTS, NORMALISED>, bytes));
    dim3 grid((unsigned)p.items, (unsigned)chunks);
    read_back<T, M, PARTS, NORMALISED><<<grid, LT_ATTN_THREADS, bytes, lt_cuda_stream(ctx)>>>(p);
    return lt_cuda_launched();
}

template <typename T> static lt_status launch(lt_ctx *ctx, const lt_attn_back_args *args) {
    const int64_t *shape = args->a->shape;
    back_plan<T> p;
    p.a = lt_attn_tokens_of<const T>(args->a);
    p.x = lt_attn_tokens_of<const T>(args->x);
    p.da = lt_attn_tokens_of<T>(args->da);
    p.S = args->S;
    p.z = args->z;
    p.masses = args->masses;
    p.table = args->table;
    p.boxes = args->boxes;
    p.items = shape[0] * args->boxes.count * shape[2];
    p.block_tokens = (int)shape[1];
    p.heads = (int)shape[2];
    p.dim = (int)shape[3];
    p.chunk_tokens = args->chunks.tokens;
    p.depth = lt_attn_depth(p.dim);
    p.pitch = lt_attn_pitch(p.dim);
    p.wide = lt_attn_wide(p.S, p.dim, sizeof *p.S);
    p.add = args->add;
    LT_ATTN_BY_DIM(p.dim, M, PARTS, {
        if (args->normalised) return launch_one<T, M, PARTS, true>(ctx, p, args->chunks.count);
        return launch_one<T, M, PARTS, false>(ctx, p, args->chunks.count);
    });
}

lt_status lt_attn_back(lt_ctx *ctx, const lt_attn_back_args *args) {
    LT_CUDA_BY_DTYPE(args->a->dtype, T, return launch<T>(ctx, args));
}
