/* Runs, and what a stream of one takes. */
#include "api/api_impl.h"

#include "infer/memory.h"

#include <stdlib.h>

static lt_status open_run(longtake_run *run, const char *folder, const char *checkpoint) {
    lt_device *device = run->context->device;
    LT_CHECK(!lt_device_is_null(device), LT_USAGE,
             "a context on \"%s\" computes nothing; longtake_plan_stream says what a run would take there",
             device->ops->name);
    return lt_run_open(folder, checkpoint, device, &run->model, NULL, run->weights);
}

longtake_status longtake_run_open(longtake *context, const char *folder, const char *checkpoint,
                                  longtake_run **out) {
    *out = NULL;
    longtake_run *run = calloc(1, sizeof *run);
    if (!run) return (longtake_status)lt_fail(LT_FAILED, "longtake_run_open: out of memory");
    run->context = context;
    lt_api_enter(context);
    lt_status status = open_run(run, folder, checkpoint);
    if (status == LT_OK) *out = run;
    else longtake_run_close(run);
    return lt_api_leave(status);
}

void longtake_run_close(longtake_run *run) {
    if (!run) return;
    lt_model_close(run->model);
    free(run);
}

static lt_status describe(const longtake_run *run, longtake_run_info *info) {
    const lt_model *m = run->model;
    const lt_dit_config *c = &m->config;
    const int frames = lt_model_frames_per_block(m);
    longtake_run_info ours = {.width = m->frame_width,
                              .height = m->frame_height,
                              .frames_per_block = frames,
                              .block_bytes =
                                  (size_t)frames * (size_t)m->frame_height * (size_t)m->frame_width * 3,
                              .layers = c->layers,
                              .heads = c->heads,
                              .head_dim = c->head_dim,
                              .parameters = lt_params_numel(&m->params),
                              .entry_bytes = lt_entry_bytes(c->layers, c->heads, c->head_dim)};
    LT_TRY(lt_weights_hash(run->weights, &ours.weights_hash));
    return lt_api_write("info", &ours, sizeof ours, info);
}

longtake_status longtake_run_describe(const longtake_run *run, longtake_run_info *info) {
    return (longtake_status)describe(run, info);
}

/* ---- the plan ------------------------------------------------------------------------------------------ */

/* Of a block that is generated when the cache is full, or holds as many blocks as it takes to know. */
static lt_status count_flops(lt_model *shadow, const lt_stream_options *options, double *flops) {
    enum { MOST = 32 };
    int64_t n[4];
    lt_video_stream *stream;
    const int blocks = options->spec.budget < MOST ? options->spec.budget + 1 : MOST;
    lt_model_block_shape(shadow, n);
    float *latents = calloc((size_t)(n[0] * n[1] * n[2] * n[3]), sizeof *latents);
    LT_CHECK(latents, LT_FAILED, "plan: out of memory for a block");
    lt_status status = lt_video_stream_open(shadow, options, &stream);
    for (int i = 0; i < blocks && status == LT_OK; i++) status = lt_video_stream_push(stream, latents);
    double before = status == LT_OK ? lt_video_stream_session(stream)->meter.flops : 0;
    if (status == LT_OK) status = lt_video_stream_next(stream, latents);
    if (status == LT_OK) *flops = lt_video_stream_session(stream)->meter.flops - before;
    lt_video_stream_close(stream);
    free(latents);
    return status;
}

static lt_status plan_stream(const longtake *context, lt_model *shadow, const longtake_stream_options *given,
                             longtake_plan *plan) {
    lt_stream_options options;
    lt_memory m;
    longtake_plan ours = {0};
    LT_TRY(lt_api_stream_options(context, shadow, given, &options));
    LT_TRY(lt_memory_streaming(shadow, &options, &m));
    LT_TRY(count_flops(shadow, &options, &ours.block_flops));
    ours.peak_bytes = lt_memory_peak(&m);
    ours.weight_bytes = m.bytes[LT_MEMORY_WEIGHTS];
    ours.slot_bytes = m.bytes[LT_MEMORY_SLOTS];
    ours.tail_bytes = m.bytes[LT_MEMORY_TAILS];
    ours.activation_bytes = m.bytes[LT_MEMORY_ACTIVATIONS];
    ours.workspace_bytes = m.bytes[LT_MEMORY_WORKSPACE];
    ours.other_bytes = ours.peak_bytes - ours.weight_bytes - ours.slot_bytes - ours.tail_bytes -
                       ours.activation_bytes - ours.workspace_bytes;
    return lt_api_write("plan", &ours, sizeof ours, plan);
}

longtake_status longtake_plan_stream(longtake *context, const char *folder, const char *checkpoint,
                                     const longtake_stream_options *options, longtake_plan *plan) {
    lt_shadow shadow;
    lt_api_enter(context);
    lt_status status = lt_shadow_open_run(folder, checkpoint, context->device, &shadow);
    if (status == LT_OK) {
        status = plan_stream(context, shadow.model, options, plan);
        lt_shadow_close(&shadow);
    }
    return lt_api_leave(status);
}
