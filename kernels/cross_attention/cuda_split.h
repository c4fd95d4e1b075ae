/* How the CUDA backward pass divides the sums over queries, and the workspace that CUDA takes. Plain C: the description
 * needs it.
 *
 * dk and dv of a text sum over all queries of all its groups. One block of threads walks over them for a block of keys;
 * where that would leave most of a GPU idle, queries are cut into chunks, whose sums are added in their order. */
#ifndef LT_KERNELS_CROSS_ATTENTION_CUDA_SPLIT_H
#define LT_KERNELS_CROSS_ATTENTION_CUDA_SPLIT_H

#include "kernels/cross_attention/cross_attention.h"

enum {
    LT_CROSS_CUDA_DIM = 256,    /* channels of a head, at most */
    LT_CROSS_CUDA_KEYS = 128,   /* of a block, at most */
    LT_CROSS_CUDA_QUERIES = 64, /* the unit in which queries are divided; units do not cross groups */
    LT_CROSS_CUDA_CHUNK = 2048, /* queries that make a chunk worth another kernel */
    LT_CROSS_CUDA_PIECES = 32, /* of a text's values, searched for the largest: as many as a warp has lanes */
    LT_CROSS_CUDA_BLOCKS =
        132 /* blocks of threads wanted; a constant, so that sums do not depend on the GPU */
};

typedef struct lt_cross_split {
    int64_t units_per_group, units; /* of one text */
    int64_t key_blocks, chunks;
} lt_cross_split;

static inline lt_cross_split lt_cross_split_of(int64_t G, int64_t T, int64_t H, int64_t B, int64_t L) {
    lt_cross_split split;
    split.units_per_group = (T + LT_CROSS_CUDA_QUERIES - 1) / LT_CROSS_CUDA_QUERIES;
    split.units = G / B * split.units_per_group;
    split.key_blocks = (L + LT_CROSS_CUDA_KEYS - 1) / LT_CROSS_CUDA_KEYS;
    int64_t wanted = LT_CROSS_CUDA_BLOCKS / (B * H * split.key_blocks);
    int64_t worth = G / B * T / LT_CROSS_CUDA_CHUNK;
    split.chunks = wanted < worth ? wanted : worth;
    if (split.chunks < 1) split.chunks = 1;
    return split;
}

/* [G, H, T]: dout . o of each row, padded to whole 256 bytes. */
static inline int64_t lt_cross_delta_floats(int64_t G, int64_t T, int64_t H) {
    return (G * H * T + 63) / 64 * 64;
}
/* Sums of one chunk: dk, then dv, each [B, L, H, D]. */
static inline int64_t lt_cross_chunk_floats(int64_t H, int64_t D, int64_t B, int64_t L) {
    return 2 * B * L * H * D;
}

/* The largest number in each piece of the values of B texts. */
static inline size_t lt_cross_largest_bytes(int64_t B) {
    return (size_t)(B * LT_CROSS_CUDA_PIECES) * sizeof(float);
}

static inline size_t lt_cross_attention_backward_cuda_bytes(const lt_tensor *q, const lt_tensor *k,
                                                            bool wants_text) {
    int64_t G = q->shape[0], T = q->shape[1], H = q->shape[2], D = q->shape[3], B = k->shape[0],
            L = k->shape[1];
    int64_t chunks = lt_cross_split_of(G, T, H, B, L).chunks;
    int64_t partial = chunks > 1 ? chunks * lt_cross_chunk_floats(H, D, B, L) : 0;
    return wants_text ? (size_t)(lt_cross_delta_floats(G, T, H) + partial) * sizeof(float) : 0;
}

#endif
