/* Inside kernels/cross_attention: bf16 tensor cores (mma.sync m16n8k16: 16 x 16 by 16 x 8, sums in float32).
 *
 * Lane l of a warp holds, of a 16 x 8 block of sums, elements (l / 4, 2 (l % 4)) and the next, and the same eight rows
 * below. Two such blocks side by side, rounded to bf16, are a left operand of 16 x 16 as they lie.
 */
#ifndef LT_KERNELS_CROSS_ATTENTION_CUDA_MMA_CUH
#define LT_KERNELS_CROSS_ATTENTION_CUDA_MMA_CUH

#include "kernels/cross_attention/cuda_parts.cuh"

#ifdef __CUDACC__

/* A head of at most DIM channels, a multiple of 16: rows of a tile have 8 more, so that eight rows meet all banks. */
template <int DIM> struct lt_cross_head {
    static constexpr int steps = DIM / 16, blocks = DIM / 8, ld = DIM + 8;
};

typedef unsigned lt_cross_left[4]; /* 16 x 16 of a left operand */
typedef float lt_cross_sums[4];    /* 16 x 8 */

__device__ __forceinline__ int lt_cross_lane() { return threadIdx.x & 31; }
/* The first of the two rows and of the two columns that a lane holds. */
__device__ __forceinline__ int lt_cross_row() { return lt_cross_lane() / 4; }
__device__ __forceinline__ int lt_cross_column() { return lt_cross_lane() % 4 * 2; }

__device__ __forceinline__ void lt_cross_mma(lt_cross_sums &sum, const lt_cross_left &a, unsigned b0,
                                             unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ unsigned lt_cross_shared(const void *p) {
    return (unsigned)__cvta_generic_to_shared(p);
}

/* 16 rows by 16 columns of a tile as right operands: rows 0-7 in b[0], b[1], rows 8-15 in b[2], b[3]; sums get a column
 * for each row. */
template <int ld> __device__ __forceinline__ void lt_cross_rows(const lt_bf16 *tile, unsigned (&b)[4]) {
    int lane = lt_cross_lane();
    const lt_bf16 *p = tile + (lane % 8 + lane / 16 * 8) * ld + lane / 8 % 2 * 8;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                 : "r"(lt_cross_shared(p))
                 : "memory");
}
/* The same place transposed: columns 0-7 in b[0], b[1], columns 8-15 in b[2], b[3]; sums get a column for each
 * column. */
template <int ld> __device__ __forceinline__ void lt_cross_columns(const lt_bf16 *tile, unsigned (&b)[4]) {
    int lane = lt_cross_lane();
    const lt_bf16 *p = tile + lane % 16 * ld + lane / 16 * 8;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                 : "r"(lt_cross_shared(p))
                 : "memory");
}

/* sums[16][16 rows of `tile`] = left . rows over all channels. */
template <int DIM>
__device__ __forceinline__ void lt_cross_scores(const lt_cross_left (&left)[DIM / 16], const lt_bf16 *tile,
                                                lt_cross_sums (&sums)[2]) {
#    pragma unroll
    for (int i = 0; i < 8; i++) sums[i / 4][i % 4] = 0;
#    pragma unroll
    for (int k = 0; k < DIM / 16; k++) {
        unsigned b[4];
        lt_cross_rows<lt_cross_head<DIM>::ld>(tile + k * 16, b);
        lt_cross_mma(sums[0], left[k], b[0], b[1]);
        lt_cross_mma(sums[1], left[k], b[2], b[3]);
    }
}

/* sums[16][DIM] += weights[16][16] . 16 rows of `tile`. */
template <int DIM>
__device__ __forceinline__ void lt_cross_weigh(const lt_cross_left &weights, const lt_bf16 *tile,
                                               lt_cross_sums (&sums)[DIM / 8]) {
#    pragma unroll
    for (int k = 0; k < DIM / 16; k++) {
        unsigned b[4];
        lt_cross_columns<lt_cross_head<DIM>::ld>(tile + k * 16, b);
        lt_cross_mma(sums[2 * k], weights, b[0], b[1]);
        lt_cross_mma(sums[2 * k + 1], weights, b[2], b[3]);
    }
}

__device__ __forceinline__ unsigned lt_cross_pair(float low, float high) {
    unsigned bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}
