#include "kernels/attention/cuda_bytes.h"
#include "kernels/attention/mma.h"

/* Blocks of threads asked for: two waves of two on each multiprocessor of the largest GPU we plan for. */
enum { TARGET_BLOCKS = 4 * 132, CHUNK_STEP = 64 };

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Wide heads are shared out over two blocks of threads a side. */
static int64_t parts(const lt_attn_shape *shape) { return ceil_div(shape->dim, LT_ATTN_CUDA_PART); }

lt_status lt_attn_expect_cuda(const lt_ctx *ctx, const char *op, const lt_attn_shape *shape,
                              const lt_rope *rope) {
    if (ctx->backend != LT_BACKEND_CUDA) return LT_OK;
    LT_CHECK(shape->dim <= LT_ATTN_CUDA_DIM, LT_FAILED,
             "op %s: heads of %lld channels, expected at most %d on cuda", op, (long long)shape->dim,
             LT_ATTN_CUDA_DIM);
    int64_t positions = (int64_t)rope->frames + rope->height + rope->width;
    LT_CHECK(positions * shape->dim <= INT32_MAX && shape->tokens <= INT32_MAX / 2, LT_FAILED,
             "op %s: a grid of %d frames x %d rows x %d columns is too long on cuda", op, rope->frames,
             rope->height, rope->width);
    return LT_OK;
}

size_t lt_rope_table_bytes(const lt_rope *rope, const lt_attn_shape *shape) {
    int t, h, w;
    lt_rope_split((int)shape->dim, &t, &h, &w);
    int64_t entries = shape->blocks * rope->frames * (t / 2) + (int64_t)rope->height * (h / 2) +
                      (int64_t)rope->width * (w / 2);
    return lt_attn_round((size_t)entries * 2 * sizeof(float));
}

lt_attn_chunks lt_attn_chunks_of(int64_t items, int64_t segment_tokens, int64_t least) {
    int64_t count = TARGET_BLOCKS / items, most = ceil_div(segment_tokens, least);
    count = count > most ? most : count < 1 ? 1 : count;
    int64_t tokens = ceil_div(ceil_div(segment_tokens, count), CHUNK_STEP) * CHUNK_STEP;
    return (lt_attn_chunks){(int)ceil_div(segment_tokens, tokens), (int)tokens};
}

lt_attn_chunks lt_attn_sum_chunks(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box) {
    int64_t items = shape->blocks * lt_segment_count(rope, box) * shape->heads * parts(shape) * parts(shape);
    return lt_attn_chunks_of(items, lt_segment_tokens(rope, box, 0), 256);
}

size_t lt_attn_sum_bytes(const lt_attn_shape *shape, int64_t segments, lt_attn_chunks chunks) {
    if (chunks.count == 1) return 0;
    size_t heads = (size_t)(chunks.count * shape->blocks * segments * shape->heads);
    return lt_attn_round(heads * shape->dim * shape->dim * sizeof(float)) +
           lt_attn_round(heads * shape->dim * sizeof(float));
}

lt_attn_chunks lt_attn_read_chunks(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box,
                                   bool wants_r) {
    int64_t items = shape->blocks * lt_segment_count(rope, box) * shape->heads * parts(shape);
    return lt_attn_chunks_of(items, lt_segment_tokens(rope, box, 0), wants_r ? 256 : CHUNK_STEP);
}

size_t lt_attn_r_bytes(const lt_attn_shape *shape, lt_attn_chunks chunks) {
    size_t heads = (size_t)(chunks.count * shape->blocks * shape->heads);
    return chunks.count == 1 ? 0 : lt_attn_round(heads * shape->dim * sizeof(float));
}

size_t lt_attn_masses_bytes(const lt_attn_shape *shape) {
    return lt_attn_round((size_t)(shape->blocks * shape->heads * shape->tokens) * 2 * sizeof(float));
}

/* Either path must find room: the device decides which one serves a call. */
static size_t larger(size_t generic, size_t mma) { return generic > mma ? generic : mma; }

static lt_segment_box whole(const lt_rope *rope) {
    return (lt_segment_box){rope->frames, rope->height, rope->width};
}

size_t lt_attn_state_cuda_bytes(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box) {
    size_t sums = lt_attn_sum_bytes(shape, lt_segment_count(rope, box), lt_attn_sum_chunks(shape, rope, box));
    return larger(lt_rope_table_bytes(rope, shape) + sums, lt_attn_state_mma_bytes(shape, rope, box));
}

size_t lt_attn_state_backward_cuda_bytes(const lt_attn_shape *shape, const lt_rope *rope,
                                         lt_segment_box box) {
    return larger(lt_rope_table_bytes(rope, shape), lt_attn_state_backward_mma_bytes(shape, rope, box));
}

size_t lt_attn_output_cuda_bytes(const lt_attn_shape *shape, const lt_rope *rope, bool wants_r) {
    lt_attn_chunks chunks = lt_attn_read_chunks(shape, rope, whole(rope), wants_r);
    size_t generic = lt_rope_table_bytes(rope, shape) + (wants_r ? lt_attn_r_bytes(shape, chunks) : 0);
    return larger(generic, lt_attn_output_mma_bytes(shape, rope, wants_r));
}

size_t lt_attn_output_backward_cuda_bytes(const lt_attn_shape *shape, const lt_rope *rope, bool wants_S) {
    size_t sums = lt_attn_sum_bytes(shape, 1, lt_attn_sum_chunks(shape, rope, whole(rope)));
    size_t generic = lt_rope_table_bytes(rope, shape) + (wants_S ? lt_attn_masses_bytes(shape) + sums : 0);
    return larger(generic, lt_attn_output_backward_mma_bytes(shape, rope, wants_S));
}
