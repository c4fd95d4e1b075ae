/* haar3d on the CPU. Not named cpu.c: files of that name are compiled with a b + c contracted into one rounding, and
 * then the bits would depend on the processor. */
#include "core/parallel.h"
#include "kernels/haar3d/cell.h"

enum { PARALLEL_CELLS = 4096 }; /* below, starting threads costs more than it saves */

static void encode_row(int64_t width, int64_t frame, const uint8_t *rgb, int64_t channels, float *out) {
    float cell[LT_HAAR3D_CELL];
    for (int64_t w = 0; w < width; w++, rgb += 3 * LT_HAAR3D_W, out += channels) {
        lt_cell_load(rgb, frame, width * LT_HAAR3D_W * 3, cell);
        lt_cell_forward(cell);
        lt_cell_select(cell, channels == LT_HAAR3D_CELL, out);
    }
}

static void decode_row(int64_t width, int64_t frame, const float *in, int64_t channels, uint8_t *rgb) {
    float cell[LT_HAAR3D_CELL];
    for (int64_t w = 0; w < width; w++, rgb += 3 * LT_HAAR3D_W, in += channels) {
        lt_cell_spread(in, channels == LT_HAAR3D_CELL, cell);
        lt_cell_inverse(cell);
        lt_cell_store(cell, frame, width * LT_HAAR3D_W * 3, rgb);
    }
}

lt_status lt_haar3d_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_haar3d_args *a = args;
    const int64_t *s = a->latents.shape, height = s[1], width = s[2], channels = s[3];
    const int64_t row = LT_HAAR3D_H * width * LT_HAAR3D_W * 3, frame = row * height;
#pragma omp parallel for schedule(static)                                                                    \
    num_threads(lt_threads()) if (s[0] * height * width >= PARALLEL_CELLS)
    for (int64_t i = 0; i < s[0] * height; i++) {
        uint8_t *rgb = (uint8_t *)a->rgb.data + i / height * LT_HAAR3D_T * frame + i % height * row;
        float *latents = (float *)a->latents.data + i * width * channels;
        if (a->inverse) decode_row(width, frame, latents, channels, rgb);
        else encode_row(width, frame, rgb, channels, latents);
    }
    return LT_OK;
}
