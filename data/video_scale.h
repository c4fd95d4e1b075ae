/* From a decoded picture to RGB of one size: centre crop to the aspect of the output, scaling and colour conversion in
 * one pass of libswscale, then a turn by quarter circles. Private to data/video*.c.
 */
#ifndef LT_DATA_VIDEO_SCALE_H
#define LT_DATA_VIDEO_SCALE_H

#include "core/status.h"

#include <libavutil/frame.h>

typedef struct lt_scaler lt_scaler;

/* Output of width x height after a turn of `rotation` degrees clockwise (0, 90, 180, 270). */
lt_status lt_scaler_open(int width, int height, int rotation, lt_scaler **out);
void lt_scaler_close(lt_scaler *scaler); /* NULL is fine */

/* Converts `frame` (its crop fields are changed) into rgb[height][width][3]. `path` names the source in errors. */
lt_status lt_scaler_run(lt_scaler *scaler, AVFrame *frame, const char *path, uint8_t *rgb);

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
