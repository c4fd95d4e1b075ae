/* Inside kernels/attention: workspaces of the CUDA functions, for the descriptions, which are built without CUDA too.
 * All of them depend on the sizes of a problem only, never on the device or on values.
 */
#ifndef LT_KERNELS_ATTENTION_CUDA_BYTES_H
#define LT_KERNELS_ATTENTION_CUDA_BYTES_H

#include "kernels/attention/grid.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What CUDA asks beyond the other backends: heads have at most so many channels, and tables fit 32-bit numbers. */
enum { LT_ATTN_CUDA_DIM = 256, LT_ATTN_CUDA_PART = 128 /* channels that one block of threads holds */ };
lt_status lt_attn_expect_cuda(const lt_ctx *ctx, const char *op, const lt_attn_shape *shape,
                              const lt_rope *rope);

/* Parts of a workspace begin at multiples of this. */
static inline size_t lt_attn_round(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* Cosines and sines (cuda_rope.cuh), the first part of every workspace. */
size_t lt_rope_table_bytes(const lt_rope *rope, const lt_attn_shape *shape);

/* A segment's tokens are shared out over `count` chunks of `tokens` (the last ones of a small segment may be short or
 * empty), so that `items` segments and heads, each a block of threads a chunk, fill a GPU; at least `least` tokens a
 * chunk. */
typedef struct lt_attn_chunks {
    int count, tokens;
} lt_attn_chunks;
lt_attn_chunks lt_attn_chunks_of(int64_t items, int64_t segment_tokens, int64_t least);

/* Of sums over tokens into S and z: partial sums in float32, where there is more than one chunk. */
lt_attn_chunks lt_attn_sum_chunks(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box);
size_t lt_attn_sum_bytes(const lt_attn_shape *shape, int64_t segments, lt_attn_chunks chunks);
/* Of GEMMs with S; r is a sum over tokens, so it wants few chunks and a partial sum each. */
lt_attn_chunks lt_attn_read_chunks(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box,
                                   bool wants_r);
size_t lt_attn_r_bytes(const lt_attn_shape *shape, lt_attn_chunks chunks);
/* z.a and m of every token and head, which output backward hands from one kernel to the next. */
size_t lt_attn_masses_bytes(const lt_attn_shape *shape);

/* Workspaces by op and direction. */
size_t lt_attn_state_cuda_bytes(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box);
size_t lt_attn_state_backward_cuda_bytes(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box);
size_t lt_attn_output_cuda_bytes(const lt_attn_shape *shape, const lt_rope *rope, bool wants_r);
size_t lt_attn_output_backward_cuda_bytes(const lt_attn_shape *shape, const lt_rope *rope, bool wants_S);

#ifdef __cplusplus
}
#endif
#endif
