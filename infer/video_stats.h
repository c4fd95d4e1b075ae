/* What the files of the video metrics share; not for other rooms. */
#ifndef LT_INFER_VIDEO_STATS_H
#define LT_INFER_VIDEO_STATS_H

#include "infer/metrics.h"

enum { LT_CELLS = 16 }; /* frames are compared over time gaps as grids of at most this many cells a side */

/* Step f leads from frame f to f + 1. */
typedef struct lt_video_step {
    bool boundary;     /* into the first frame of a block */
    double difference; /* mean |luma difference| */
    double motion;     /* mean length of consistent flow that goes on from the step before, over all pixels */
    double residual;   /* mean |luma difference| along the flow, over consistent pixels */
} lt_video_step;

struct lt_video_stats {
    int64_t frames, gaps;
    double fps;
    int block_frames, first_block;
    lt_video_step *steps; /* [frames - 1] */
    lt_frame_look *looks; /* [frames] */
    double *distance;     /* [gaps + 1] mean distance of frames this far apart; [0]: over all pairs */
    double order;         /* LT_METRIC_ORDER */
};

#endif
