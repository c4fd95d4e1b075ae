/* What the tensor-core path needs, from sizes alone; built without CUDA too. */
#include "kernels/attention/cuda_bytes.h"
#include "kernels/attention/mma.h"

/* What starting and ending a block of threads costs, in tiles. */
enum { MULTIPROCESSORS = 132, START = 6 };

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The count of chunks whose last wave of blocks ends first. */
lt_mma_chunks lt_mma_chunks_of(int64_t items, int64_t segment_tokens, int resident) {
    int64_t tiles = ceil_div(segment_tokens, LT_MMA_TILE), best = 1, least = INT64_MAX;
    int64_t slots = (int64_t)resident * MULTIPROCESSORS;
    for (int64_t count = 1; count <= tiles && count <= slots; count++) {
        int64_t cost = ceil_div(items * count, slots) * (ceil_div(tiles, count) + START);
        if (cost < least) least = cost, best = count;
    }
    int64_t each = ceil_div(tiles, best);
    lt_mma_chunks chunks = {(int)ceil_div(tiles, each), (int)(each * LT_MMA_TILE)};
    return chunks;
}

bool lt_attn_mma_fits(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box) {
    static const int64_t dims[] = {32, 64, 96, 112, 128};
    bool dim = false;
    for (int i = 0; i < (int)(sizeof dims / sizeof *dims); i++) dim = dim || shape->dim == dims[i];
    bool frames = box.height >= rope->height && box.width >= rope->width;
    int64_t grid_z = shape->blocks * (frames ? lt_segment_count(rope, box) : 1);
    return dim && frames && shape->tokens > 0 && grid_z <= 65535 &&
           shape->blocks * rope->frames + rope->height + rope->width <= INT32_MAX / shape->dim;
}

/* S in the order in which tensor cores take it, `matrices` times. */
static size_t matrix_bytes(const lt_attn_shape *s, int matrices) {
    size_t one = (size_t)(s->blocks * s->heads * s->dim * s->dim) * 2;
    return lt_attn_round(one) * (size_t)matrices;
}

static size_t partial_bytes(int64_t items, lt_mma_chunks chunks, int64_t floats) {
    return lt_attn_round((size_t)(items * chunks.count * floats) * sizeof(float));
}

static lt_segment_box whole(const lt_rope *rope) {
    lt_segment_box box = {rope->frames, rope->height, rope->width};
    return box;
}

size_t lt_attn_state_mma_bytes(const lt_attn_shape *s, const lt_rope *rope, lt_segment_box box) {
    if (!lt_attn_mma_fits(s, rope, box)) return 0;
    int64_t items = s->blocks * s->heads * lt_segment_count(rope, box);
    lt_mma_chunks chunks = lt_mma_chunks_of(items, lt_segment_tokens(rope, box, 0), LT_MMA_SUM_RESIDENT);
    return lt_rope_table_bytes(rope, s) + partial_bytes(items, chunks, s->dim * (s->dim + 1));
}

size_t lt_attn_state_backward_mma_bytes(const lt_attn_shape *s, const lt_rope *rope, lt_segment_box box) {
    if (!lt_attn_mma_fits(s, rope, box)) return 0;
    lt_attn_shape segments = *s;
    segments.blocks *= lt_segment_count(rope, box);
    return lt_rope_table_bytes(rope, s) + matrix_bytes(&segments, 2);
}

size_t lt_attn_output_mma_bytes(const lt_attn_shape *s, const lt_rope *rope, bool wants_r) {
    if (!lt_attn_mma_fits(s, rope, whole(rope))) return 0;
    int64_t items = s->blocks * s->heads;
    lt_mma_chunks chunks = lt_mma_chunks_of(items, s->tokens, LT_MMA_OUTPUT_RESIDENT(s->dim, wants_r));
    return lt_rope_table_bytes(rope, s) + matrix_bytes(s, 1) +
           (wants_r ? partial_bytes(items, chunks, s->dim) : 0);
}

size_t lt_attn_output_backward_mma_bytes(const lt_attn_shape *s, const lt_rope *rope, bool wants_S) {
    if (!lt_attn_mma_fits(s, rope, whole(rope))) return 0;
    int64_t items = s->blocks * s->heads;
    lt_mma_chunks chunks = lt_mma_chunks_of(items, s->tokens, LT_MMA_SUM_RESIDENT);
    return lt_rope_table_bytes(rope, s) + matrix_bytes(s, 1) +
           (wants_S ? partial_bytes(items, chunks, s->dim * (s->dim + 1)) : 0);
}
