/* Inside kernels/attention: 16 tokens of one head in the registers of a warp, on their way through an MMA. */
#ifndef LT_KERNELS_ATTENTION_MMA_STREAM_CUH
#define LT_KERNELS_ATTENTION_MMA_STREAM_CUH

#include "kernels/attention/mma_tile.cuh"

/* What an MMA makes in one go: all of a token's channels, or one group. */
template <int D> struct lt_mma_at_once {
    static constexpr int GROUPS = LT_MMA_HOPPER ? lt_mma_layout<D>::GROUPS : 1;
    static constexpr int PAIRS = LT_MMA_HOPPER ? lt_mma_layout<D>::PAIRS : 4;
};

/* Lane (g, t) holds its pairs of tokens 8 i + g. */
template <int D> struct lt_mma_tokens {
    static constexpr int WARP = 16,
                         BLOCK = WARP * LT_MMA_THREADS / 32; /* tokens that a warp, a block takes */
    uint32_t x[2][lt_mma_layout<D>::PAIRS];
};

/* `row` is channel 0 of token g of the tile; tokens from `last` on are zeros. */
template <int D>
static __device__ __forceinline__ void lt_mma_load(lt_mma_tokens<D> &to, const lt_bf16 *row, int stride,
                                                   int token, int last, int t) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        uint32_t(&x)[L::PAIRS] = to.x[i];
        const lt_bf16 *from = row + 8 * i * stride;
        bool there = token + 8 * i < last;
#pragma unroll
        for (int group = 0; group < L::GROUPS; group++) {
            const lt_bf16 *at = from + L::first_channel(group, t);
            if (group < L::WIDE) {
                uint4 v = lt_mma_stream16(at, there);
                x[4 * group] = v.x, x[4 * group + 1] = v.y, x[4 * group + 2] = v.z, x[4 * group + 3] = v.w;
            } else {
                uint2 v = lt_mma_stream8(at, there);
                x[4 * group] = v.x, x[4 * group + 1] = v.y;
            }
        }
    }
}

/* Places of the lane's two tokens; those from `last` on borrow the last one's. */
template <int D>
static __device__ __forceinline__ void lt_mma_places(lt_mma_place (&at)[2], const lt_mma_grid &grid,
                                                     int block, int token, int last) {
#pragma unroll
    for (int i = 0; i < 2; i++) at[i] = lt_mma_place_of<D>(grid, block, min(token + 8 * i, last - 1));
}

/* x = R features(x) for all tokens: of two pairs at a time, `gains` of both and what makes features of one with its
 * half of them. */
template <int D, typename Gains, typename Features>
static __device__ __forceinline__ void lt_mma_turn_features(lt_mma_tokens<D> &a, const float2 *turns,
                                                            const lt_mma_place (&at)[2], int t, Gains gains,
                                                            Features features) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int r = 0; r < L::PAIRS; r += 2) {
        auto gain = gains(r);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float4 two = lt_mma_two_turns<D>(turns, at[i], L::channel(r, t) / 2);
#pragma unroll
            for (int k = 0; k < 2; k++) {
                uint32_t &x = a.x[i][r + k];
                x = lt_mma_pack(lt_rope_turn(features(x, gain, k), lt_mma_turn_of(two, k)));
            }
        }
    }
}

/* x = R x for all tokens. */
template <int D>
static __device__ __forceinline__ void lt_mma_turn(lt_mma_tokens<D> &a, const float2 *turns,
                                                   const lt_mma_place (&at)[2], int t) {
    lt_mma_turn_features(
        a, turns, at, t, [](int) { return 0; }, [](uint32_t x, int, int) { return lt_mma_unpack(x); });
}

#if LT_MMA_HOPPER
/* value = the MMA of the lane's two tokens, low and high, with a matrix in the order that lt_mma_order_matrices makes,
 * after the next wait. All four warps of the block together. */
template <int D>
static __device__ __forceinline__ void lt_mma_rows_times(float (&value)[lt_mma_layout<D>::PAIRS][4],
                                                         const uint32_t *low, const uint32_t *high,
                                                         const uint4 *matrix) {
    using L = lt_mma_layout<D>;
    constexpr uint32_t HALF = L::PAIRS * 128;
    uint64_t b = lt_wgmma_at((uint32_t)__cvta_generic_to_shared(matrix), HALF, 128, LT_WGMMA_PLAIN);
    lt_wgmma_begin();
    lt_wgmma_rows_first(value, low[0], high[0], low[1], high[1], b);
#    pragma unroll
    for (int step = 1; step < L::STEPS; step++)
        lt_wgmma_rows_more(value, low[2 * step], high[2 * step], low[2 * step + 1], high[2 * step + 1],
                           b + (2 * HALF * step >> 4));
    lt_wgmma_send();
}
#endif

/* The next groups of channels of the MMA with a matrix in the order that lt_mma_order_matrices makes:
 * value[pair][2 * half + e] belongs to token `half` and channel e of that pair of these. */
template <int D>
static __device__ __forceinline__ void lt_mma_product(float (&value)[lt_mma_at_once<D>::PAIRS][4],
                                                      const lt_mma_tokens<D> &a, const uint4 *matrix,
                                                      int group, int lane) {
    using L = lt_mma_layout<D>;
#if LT_MMA_HOPPER
    lt_mma_rows_times<D>(value, a.x[0], a.x[1], matrix);
    lt_mma_products_wait();
#else
#    pragma unroll
    for (int n = 0; n < 4; n++)
#    pragma unroll
        for (int c = 0; c < 4; c++) value[n][c] = 0;
#    pragma unroll
    for (int step = 0; step < L::STEPS; step++)
#    pragma unroll
        for (int n = 0; n < L::pairs(group); n += 2) {
            uint4 b = matrix[(step * L::STEPS + 2 * group + n / 2) * 32 + lane];
            const uint32_t *low = a.x[0] + 2 * step, *high = a.x[1] + 2 * step;
            lt_mma(value[n], low[0], high[0], low[1], high[1], b.x, b.y);
            lt_mma(value[n + 1], low[0], high[0], low[1], high[1], b.z, b.w);
        }
#endif
}

/* 16-byte pieces into shared memory, all threads of a block together; complete after the next wait and barrier. */
static __device__ __forceinline__ void lt_mma_copy_matrix(uint4 *to, const uint4 *from, int pieces) {
    uint32_t address = (uint32_t)__cvta_generic_to_shared(to);
    for (int i = threadIdx.x; i < pieces; i += LT_MMA_THREADS)
        lt_mma_copy16(address + 16 * i, from + i, true);
    lt_mma_copies_end_group();
}

#endif
