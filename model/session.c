/* Memory that is measured before it is taken: the same work runs on a null twin first. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

static _Thread_local bool poisoned;

void lt_session_poison(bool on) { poisoned = on; }

static lt_status open_arena(lt_arena *arena, lt_device *device, int64_t bytes, const char *role) {
    LT_TRY(lt_arena_init(arena, device, (size_t)bytes, role));
    arena->poison = poisoned && !lt_device_is_null(device);
    return LT_OK;
}

static lt_status open_memory(lt_session *s, const lt_session_plan *plan) {
    lt_device *device = s->model->device;
    LT_TRY(open_arena(&s->step, device, plan->step_bytes, "step"));
    LT_TRY(open_arena(&s->scratch, device, plan->scratch_bytes, "scratch"));
    LT_TRY(open_arena(&s->run, device, plan->run_bytes, "run"));
    if (device->ops->stream_create) LT_TRY(device->ops->stream_create(device, &s->ctx.stream));
    return LT_OK;
}

/* A session on the model's device with arenas of these sizes, after setup. */
static lt_status open_planned(lt_model *model, const lt_work *work, const lt_session_plan *plan,
                              lt_session **out) {
    *out = NULL;
    lt_session *s = calloc(1, sizeof *s);
    LT_CHECK(s, LT_FAILED, "out of memory for a session");
    s->model = model;
    s->ctx = (lt_ctx){.device = model->device,
                      .backend = model->backend,
                      .dtype = model->dtype,
                      .scratch = &s->scratch,
                      .meter = &s->meter};
    lt_tape_init(&s->tape, &s->ctx, &s->step);
    lt_status status = open_memory(s, plan);
    if (status == LT_OK) {
        s->work = *work; /* from here on closing calls work->close */
        if (work->setup) status = work->setup(s, work->user);
    }
    memset(&s->meter, 0, sizeof s->meter);
    if (status == LT_OK) *out = s;
    else lt_session_close(s);
    return status;
}

static int flags_of(const lt_model *model) {
    return (model->grads.base ? LT_MODEL_GRADS : 0) | (model->moments.base ? LT_MODEL_MOMENTS : 0) |
           (model->ema.base ? LT_MODEL_EMA : 0);
}

static lt_status measure_twin(lt_model *twin, const lt_work *work, lt_session_plan *plan) {
    static const lt_session_plan counting;
    lt_session *s;
    LT_TRY(open_planned(twin, work, &counting, &s));
    lt_status status = work->work(s, work->user);
    *plan = (lt_session_plan){.step_bytes = (int64_t)s->step.peak,
                              .scratch_bytes = (int64_t)s->scratch.peak,
                              .run_bytes = (int64_t)s->run.peak,
                              .meter = s->meter};
    memcpy(plan->again, s->tape.tally, sizeof plan->again);
    lt_session_close(s);
    return status;
}

lt_status lt_session_measure(const lt_model *model, const char *target, const lt_work *work,
                             lt_session_plan *plan) {
    lt_device *device;
    lt_model *twin;
    LT_TRY(lt_device_open(target, &device));
    lt_status status = LT_OK;
    if (!lt_device_is_null(device))
        status = lt_fail(LT_USAGE, "\"%s\" is no null device; measure on null or null:NAME", target);
    if (status == LT_OK) status = lt_model_twin(model, device, flags_of(model), &twin);
    if (status == LT_OK) {
        status = measure_twin(twin, work, plan);
        lt_model_close(twin);
    }
    lt_device_close(device);
    return status;
}

lt_status lt_session_open(lt_model *model, const lt_work *work, lt_session **out) {
    lt_session_plan plan;
    *out = NULL;
    lt_status status = lt_session_measure(model, "null", work, &plan);
    if (status != LT_OK) return lt_fail_in(status, "measuring memory");
    return open_planned(model, work, &plan, out);
}

void lt_session_close(lt_session *s) {
    if (!s) return;
    lt_device *device = s->model->device;
    (void)lt_device_synchronize(device,
                                s->ctx.stream); /* what was still running must not outlive its memory */
    if (s->work.close) s->work.close(s, s->work.user);
    lt_tape_free(&s->tape);
    lt_arena_free(&s->run);
    lt_arena_free(&s->scratch);
    lt_arena_free(&s->step);
    if (device->ops->stream_destroy && s->ctx.stream) device->ops->stream_destroy(device, s->ctx.stream);
    free(s);
}