__device__ __forceinline__ float lt_cross_low(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float lt_cross_high(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

__device__ __forceinline__ void lt_cross_round(const lt_cross_sums (&x)[2], lt_cross_left &out) {
#    pragma unroll
    for (int i = 0; i < 4; i++) out[i] = lt_cross_pair(x[i / 2][i % 2 * 2], x[i / 2][i % 2 * 2 + 1]);
}

/* 16 rows of memory as left operands; `valid` of them, and D channels, exist, the rest is zero. */
template <int DIM>
__device__ __forceinline__ void lt_cross_load_left(const lt_bf16 *from, int64_t stride, int64_t valid, int D,
                                                   lt_cross_left (&out)[DIM / 16]) {
    const lt_bf16 *p = from + lt_cross_row() * stride + lt_cross_column();
#    pragma unroll
    for (int k = 0; k < DIM / 16; k++)
#    pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = i % 2 * 8, column = k * 16 + i / 2 * 8;
            bool there = lt_cross_row() + row < valid && column < D; /* D is a multiple of 8 */
            out[k][i] = there ? *reinterpret_cast<const unsigned *>(p + row * stride + column) : 0;
        }
}

/* Sums times `scale` (of either row) to 16 rows of memory. */
template <int DIM>
__device__ __forceinline__ void lt_cross_store(const lt_cross_sums (&sums)[DIM / 8], const float (&scale)[2],
                                               int64_t stride, int64_t valid, int D, bool accumulate,
                                               lt_bf16 *to) {
    lt_bf16 *p = to + lt_cross_row() * stride + lt_cross_column();
#    pragma unroll
    for (int half = 0; half < 2; half++) {
        if (lt_cross_row() + half * 8 >= valid) continue;
#    pragma unroll
        for (int n = 0; n < DIM / 8; n++) {
            if (n * 8 >= D) continue;
            unsigned *at = reinterpret_cast<unsigned *>(p + half * 8 * stride + n * 8), old = 0;
            if (accumulate) old = *at;
            *at = lt_cross_pair(fmaf(sums[n][half * 2], scale[half], lt_cross_low(old)),
                                fmaf(sums[n][half * 2 + 1], scale[half], lt_cross_high(old)));
        }
    }
}

/* The same in e4m3, rounded to bf16 first. Of two blocks of eight channels lanes have two codes each, of a row above
 * and one below; neighbours change, so that one has four of the first block, the other four of the second. */
template <int DIM>
__device__ __forceinline__ void lt_cross_store_codes(const lt_cross_sums (&sums)[DIM / 8],
                                                     const float (&scale)[2], float factor, int64_t stride,
                                                     int64_t valid, int D, uint8_t *to) {
    bool second = lt_cross_lane() & 1;
    int column = second * 8 + lt_cross_column() / 4 * 4;
    uint8_t *p = to + lt_cross_row() * stride + column;
#    pragma unroll
    for (int n = 0; n < DIM / 8; n += 2) {
        unsigned codes[2];
#    pragma unroll
        for (int i = 0; i < 2; i++) {
            const lt_cross_sums &x = sums[n + i];
            unsigned above = lt_cross_pair(x[0] * scale[0], x[1] * scale[0]);
            unsigned below = lt_cross_pair(x[2] * scale[1], x[3] * scale[1]);
            codes[i] = lt_e4m3_two(lt_cross_low(above), lt_cross_high(above), factor) |
                       lt_e4m3_two(lt_cross_low(below), lt_cross_high(below), factor) << 16;
        }
        unsigned kept = second ? codes[1] : codes[0];
        unsigned other = __shfl_xor_sync(~0u, second ? codes[0] : codes[1], 1);
        unsigned left = second ? other : kept, right = second ? kept : other;
        if (n * 8 + column >= D) continue;
        unsigned *at = reinterpret_cast<unsigned *>(p + n * 8);
        if (lt_cross_row() < valid) *at = __byte_perm(left, right, 0x5410);
        at = reinterpret_cast<unsigned *>(p + 8 * stride + n * 8);
        if (lt_cross_row() + 8 < valid) *at = __byte_perm(left, right, 0x7632);
    }
}

/* Asks for `rows` rows of a tile, zero from `valid` on and behind D channels. */
template <int DIM>
__device__ __forceinline__ void lt_cross_ask(const lt_bf16 *from, int64_t stride, int rows, int64_t valid,
                                             int D, lt_bf16 *to) {
    constexpr int pieces = DIM / 8;
    for (int i = threadIdx.x; i < rows * pieces; i += blockDim.x) {
        int row = i / pieces, c = i % pieces * 8;
        bool there = row < valid && c < D;
        const lt_bf16 *p = there ? from + row * stride + c : from;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                         lt_cross_shared(to + row * lt_cross_head<DIM>::ld + c)),
                     "l"(p), "r"(there ? 16 : 0)
                     : "memory");
    }
}
__device__ __forceinline__ void lt_cross_ask_float(const float *from, bool there, float *to) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(lt_cross_shared(to)), "l"(from),
                 "r"(there ? 4 : 0)
                 : "memory");
}
/* What was asked for is a batch; waits until at most N batches are under way. */
__device__ __forceinline__ void lt_cross_batch() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void lt_cross_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* 2^x; scores are kept times log2 e. */
__device__ __forceinline__ float lt_cross_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
constexpr float lt_cross_log2e = 1.4426950408889634f;

