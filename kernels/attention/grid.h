/* Inside kernels/attention: checks that the descriptions share, and the boxes of segments. */
#ifndef LT_KERNELS_ATTENTION_GRID_H
#define LT_KERNELS_ATTENTION_GRID_H

#include "kernels/attention/attention.h"

/* Tokens [frame0, frame1) x [row0, row1) x [column0, column1) of a block's grid. */
typedef struct lt_segment_bounds {
    int frame0, frame1, row0, row1, column0, column1;
} lt_segment_bounds;
lt_segment_bounds lt_segment_at(const lt_rope *rope, lt_segment_box box, int index);

static inline int lt_segment_size(lt_segment_bounds b) {
    return (b.frame1 - b.frame0) * (b.row1 - b.row0) * (b.column1 - b.column0);
}

/* Sizes that all operands of one call share. */
typedef struct lt_attn_shape {
    int64_t blocks, tokens, heads, dim; /* G, T, H, D */
} lt_attn_shape;

/* Takes the shape from q or k, [G, T, H, D] with [H, D] contiguous; D even; the grid of `rope` holds T tokens. */
lt_status lt_attn_expect_shape(const lt_ctx *ctx, const char *op, const char *operand, const lt_tensor *t,
                               const lt_rope *rope, lt_attn_shape *out);
/* A further operand [G, T, H, D] with [H, D] contiguous and its own token stride. */
lt_status lt_attn_expect_tokens(const lt_ctx *ctx, const char *op, const char *operand, const lt_tensor *t,
                                bool optional, const lt_attn_shape *shape);
lt_status lt_attn_expect_box(const char *op, lt_segment_box box);

#endif
