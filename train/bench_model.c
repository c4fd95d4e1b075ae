#include "train/bench_model.h"

#include "core/cli.h"
#include "core/io.h"
#include "infer/memory.h"
#include "train/bench_block.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 64, WARMUP = 2 };
static const double least_seconds = 0.5;

typedef lt_status (*call_fn)(void *user);

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median milliseconds of a call. */
static lt_status time_calls(call_fn call, void *user, double *ms) {
    double samples[SAMPLES], total = 0;
    int count = 0;
    for (int i = 0; i < WARMUP; i++) LT_TRY(call(user));
    while (count < SAMPLES && (count < 3 || total < least_seconds)) {
        double start = lt_seconds();
        LT_TRY(call(user));
        samples[count] = lt_seconds() - start;
        total += samples[count++];
    }
    qsort(samples, (size_t)count, sizeof *samples, ascending);
    *ms = 1e3 * samples[count / 2];
    return LT_OK;
}

/* One call that notes where the host's time goes, and one where each op is waited for. */
static lt_status profile(call_fn call, void *user, lt_session *session, lt_meter *out) {
    for (int i = 0; out && i < 2; i++) {
        memset(&session->meter, 0, sizeof session->meter);
        session->meter.timed = true;
        session->ctx.sync = i == 1;
        lt_status status = call(user);
        session->meter.timed = session->ctx.sync = false;
        out[i] = session->meter;
        LT_TRY(status);
    }
    return LT_OK;
}

/* ---- one block alone --------------------------------------------------------------------------------------------- */

/* From here on the device's peak is that of the work to come. */
static void forget_peak(lt_model *model) { model->device->peak_bytes = model->device->allocated_bytes; }

static lt_status bench_block(lt_model *model, const float *latents, const lt_model_bench_options *options,
                             const lt_train_config *train, double *ms, int64_t *bytes) {
    lt_block_bench b = {.latents = latents, .batch = options->batch, .train = train};
    lt_work work = lt_block_work(&b);
    if (train) b.keep = train->recompute.keep;
    forget_peak(model);
    LT_TRY(lt_session_open(model, &work, &b.session));
    lt_status status = time_calls(lt_block_call, &b, ms);
    if (status == LT_OK) status = profile(lt_block_call, &b, b.session, options->profile);
    *bytes = model->device->peak_bytes;
    lt_session_close(b.session);
    return status;
}

/* ---- streaming --------------------------------------------------------------------------------------------------- */

typedef struct stream_bench {
    lt_video_stream *stream;
    float *latents;
} stream_bench;

static lt_status call_next(void *user) {
    stream_bench *b = user;
    return lt_video_stream_next(b->stream, b->latents);
}

static lt_status stream_options(const lt_model_bench_options *o, lt_stream_options *out) {
    *out =
        (lt_stream_options){.steps = o->stream_steps, .shift = 1, .guidance = 1, .no_graphs = o->no_graphs};
    return lt_cache_spec_parse("window", 3, &out->spec);
}