/* Over the four lanes that share rows. */
__device__ __forceinline__ float lt_cross_quad_sum(float v) {
    v += __shfl_xor_sync(~0u, v, 1);
    return v + __shfl_xor_sync(~0u, v, 2);
}
__device__ __forceinline__ float lt_cross_quad_max(float v) {
    v = fmaxf(v, __shfl_xor_sync(~0u, v, 1));
    return fmaxf(v, __shfl_xor_sync(~0u, v, 2));
}

/* Keys, values and mask terms (times log2 e) of one head, as many as fit. `keys` is a multiple of 16. */
template <int DIM> struct lt_cross_text {
    static constexpr int ld = lt_cross_head<DIM>::ld;
    lt_bf16 *k, *v;
    float *terms;
    int keys;

    __device__ lt_cross_text(void *memory, int room) {
        k = (lt_bf16 *)memory, v = k + room * ld;
        terms = (float *)(v + room * ld);
        keys = room;
    }
    /* Fills it from token `first` on. All threads; a barrier before, if what it held is still read, is the caller's. */
    template <typename View>
    __device__ void load(const lt_cross_dims &n, const View &from_k, const View &from_v, int64_t text,
                         int64_t head, int64_t first) {
        lt_cross_ask<DIM>(from_k.at(text, first, head * n.D), from_k.token, keys, n.L - first, n.D, k);
        lt_cross_ask<DIM>(from_v.at(text, first, head * n.D), from_v.token, keys, n.L - first, n.D, v);
        lt_cross_batch();
        float visible = lt_cross_visible(n, text);
        for (int j = threadIdx.x; j < keys; j += blockDim.x)
            terms[j] = lt_cross_log2e * lt_cross_term(n, text, first + j, visible);
        lt_cross_wait<0>();
        __syncthreads();
    }
    static size_t bytes(int64_t room) { return (size_t)room * (2 * ld * sizeof(lt_bf16) + sizeof(float)); }
};

#endif

/* How queries are shared out where keys and values stay in shared memory: `splits` blocks a head, `room` keys at a
 * time. */
struct lt_cross_share {
    int splits, room;
};

/* `each` bytes a key; a block takes `queries` at a time. Blocks are to fill the GPU about twice, so that the last ones
 * to end leave little idle; no sum depends on it. */
static inline lt_status lt_cross_share_out(const lt_cross_dims &n, int64_t each, int64_t queries,
                                           int multiprocessors, lt_cross_share *out) {
    int device, bytes;
    LT_TRY(lt_cuda_check(cudaGetDevice(&device)));
    LT_TRY(lt_cuda_check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device)));
    int64_t room = bytes / each / 16 * 16, wanted = lt_ceil_div(n.L, 16) * 16;
    int64_t most = lt_ceil_div(n.T, queries), splits = 2 * (int64_t)multiprocessors / (n.G * n.H);
    out->room = (int)(wanted < room ? wanted : room);
    out->splits = (int)(splits < 1 ? 1 : splits > most ? most : splits);
    return LT_OK;
}

#endif
