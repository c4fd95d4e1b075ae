/* What consecutive frames of a clip say: how much they differ, how fast the picture moves, and whether a shot cut lies
 * between them.
 *
 *     lt_motion_meter *meter;
 *     LT_TRY(lt_motion_open(width, height, &meter));
 *     step = lt_motion_next(meter, rgb, true);    once per frame; step.cut: the frame starts another shot
 *     lt_motion_close(meter);
 *
 * A cut is a change that motion does not explain: almost no pixel has a consistent flow (data/flow.h), and either the
 * colours are others, or the difference stands out from the recent ones. Fast pans and shaking change much, but flow
 * follows them. Work is done on luma averaged down to at most 96 pixels a side, so its cost does not grow with size.
 */
#ifndef LT_DATA_MOTION_H
#define LT_DATA_MOTION_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_motion_meter lt_motion_meter;

typedef struct lt_motion_step {
    bool first;        /* the meter has seen no frame before: the rest is zero */
    bool cut;          /* between the last frame and this one */
    double luma_diff;  /* mean absolute difference at full size, 8-bit codes */
    double px;         /* mean length of consistent flow, pixels at full size; 0 where it was not computed */
    double consistent; /* share of the picture with consistent flow */
    double colours;    /* share of pixels whose colour bin had to change, 0..1 */
} lt_motion_step;

/* Both sides at least 8, else LT_USAGE. */
lt_status lt_motion_open(int width, int height, lt_motion_meter **out);
void lt_motion_close(lt_motion_meter *meter); /* NULL is fine */
/* Flow is most of the work, so that it is only computed where `want_flow`, or where a cut is likely. */
lt_motion_step lt_motion_next(lt_motion_meter *meter, const uint8_t *rgb, bool want_flow);

#ifdef __cplusplus
}
#endif
#endif
