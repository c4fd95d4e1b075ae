#include "train/bench_model.h"

#include "core/io.h"
#include "infer/stream.h"
#include "infer/transfer.h"
#include "train/optimizer.h"
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 64, WARMUP = 2, MOST_BATCH = 16 };
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

typedef struct block_bench {
    lt_session *session;
    const lt_model_bench_options *options;
    const float *latents;         /* [batch, block] */
    const lt_train_config *train; /* NULL: a forward that records nothing; else a whole training step */
    lt_optimizer optimizer;
} block_bench;

/* Velocity of one block of each sequence, and the latents on the device. */
static lt_status forward(const block_bench *b, lt_session *session, lt_var **velocity, lt_tensor *latent) {
    lt_tape *tape = &session->tape;
    int64_t n[4], first = 0;
    int batch = b->options->batch;
    double t[MOST_BATCH];
    for (int i = 0; i < batch; i++) t[i] = 0.5;
    lt_dit_input in = {.batch = batch,
                       .streams = 1,
                       .blocks = 1,
                       .t = t,
                       .first_frame = &first,
                       .commit_stream = -1,
                       .recompute = b->train && b->options->recompute};
    lt_model_block_shape(session->model, n);
    lt_tape_reset(tape);
    tape->recording = b->train != NULL;
    LT_TRY(LT_NEW(&session->step, lt_ctx_sum_dtype(&session->ctx), latent, batch, n[0], n[1], n[2], n[3]));
    LT_TRY(lt_put_floats(&session->ctx, &session->step, b->latents, *latent));
    LT_TRY(lt_tape_var(tape, *latent, false, &in.latent));
    LT_TRY(lt_text_encode(&session->model->text, tape, batch, NULL, &in.text, &in.mask));
    return lt_dit_forward(&session->model->dit, tape, &in, velocity);
}

/* What a plain training loop does after the forward: squared error, backward, norm, AdamW with EMA. */
static lt_status learn(block_bench *b, lt_session *session, lt_var *velocity, lt_tensor target) {
    lt_tape *tape = &session->tape;
    int64_t batch = target.shape[0], size = lt_numel(&target) / batch;
    float one[MOST_BATCH];
    for (int i = 0; i < batch; i++) one[i] = 1 / (float)batch;
    double norm;
    bool finite;
    lt_var *rows, *loss;
    lt_tensor seed;
    LT_TRY(LT_AG_RESHAPE(tape, velocity, &rows, batch, size));
    LT_TRY(lt_ag_mse(tape, rows, LT_RESHAPE(target, batch, size), &loss));
    LT_TRY(LT_NEW(&session->step, lt_ctx_sum_dtype(&session->ctx), &seed, batch));
    LT_TRY(lt_put_floats(&session->ctx, &session->step, one, seed));
    lt_params_clear_grads(&session->model->params);
    LT_TRY(lt_tape_seed(tape, loss, seed));
    LT_TRY(lt_tape_backward(tape));
    LT_TRY(lt_params_fill_grads(&session->model->params, &session->ctx));
    LT_TRY(lt_optimizer_norm(&b->optimizer, session, b->train->clip_norm, &norm, &finite));
    return lt_optimizer_update(&b->optimizer, session, b->train, 0, 1);
}

static lt_status block_setup(lt_session *session, void *user) {
    block_bench *b = user;
    return lt_optimizer_init(&b->optimizer, session);
}

static lt_status block_work(lt_session *session, void *user) {
    block_bench *b = user;
    lt_var *velocity;
    lt_tensor latent;
    LT_TRY(forward(b, session, &velocity, &latent));
    if (b->train) LT_TRY(learn(b, session, velocity, latent));
    return lt_device_synchronize(session->ctx.device, session->ctx.stream);
}

static void block_close(lt_session *session, void *user) {
    (void)session;
    lt_optimizer_free(&((block_bench *)user)->optimizer);
}

static lt_status call_block(void *user) {
    block_bench *b = user;
    return block_work(b->session, b);
}

/* From here on the device's peak is that of the work to come. */
static void forget_peak(lt_model *model) { model->device->peak_bytes = model->device->allocated_bytes; }

static lt_status bench_block(lt_model *model, const float *latents, const lt_model_bench_options *options,
                             const lt_train_config *train, double *ms, int64_t *bytes) {
    block_bench b = {.latents = latents, .options = options, .train = train};
    lt_work work = {.setup = block_setup, .work = block_work, .close = block_close, .user = &b};
    forget_peak(model);
    LT_TRY(lt_session_open(model, &work, &b.session));
    lt_status status = time_calls(call_block, &b, ms);
    if (status == LT_OK) status = profile(call_block, &b, b.session, options->profile);
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

static lt_status bench_stream(lt_model *model, float *latents, const lt_model_bench_options *o,
                              lt_model_bench *out) {
    lt_stream_options options = {.steps = o->stream_steps, .shift = 1, .guidance = 1};
    stream_bench b = {.latents = latents};
    LT_TRY(lt_cache_spec_parse("window", 3, &options.spec));
    forget_peak(model);
    LT_TRY(lt_video_stream_open(model, &options, &b.stream));
    lt_status status = LT_OK;
    for (int i = 0; i < 4 && status == LT_OK; i++) status = lt_video_stream_push(b.stream, latents);
    if (status == LT_OK) status = time_calls(call_next, &b, &out->stream_ms);
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

static lt_status bench_all(const lt_train_config *train, lt_model *model, float *latents,
                           const lt_model_bench_options *o, lt_model_bench *out) {
    LT_TRY(lt_train_set_trainable(train, model));
    if (o->what & LT_BENCH_FORWARD)
        LT_TRY(bench_block(model, latents, o, NULL, &out->forward_ms, &out->forward_bytes));
    if (o->what & LT_BENCH_STEP)
        LT_TRY(bench_block(model, latents, o, train, &out->step_ms, &out->step_bytes));
    if (o->what & LT_BENCH_STREAM) LT_TRY(bench_stream(model, latents, o, out));
    return o->what & LT_BENCH_TRAIN ? bench_clips(train, model, o, out) : LT_OK;
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
    if (status == LT_OK) status = lt_train_config_read(config, model, &train);
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
    bool trains = options->what & (LT_BENCH_STEP | LT_BENCH_TRAIN);
    *out = (lt_model_bench){0};
    LT_CHECK(!lt_device_is_null(device), LT_UNAVAILABLE,
             "the null device runs nothing; `longtake plan` counts on it");
    LT_CHECK(options->batch >= 1 && options->batch <= MOST_BATCH, LT_USAGE, "a batch of %d, expected 1 to %d",
             options->batch, MOST_BATCH);
    LT_TRY(lt_model_open(config, device, device->ops->backend, trains ? LT_MODEL_TRAINING : 0, &model));
    lt_status status = bench_opened(config, model, options, out);
    lt_model_close(model);
    return status;
}
