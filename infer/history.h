/* The first frames of a clip as history of a video that goes on from there. */
#ifndef LT_INFER_HISTORY_H
#define LT_INFER_HISTORY_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_history {
    int64_t frames;
    double fps;   /* of the frames */
    uint8_t *rgb; /* [frames, frame_height, frame_width, 3] */
} lt_history;

/* Reads the first `blocks` blocks of `from`: a video file, scaled and cropped to the model's frames and brought down to
 * `fps`, or "DATASET.h5:INDEX", a clip of a dataset file of the model's frame size. LT_INPUT when it is too short or
 * cannot be read, LT_USAGE when the sizes differ. */
lt_status lt_history_read(const lt_model *model, const char *from, int64_t blocks, double fps,
                          lt_history *out);
void lt_history_free(lt_history *history);

#ifdef __cplusplus
}
#endif
#endif
