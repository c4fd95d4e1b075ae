/* Checkpoints that are written beside the steps that follow, on devices whose memory is not the host's.
 *
 *     LT_TRY(lt_checkpoint_writer_open(model, true, &writer));
 *     LT_TRY(lt_checkpoint_writer_begin(writer, &checkpoint, stream));   after a step: copies to the host begin
 *     lt_trainer_update_after(trainer, lt_checkpoint_writer_copied(writer));
 *     LT_TRY(lt_checkpoint_writer_step(writer));                         after each step: a thread writes the files
 *     LT_TRY(lt_checkpoint_writer_finish(writer));                       at the end
 *     lt_checkpoint_writer_close(writer);
 *
 * The next step's forward and backward run while values, EMA and moments are copied into a twin of the model in pinned
 * host memory; its update waits for them on the device. When it is over, the thread makes the files from the twin, the
 * same bytes in the same order as lt_checkpoint_write, and never calls the device. One checkpoint is in hand at a time;
 * a kill meanwhile leaves the one before.
 *
 * The twin takes 16 bytes of host memory per parameter for as long as the writer is open, and while files are written 8
 * more are taken, as without it. Where the host has not so much, lt_checkpoint_writer_begin writes all files itself; so
 * it does for runs on the cpu, where nothing would be won.
 */
#ifndef LT_TRAIN_CHECKPOINT_WRITER_H
#define LT_TRAIN_CHECKPOINT_WRITER_H

#include "train/checkpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_checkpoint_writer lt_checkpoint_writer;

/* For `model`, which must outlive it. Not `beside`: each checkpoint is written when it begins. All calls come from one
 * thread, the one that trains. */
lt_status lt_checkpoint_writer_open(const lt_model *model, bool beside, lt_checkpoint_writer **out);
/* Waits for what is under way; what was not finished by then is not reported. `writer` may be NULL, as everywhere
 * here. */
void lt_checkpoint_writer_close(lt_checkpoint_writer *writer);

/* Waits for the checkpoint before this one, and fails as it failed. Then begins to copy what work on `stream` leaves so
 * far. checkpoint->model is the writer's; run and config stay until this checkpoint is written; its state is copied. */
lt_status lt_checkpoint_writer_begin(lt_checkpoint_writer *writer, const lt_checkpoint *checkpoint,
                                     lt_stream *stream);
/* Reached on the device when the copies are complete; NULL: they are. Nothing may change the values before. */
lt_event *lt_checkpoint_writer_copied(const lt_checkpoint_writer *writer);
/* After a step that began after lt_checkpoint_writer_begin: starts the writing. Later ones: fails as the writing
 * failed, if it has. */
lt_status lt_checkpoint_writer_step(lt_checkpoint_writer *writer);
/* Returns when the checkpoint in hand, if there is one, is written; fails as it failed. */
lt_status lt_checkpoint_writer_finish(lt_checkpoint_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
