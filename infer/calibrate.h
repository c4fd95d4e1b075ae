/* The calibration table: every fault applied to clips, and how far every metric answers. A metric is fit for use when
 * it answers the fault that it is meant for, clip after clip, and little else.
 */
#ifndef LT_INFER_CALIBRATE_H
#define LT_INFER_CALIBRATE_H

#include "infer/faults.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_calibration {
    int clips;
    double clean[LT_METRIC_COUNT]; /* of videos without a fault: 1 for motion, 0 for most */
    /* Mean change against `clean`, and its standard deviation over clips. */
    double change[LT_FAULT_COUNT][LT_METRIC_COUNT], spread[LT_FAULT_COUNT][LT_METRIC_COUNT];
    /* |change| in units of the metric's answer to its own fault (the weakest of its own): 1 or more there. NAN for
     * metrics that have none: psnr and ssim answer everything, the loop's period is no measure. */
    double relative[LT_FAULT_COUNT][LT_METRIC_COUNT];
} lt_calibration;

/* Clips of an even number of frames and one size, 16 frames or more, in motion and without cuts. */
lt_status lt_calibrate(const lt_video_view *clips, int count, uint64_t seed, lt_calibration *out);

#ifdef __cplusplus
}
#endif
#endif
