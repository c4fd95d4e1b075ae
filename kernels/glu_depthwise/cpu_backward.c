#include "kernels/glu_depthwise/cpu_tile.h"

#include <omp.h>

/* Sums over pixels stay in float32 for this many pixels at most, then go to float64. */
enum { FLUSH_PIXELS = 1024, MAX_CHUNKS = 16 };

/* Frames are summed in chunks whose number depends on the shape alone. */
static int64_t chunks_of(lt_glu_shape s) { return s.frames < MAX_CHUNKS ? s.frames : MAX_CHUNKS; }

/* Scratch of one thread, for u and for g: rings of SiLU(x), SiLU'(x) and dh, and one row of h (later of ds).
 */
static int64_t thread_floats(const lt_glu_layout *l) { return 2 * (9 * l->row + l->line); }

/* Float64 sums of one chunk of frames: [10][2R], the taps and the bias. */
static int64_t chunk_doubles(lt_glu_shape s) { return 10 * 2 * s.half; }

size_t lt_glu_depthwise_backward_cpu_workspace(lt_glu_shape s) {
    lt_glu_layout l = lt_glu_layout_of(s);
    return (size_t)(lt_threads() * thread_floats(&l)) * sizeof(float) +
           (size_t)(chunks_of(s) * chunk_doubles(s)) * sizeof(double);
}

/* One work item: a tile of channels over a chunk of frames. */
typedef struct backward_tile {
    const lt_glu_depthwise_backward_args *args;
    lt_glu_shape s;
    lt_glu_layout l;
    int64_t first, count;
    float *silu[2], *slope[2], *dh[2], *h[2]; /* rings of SiLU(x), SiLU'(x), dh; a row of h */
    _Alignas(64) lt_glu_taps taps[2], flipped[2], sums[2];
    int64_t pending; /* pixels in sums */
    double *total;   /* [10][2R] of this chunk */
} backward_tile;

LT_INLINE void silu_pixel(const float *x, float *silu, float *slope, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++) {
        float sigmoid = lt_vec_sigmoid(x[c]);
        silu[c] = x[c] * sigmoid;
        slope[c] = sigmoid * (1 + x[c] * (1 - sigmoid));
    }
}

static void silu_row(const backward_tile *t, const float *x, float *silu, float *slope) {
    for (int64_t j = 0; j < t->s.width; j++) {
        const float *in = x + j * 2 * t->s.half;
        lt_glu_prefetch(in, t->s.width * 2 * t->s.half);
        int64_t at = (j + 1) * LT_GLU_TILE;
        if (t->count == LT_GLU_TILE) silu_pixel(in, silu + at, slope + at, LT_GLU_TILE);
        else silu_pixel(in, silu + at, slope + at, t->count);
    }
}

/* du = dy SiLU(g), dg = dy u SiLU'(g) */
LT_INLINE void gate_pixel(const float *dy, const float *u, const float *g, float *du, float *dg,
                          int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++) {
        float sigmoid = lt_vec_sigmoid(g[c]);
        du[c] = dy[c] * g[c] * sigmoid;
        dg[c] = dy[c] * u[c] * sigmoid * (1 + g[c] * (1 - sigmoid));
    }
}

static void gate_row(const backward_tile *t, const float *dy, float *du, float *dg) {
    for (int64_t j = 0; j < t->s.width; j++) {
        int64_t at = j * LT_GLU_TILE, out = at + LT_GLU_TILE;
        const float *in = dy + j * t->s.half, *u = t->h[0] + at, *g = t->h[1] + at;
        lt_glu_prefetch(in, t->s.width * t->s.half);
        if (t->count == LT_GLU_TILE) gate_pixel(in, u, g, du + out, dg + out, LT_GLU_TILE);
        else gate_pixel(in, u, g, du + out, dg + out, t->count);
    }
}

