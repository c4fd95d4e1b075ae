/* Inside kernels/attention: tiles of tokens on tensor cores.
 *
 * An MMA of tensor cores (m16n8k16) hands lane (g, t) = (lane / 4, lane % 4) fixed places of its operands: of the left
 * one rows g and g + 8 and two pairs of neighbouring columns a step, of the result rows g and g + 8 and one pair of
 * columns a tile. Which channel such a pair stands for is ours to choose, as long as both sides of a sum agree. We
 * choose it so that a lane holds of each token 8 consecutive channels of every 32: they come and go in 16-byte accesses
 * without shared memory, both channels of a rotation are in one register, and result pair r lies where operand pair r
 * lay. D % 32 = 16 leaves a last group of 16 channels, 4 a lane.
 */
#ifndef LT_KERNELS_ATTENTION_MMA_TILE_CUH
#define LT_KERNELS_ATTENTION_MMA_TILE_CUH

#include "kernels/attention/cuda_rope.cuh"
#include "kernels/attention/mma.h"
#include "kernels/wgmma.cuh"

enum { LT_MMA_THREADS = 128 };

template <int D> struct lt_mma_layout {
    static constexpr int PAIRS = D / 8;          /* of a token, in one lane */
    static constexpr int STEPS = D / 16;         /* of a sum over channels */
    static constexpr int GROUPS = (D + 31) / 32; /* of channels */
    static constexpr int WIDE = D / 32;          /* groups of 32; the one behind them has 16 */
    static constexpr int MATRIX = D * D / 8;     /* 16-byte pieces of S in bf16 */
    static constexpr int TIME = D / 2 - 2 * (D / 6),
                         ROW = D / 6;                 /* pairs that turn with time, and with the row */
    static constexpr int CHUNKS = D / 8;              /* 16-byte chunks of a token */
    static constexpr int PITCH = (D + 63) / 64 * 128; /* bytes between tokens in shared memory */
    static constexpr int TILE_BYTES = LT_MMA_TILE * PITCH;

    /* First channel of pair r of lane t. */
    static __host__ __device__ constexpr int channel(int r, int t) {
        return 32 * (r / 4) + (r < 4 * WIDE ? 8 : 4) * t + 2 * (r % 4);
    }
    /* Pairs of a group. */
    static __host__ __device__ constexpr int pairs(int group) { return group < WIDE ? 4 : 2; }
    static __host__ __device__ constexpr int first_channel(int group, int t) { return channel(4 * group, t); }
};

/* ---- two bf16 in a register -------------------------------------------------------------------------------------- */

