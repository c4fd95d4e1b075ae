/* Sample videos during training: RUN/samples/step-N.mp4. */
#ifndef LT_TRAIN_SAMPLES_H
#define LT_TRAIN_SAMPLES_H

#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Generates train.sample_blocks blocks from noise with the values in force (swap the EMA in before), the same noise
 * every time, under the heaviest policy of the mix that keeps anything. LT_UNAVAILABLE in a build without FFmpeg. */
lt_status lt_sample_write(lt_model *model, const lt_train_config *config, double fps, int64_t step,
                          const char *path);

#ifdef __cplusplus
}
#endif
#endif
