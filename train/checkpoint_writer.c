#include "train/checkpoint_writer.h"

#include "core/cli.h"
#include "core/log.h"
#include "core/parallel.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLABS = 3 };

/* Of the checkpoint in hand. */
typedef enum phase { NONE, COPYING, WRITING } phase;

struct lt_checkpoint_writer {
    const lt_model *model;
    lt_device *host;
    lt_model *twin; /* NULL: files are written at once */
    int pinned;     /* of its slabs */
    lt_stream *stream;
    lt_event *values, *copied; /* values: as they are to be copied */
    phase phase;
    lt_checkpoint checkpoint;
    lt_train_state state;
    pthread_t thread;
    /* Of the thread, until it is joined: */
    lt_status status;
    char message[1024];
};

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static const lt_arena *slab(const lt_model *twin, int i) {
    const lt_arena *slabs[SLABS] = {&twin->weights, &twin->moments, &twin->ema};
    return slabs[i];
}

/* The twin, and what is allocated while its files are written. */
static lt_status check_memory(lt_device *host, const lt_model *model) {
    int64_t needed = 6 * lt_params_numel(&model->params) * (int64_t)sizeof(float), left;
    char wanted[32], found[32];
    LT_TRY(lt_device_free_memory(host, &left));
    LT_CHECK(needed <= left, LT_FAILED, "that would take %s of host memory, and %s are free",
             lt_format_bytes(needed, wanted), lt_format_bytes(left, found));
    return LT_OK;
}

static lt_status open_twin(lt_checkpoint_writer *w) {
    const lt_device_ops *ops = w->model->device->ops;
    LT_TRY(lt_device_open("cpu", &w->host));
    LT_TRY(check_memory(w->host, w->model));
    LT_TRY(lt_model_twin(w->model, w->host, LT_MODEL_MOMENTS | LT_MODEL_EMA, &w->twin));
    for (; ops->pin && w->pinned < SLABS; w->pinned++) {
        const lt_arena *memory = slab(w->twin, w->pinned);
        LT_TRY(ops->pin(w->model->device, memory->base, memory->capacity));
    }
    return LT_OK;
}

static void close_twin(lt_checkpoint_writer *w) {
    while (w->pinned > 0) w->model->device->ops->unpin(w->model->device, slab(w->twin, --w->pinned)->base);
    lt_model_close(w->twin);
    lt_device_close(w->host);
    w->twin = NULL;
    w->host = NULL;
}

static lt_status open_stream(lt_checkpoint_writer *w) {
    lt_device *device = w->model->device;
    if (!device->ops->stream_create) return LT_OK;
    LT_TRY(device->ops->stream_create(device, &w->stream));
    LT_TRY(device->ops->event_create(device, &w->values));
    return device->ops->event_create(device, &w->copied);
}

lt_status lt_checkpoint_writer_open(const lt_model *model, bool beside, lt_checkpoint_writer **out) {
    *out = NULL;
    lt_checkpoint_writer *w = calloc(1, sizeof *w);
    LT_CHECK(w, LT_FAILED, "out of memory for a writer of checkpoints");
    w->model = model;
    if (beside && open_twin(w) != LT_OK) {
        lt_warn("checkpoints are not written beside the steps, which wait for them: %s", lt_error());
        close_twin(w);
    }
    lt_status status = w->twin ? open_stream(w) : LT_OK;
    if (status == LT_OK) *out = w;
    else lt_checkpoint_writer_close(w);
    return status;
}

void lt_checkpoint_writer_close(lt_checkpoint_writer *w) {
    if (!w) return;
    lt_device *device = w->model->device;
    if (w->phase == WRITING) (void)pthread_join(w->thread, NULL);
    if (w->stream) (void)lt_device_synchronize(device, w->stream); /* nothing may still reach the twin */
    if (w->copied) device->ops->event_destroy(device, w->copied);
    if (w->values) device->ops->event_destroy(device, w->values);
    if (w->stream) device->ops->stream_destroy(device, w->stream);
    close_twin(w);
    free(w);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void *write_files(void *user) {
    lt_checkpoint_writer *w = user;
    lt_set_own_threads(1); /* the rest is for the steps */
    w->status = lt_checkpoint_write(&w->checkpoint);
    if (w->status != LT_OK) snprintf(w->message, sizeof w->message, "%s", lt_error());
    return NULL;
}

/* The step after the copies has waited for the device, so they are complete, or nearly. */
static lt_status start_writing(lt_checkpoint_writer *w) {
    w->phase = NONE;
    LT_TRY(lt_device_synchronize(w->model->device, w->stream));
    int error = pthread_create(&w->thread, NULL, write_files, w);
    LT_CHECK(error == 0, LT_FAILED, "no thread to write a checkpoint: %s", strerror(error));
    w->phase = WRITING;
    return LT_OK;
}

/* The thread was joined. */
static lt_status end_writing(lt_checkpoint_writer *w) {
    w->phase = NONE;
    LT_CHECK(w->status == LT_OK, w->status, "%s", w->message);
    return LT_OK;
}

lt_status lt_checkpoint_writer_step(lt_checkpoint_writer *w) {
    if (w && w->phase == COPYING) return start_writing(w);
    if (w && w->phase == WRITING && pthread_tryjoin_np(w->thread, NULL) == 0) return end_writing(w);
    return LT_OK;
}

lt_status lt_checkpoint_writer_finish(lt_checkpoint_writer *w) {
    if (w && w->phase == COPYING) LT_TRY(start_writing(w));
    if (!w || w->phase != WRITING) return LT_OK;
    int error = pthread_join(w->thread, NULL);
    LT_CHECK(error == 0, LT_FAILED, "waiting for a checkpoint to be written: %s", strerror(error));
    return end_writing(w);
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

static lt_status copy(lt_checkpoint_writer *w, lt_stream *stream) {
    lt_device *device = w->model->device;
    if (w->values) LT_TRY(device->ops->event_record(device, w->values, stream));
    if (w->values) LT_TRY(device->ops->event_wait(device, w->values, w->stream));
    LT_TRY(lt_params_copy_to_pinned(&w->model->params, &w->twin->params, w->stream));
    return w->copied ? device->ops->event_record(device, w->copied, w->stream) : LT_OK;
}

lt_status lt_checkpoint_writer_begin(lt_checkpoint_writer *w, const lt_checkpoint *checkpoint,
                                     lt_stream *stream) {
    if (!w || !w->twin) return lt_checkpoint_write(checkpoint);
    LT_TRY(lt_checkpoint_writer_step(w));
    if (w->phase == WRITING)
        lt_debug("step %" PRId64 ": its checkpoint waits until that of step %" PRId64 " is written",
                 checkpoint->state->step, w->state.step);
    LT_TRY(lt_checkpoint_writer_finish(w));
    w->state = *checkpoint->state;
    w->checkpoint = *checkpoint;
    w->checkpoint.state = &w->state;
    w->checkpoint.model = w->twin;
    LT_TRY(copy(w, stream));
    w->phase = COPYING;
    return LT_OK;
}

lt_event *lt_checkpoint_writer_copied(const lt_checkpoint_writer *w) {
    return w && w->phase == COPYING ? w->copied : NULL;
}
