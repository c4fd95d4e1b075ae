#include "kernels/glu_depthwise/cpu_tile.h"

#include <omp.h>

/* Scratch of one thread: a ring of SiLU(x) and a row of h, for u and for g. */
static int64_t thread_floats(const lt_glu_layout *l) { return 2 * (3 * l->row + l->line); }

size_t lt_glu_depthwise_cpu_workspace(lt_glu_shape s) {
    lt_glu_layout l = lt_glu_layout_of(s);
    return (size_t)(lt_threads() * thread_floats(&l)) * sizeof(float);
}

/* `count` is a constant in the call for full tiles, so that both become straight vector code. */
LT_INLINE void silu_pixel(const float *x, float *out, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++) out[c] = x[c] * lt_vec_sigmoid(x[c]);
}

static void silu_row(const float *x, int64_t channels, int64_t width, int64_t count, float *out) {
    for (int64_t j = 0; j < width; j++) {
        lt_glu_prefetch(x + j * channels, width * channels);
        if (count == LT_GLU_TILE) silu_pixel(x + j * channels, out + (j + 1) * LT_GLU_TILE, LT_GLU_TILE);
        else silu_pixel(x + j * channels, out + (j + 1) * LT_GLU_TILE, count);
    }
}

LT_INLINE void gate_pixel(const float *u, const float *g, float *y, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; c++) y[c] = u[c] * g[c] * lt_vec_sigmoid(g[c]);
}

static void gate_row(const float *u, const float *g, int64_t half, int64_t width, int64_t count, float *y) {
    for (int64_t j = 0; j < width; j++) {
        int64_t at = j * LT_GLU_TILE;
        lt_glu_prefetch_write(y + j * half, width * half);
        if (count == LT_GLU_TILE) gate_pixel(u + at, g + at, y + j * half, LT_GLU_TILE);
        else gate_pixel(u + at, g + at, y + j * half, count);
    }
}

static void forward_tile(const lt_glu_depthwise_args *a, lt_glu_shape s, const lt_glu_layout *l,
                         int64_t frame, int64_t tile, float *scratch) {
    int64_t first = tile * LT_GLU_TILE, count = lt_glu_tile_width(s, tile), channels = 2 * s.half;
    const float *x = (const float *)a->x.data + frame * s.height * s.width * channels + first;
    float *y = (float *)a->y.data + frame * s.height * s.width * s.half + first;
    float *ring[2] = {scratch, scratch + 3 * l->row};
    float *h[2] = {ring[1] + 3 * l->row, ring[1] + 3 * l->row + l->line};
    _Alignas(64) lt_glu_taps taps[2];
    memset(scratch, 0, (size_t)(6 * l->row) * sizeof(float));
    for (int g = 0; g < 2; g++) {
        lt_glu_load_taps(a->w.data, a->b.data, channels, g * s.half + first, count, false, taps[g]);
        silu_row(x + g * s.half, channels, s.width, count, lt_glu_ring(ring[g], l, 0));
    }
    for (int64_t i = 0; i < s.height; i++) {
        for (int g = 0; g < 2; g++) {
            float *below = lt_glu_ring(ring[g], l, i + 1);
            if (i + 1 < s.height)
                silu_row(x + (i + 1) * s.width * channels + g * s.half, channels, s.width, count, below);
            else memset(below, 0, (size_t)l->row * sizeof(float));
            const float *rows[3] = {lt_glu_ring(ring[g], l, i - 1), lt_glu_ring(ring[g], l, i), below};
            lt_glu_conv_row(rows, taps[g], h[g], l);
        }
        gate_row(h[0], h[1], s.half, s.width, count, y + i * s.width * s.half);
    }
}

lt_status lt_glu_depthwise_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_glu_depthwise_args *a = args;
    lt_glu_shape s = lt_glu_shape_of(&a->x);
    lt_glu_layout l = lt_glu_layout_of(s);
    if (s.height * s.width == 0) return LT_OK;
#pragma omp parallel for schedule(static)                                                                    \
    num_threads(lt_threads()) if (lt_numel(&a->x) >= LT_GLU_PARALLEL_FROM)
    for (int64_t item = 0; item < s.frames * l.tiles; item++)
        forward_tile(a, s, &l, item / l.tiles, item % l.tiles,
                     (float *)workspace + omp_get_thread_num() * thread_floats(&l));
    return LT_OK;
}