/* sums += dh times the three rows of SiLU(x) around it; the ten sums stay in registers. */
static void weight_row(const float *const rows[3], const float *dh, lt_glu_taps sums, int64_t width) {
    for (int64_t lane = 0; lane < LT_GLU_TILE; lane += LT_GLU_LANES) {
        lt_glu_lanes sum[10];
        for (int k = 0; k < 10; k++) sum[k] = *(lt_glu_lanes *)&sums[k][lane];
        for (int64_t j = 0; j < width; j++) {
            int64_t at = j * LT_GLU_TILE + lane;
            lt_glu_lanes d = *(const lt_glu_lanes *)(dh + at + LT_GLU_TILE);
#pragma GCC unroll 9
            for (int k = 0; k < 9; k++)
                sum[k] += d * *(const lt_glu_lanes *)(rows[k / 3] + at + k % 3 * LT_GLU_TILE);
            sum[9] += d;
        }
        for (int k = 0; k < 10; k++) *(lt_glu_lanes *)&sums[k][lane] = sum[k];
    }
}

static void flush_sums(backward_tile *t) {
    for (int g = 0; g < 2; g++)
        for (int k = 0; k < 10; k++) {
            double *total = t->total + (2 * k + g) * t->s.half + t->first;
            for (int64_t c = 0; c < t->count; c++) total[c] += t->sums[g][k][c];
        }
    memset(t->sums, 0, sizeof t->sums);
    t->pending = 0;
}

LT_INLINE void store_pixel(const float *ds, const float *slope, float *dx, bool add, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++) dx[c] = (add ? dx[c] : 0) + ds[c] * slope[c];
}

static void store_row(const backward_tile *t, const float *ds, const float *slope, float *dx) {
    bool add = t->args->accumulate_dx;
    for (int64_t j = 0; j < t->s.width; j++) {
        int64_t at = j * LT_GLU_TILE, at_slope = at + LT_GLU_TILE;
        float *out = dx + j * 2 * t->s.half;
        lt_glu_prefetch_write(out, t->s.width * 2 * t->s.half);
        if (t->count < LT_GLU_TILE) store_pixel(ds + at, slope + at_slope, out, add, t->count);
        else if (add) store_pixel(ds + at, slope + at_slope, out, true, LT_GLU_TILE);
        else store_pixel(ds + at, slope + at_slope, out, false, LT_GLU_TILE);
    }
}

/* Row i: SiLU of the row below, h and dh of this one, and what dh adds to dw. */
static void descend(backward_tile *t, const float *x, const float *dy, int64_t i) {
    const lt_glu_layout *l = &t->l;
    const float *rows[2][3];
    for (int g = 0; g < 2; g++) {
        float *below = lt_glu_ring(t->silu[g], l, i + 1);
        if (i + 1 < t->s.height)
            silu_row(t, x + (i + 1) * t->s.width * 2 * t->s.half + g * t->s.half, below,
                     lt_glu_ring(t->slope[g], l, i + 1));
        else memset(below, 0, (size_t)l->row * sizeof(float));
        rows[g][0] = lt_glu_ring(t->silu[g], l, i - 1);
        rows[g][1] = lt_glu_ring(t->silu[g], l, i);
        rows[g][2] = below;
        lt_glu_conv_row(rows[g], t->taps[g], t->h[g], l);
    }
    float *dh[2] = {lt_glu_ring(t->dh[0], l, i), lt_glu_ring(t->dh[1], l, i)};
    gate_row(t, dy + i * t->s.width * t->s.half, dh[0], dh[1]);
    if (lt_is_empty(&t->args->dw)) return;
    for (int g = 0; g < 2; g++) weight_row(rows[g], dh[g], t->sums[g], t->s.width);
    t->pending += t->s.width;
    if (t->pending >= FLUSH_PIXELS) flush_sums(t);
}

/* dx of row i, once dh is known for the rows above and below. */
static void input_row(backward_tile *t, float *dx, int64_t i) {
    const lt_glu_layout *l = &t->l;
    for (int g = 0; g < 2; g++) {
        const float *rows[3] = {lt_glu_ring(t->dh[g], l, i - 1), lt_glu_ring(t->dh[g], l, i),
                                lt_glu_ring(t->dh[g], l, i + 1)};
        lt_glu_conv_row(rows, t->flipped[g], t->h[g], l);
        store_row(t, t->h[g], lt_glu_ring(t->slope[g], l, i),
                  dx + i * t->s.width * 2 * t->s.half + g * t->s.half);
    }
}

