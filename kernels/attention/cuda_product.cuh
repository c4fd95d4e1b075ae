/* Inside kernels/attention: GEMMs of tokens with the S of their segment and head, for the generic CUDA kernels.
 *
 *     read        y_i = S^T (R_i phi(a_i)), divided by z . phi(a_i) where there is a z;
 *                 r = sum_i phi(a_i) / (z . phi(a_i))
 *     read back   w_i = R_i^T (S x_i), from which come gradients of a
 */
#ifndef LT_KERNELS_ATTENTION_CUDA_PRODUCT_CUH
#define LT_KERNELS_ATTENTION_CUDA_PRODUCT_CUH

#include "kernels/attention/cuda_tile.cuh"

typedef struct lt_attn_read_args {
    const lt_tensor *a, *y; /* [G, T, H, D] */
    const float *S;         /* [G, E, H, D, D] */
    const float *z;         /* [G, E, H, D], or NULL: no division */
    float *r;               /* per chunk, [chunks, G, E, H, D], or NULL */
    lt_rope_table table;
    lt_attn_boxes boxes;
    lt_attn_chunks chunks;
    bool add;          /* to y */
    const float *gain; /* [H, D]: phi(a_i gain) for phi(a_i), or NULL; only with z */
} lt_attn_read_args;
lt_status lt_attn_read(lt_ctx *ctx, const lt_attn_read_args *args);

/* da = w + z where a > 0: gradients of keys, with (S, z) the gradients of the state and x = v. Normalised: gradients of
 * queries, with x = dout, mass = z . phi(a) and m = -(w . phi(a)) / mass^2:
 *
 *     da = w / mass + z m where a > 0, 0 where mass = 0
 *
 * since g . o = (S g) . (R phi(a)) / mass: one GEMM gives both terms. */
typedef struct lt_attn_back_args {
    const lt_tensor *a, *x, *da; /* da may be empty */
    const float *S, *z;
    float2 *masses; /* out: (mass, m) [G, H, T], or NULL */
    lt_rope_table table;
    lt_attn_boxes boxes;
    lt_attn_chunks chunks;
    bool normalised, add;
} lt_attn_back_args;
lt_status lt_attn_back(lt_ctx *ctx, const lt_attn_back_args *args);

/* Tokens of a tile; each thread has 4 of them, from 4 * ty on. */
enum { LT_ATTN_TILE = 64 };

/* A block of threads' shared memory: one part of S (or of its transpose), whose rows are `depth` channels rounded up to
 * whole quads, and a tile of tokens, a row of `pitch` each. */
static inline int lt_attn_depth(int dim) { return (dim + 3) / 4 * 4; }
static inline int lt_attn_pitch(int dim) { return lt_attn_depth(dim) + 4; }

#ifdef __CUDACC__

/* The tokens of a chunk of a segment that a block of threads works on, tile by tile. */
struct lt_attn_span {
    int head, g, begin, end;
    lt_attn_segment segment;
};
__device__ __forceinline__ lt_attn_span lt_attn_span_of(const lt_attn_boxes &boxes, int heads,
                                                        int chunk_tokens) {
    lt_attn_span s;
    s.head = blockIdx.x % heads;
    s.g = blockIdx.x / heads / boxes.count;
    s.segment = lt_attn_segment_at(boxes, blockIdx.x / heads % boxes.count);
    s.begin = blockIdx.y * chunk_tokens;
    s.end = min(s.begin + chunk_tokens, s.segment.tokens);
    return s;
}

/* The places of the tile from token `first` of the segment on. */
__device__ __forceinline__ void lt_attn_place_tile(const lt_attn_boxes &boxes, const lt_attn_span &s,
                                                   int first, lt_attn_spot *spots) {
    int n = first + threadIdx.x;
    if (threadIdx.x < LT_ATTN_TILE && n < s.end) spots[threadIdx.x] = lt_attn_spot_at(boxes, s.segment, n);
}

/* sum[r][c] += rows[4 ty + r] . column of `matrix` that is the thread's channel c. */
template <int M>
__device__ __forceinline__ void lt_attn_product(const float *rows, int pitch, const float *matrix, int depth,
                                                int ty, int tx, float (&sum)[4][M]) {
    const float *row = rows + 4 * ty * pitch;
    for (int k = 0; k < depth; k += 4) {
        float a[4][4];
#    pragma unroll
        for (int r = 0; r < 4; r++) lt_load_n<4>(row + r * pitch + k, a[r]);
#    pragma unroll
        for (int c = 0; c < 4; c++) {
            float b[M];
            lt_attn_take<M>(matrix + (k + c) * 16 * M, tx, b);
#    pragma unroll
            for (int r = 0; r < 4; r++)
#    pragma unroll
                for (int j = 0; j < M; j++) sum[r][j] = fmaf(a[r][c], b[j], sum[r][j]);
        }
    }
}

#endif
#endif
