#include "kernels/attention/cuda_rope.cuh"

#include <math.h>

/* Blocks a launch, threads a block. */
enum { BATCH = 256, THREADS = 128 };

/* What the table is made of; frequencies are computed on the host, like those of the reference. */
struct table_plan {
    double frequency[LT_ATTN_CUDA_DIM / 2];
    int64_t first_frame[BATCH];
    float2 *frames, *rows, *columns;
    int t, h, grid_frames, frame_entries, row_entries, column_entries;
};

/* The angle is carried with what its rounding dropped, and reduced by two words of 2 pi, so that positions up to 2^52
 * turn as exactly as small ones. Half turns need no further reduction. */
static __device__ float2 turn_by(double position, double frequency) {
    double angle = __dmul_rn(position, frequency), rest = fma(position, frequency, -angle);
    double turns = rint(angle * 0.15915494309189535);
    double left = fma(-turns, 6.283185307179586, angle);
    left = fma(-turns, 2.4492935982947064e-16, left) + rest;
    double sine, cosine;
    sincospi(left * 0.3183098861837907, &sine, &cosine);
    return make_float2((float)cosine, (float)sine);
}

static __global__ void __launch_bounds__(THREADS) fill_table(const __grid_constant__ table_plan p) {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;"); /* for kernels that await the table: mma_launch.cuh */
#endif
    int i = blockIdx.x * THREADS + threadIdx.x;
    if (i < p.frame_entries) {
        int frame = i / p.t, pair = i % p.t;
        int64_t position = p.first_frame[frame / p.grid_frames] + frame % p.grid_frames;
        p.frames[i] = turn_by((double)position, p.frequency[pair]);
        return;
    }
    i -= p.frame_entries;
    if (i < p.row_entries) {
        p.rows[i] = turn_by(i / p.h, p.frequency[p.t + i % p.h]);
        return;
    }
    i -= p.row_entries;
    if (i < p.column_entries) p.columns[i] = turn_by(i / p.h, p.frequency[p.t + p.h + i % p.h]);
}

static void set_frequencies(table_plan *p, const lt_rope *rope, int dim) {
    int part[3], pair = 0;
    lt_rope_split(dim, &part[0], &part[1], &part[2]);
    for (int axis = 0; axis < 3; axis++)
        for (int i = 0; i < part[axis] / 2; i++)
            p->frequency[pair++] = pow(rope->theta, -2.0 * i / part[axis]);
    p->t = part[0] / 2;
    p->h = part[1] / 2;
}

/* Entries of blocks [first, first + blocks), of which a launch takes as many as its argument has room for. */
static int batch_of(const lt_rope *rope, int pairs, int64_t blocks_left) {
    int64_t most = ((int64_t)1 << 30) / ((int64_t)rope->frames * (pairs > 0 ? pairs : 1));
    most = most < 1 ? 1 : most > BATCH ? BATCH : most;
    return (int)(blocks_left < most ? blocks_left : most);
}

lt_status lt_rope_table_fill(lt_ctx *ctx, const lt_rope *rope, const lt_attn_shape *shape, void *memory,
                             lt_rope_table *table) {
    table_plan p;
    set_frequencies(&p, rope, (int)shape->dim);
    int64_t block_entries = (int64_t)rope->frames * p.t;
    float2 *frames = (float2 *)memory, *rows = frames + shape->blocks * block_entries;
    p.grid_frames = rope->frames;
    p.rows = rows;
    p.columns = rows + (int64_t)rope->height * p.h;
    p.row_entries = rope->height * p.h;
    p.column_entries = rope->width * p.h;
    lt_rope_table filled = {frames, p.rows, p.columns, p.t, p.h, p.grid_frames};
    *table = filled;
    for (int64_t g = 0; g < shape->blocks;) {
        int blocks = batch_of(rope, p.t, shape->blocks - g);
        for (int i = 0; i < blocks; i++) p.first_frame[i] = rope->first_frame ? rope->first_frame[g + i] : 0;
        p.frames = frames + g * block_entries;
        p.frame_entries = (int)(blocks * block_entries);
        unsigned entries = (unsigned)p.frame_entries + p.row_entries + p.column_entries;
        fill_table<<<(entries + THREADS - 1) / THREADS, THREADS, 0, lt_cuda_stream(ctx)>>>(p);
        LT_TRY(lt_cuda_launched());
        p.row_entries = p.column_entries = 0; /* of all blocks: filled by now */
        g += blocks;
    }
    return LT_OK;
}
