/* Which shot a frame of a clip belongs to: what evaluation asks to tell reads after a cut, and returns, from
 * the rest. Everything comes from the cuts recorded in the clip's row; a clip without cuts is one shot of
 * scene 0.
 */
#ifndef LT_DATA_SHOTS_H
#define LT_DATA_SHOTS_H

#include "data/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_shot {
    int index;          /* 0 for the first shot */
    int64_t first, end; /* its frames: first .. end - 1, counted from the clip's start */
    int scene;          /* which scene it shows; 0 in the first shot */
    bool returns;       /* an earlier shot showed this scene */
    /* if it returns: the frame after the scene's last earlier frame, so that the gap is first - last_shown frames; else
     * -1 */
    int64_t last_shown;
} lt_shot;

/* Number of shots: cuts + 1. */
int lt_clip_shot_count(const lt_clip *clip);
/* Shot `index` of the clip; an index out of range gives the nearest shot. */
lt_shot lt_clip_shot(const lt_clip *clip, int index);
/* The shot that shows `frame`, which is clamped to the clip. The frames since the cut are frame - shot.first.
 */
lt_shot lt_clip_shot_at(const lt_clip *clip, int64_t frame);

#ifdef __cplusplus
}
#endif
#endif
