/* Inside kernels/attention: sums of outer products over tokens, A^T B [D, D], of two tiles in shared memory. */
#ifndef LT_KERNELS_ATTENTION_MMA_OUTER_CUH
#define LT_KERNELS_ATTENTION_MMA_OUTER_CUH

#include "kernels/attention/mma_tile.cuh"

/* The four warps of a block hold a quarter each: a half of the rows, a half of the columns; TOGETHER, by wgmma, 16 of
 * every 64 rows, where rows from D on are of no meaning. */
template <int D, bool TOGETHER> struct lt_mma_outer {
    static constexpr int ROWS =
                             TOGETHER ? (D + 63) / 64 : (D / 16 + 1) / 2, /* tiles of 16 rows, of 8 columns */
        COLUMNS = TOGETHER ? D / 8 : D / 16;
    float sum[ROWS][COLUMNS][4];
};

template <int D, bool TOGETHER>
static __device__ __forceinline__ void lt_mma_outer_clear(lt_mma_outer<D, TOGETHER> &outer) {
#pragma unroll
    for (int i = 0; i < outer.ROWS; i++)
#pragma unroll
        for (int j = 0; j < outer.COLUMNS; j++)
#pragma unroll
            for (int c = 0; c < 4; c++) outer.sum[i][j][c] = 0;
}

#if LT_MMA_HOPPER
/* Adds LT_MMA_TILE tokens. Until lt_mma_products_wait, the tiles must stay as they are. */
template <int D>
static __device__ __forceinline__ void lt_mma_outer_add(lt_mma_outer<D, true> &outer, uint32_t a_tile,
                                                        uint32_t b_tile) {
    uint64_t a = lt_wgmma_at(a_tile, LT_MMA_PANEL, 512, LT_WGMMA_SWAP64),
             b = lt_wgmma_at(b_tile, LT_MMA_PANEL, 512, LT_WGMMA_SWAP64);
    lt_wgmma_begin();
#    pragma unroll
    for (int step = 0; step < LT_MMA_TILE / 16; step++)
#    pragma unroll
        for (int i = 0; i < outer.ROWS; i++)
            lt_wgmma_sum<D>(outer.sum[i], a + ((2 * LT_MMA_PANEL * i + 1024 * step) >> 4),
                            b + (1024 * step >> 4));
    lt_wgmma_send();
}
#endif
/* The same, warp by warp. */
template <int D>
static __device__ __forceinline__ void lt_mma_outer_add(lt_mma_outer<D, false> &outer, uint32_t a_tile,
                                                        uint32_t b_tile) {
    using L = lt_mma_layout<D>;
    constexpr int ROWS = outer.ROWS, COLUMNS = outer.COLUMNS;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, tile = lane >> 3, in_tile = lane & 7;
    int row0 = (warp & 1) * ROWS, column0 = (warp >> 1) * COLUMNS, swap = lt_mma_swap_of(in_tile);
    /* Tiles of A: tokens 0 to 7 of two chunks, then tokens 8 to 15; of B: tokens first, then chunks. */
    uint32_t a_row = a_tile + ((tile >> 1) * 8 + in_tile) * L::PITCH, a_chunk = 2 * row0 + (tile & 1);
    uint32_t b_row = b_tile + ((tile & 1) * 8 + in_tile) * L::PITCH, b_chunk = column0 + (tile >> 1);
#pragma unroll
    for (int step = 0; step < LT_MMA_TILE / 16; step++) {
        uint32_t a[ROWS][4], skip = 16 * step * L::PITCH;
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            if (row0 + i < D / 16) lt_mma_transposed4(a[i], a_row + skip + (((a_chunk + 2 * i) ^ swap) << 4));
#pragma unroll
        for (int j = 0; j < COLUMNS; j += 2) {
            uint32_t b[4], from = b_row + skip + (((b_chunk + j) ^ swap) << 4);
            if (j + 1 < COLUMNS) lt_mma_transposed4(b, from);
            else lt_mma_transposed2(b[0], b[1], from);
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                if (row0 + i >= D / 16) continue;
                lt_mma(outer.sum[i][j], a[i][0], a[i][1], a[i][2], a[i][3], b[0], b[1]);
                if (j + 1 < COLUMNS)
                    lt_mma(outer.sum[i][j + 1], a[i][0], a[i][1], a[i][2], a[i][3], b[2], b[3]);
            }
        }
    }
}

/* Writes the block's sum, [D, D] contiguous. */
template <int D, bool TOGETHER>
static __device__ __forceinline__ void lt_mma_outer_put(const lt_mma_outer<D, TOGETHER> &outer, float *to) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int row0 = TOGETHER ? warp : (warp & 1) * outer.ROWS;
    int column0 = TOGETHER ? 0 : (warp >> 1) * outer.COLUMNS;
    constexpr int apart = TOGETHER ? 4 : 1;
#pragma unroll
    for (int i = 0; i < outer.ROWS; i++) {
        if (row0 + apart * i >= D / 16) continue;
#pragma unroll
        for (int j = 0; j < outer.COLUMNS; j++) {
            float *at = to + (16 * (row0 + apart * i) + lane / 4) * D + 8 * (column0 + j) + 2 * (lane & 3);
            const float(&c)[4] = outer.sum[i][j];
            *reinterpret_cast<float2 *>(at) = make_float2(c[0], c[1]);
            *reinterpret_cast<float2 *>(at + 8 * D) = make_float2(c[2], c[3]);
        }
    }
}

/* How the threads of a block share out the chunks of a tile: a chunk each, and every ROWS-th token. */
template <int D> struct lt_mma_share {
    static constexpr int CHUNKS = D / 8;
    static constexpr int ROWS = LT_MMA_THREADS / CHUNKS >= 32 ? 32 : LT_MMA_THREADS / CHUNKS >= 16 ? 16 : 8;
    static_assert(CHUNKS * ROWS <= LT_MMA_THREADS, "a thread for each chunk of ROWS tokens");
    static constexpr int PASSES = LT_MMA_TILE / ROWS;
    int chunk, row;
    bool works;
};
/* Of a tile in panels, a warp takes 8 tokens of a panel, so that 8 lanes meet all banks. */
template <int D, bool TOGETHER>
static __device__ __forceinline__ lt_mma_share<D> lt_mma_share_of(int thread) {
    constexpr int PANELS = lt_mma_layout<D>::GROUPS;
    int warp = thread >> 5, lane = thread & 31;
    lt_mma_share<D> share;
    share.row = TOGETHER ? warp / PANELS * 8 + (lane >> 2) : thread / share.CHUNKS;
    share.chunk = TOGETHER ? warp % PANELS * 4 + (lane & 3) : thread - share.row * share.CHUNKS;
    share.works = share.row < share.ROWS && share.chunk < share.CHUNKS;
    return share;
}

/* Adds up what threads that share a chunk have summed, and writes it, [D]. `shared` holds ROWS * D floats that no one
 * uses any more. */
template <int D>
static __device__ __forceinline__ void lt_mma_share_put(const lt_mma_share<D> &share, const float (&sum)[8],
                                                        float *shared, float *to) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (share.works) shared[share.row * D + 8 * share.chunk + i] = sum[i];
    __syncthreads();
    int channel = threadIdx.x;
    if (channel >= D) return;
    float total = 0;
    for (int row = 0; row < share.ROWS; row++) total += shared[row * D + channel];
    to[channel] = total;
}

#endif
