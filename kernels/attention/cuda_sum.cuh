/* Inside kernels/attention: sums over the tokens of each segment and head,
 *
 *     S = sum_i (R_i phi(a_i)) x_i^T      z = sum_i phi(a_i)
 *
 * or, with (mass_i, m_i) given per token, with x_i / mass_i for x_i (0 where mass_i = 0) and m_i phi(a_i) for phi(a_i);
 * or, with a norm, with phi(a_i scale_i gain) for phi(a_i).
 */
#ifndef LT_KERNELS_ATTENTION_CUDA_SUM_CUH
#define LT_KERNELS_ATTENTION_CUDA_SUM_CUH

#include "kernels/attention/cuda_tile.cuh"

typedef struct lt_attn_partials_args {
    const lt_tensor *a, *x; /* [G, T, H, D] */
    const float2 *masses;   /* [G, H, T], or NULL */
    lt_rope_table table;
    lt_attn_boxes boxes;
    lt_attn_chunks chunks;
    void *partial; /* lt_attn_sum_bytes */
    float *S, *z;  /* [G, E, H, D, D], [G, E, H, D] */
    bool add;
    const float *gain, *scale; /* [H, D], [G, T], or both NULL; never with masses */
} lt_attn_partials_args;

/* One launch, and one more where there are several chunks. */
lt_status lt_attn_sum_partials(lt_ctx *ctx, const lt_attn_partials_args *args);

/* Adds up partial sums of equal chunks, in order: S [chunks, items, S_size] and z [chunks, items, z_size], of items
 * (block, segment, head). Where a segment has fewer chunks, the rest is not read. S_size is a multiple of 4, or 0. */
typedef struct lt_attn_fold_args {
    const float *S_parts, *z_parts;
    float *S, *z;
    int64_t S_size, z_size, items;
    int heads, chunk_tokens;
    lt_attn_boxes boxes;
    bool wide, add; /* wide: S lies at a multiple of 16 bytes */
} lt_attn_fold_args;
lt_status lt_attn_fold(lt_ctx *ctx, const lt_attn_fold_args *args);

#endif
