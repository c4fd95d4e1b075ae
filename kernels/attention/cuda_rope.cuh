/* Inside kernels/attention: where tokens stand and how they turn, for all CUDA kernels of the folder.
 *
 * Angles are computed in float64 once a call, into a table of float32 cosines and sines per position of each axis: the
 * frame table has rows for every block, rows and columns are the same in all blocks.
 */
#ifndef LT_KERNELS_ATTENTION_CUDA_ROPE_CUH
#define LT_KERNELS_ATTENTION_CUDA_ROPE_CUH

#include "kernels/attention/cuda_bytes.h"
#include "kernels/cuda.cuh"

/* A kernel argument. Each entry is (cosine, sine); pairs of channels 0 .. d/2 are those of time, rows, columns in
 * turn. */
typedef struct lt_rope_table {
    const float2 *frames;  /* [blocks, grid_frames, t] */
    const float2 *rows;    /* [height, h] */
    const float2 *columns; /* [width, h]: rows and columns have equally many pairs */
    int t, h;              /* pairs of channels that turn with time, and with the row */
    int grid_frames;
} lt_rope_table;

/* Fills the table at the start of a workspace, in one launch for up to 256 blocks. `memory` holds
 * lt_rope_table_bytes. */
lt_status lt_rope_table_fill(lt_ctx *ctx, const lt_rope *rope, const lt_attn_shape *shape, void *memory,
                             lt_rope_table *table);

/* A kernel argument: the grid of a block and its division into boxes, already cut to the grid. */
typedef struct lt_attn_boxes {
    int frames, height, width;             /* the grid */
    int box_frames, box_height, box_width; /* the largest box */
    int rows, columns;                     /* boxes down and across one frame */
    int count;                             /* boxes in the grid: segments E */
} lt_attn_boxes;

static inline lt_attn_boxes lt_attn_boxes_of(const lt_rope *rope, lt_segment_box box) {
    lt_attn_boxes b = {rope->frames, rope->height, rope->width};
    b.box_frames = box.frames < b.frames ? box.frames : b.frames;
    b.box_height = box.height < b.height ? box.height : b.height;
    b.box_width = box.width < b.width ? box.width : b.width;
    b.rows = (b.height - 1) / b.box_height + 1;
    b.columns = (b.width - 1) / b.box_width + 1;
    b.count = ((b.frames - 1) / b.box_frames + 1) * b.rows * b.columns;
    return b;
}

/* The whole grid as one box, for ops without segments. */
static inline lt_segment_box lt_attn_whole(const lt_rope *rope) {
    lt_segment_box box = {rope->frames, rope->height, rope->width};
    return box;
}

#ifdef __CUDACC__

/* One segment of a block: its first token's place, its width and height, how many tokens it holds. */
struct lt_attn_segment {
    int frame, row, column, height, width, tokens;
};

__device__ __forceinline__ lt_attn_segment lt_attn_segment_at(const lt_attn_boxes &b, int index) {
    lt_attn_segment s;
    s.frame = index / (b.rows * b.columns) * b.box_frames;
    s.row = index / b.columns % b.rows * b.box_height;
    s.column = index % b.columns * b.box_width;
    s.height = min(b.box_height, b.height - s.row);
    s.width = min(b.box_width, b.width - s.column);
    s.tokens = min(b.box_frames, b.frames - s.frame) * s.height * s.width;
    return s;
}

/* A token's index in its block, and its place. */
struct alignas(16) lt_attn_spot {
    int token, frame, row, column;
};

/* Token n of a segment, in the block's order. */
__device__ __forceinline__ lt_attn_spot lt_attn_spot_at(const lt_attn_boxes &b, const lt_attn_segment &s,
                                                        int n) {
    int line = n / s.width, frame = line / s.height;
    lt_attn_spot spot;
    spot.frame = s.frame + frame;
    spot.row = s.row + line - frame * s.height;
    spot.column = s.column + n - line * s.width;
    spot.token = (spot.frame * b.height + spot.row) * b.width + spot.column;
    return spot;
}

/* Cosine and sine for channels (2 * pair, 2 * pair + 1) of a token of block g. */
__device__ __forceinline__ float2 lt_rope_pair(const lt_rope_table &table, int64_t g,
                                               const lt_attn_spot &spot, int pair) {
    if (pair < table.t) return __ldg(table.frames + (g * table.grid_frames + spot.frame) * table.t + pair);
    pair -= table.t;
    if (pair < table.h) return __ldg(table.rows + (int64_t)spot.row * table.h + pair);
    return __ldg(table.columns + (int64_t)spot.column * table.h + pair - table.h);
}

/* R x and R^T x of one pair. */
__device__ __forceinline__ float2 lt_rope_turn(float2 x, float2 turn) {
    return make_float2(turn.x * x.x - turn.y * x.y, turn.y * x.x + turn.x * x.y);
}
__device__ __forceinline__ float2 lt_rope_turn_back(float2 x, float2 turn) {
    return make_float2(turn.x * x.x + turn.y * x.y, turn.x * x.y - turn.y * x.x);
}

/* ReLU that keeps NaN. */
__device__ __forceinline__ float lt_attn_phi(float x) { return x < 0 ? 0 : x; }

#endif
#endif
