/* Scalars for TensorBoard: an event file (TFRecord framing with masked CRC-32C, tensorflow/core/lib/io/record_writer.h;
 * messages of tensorflow/core/util/event.proto, written by hand).
 */
#ifndef LT_TRAIN_TENSORBOARD_H
#define LT_TRAIN_TENSORBOARD_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_tensorboard lt_tensorboard;

/* Creates events.out.tfevents.TIME.longtake in `folder`. A run that goes on after `step` steps starts a new file, and
 * TensorBoard then leaves out what earlier files say of later steps, and only of those. */
lt_status lt_tensorboard_open(const char *folder, int64_t step, lt_tensorboard **out);
void lt_tensorboard_close(lt_tensorboard *board);
lt_status lt_tensorboard_sync(lt_tensorboard *board); /* the scalars so far survive a power cut */
lt_status lt_tensorboard_scalar(lt_tensorboard *board, const char *tag, int64_t step, double value);

/* CRC-32C (Castagnoli) of a buffer. */
uint32_t lt_crc32c(const void *data, size_t size);

#ifdef __cplusplus
}
#endif
#endif