static void backward_frame(backward_tile *t, int64_t frame) {
    const lt_glu_depthwise_backward_args *a = t->args;
    int64_t pixels = t->s.height * t->s.width, channels = 2 * t->s.half;
    const float *x = (const float *)a->x.data + frame * pixels * channels + t->first;
    const float *dy = (const float *)a->dy.data + frame * pixels * t->s.half + t->first;
    float *dx = lt_is_empty(&a->dx) ? NULL : (float *)a->dx.data + frame * pixels * channels + t->first;
    size_t row_bytes = (size_t)t->l.row * sizeof(float);
    for (int g = 0; g < 2; g++) {
        memset(lt_glu_ring(t->silu[g], &t->l, -1), 0, row_bytes);
        memset(lt_glu_ring(t->dh[g], &t->l, -1), 0, row_bytes);
        silu_row(t, x + g * t->s.half, lt_glu_ring(t->silu[g], &t->l, 0), lt_glu_ring(t->slope[g], &t->l, 0));
    }
    for (int64_t i = 0; i < t->s.height; i++) {
        descend(t, x, dy, i);
        if (dx && i > 0) input_row(t, dx, i - 1);
    }
    if (!dx) return;
    for (int g = 0; g < 2; g++) memset(lt_glu_ring(t->dh[g], &t->l, t->s.height), 0, row_bytes);
    input_row(t, dx, t->s.height - 1);
}

static void backward_chunk(backward_tile *t, int64_t from, int64_t to, float *scratch) {
    const lt_glu_depthwise_backward_args *a = t->args;
    int64_t ring = 3 * t->l.row;
    for (int g = 0; g < 2; g++) {
        float *base = scratch + g * (3 * ring + t->l.line);
        t->silu[g] = base, t->slope[g] = base + ring, t->dh[g] = base + 2 * ring, t->h[g] = base + 3 * ring;
        int64_t first = g * t->s.half + t->first;
        lt_glu_load_taps(a->w.data, a->b.data, 2 * t->s.half, first, t->count, false, t->taps[g]);
        lt_glu_load_taps(a->w.data, a->b.data, 2 * t->s.half, first, t->count, true, t->flipped[g]);
    }
    memset(scratch, 0, (size_t)thread_floats(&t->l) * sizeof(float));
    memset(t->sums, 0, sizeof t->sums);
    for (int k = 0; k < 20; k++)
        memset(t->total + k * t->s.half + t->first, 0, (size_t)t->count * sizeof(double));
    for (int64_t frame = from; frame < to; frame++) backward_frame(t, frame);
    flush_sums(t);
}

/* Adds the chunks in order, then writes [9][2R] to dw and [2R] to db. */
static void reduce_chunks(const lt_glu_depthwise_backward_args *a, double *totals, int64_t chunks,
                          int64_t count) {
    for (int64_t chunk = 1; chunk < chunks; chunk++)
        for (int64_t i = 0; i < count; i++) totals[i] += totals[chunk * count + i];
    float *dw = a->dw.data, *db = a->db.data;
    int64_t taps = count / 10 * 9;
    for (int64_t i = 0; i < count; i++) {
        float *out = i < taps ? dw + i : db + i - taps;
        *out = (float)((a->accumulate_dw ? *out : 0) + (chunks ? totals[i] : 0));
    }
}

lt_status lt_glu_depthwise_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_glu_depthwise_backward_args *a = args;
    lt_glu_shape s = lt_glu_shape_of(&a->x);
    lt_glu_layout l = lt_glu_layout_of(s);
    int64_t chunks = s.height > 0 && s.width > 0 ? chunks_of(s) : 0;
    float *scratch = workspace;
    double *totals = (void *)(scratch + lt_threads() * thread_floats(&l));
#pragma omp parallel for schedule(static)                                                                    \
    num_threads(lt_threads()) if (lt_numel(&a->x) >= LT_GLU_PARALLEL_FROM)
    for (int64_t item = 0; item < chunks * l.tiles; item++) {
        int64_t chunk = item / l.tiles, tile = item % l.tiles;
        backward_tile t = {.args = a, .s = s, .l = l, .first = tile * LT_GLU_TILE};
        t.count = lt_glu_tile_width(s, tile);
        t.total = totals + chunk * chunk_doubles(s);
        backward_chunk(&t, s.frames * chunk / chunks, s.frames * (chunk + 1) / chunks,
                       scratch + omp_get_thread_num() * thread_floats(&l));
    }
    if (!lt_is_empty(&a->dw)) reduce_chunks(a, totals, chunks, chunk_doubles(s));
    return LT_OK;
}