static __device__ __forceinline__ float2 lt_mma_unpack(uint32_t x) {
    return make_float2(__uint_as_float(x << 16), __uint_as_float(x & 0xffff0000u));
}
static __device__ __forceinline__ uint32_t lt_mma_pack(float2 x) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(x.x, x.y);
    return *reinterpret_cast<uint32_t *>(&pair);
}
static __device__ __forceinline__ __nv_bfloat162 lt_mma_bf16x2(uint32_t x) {
    return *reinterpret_cast<__nv_bfloat162 *>(&x);
}
/* ReLU that keeps NaN. */
static __device__ __forceinline__ uint32_t lt_mma_relu(uint32_t x) {
    __nv_bfloat162 y = __hmax2_nan(lt_mma_bf16x2(x), lt_mma_bf16x2(0u));
    return *reinterpret_cast<uint32_t *>(&y);
}
/* 16 ones for each of the two that is positive. */
static __device__ __forceinline__ uint32_t lt_mma_positive(uint32_t x) {
    return __hgt2_mask(lt_mma_bf16x2(x), lt_mma_bf16x2(0u));
}
/* 16 ones for each of bits r and 16 + r. */
static __device__ __forceinline__ uint32_t lt_mma_mask_of(uint32_t bits, int r) {
    uint32_t mask; /* signs of bytes 1 and 3, each into two bytes */
    asm("prmt.b32 %0, %1, 0, 0xbb99;" : "=r"(mask) : "r"(bits << (15 - r)));
    return mask;
}
static __device__ __forceinline__ float2 lt_mma_masked(float2 x, uint32_t mask) {
    return make_float2(mask & 0xffff ? x.x : 0, mask >> 16 ? x.y : 0);
}
/* The sum over the four lanes that share a token. */
static __device__ __forceinline__ float lt_mma_quad_sum(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

/* ---- instructions that C++ has no word for ----------------------------------------------------------------------- */

static __device__ __forceinline__ void lt_mma(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                              uint32_t a3, uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
/* Four (two) 8 x 8 tiles transposed, of which lane 8 i + j points at row j of tile i. */
static __device__ __forceinline__ void lt_mma_transposed4(uint32_t (&x)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
}
static __device__ __forceinline__ void lt_mma_transposed2(uint32_t &x0, uint32_t &x1, uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(x0), "=r"(x1)
                 : "r"(address)
                 : "memory");
}
/* 16 bytes on their way to shared memory; zeros where the source is not `there`. */
static __device__ __forceinline__ void lt_mma_copy16(uint32_t to, const void *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(to), "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}
static __device__ __forceinline__ void lt_mma_copies_end_group() {
    asm volatile("cp.async.commit_group;" : : : "memory");
}
/* Until at most N groups of this thread's copies are under way. */
template <int N> static __device__ __forceinline__ void lt_mma_copies_wait() {
    asm volatile("cp.async.wait_group %0;" : : "n"(N) : "memory");
}
/* Operands are read once: they need no place in the first-level cache, which the angles do. Zeros where the source is
 * not `there`. */
static __device__ __forceinline__ uint4 lt_mma_stream16(const void *from, bool there) {
    uint4 x = make_uint4(0, 0, 0, 0);
    asm volatile("{.reg .pred p; setp.ne.b32 p, %5, 0; "
                 "@p ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];}"
                 : "+r"(x.x), "+r"(x.y), "+r"(x.z), "+r"(x.w)
                 : "l"(from), "r"((int)there));
    return x;
}
static __device__ __forceinline__ uint2 lt_mma_stream8(const void *from, bool there) {
    uint2 x = make_uint2(0, 0);
    asm volatile("{.reg .pred p; setp.ne.b32 p, %3, 0; @p ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];}"
                 : "+r"(x.x), "+r"(x.y)
                 : "l"(from), "r"((int)there));
    return x;
}

/* Stores as one access each, which the compiler would now and then split. */
static __device__ __forceinline__ void lt_mma_store16(void *to, uint32_t x, uint32_t y, uint32_t z,
                                                      uint32_t w) {
    asm volatile("st.global.v4.u32 [%0], {%1,%2,%3,%4};"
                 :
                 : "l"(to), "r"(x), "r"(y), "r"(z), "r"(w)
                 : "memory");
}
static __device__ __forceinline__ void lt_mma_store8(void *to, uint32_t x, uint32_t y) {
    asm volatile("st.global.v2.u32 [%0], {%1,%2};" : : "l"(to), "r"(x), "r"(y) : "memory");
}

/* ---- where a call's tokens and angles are ------------------------------------------------------------------------ */

/* Division of numbers below 2^31. */
struct lt_mma_divisor {
    uint32_t factor;
    int shift, divisor;
};
static inline lt_mma_divisor lt_mma_divide_by(int divisor) {
    int log = 0;
    while (((int64_t)1 << log) < divisor) log++;
    lt_mma_divisor by = {(uint32_t)(((uint64_t)1 << (31 + log)) / (uint32_t)divisor + 1), 31 + log, divisor};
    return by;
}
static __device__ __forceinline__ int lt_mma_quotient(int n, const lt_mma_divisor &by) {
    return (int)(((uint64_t)(uint32_t)n * by.factor) >> by.shift);
}

/* Rows [G, T, H, D] of one operand. */
struct lt_mma_rows {
    lt_bf16 *data;
    int64_t block, token; /* strides */
};
static inline lt_mma_rows lt_mma_rows_of(const lt_tensor *x) {
    lt_mma_rows rows = {(lt_bf16 *)x->data, x->stride[0], x->stride[1]};
    return rows;
}

/* What all four kernels are told: blocks of threads are (head, chunk, block and segment). */
struct lt_mma_grid {
    const float2 *turns; /* the table; frames, rows and columns follow each other */
    int rows, columns;   /* where they begin, in entries */
    int frames;          /* of a block */
    lt_mma_divisor height, width;
    int tokens, heads;            /* of a block */
    int segments, segment, chunk; /* segments a block, tokens a segment and a chunk */
};

/* A block of threads' own part. */
struct lt_mma_part {
    int block, head, first, last; /* tokens [first, last) */
    int64_t item;                 /* of [G, E, H] */
};
static __device__ __forceinline__ lt_mma_part lt_mma_part_of(const lt_mma_grid &grid) {
    lt_mma_part part;
    part.head = blockIdx.x;
    part.block = blockIdx.z / grid.segments;
    int begin = (blockIdx.z - part.block * grid.segments) * grid.segment;
    int end = grid.tokens - begin < grid.segment ? grid.tokens : begin + grid.segment;
    int offset = blockIdx.y * grid.chunk;
    part.first = end - begin < offset ? end : begin + offset;
    part.last = end - part.first < grid.chunk ? end : part.first + grid.chunk;
    part.item = (int64_t)blockIdx.z * grid.heads + part.head;
    return part;
}

/* Channel 0 of a token of the part's head. */
template <int D>
static __device__ __forceinline__ lt_bf16 *lt_mma_row(const lt_mma_rows &x, const lt_mma_part &part,
                                                      int token) {
    return x.data + (part.block * x.block + token * x.token + part.head * D);
}

/* Where a token's angles are: add a pair's number to one of them. */
struct lt_mma_place {
    int time, row, column;
};
template <int D>
static __device__ __forceinline__ lt_mma_place lt_mma_place_of(const lt_mma_grid &grid, int block,
                                                               int token) {
    using L = lt_mma_layout<D>;
    int line = lt_mma_quotient(token, grid.width), frame = lt_mma_quotient(line, grid.height);
    lt_mma_place place;
    place.time = (block * grid.frames + frame) * L::TIME;
    place.row = grid.rows + (line - frame * grid.height.divisor) * L::ROW - L::TIME;
    place.column = grid.columns + (token - line * grid.width.divisor) * L::ROW - (L::TIME + L::ROW);
    return place;
}

/* Cosine and sine of an even pair, and of the next one. */
template <int D>
static __device__ __forceinline__ float4 lt_mma_two_turns(const float2 *turns, const lt_mma_place &at,
                                                          int pair) {
    using L = lt_mma_layout<D>;
    auto entry = [&](int i) {
        return turns + ((i < L::TIME ? at.time : i < L::TIME + L::ROW ? at.row : at.column) + i);
    };
    if constexpr (L::TIME % 2 == 0 && L::ROW % 2 == 0) {
        return __ldg(reinterpret_cast<const float4 *>(entry(pair)));
    } else {
        float2 one = __ldg(entry(pair)), two = __ldg(entry(pair + 1));
        return make_float4(one.x, one.y, two.x, two.y);
    }
}
static __device__ __forceinline__ float2 lt_mma_turn_of(const float4 &turns, int which) {
    return which ? make_float2(turns.z, turns.w) : make_float2(turns.x, turns.y);
}

/* ---- tiles in shared memory: rows of 16-byte chunks -------------------------------------------------------------- */

/* Bytes of a panel: 32 channels of a tile's tokens. Where the warps of a block sum a tile up TOGETHER, by wgmma, it
 * lies in panels (kernels/wgmma.cuh), else in whole rows. */
enum { LT_MMA_PANEL = LT_MMA_TILE * 64 };

/* Chunks change places so that neither 8 tokens at one chunk nor two tokens at 4 chunks share a bank. */
static __device__ __forceinline__ int lt_mma_swap_of(int token) {
    return (token & 1) << 2 | (token >> 1 & 3);
}
template <int D, bool TOGETHER> static __device__ __forceinline__ int lt_mma_chunk_at(int token, int chunk) {
    if (TOGETHER) return (chunk >> 2) * LT_MMA_PANEL + token * 64 + (((chunk & 3) ^ (token >> 1 & 3)) << 4);
    return token * lt_mma_layout<D>::PITCH + ((chunk ^ lt_mma_swap_of(token)) << 4);
}

/* The pairs of one group of a token that lane t owns. */
template <int D, bool TOGETHER>
static __device__ __forceinline__ void lt_mma_take_group(uint32_t (&x)[4], const char *tile, int token,
                                                         int group, int t) {
    if (group < lt_mma_layout<D>::WIDE) {
        uint4 v = *reinterpret_cast<const uint4 *>(tile + lt_mma_chunk_at<D, TOGETHER>(token, 4 * group + t));
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    } else {
        int at = lt_mma_chunk_at<D, TOGETHER>(token, 4 * group + (t >> 1)) + (t & 1) * 8;
        uint2 v = *reinterpret_cast<const uint2 *>(tile + at);
        x[0] = v.x, x[1] = v.y, x[2] = x[3] = 0;
    }
}
template <int D, bool TOGETHER>
static __device__ __forceinline__ void lt_mma_put_group(char *tile, int token, int group, int t,
                                                        const uint32_t (&x)[4]) {
    if (group < lt_mma_layout<D>::WIDE) {
        *reinterpret_cast<uint4 *>(tile + lt_mma_chunk_at<D, TOGETHER>(token, 4 * group + t)) =
            make_uint4(x[0], x[1], x[2], x[3]);
    } else {
        int at = lt_mma_chunk_at<D, TOGETHER>(token, 4 * group + (t >> 1)) + (t & 1) * 8;
        *reinterpret_cast<uint2 *>(tile + at) = make_uint2(x[0], x[1]);
    }
}

/* One group of a row in memory = (or +=) values where the masks of their pairs have ones, 0 elsewhere; `row` is channel
 * 0 of the head. */
template <int D>
static __device__ __forceinline__ void lt_mma_write_group(lt_bf16 *row, int group, int t, float2 (&value)[4],
                                                          const uint32_t (&mask)[4], bool add) {
    using L = lt_mma_layout<D>;
    lt_bf16 *to = row + L::first_channel(group, t);
    if (group < L::WIDE) {
        uint4 *at = reinterpret_cast<uint4 *>(to);
        if (add) {
            uint4 old = *at;
            const uint32_t x[4] = {old.x, old.y, old.z, old.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float2 was = lt_mma_unpack(x[i]), more = lt_mma_masked(value[i], mask[i]);
                value[i] = make_float2(was.x + more.x, was.y + more.y);
            }
        }
        uint32_t x[4];
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = lt_mma_pack(value[i]) & (add ? ~0u : mask[i]);
        lt_mma_store16(at, x[0], x[1], x[2], x[3]);
    } else {
        uint2 *at = reinterpret_cast<uint2 *>(to);
        if (add) {
            uint2 old = *at;
            const uint32_t x[2] = {old.x, old.y};
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float2 was = lt_mma_unpack(x[i]), more = lt_mma_masked(value[i], mask[i]);
                value[i] = make_float2(was.x + more.x, was.y + more.y);
            }
        }
        uint32_t x[2];
#pragma unroll
        for (int i = 0; i < 2; i++) x[i] = lt_mma_pack(value[i]) & (add ? ~0u : mask[i]);
        lt_mma_store8(at, x[0], x[1]);
    }
}

#endif
