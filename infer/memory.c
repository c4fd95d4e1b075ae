#include "infer/memory.h"

#include "core/cli.h"
#include "infer/cache_shape.h"

#include <math.h>
#include <stdlib.h>

const char *const lt_memory_names[LT_MEMORY_ROLES] = {"weights",     "gradients", "optimizer", "ema",
                                                      "cache_slots", "tails",     "inputs",    "activations",
                                                      "workspace",   "context"};

int64_t lt_memory_peak(const lt_memory *memory) {
    int64_t peak = 0;
    for (int i = 0; i < LT_MEMORY_ROLES; i++) peak += memory->bytes[i];
    return peak;
}

lt_status lt_memory_room(lt_device *device, int processes, int64_t *bytes) {
    LT_TRY(lt_device_free_memory(device, bytes));
    *bytes /= processes;
    *bytes += device->target.context_bytes - device->target.memory_bytes / 64;
    if (device->target.memory_bytes > 0 && *bytes < 1) *bytes = 1; /* 0 would mean that there is no limit */
    return LT_OK;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

lt_status lt_shadow_open(const lt_config *config, const lt_device *device, int flags, lt_shadow *out) {
    *out = (lt_shadow){0};
    LT_TRY(lt_device_open("null", &out->device));
    out->device->target = device->target;
    out->device->generic = device->generic;
    lt_status status = lt_model_open(config, out->device, device->ops->backend, flags, &out->model);
    if (status != LT_OK) lt_shadow_close(out);
    return status;
}

lt_status lt_shadow_open_run(const char *run, const char *which, const lt_device *device, lt_shadow *out) {
    lt_config *config;
    LT_TRY(lt_run_read_config(run, which, &config));
    lt_status status = lt_shadow_open(config, device, 0, out);
    lt_config_free(config);
    return status;
}

void lt_shadow_close(lt_shadow *shadow) {
    lt_model_close(shadow->model);
    lt_device_close(shadow->device);
    *shadow = (lt_shadow){0};
}

lt_memory lt_memory_of(const lt_model *model, const lt_session_plan *plan) {
    static const lt_session_plan none;
    const lt_params *p = &model->params;
    const lt_session_plan *taken = plan ? plan : &none;
    int64_t one = (int64_t)lt_params_bytes(p);
    lt_memory m = {{0}};
    m.bytes[LT_MEMORY_WEIGHTS] = (int64_t)lt_params_value_bytes(p);
    m.bytes[LT_MEMORY_GRADIENTS] = model->grads.base ? one : 0;
    m.bytes[LT_MEMORY_OPTIMIZER] = model->moments.base ? 2 * one + (int64_t)lt_params_master_bytes(p) : 0;
    m.bytes[LT_MEMORY_EMA] = model->ema.base ? one : 0;
    m.bytes[LT_MEMORY_INPUTS] = taken->run_bytes;
    m.bytes[LT_MEMORY_ACTIVATIONS] = taken->step_bytes;
    m.bytes[LT_MEMORY_WORKSPACE] = taken->scratch_bytes;
    m.bytes[LT_MEMORY_CONTEXT] = model->device->target.context_bytes;
    return m;
}

void lt_memory_forget_training(lt_memory *memory) {
    memory->bytes[LT_MEMORY_GRADIENTS] = memory->bytes[LT_MEMORY_OPTIMIZER] = memory->bytes[LT_MEMORY_EMA] =
        0;
}

static lt_status stream_blocks(lt_video_stream *stream, const lt_model *model, int blocks) {
    int64_t n[4];
    lt_model_block_shape(model, n);
    float *latents = calloc((size_t)(n[0] * n[1] * n[2] * n[3]), sizeof *latents);
    LT_CHECK(latents, LT_FAILED, "out of memory for a block");
    lt_status status = LT_OK;
    for (int i = 0; i < blocks && status == LT_OK; i++) status = lt_video_stream_push(stream, latents);
    if (status == LT_OK) status = lt_video_stream_next(stream, latents);
    free(latents);
    return status;
}

static lt_status walk_stream(lt_model *model, const lt_stream_options *options, lt_memory *out) {
    lt_video_stream *stream;
    LT_TRY(lt_video_stream_open(model, options, &stream));
    int segments = lt_block_segments(model, options->spec.granularity);
    lt_status status = stream_blocks(stream, model, options->spec.budget / segments + 1);
    lt_stream_memory m = lt_video_stream_memory(stream);
    lt_video_stream_close(stream);
    lt_session_plan plan = {
        .run_bytes = m.run - m.slots - m.tails, .step_bytes = m.step_peak, .scratch_bytes = m.scratch_peak};
    *out = lt_memory_of(model, &plan);
    out->bytes[LT_MEMORY_SLOTS] = m.slots;
    out->bytes[LT_MEMORY_TAILS] = m.tails;
    lt_codec_bytes codec =
        lt_frame_stream_bytes(model, LT_CODEC_DECODE, model->config.block_frames); /* shows the video */
    out->bytes[LT_MEMORY_INPUTS] += codec.state;
    out->bytes[LT_MEMORY_WORKSPACE] += codec.workspace;
    return status;
}

bool lt_on_line(int64_t a, int64_t b, int64_t expected_c) {
    int64_t c = 2 * b - a;
    return llabs(c - expected_c) <=
           (c > expected_c ? c : expected_c) / 1000 + 4096; /* sizes are rounded up */
}

/* A slot more takes the same bytes as the one before, so a large cache need not be filled to know what it takes, which
 * takes time with the square of its slots. Where a few do not lie on a line, it is. */
lt_status lt_memory_streaming(lt_model *model, const lt_stream_options *options, lt_memory *out) {
    static const int few[] = {16, 24, 32};
    const int segments = lt_block_segments(model, options->spec.granularity), budget = options->spec.budget;
    lt_memory at[3];
    bool line = true;
    LT_CHECK(lt_device_is_null(model->device), LT_FAILED, "streaming is measured on a null device");
    if (budget <= few[2] * segments) return walk_stream(model, options, out);
    for (int i = 0; i < 3; i++) {
        lt_stream_options fewer = *options;
        fewer.spec.budget = few[i] * segments;
        LT_TRY(walk_stream(model, &fewer, &at[i]));
    }
    for (int role = 0; role < LT_MEMORY_ROLES; role++) {
        const int64_t first = at[0].bytes[role], last = at[2].bytes[role];
        line = line && lt_on_line(first, at[1].bytes[role], last);
        out->bytes[role] = last + (int64_t)llround((double)(last - first) * (budget - few[2] * segments) /
                                                   ((few[2] - few[0]) * segments));
    }
    return line ? LT_OK : walk_stream(model, options, out);
}

lt_status lt_memory_fit_streaming(lt_model *model, const lt_stream_options *options, int64_t limit,
                                  lt_memory *out) {
    enum { LEAST = 1 << 20 };
    LT_TRY(lt_memory_streaming(model, options, out));
    while (limit > 0 && lt_memory_peak(out) > limit && model->dit.wide_bytes > LEAST) {
        model->dit.wide_bytes /= 2;
        LT_TRY(lt_memory_streaming(model, options, out));
    }
    return LT_OK;
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

lt_status lt_memory_check(const lt_memory *memory, int64_t limit, const char *what, const char *advice) {
    char peak[32], most[32], allowed[32];
    int largest = 0;
    if (limit <= 0 || lt_memory_peak(memory) <= limit) return LT_OK;
    for (int i = 1; i < LT_MEMORY_ROLES; i++)
        if (memory->bytes[i] > memory->bytes[largest]) largest = i;
    return lt_fail(LT_USAGE, "--memory-limit %s: %s needs %s, most of it for %s (%s)%s%s",
                   lt_format_bytes(limit, allowed), what, lt_format_bytes(lt_memory_peak(memory), peak),
                   lt_memory_names[largest], lt_format_bytes(memory->bytes[largest], most),
                   *advice ? "; " : "", advice);
}
