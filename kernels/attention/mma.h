/* Inside kernels/attention: the bf16 path on tensor cores, for NVIDIA GPUs from compute capability 8.0 on.
 *
 * It serves heads of 32, 64, 96, 112 or 128 channels in rows that 16-byte accesses can reach, and segments that are
 * whole frames, so that a segment's tokens follow each other. For all else there are the kernels in cuda_*.cu.
 *
 *     state            a block of threads sums one head over a chunk of tokens; a second launch adds the chunks up
 *     output           a warp takes 16 tokens at a time from memory to memory; S waits in shared memory
 *     state backward   the same with two MMAs
 *     output backward  both: da as output does it, dS as state does it
 *
 * Code for sm_90a multiplies by wgmma, except in `state`, which waits for memory whichever it takes and needs fewer
 * registers for mma.sync; all other code, that for plain sm_90 too, multiplies by mma.sync. In code for sm_90a the copy
 * engine carries the tokens of `state backward` (mma_box.cuh) where both gradients are asked for and neither is added
 * to. From sm_90 on an op's kernels overlap (lt_mma_launch).
 */
#ifndef LT_KERNELS_ATTENTION_MMA_H
#define LT_KERNELS_ATTENTION_MMA_H

#include "kernels/attention/grid.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Tokens of one segment are shared out over `count` chunks of `tokens`, a multiple of a tile, so that `items` segments
 * and heads give an H100 so many blocks of threads a multiprocessor: kernels that sum S keep it in registers, those
 * that read S have room for more, unless boxes of tokens take it from shared memory. Any GPU runs them. */
enum { LT_MMA_TILE = 64, LT_MMA_SUM_RESIDENT = 2, LT_MMA_READ_RESIDENT = 3, LT_MMA_BOX_RESIDENT = 2 };
/* Of `output`: the largest heads leave less room where it sums r as well. */
#define LT_MMA_OUTPUT_RESIDENT(dim, wants_r)                                                                 \
    ((wants_r) && (dim) > 112 ? LT_MMA_SUM_RESIDENT : LT_MMA_READ_RESIDENT)
typedef struct lt_mma_chunks {
    int count, tokens;
} lt_mma_chunks;
lt_mma_chunks lt_mma_chunks_of(int64_t items, int64_t segment_tokens, int resident);

/* Whether a shape is served at all: what a description may know. */
bool lt_attn_mma_fits(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box);

/* Workspaces, a function of sizes alone; 0 where the shape does not fit. */
size_t lt_attn_state_mma_bytes(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box);
size_t lt_attn_state_backward_mma_bytes(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box);
size_t lt_attn_output_mma_bytes(const lt_attn_shape *shape, const lt_rope *rope, bool wants_r);
size_t lt_attn_output_backward_mma_bytes(const lt_attn_shape *shape, const lt_rope *rope, bool wants_S);

/* Whether this call on this device is served: shape, dtype, alignment, capability. */
bool lt_attn_state_mma_serves(const lt_ctx *ctx, const lt_attn_state_args *args);
bool lt_attn_state_backward_mma_serves(const lt_ctx *ctx, const lt_attn_state_backward_args *args);
bool lt_attn_output_mma_serves(const lt_ctx *ctx, const lt_attn_output_args *args);
bool lt_attn_output_backward_mma_serves(const lt_ctx *ctx, const lt_attn_output_backward_args *args);

/* Only for calls that are served, on a workspace of the size above. */
lt_status lt_attn_state_mma(lt_ctx *ctx, const lt_attn_state_args *args, void *workspace);
lt_status lt_attn_state_backward_mma(lt_ctx *ctx, const lt_attn_state_backward_args *args, void *workspace);
lt_status lt_attn_output_mma(lt_ctx *ctx, const lt_attn_output_args *args, void *workspace);
lt_status lt_attn_output_backward_mma(lt_ctx *ctx, const lt_attn_output_backward_args *args, void *workspace);

#ifdef __cplusplus
}
#endif
#endif
