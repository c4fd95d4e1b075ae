/* Inside kernels/cross_attention: where the Hopper kernel keeps a head's keys and values, by which its MMAs find them
 * (kernels/wgmma.cuh).
 *
 * Lanes take and give pairs of channels as kernels/attention/mma_tile.cuh has it: 16 bytes of a token at a time. So
 * what an MMA takes for channels 2 t and 2 t + 1 of its pair r of eights are channels(r, t) and the next, in keys and
 * values alike. */
#ifndef LT_KERNELS_CROSS_ATTENTION_CUDA_WGMMA_CUH
#define LT_KERNELS_CROSS_ATTENTION_CUDA_WGMMA_CUH

#include "kernels/attention/mma_stream.cuh"
#include "kernels/cross_attention/cuda_mma.cuh"

enum {
    LT_CROSS_TEAMS = 2,    /* of four warps, which multiply together */
    LT_CROSS_TEAM = 128,   /* threads */
    LT_CROSS_ROWS = 64,    /* queries of a team at a time */
    LT_CROSS_EIGHTS = 19,  /* of keys, in one MMA */
    LT_CROSS_PRODUCTS = 2, /* that cover all keys */
    LT_CROSS_KEYS = LT_CROSS_PRODUCTS * LT_CROSS_EIGHTS * 8
};

/* Bytes in shared memory; of key `token`, pair r of lane t starts at key(token, r, t). Terms are times log2 e. */
template <int D> struct lt_cross_place {
    static constexpr int HALF = LT_CROSS_KEYS * 16; /* eight channels of all keys */
    static constexpr int VALUES = D / 8 * HALF;
    static constexpr int PANEL = LT_CROSS_KEYS * 64; /* 32 channels of all values */
    static constexpr int TERMS = VALUES + lt_mma_layout<D>::GROUPS * PANEL;
    static constexpr int BYTES = TERMS + LT_CROSS_KEYS * 4;
    static_assert(VALUES % 512 == 0 && PANEL % 512 == 0, "places change within 512 bytes");

    static __host__ __device__ constexpr int key(int token, int r, int t) {
        return r * HALF + token * 16 + t * 4;
    }
    static __host__ __device__ constexpr int value(int token, int r, int t) {
        return VALUES + r / 4 * PANEL + token * 64 + ((r % 4 ^ token / 2 % 4) << 4) + t * 4;
    }
    /* What descriptors of MMAs are moved on by: to the next keys, to the next 16 channels of keys, to the next 16
     * values. */
    static constexpr int NEXT_KEYS = LT_CROSS_EIGHTS * 128, NEXT_CHANNELS = 2 * HALF, NEXT_VALUES = 16 * 64;
};

#endif
