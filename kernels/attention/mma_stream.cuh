/* Inside kernels/attention: 16 M tokens of one head in the registers of a warp, on their way through a product.
 *
 * A larger M halves what each token costs in reads of the matrix from shared memory; a smaller one leaves registers for more
 * warps.
 */
#ifndef LT_KERNELS_ATTENTION_MMA_STREAM_CUH
#define LT_KERNELS_ATTENTION_MMA_STREAM_CUH

#include "kernels/attention/mma_tile.cuh"

enum { LT_MMA_TILES = 1 }; /* the M that kernels take */

/* Lane (g, t) holds its pairs of tokens 8 i + g. */
template <int D, int M> struct lt_mma_tokens {
    static constexpr int WARP = 16 * M,
                         BLOCK = WARP * LT_MMA_THREADS / 32; /* tokens that a warp, a block takes */
    uint32_t x[2 * M][lt_mma_layout<D>::PAIRS];
};

/* `row` is channel 0 of token g of the tile; tokens from `last` on are zeros. */
template <int D, int M>
static __device__ __forceinline__ void lt_mma_load(lt_mma_tokens<D, M> &to, const lt_bf16 *row, int stride,
                                                   int token, int last, int t) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
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

/* Places of the lane's four tokens; those from `last` on borrow the last one's. */
template <int D, int M>
static __device__ __forceinline__ void lt_mma_places(lt_mma_place (&at)[2 * M], const lt_mma_grid &grid,
                                                     int block, int token, int last) {
#pragma unroll
    for (int i = 0; i < 2 * M; i++) at[i] = lt_mma_place_of<D>(grid, block, min(token + 8 * i, last - 1));
}

/* x = R x for all tokens. */
template <int D, int M>
static __device__ __forceinline__ void lt_mma_turn(lt_mma_tokens<D, M> &a, const float2 *turns,
                                                   const lt_mma_place (&at)[2 * M], int t) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int r = 0; r < L::PAIRS; r += 2)
#pragma unroll
        for (int i = 0; i < 2 * M; i++) {
            float4 two = lt_mma_two_turns<D>(turns, at[i], L::channel(r, t) / 2);
#pragma unroll
            for (int k = 0; k < 2; k++) {
                uint32_t &x = a.x[i][r + k];
                x = lt_mma_pack(lt_rope_turn(lt_mma_unpack(x), lt_mma_turn_of(two, k)));
            }
        }
}

/* One group of channels of the product with a matrix in the order that lt_mma_order_matrices makes:
 * value[m][pair][2 * half + e] belongs to token i = 2 m + half and channel e of that pair of the group. */
template <int D, int M>
static __device__ __forceinline__ void lt_mma_product(float (&value)[M][4][4], const lt_mma_tokens<D, M> &a,
                                                      const uint4 *matrix, int group, int lane) {
    using L = lt_mma_layout<D>;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int c = 0; c < 4; c++) value[m][n][c] = 0;
#pragma unroll
    for (int step = 0; step < L::STEPS; step++)
#pragma unroll
        for (int n = 0; n < L::pairs(group); n += 2) {
            uint4 b = matrix[(step * L::STEPS + 2 * group + n / 2) * 32 + lane];
#pragma unroll
            for (int m = 0; m < M; m++) {
                const uint32_t *low = a.x[2 * m] + 2 * step, *high = a.x[2 * m + 1] + 2 * step;
                lt_mma(value[m][n], low[0], high[0], low[1], high[1], b.x, b.y);
                lt_mma(value[m][n + 1], low[0], high[0], low[1], high[1], b.z, b.w);
            }
        }
}

/* 16-byte pieces into shared memory, all threads of a block together; complete after the next wait and barrier. */
static __device__ __forceinline__ void lt_mma_copy_matrix(uint4 *to, const uint4 *from, int pieces) {
    uint32_t address = (uint32_t)__cvta_generic_to_shared(to);
    for (int i = threadIdx.x; i < pieces; i += LT_MMA_THREADS)
        lt_mma_copy16(address + 16 * i, from + i, true);
    lt_mma_copies_end_group();
}

#endif
