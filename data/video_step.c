#ifdef LT_WITH_FFMPEG

#    include "data/video_scale.h"

#    include <libavutil/pixdesc.h>
#    include <stdlib.h>

#    define GRID 48 /* samples per side, at most */

/* The component that stands for brightness, as an 8-bit code. Formats of other kinds (palettes, bit streams, hardware
 * surfaces) have no such byte and count as unchanging. */
static bool readable(const AVPixFmtDescriptor *format) {
    const uint64_t odd = AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_HWACCEL |
                         AV_PIX_FMT_FLAG_BE | AV_PIX_FMT_FLAG_FLOAT;
    return format && !(format->flags & odd) && format->comp[0].depth >= 8;
}

static uint8_t luma_sample(const AVFrame *frame, const AVComponentDescriptor *luma, int x, int y) {
    const uint8_t *at = frame->data[luma->plane] + (ptrdiff_t)y * frame->linesize[luma->plane] +
                        (ptrdiff_t)x * luma->step + luma->offset;
    if (luma->depth == 8) return *at;
    return (uint8_t)((at[0] | at[1] << 8) >> luma->shift >> (luma->depth - 8));
}

static lt_status grow_samples(lt_step_meter *meter, int columns, int rows) {
    if (!meter->grid) meter->grid = malloc(GRID * GRID);
    LT_CHECK(meter->grid, LT_FAILED, "out of memory");
    if (meter->count == meter->capacity) {
        int64_t capacity = meter->capacity ? 2 * meter->capacity : 1024;
        float *steps = realloc(meter->steps, (size_t)capacity * sizeof *steps);
        LT_CHECK(steps, LT_FAILED, "out of memory");
        meter->steps = steps;
        meter->capacity = capacity;
    }
    if (columns != meter->columns || rows != meter->rows) meter->columns = meter->rows = 0;
    return LT_OK;
}

lt_status lt_step_meter_add(lt_step_meter *meter, const AVFrame *frame) {
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    int columns = frame->width < GRID ? frame->width : GRID,
        rows = frame->height < GRID ? frame->height : GRID;
    LT_TRY(grow_samples(meter, columns, rows));
    bool first = meter->columns == 0;
    int64_t sum = 0;
    for (int r = 0; r < rows && readable(format); r++) {
        for (int c = 0; c < columns; c++) {
            uint8_t now = luma_sample(frame, &format->comp[0], (2 * c + 1) * frame->width / (2 * columns),
                                      (2 * r + 1) * frame->height / (2 * rows));
            uint8_t *last = &meter->grid[r * GRID + c];
            sum += first ? 0 : abs(now - *last);
            *last = now;
        }
    }
    meter->columns = columns;
    meter->rows = rows;
    meter->steps[meter->count++] = (float)sum / (float)(columns * rows);
    return LT_OK;
}

void lt_step_meter_free(lt_step_meter *meter) {
    free(meter->steps);
    free(meter->grid);
}

#endif