static lt_status bench_stream(lt_model *model, float *latents, const lt_model_bench_options *o,
                              lt_model_bench *out) {
    lt_stream_options options;
    stream_bench b = {.latents = latents};
    LT_TRY(stream_options(o, &options));
    forget_peak(model);
    LT_TRY(lt_video_stream_open(model, &options, &b.stream));
    lt_status status = LT_OK;
    for (int i = 0; i < 4 && status == LT_OK; i++) status = lt_video_stream_push(b.stream, latents);
    if (status == LT_OK) status = time_calls(call_next, &b, &out->stream_ms);
    if (status == LT_OK) status = profile(call_next, &b, lt_video_stream_session(b.stream), o->profile);
    out->stream_bytes = model->device->peak_bytes;
    lt_video_stream_close(b.stream);
    return status;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static lt_status call_rehearsal(void *user) { return lt_trainer_rehearse(user); }

static lt_status bench_clips(const lt_train_config *train, lt_model *model, const lt_model_bench_options *o,
                             lt_model_bench *out) {
    lt_trainer *trainer;
    lt_trainer_spec spec = {.config = train, .model = model};
    forget_peak(model);
    LT_TRY(lt_trainer_open(&spec, 0, &trainer));
    lt_status status = time_calls(call_rehearsal, trainer, &out->train_ms);
    if (status == LT_OK) status = profile(call_rehearsal, trainer, lt_trainer_session(trainer), o->profile);
    out->train_tokens = lt_train_tokens(train, model);
    out->train_bytes = model->device->peak_bytes;
    lt_trainer_close(trainer);
    return status;
}

/* ---- planning ---------------------------------------------------------------------------------------------------- */

typedef struct planned_block {
    const lt_model *model;
    lt_block_bench bench;
} planned_block;

static lt_status measure_block(const lt_dit_keep *keep, lt_session_plan *plan, int64_t *peak, void *user) {
    planned_block *p = user;
    lt_work work = lt_block_work(&p->bench);
    p->bench.keep = *keep;
    LT_TRY(lt_session_measure(p->model, "null", &work, plan));
    lt_memory memory = lt_memory_of(p->model, plan);
    *peak = lt_memory_peak(&memory);
    return LT_OK;
}

/* The step alone keeps what fits into `limit` bytes. */
static lt_status choose_block(planned_block *p, int64_t limit, lt_recompute_choice *out) {
    const lt_recompute *wanted = &p->bench.train->recompute;
    lt_session_plan plan;
    *out = (lt_recompute_choice){.keep = wanted->keep};
    if (!wanted->automatic || limit <= 0) return measure_block(&wanted->keep, &plan, &out->peak, p);
    return lt_recompute_choose(p->model->config.layers, &p->model->device->target, limit, 1, measure_block, p,
                               out);
}

static lt_status fit_step(const lt_model *model, const lt_model_bench_options *o,
                          const lt_train_config *train, int64_t limit, lt_recompute_choice *out) {
    planned_block p = {.model = model, .bench = {.batch = o->batch, .train = train}};
    static const lt_dit_keep nothing;
    lt_session_plan plan;
    int64_t least;
    char text[32], advice[64];
    LT_TRY(choose_block(&p, limit, out));
    if (o->memory_limit <= 0 || out->peak <= o->memory_limit) return LT_OK;
    LT_TRY(measure_block(&nothing, &plan, &least, &p));
    snprintf(advice, sizeof advice, "--recompute all needs %s", lt_format_bytes(least, text));
    LT_TRY(measure_block(&out->keep, &plan, &least, &p));
    lt_memory memory = lt_memory_of(model, &plan);
    return lt_memory_check(&memory, o->memory_limit, "the step alone", advice);
}

static lt_status fit_forward(const lt_model *model, const lt_model_bench_options *o, int64_t *planned) {
    planned_block p = {.model = model, .bench = {.batch = o->batch}};
    static const lt_dit_keep nothing;
    lt_session_plan plan;
    LT_TRY(measure_block(&nothing, &plan, planned, &p));
    lt_memory memory = lt_memory_of(model, &plan);
    return lt_memory_check(&memory, o->memory_limit, "the forward", o->batch > 1 ? "a smaller --batch" : "");
}

static lt_status fit_stream(lt_model *model, const lt_model_bench_options *o, int64_t *planned) {
    lt_stream_options options;
    lt_memory memory;
    LT_TRY(stream_options(o, &options));
    LT_TRY(lt_memory_streaming(model, &options, &memory));
    *planned = lt_memory_peak(&memory);
    return lt_memory_check(&memory, o->memory_limit, "the streamed block", "");
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

/* What is asked for, one after the other. */
static lt_status bench_all(lt_train_config *train, lt_model *model, float *latents,
                           const lt_model_bench_options *o, lt_model_bench *out) {
    LT_TRY(lt_train_set_trainable(train, model));
    if (o->what & LT_BENCH_FORWARD)
        LT_TRY(bench_block(model, latents, o, NULL, &out->forward_ms, &out->forward_bytes));
    train->recompute = (lt_recompute){.keep = out->step_choice.keep};
    if (o->what & LT_BENCH_STEP)
        LT_TRY(bench_block(model, latents, o, train, &out->step_ms, &out->step_bytes));
    if (o->what & LT_BENCH_STREAM) LT_TRY(bench_stream(model, latents, o, out));
    train->recompute = (lt_recompute){.keep = out->train_choice.keep};
    return o->what & LT_BENCH_TRAIN ? bench_clips(train, model, o, out) : LT_OK;
}

static lt_status read_train(const lt_config *config, const lt_model *model, const lt_model_bench_options *o,
                            lt_train_config *out) {
    LT_TRY(lt_train_config_read(config, model, out));
    lt_status status =
        o->recompute ? lt_recompute_parse(o->recompute, model->config.layers, &out->recompute) : LT_OK;
    if (status != LT_OK) lt_train_config_free(out);
    return status;
}

/* The EMA is part of training clips alone. */
static int flags_of(const lt_model_bench_options *o) {
    if (o->what & LT_BENCH_TRAIN) return LT_MODEL_TRAINING;
    return o->what & LT_BENCH_STEP ? LT_MODEL_GRADS | LT_MODEL_MOMENTS : 0;
}

static lt_status plan_all(lt_train_config *train, lt_model *model, const lt_model_bench_options *o,
                          int64_t limit, lt_model_bench *out) {
    lt_trainer_spec spec = {.config = train, .model = model};
    LT_TRY(lt_train_set_trainable(train, model));
    if (o->what & LT_BENCH_FORWARD) LT_TRY(fit_forward(model, o, &out->forward_planned));
    if (o->what & LT_BENCH_STEP) LT_TRY(fit_step(model, o, train, limit, &out->step_choice));
    if (o->what & LT_BENCH_STREAM) LT_TRY(fit_stream(model, o, &out->stream_planned));
    if (!(o->what & LT_BENCH_TRAIN)) return LT_OK;
    if (o->memory_limit > 0) return lt_trainer_fit(&spec, train, limit, &out->train_choice);
    return lt_trainer_choose(&spec, train, limit, &out->train_choice);
}

/* Before anything is allocated: what the steps keep, and whether it fits. */
static lt_status plan_bench(const lt_config *config, lt_device *device, const lt_model_bench_options *o,
                            lt_model_bench *out) {
    lt_shadow shadow;
    lt_train_config train;
    int64_t limit = o->memory_limit;
    if (limit == 0) LT_TRY(lt_memory_room(device, 1, &limit));
    LT_TRY(lt_shadow_open(config, device, flags_of(o), &shadow));
    out->layers = shadow.model->config.layers;
    lt_status status = read_train(config, shadow.model, o, &train);
    if (status == LT_OK) {
        status = plan_all(&train, shadow.model, o, limit, out);
        lt_train_config_free(&train);
    }
    lt_shadow_close(&shadow);
    return status;
}

static lt_status bench_opened(const lt_config *config, lt_model *model, const lt_model_bench_options *o,
                              lt_model_bench *out) {
    int64_t n[4];
    const int *patch = model->config.patch;
    lt_train_config train;
    lt_model_block_shape(model, n);
    int64_t size = o->batch * n[0] * n[1] * n[2] * n[3];
    out->tokens = n[0] / patch[0] * (n[1] / patch[1]) * (n[2] / patch[2]);
    float *latents = malloc((size_t)size * sizeof *latents);
    LT_CHECK(latents, LT_FAILED, "out of memory for a block");
    lt_rng_key key = {.purpose = LT_RNG_NOISE};
    lt_rng_fill_normal(&key, 0, size, latents);
    lt_status status = lt_model_initialise(model, 0);
    if (status == LT_OK) status = read_train(config, model, o, &train);
    if (status == LT_OK) {
        status = bench_all(&train, model, latents, o, out);
        lt_train_config_free(&train);
    }
    free(latents);
    return status;
}

lt_status lt_bench_model(const lt_config *config, lt_device *device, const lt_model_bench_options *options,
                         lt_model_bench *out) {
    lt_model *model;
    *out = (lt_model_bench){0};
    LT_CHECK(!lt_device_is_null(device), LT_UNAVAILABLE,
             "the null device runs nothing; `longtake plan` counts on it");
    LT_CHECK(options->batch >= 1 && options->batch <= LT_BLOCK_BATCH, LT_USAGE,
             "a batch of %d, expected 1 to %d", options->batch, LT_BLOCK_BATCH);
    int64_t before, after;
    LT_TRY(plan_bench(config, device, options, out));
    LT_TRY(lt_device_free_memory(device, &before));
    LT_TRY(lt_model_open(config, device, device->ops->backend, flags_of(options), &model));
    lt_status status = bench_opened(config, model, options, out);
    lt_model_close(model);
    LT_TRY(status);
    LT_TRY(lt_device_free_memory(device, &after)); /* nothing is allocated now */
    out->context_bytes = device->target.context_bytes;
    out->library_bytes = lt_device_is_host(device) ? 0 : before - after;
    return LT_OK;
}
