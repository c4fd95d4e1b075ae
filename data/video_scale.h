/* From a decoded picture to RGB of one size: centre crop to the aspect of the output, planes scaled by libswscale,
 * colours converted exactly (data/video_colour.h), turned or mirrored upright. Private to data/video*.c.
 */
#ifndef LT_DATA_VIDEO_SCALE_H
#define LT_DATA_VIDEO_SCALE_H

#include "core/status.h"

#include <libavutil/frame.h>

typedef struct lt_scaler lt_scaler;

/* How a coded picture becomes upright: rows and columns are swapped first, then the result is mirrored. */
typedef struct lt_turn {
    bool swap, flip_x, flip_y;
} lt_turn;

/* Of a display matrix as FFmpeg has it; NULL: none. An angle between two quarter turns counts as the nearer one. */
lt_turn lt_turn_of(const int32_t matrix[9]);

/* Output of width x height after the turn. */
lt_status lt_scaler_open(int width, int height, lt_turn turn, lt_scaler **out);
void lt_scaler_close(lt_scaler *scaler); /* NULL is fine */

/* Converts `frame` (its crop fields are changed) into rgb[height][width][3]. Pixels are as wide as its
 * sample_aspect_ratio says. Untagged: BT.709 from 720 rows on, else BT.601; limited range, but full for RGB, for JPEG
 * and for grey of codecs that do not say otherwise (`limited_grey`); chroma in the middle of its pixels. Alpha is left
 * out. `path` names the source in errors. */
lt_status lt_scaler_run(lt_scaler *scaler, AVFrame *frame, bool limited_grey, const char *path, uint8_t *rgb);

/* How much consecutive pictures differ, as cheaply as it can be said: on a grid of luma samples. */
typedef struct lt_step_meter {
    float *steps; /* one per picture */
    int64_t count, capacity;
    uint8_t *grid; /* samples of the last picture */
    int columns, rows;
} lt_step_meter;

/* Appends the picture's mean absolute difference from the last one, in 8-bit codes; 0 for the first and after
 * a change of size. */
lt_status lt_step_meter_add(lt_step_meter *meter, const AVFrame *frame);
void lt_step_meter_free(lt_step_meter *meter);

#endif
