#include "kernels/attention/grid.h"

#include <math.h>

/* Positions must be exact as float64. */
static const int64_t last_position = (int64_t)1 << 52;

static int boxes(int size, int box) { return (size - 1) / box + 1; }
static int smaller(int a, int b) { return a < b ? a : b; }

int lt_segment_count(const lt_rope *rope, lt_segment_box box) {
    return boxes(rope->frames, box.frames) * boxes(rope->height, box.height) * boxes(rope->width, box.width);
}

lt_segment_bounds lt_segment_at(const lt_rope *rope, lt_segment_box box, int index) {
    /* A box larger than the grid is the grid: cut it first, so that nothing below overflows. */
    box.frames = smaller(box.frames, rope->frames);
    box.height = smaller(box.height, rope->height);
    box.width = smaller(box.width, rope->width);
    int columns = boxes(rope->width, box.width), rows = boxes(rope->height, box.height);
    int frame = index / (rows * columns) * box.frames;
    int row = index / columns % rows * box.height, column = index % columns * box.width;
    return (lt_segment_bounds){frame,  smaller(rope->frames - box.frames, frame) + box.frames,
                               row,    smaller(rope->height - box.height, row) + box.height,
                               column, smaller(rope->width - box.width, column) + box.width};
}

int lt_segment_tokens(const lt_rope *rope, lt_segment_box box, int index) {
    return lt_segment_size(lt_segment_at(rope, box, index));
}

int lt_segment_first_frame(const lt_rope *rope, lt_segment_box box, int index) {
    return lt_segment_at(rope, box, index).frame0;
}

int lt_segment_frames(const lt_rope *rope, lt_segment_box box, int index) {
    lt_segment_bounds b = lt_segment_at(rope, box, index);
    return b.frame1 - b.frame0;
}

static lt_status expect_rope(const char *op, const lt_rope *rope, int64_t blocks, int64_t tokens) {
    bool positive = rope->frames > 0 && rope->height > 0 && rope->width > 0;
    LT_CHECK(positive && (int64_t)rope->frames * rope->height <= INT32_MAX / rope->width, LT_FAILED,
             "op %s: a grid of %d frames x %d rows x %d columns, expected 1 to 2^31 - 1 tokens", op,
             rope->frames, rope->height, rope->width);
    int64_t held = (int64_t)rope->frames * rope->height * rope->width;
    LT_CHECK(held == tokens, LT_FAILED, "op %s: %lld tokens, but a grid of %d x %d x %d = %lld", op,
             (long long)tokens, rope->frames, rope->height, rope->width, (long long)held);
    LT_CHECK(rope->theta > 0 && isfinite(rope->theta), LT_FAILED, "op %s: rope theta is %g, expected above 0",
             op, rope->theta);
    for (int64_t g = 0; rope->first_frame && g < blocks; g++)
        LT_CHECK(rope->first_frame[g] > -last_position && rope->first_frame[g] < last_position, LT_FAILED,
                 "op %s: block %lld starts at frame %lld, expected less than 2^52 either way", op,
                 (long long)g, (long long)rope->first_frame[g]);
    return LT_OK;
}

static lt_status expect_heads_dense(const char *op, const char *operand, const lt_tensor *t) {
    if (lt_is_empty(t)) return LT_OK;
    char text[160];
    bool dense = (t->shape[3] == 1 || t->stride[3] == 1) && (t->shape[2] == 1 || t->stride[2] == t->shape[3]);
    LT_CHECK(dense, LT_FAILED,
             "op %s: operand %s %s has head and channel strides %lld, %lld, expected %lld, 1; copy it first",
             op, operand, lt_tensor_text(t, text, sizeof text), (long long)t->stride[2],
             (long long)t->stride[3], (long long)t->shape[3]);
    return LT_OK;
}

lt_status lt_attn_expect_tokens(const lt_ctx *ctx, const char *op, const char *operand, const lt_tensor *t,
                                bool optional, const lt_attn_shape *shape) {
    LT_TRY(LT_EXPECT(op, operand, t, lt_ctx_dtype(ctx), optional, shape->blocks, shape->tokens, shape->heads,
                     shape->dim));
    return expect_heads_dense(op, operand, t);
}

lt_status lt_attn_expect_shape(const lt_ctx *ctx, const char *op, const char *operand, const lt_tensor *t,
                               const lt_rope *rope, lt_attn_shape *out) {
    LT_TRY(lt_attn_expect_tokens(ctx, op, operand, t, false, &(lt_attn_shape){-1, -1, -1, -1}));
    *out = (lt_attn_shape){t->shape[0], t->shape[1], t->shape[2], t->shape[3]};
    LT_CHECK(out->blocks > 0 && out->heads > 0 && out->dim > 0 && out->dim % 2 == 0 && out->dim <= INT32_MAX,
             LT_FAILED,
             "op %s: operand %s has %lld blocks, %lld heads of %lld channels, expected at least one of each "
             "and an "
             "even number of channels",
             op, operand, (long long)out->blocks, (long long)out->heads, (long long)out->dim);
    return expect_rope(op, rope, out->blocks, out->tokens);
}

lt_status lt_attn_expect_box(const char *op, lt_segment_box box) {
    LT_CHECK(box.frames > 0 && box.height > 0 && box.width > 0, LT_FAILED,
             "op %s: a segment of %d x %d x %d tokens, expected at least one each way", op, box.frames,
             box.height, box.width);
    return LT_OK;
}
