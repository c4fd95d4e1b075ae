/* The pass over whole clips: what is noised how, whose loss is whose, and where gradients go. */
#include "infer/clip_pass.h"
#include "infer/testing.h"
#include "infer/transfer.h"

enum {
    CLIPS = 2,
    BLOCKS = 3,
    DRAWS = 2,
    LOSSES = BLOCKS * DRAWS * CLIPS,
    GROUPS = BLOCKS * (1 + DRAWS) * CLIPS
};

static float latents[CLIPS * BLOCKS * TEST_BLOCK];
static const uint64_t ids[CLIPS] = {11, 12};
static const char *const prompts[CLIPS] = {"a red ball", NULL};
static double times[LOSSES];
static lt_cache_spec specs[CLIPS];

/* What the reads' gradients say, and what was evicted meanwhile. */
typedef struct listener {
    bool on; /* not while planning: there are no values */
    double slope[CLIPS];
    uint64_t victims; /* a checksum */
} listener;

/* One pass in a session of its own: weighted losses go backward when `weights` is given. */
typedef struct run {
    lt_clip_batch batch;
    lt_clip_pass pass;
    const lt_dit_keep *keep;
    const double *weights; /* of the losses in what is differentiated; NULL: no gradients */
    listener *listener;    /* with ghosts; or NULL */
    float loss[LOSSES];
} run;

static lt_clip_batch whole_batch(void) {
    return (lt_clip_batch){.clips = CLIPS,
                           .blocks = BLOCKS,
                           .draws = DRAWS,
                           .latents = latents,
                           .prompts = prompts,
                           .ids = ids,
                           .t = times,
                           .seed = 7,
                           .purpose = LT_RNG_NOISE,
                           .step = 5,
                           .specs = specs};
}

static void prepare(const char *policy, int budget) {
    for (int clip = 0; clip < CLIPS; clip++) {
        test_latents((uint64_t)clip, BLOCKS * TEST_BLOCK, latents + clip * BLOCKS * TEST_BLOCK);
        specs[clip] = test_spec(policy, budget);
    }
    for (int i = 0; i < LOSSES; i++) times[i] = (i + 0.5) / LOSSES;
}

static void hear_commit(const lt_commit_event *e, void *user) {
    listener *l = user;
    for (int i = 0; l->on && i < e->victims; i++)
        l->victims = l->victims * 31 + (uint64_t)(e->victim_ids[i] + e->layer + 2 * e->sequence + 1);
}

static void hear_gradient(const lt_read_event *e, void *user) {
    listener *l = user;
    for (int64_t i = 0; l->on && e->stream > 0 && i < lt_numel(&e->weights->value); i++)
        if (((const double *)e->weights->value.data)[i] > 0) /* 0: a ghost */
            l->slope[e->sequence] += e->gradient[i];
}

static lt_status set_up(lt_session *session, void *user) {
    run *r = user;
    LT_TRY(lt_clip_pass_init(&r->pass, session, CLIPS, BLOCKS, DRAWS));
    r->pass.cache.ghosts = r->listener != NULL;
    if (r->listener)
        r->pass.cache.observer = (lt_cache_observer){hear_commit, NULL, hear_gradient, r->listener};
    return LT_OK;
}

static lt_status seed_weights(lt_session *session, const run *r, lt_var *loss) {
    float weights[LOSSES];
    lt_tensor seed;
    for (int i = 0; i < LOSSES; i++) weights[i] = (float)r->weights[i];
    LT_TRY(lt_tensor_new(&session->step, loss->value.dtype, &seed, 1, loss->value.shape));
    LT_TRY(lt_put_floats(&session->ctx, &session->step, weights, seed));
    return lt_tape_seed(&session->tape, loss, seed);
}

static lt_status do_pass(lt_session *session, void *user) {
    run *r = user;
    lt_var *loss;
    lt_tape_reset(&session->tape);
    session->tape.recording = r->weights != NULL;
    LT_TRY(lt_clip_pass_run(&r->pass, &r->batch, r->keep, &loss));
    LT_TRY(lt_get_floats(&session->ctx, &session->step, loss->value, r->loss));
    if (!r->weights) return LT_OK;
    lt_params_clear_grads(&session->model->params);
    LT_TRY(seed_weights(session, r, loss));
    LT_TRY(lt_tape_backward(&session->tape));
    return lt_params_fill_grads(&session->model->params, &session->ctx);
}

static void tear_down(lt_session *session, void *user) {
    (void)session;
    lt_clip_pass_free(&((run *)user)->pass);
}

static lt_session *open_session(lt_model *model, run *r) {
    lt_work work = {.setup = set_up, .work = do_pass, .close = tear_down, .user = r};
    lt_session *session = NULL;
    CHECK_OK(lt_session_open(model, &work, &session));
    if (!session) exit(test_end() + 1);
    return session;
}

static void run_once(lt_model *model, run *r) {
    lt_session *session = open_session(model, r);
    CHECK_OK(do_pass(session, r));
    lt_session_close(session);
}

static lt_model *shaken(lt_backend backend, int flags) {
    lt_model *model = test_model_open("cpu", backend, flags);
    test_model_shake(model, 0.1);
    return model;
}

static void fill_noise(int block, int draw, int clip, float *noise) {
    lt_rng_key key = {.seed = 7,
                      .purpose = LT_RNG_NOISE,
                      .clip = ids[clip],
                      .block = (uint32_t)block,
                      .step = (uint32_t)(5 * DRAWS + draw)};
    lt_rng_fill_normal(&key, 0, TEST_BLOCK, noise);
}

/* A model whose projection is zero predicts no velocity: its loss is the target's mean square. */
static void the_target_is_noise_minus_clean(void) {
    static float noise[TEST_BLOCK];
    run r = {.batch = whole_batch()};
    prepare("keep-all", 1);
    lt_model *model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    run_once(model, &r);
    for (int i = 0; i < LOSSES; i++) {
        int block = i / (DRAWS * CLIPS), draw = i / CLIPS % DRAWS, clip = i % CLIPS;
        const float *x = latents + (clip * BLOCKS + block) * TEST_BLOCK;
        double sum = 0;
        fill_noise(block, draw, clip, noise);
        for (int k = 0; k < TEST_BLOCK; k++) sum += (double)(noise[k] - x[k]) * (noise[k] - x[k]);
        CHECK_NEAR(r.loss[i], sum / TEST_BLOCK, 1e-5);
    }
    test_model_close(model);
}

/* What the transformer sees: stream 0 is the clip to the bit, the others lie between clip and noise. */
static void streams_are_clean_then_noisy(void) {
    static float noise[TEST_BLOCK];
    run r = {.batch = whole_batch()};
    prepare("keep-all", 1);
    lt_model *model = shaken(LT_BACKEND_CPU, 0);
    lt_session *session = open_session(model, &r);
    CHECK_OK(do_pass(session, &r));
    for (int g = 0; g < GROUPS; g++) {
        int block = g / ((1 + DRAWS) * CLIPS), stream = g / CLIPS % (1 + DRAWS), clip = g % CLIPS;
        const float *x = latents + (clip * BLOCKS + block) * TEST_BLOCK;
        const float *input = (const float *)r.pass.input.data + g * TEST_BLOCK;
        if (stream == 0) {
            CHECK(memcmp(input, x, TEST_BLOCK * sizeof *x) == 0);
            continue;
        }
        double t = times[(block * DRAWS + stream - 1) * CLIPS + clip];
        fill_noise(block, stream - 1, clip, noise);
        for (int k = 0; k < TEST_BLOCK; k++) CHECK_NEAR(input[k], (1 - t) * x[k] + t * noise[k], 2e-6);
    }
    lt_session_close(session);
    test_model_close(model);
}

/* The loss of one block of one clip in one draw does not depend on which others share the pass. */
static void losses_are_those_of_each_clip_and_draw_alone(void) {
    float together[LOSSES];
    run r = {.batch = whole_batch()};
    prepare("window", 1);
    lt_model *model = shaken(LT_BACKEND_CPU, 0);
    lt_session *session = open_session(model, &r);
    CHECK_OK(do_pass(session, &r));
    memcpy(together, r.loss, sizeof together);
    for (int clip = 0; clip < CLIPS; clip++)
        for (int draw = 0; draw < DRAWS; draw++) {
            double t[BLOCKS];
            for (int i = 0; i < BLOCKS; i++) t[i] = times[(i * DRAWS + draw) * CLIPS + clip];
            r.batch = whole_batch();
            r.batch.clips = r.batch.draws = 1;
            r.batch.latents = latents + clip * BLOCKS * TEST_BLOCK;
            r.batch.ids = ids + clip, r.batch.prompts = prompts + clip, r.batch.t = t;
            r.batch.step = 5 * DRAWS + (uint32_t)draw;
            CHECK_OK(do_pass(session, &r));
            for (int i = 0; i < BLOCKS; i++)
                CHECK_NEAR(r.loss[i], together[(i * DRAWS + draw) * CLIPS + clip], 1e-5);
        }
    lt_session_close(session);
    test_model_close(model);
}

static void each_clip_has_its_own_policy(void) {
    run mixed = {.batch = whole_batch()}, none = mixed, all = mixed;
    lt_model *model = shaken(LT_BACKEND_CPU, 0);
    prepare("none", 0);
    run_once(model, &none);
    prepare("keep-all", 1);
    run_once(model, &all);
    specs[0] = test_spec("none", 0);
    run_once(model, &mixed);
    for (int i = 0; i < LOSSES; i++) {
        CHECK(mixed.loss[i] == (i % CLIPS == 0 ? none : all).loss[i]);
        bool reads = i / (DRAWS * CLIPS) > 0;
        CHECK((none.loss[i] != all.loss[i]) == reads);
    }
    test_model_close(model);
}

static void where_the_clip_lies_does_not_matter(void) {
    run near = {.batch = whole_batch()}, far = near;
    prepare("window", 2);
    lt_model *model = shaken(LT_BACKEND_CPU, 0);
    run_once(model, &near);
    far.batch.first_frame = 1000000 * TEST_FRAMES;
    run_once(model, &far);
    for (int i = 0; i < LOSSES; i++) CHECK_NEAR(near.loss[i], far.loss[i], 1e-6);
    test_model_close(model);
}

/* Every published tensor: the derivative along the gradient itself, in float64. Weights differ from loss to loss, so a
 * loss in the wrong place shows. */
static void gradients_equal_finite_differences(void) {
    double weights[LOSSES];
    for (int i = 0; i < LOSSES; i++) weights[i] = 0.25 * (1 + i % 5);
    prepare("window:consolidate=sum", 1);
    lt_model *model = shaken(LT_BACKEND_NAIVE, LT_MODEL_GRADS);
    run r = {.batch = whole_batch(), .weights = weights};
    lt_session *session = open_session(model, &r);
    CHECK_OK(do_pass(session, &r));
    lt_var *const checked[] = {model->dit.out.w,           model->dit.patch.w,
                               model->dit.layers[0].qkv.w, model->dit.layers[0].temporal_w,
                               model->dit.layers[1].table, model->text.parameter[0]};
    for (size_t i = 0; i < sizeof checked / sizeof *checked; i++) {
        lt_var *var = checked[i];
        int64_t count = lt_numel(&var->value);
        double *w = var->value.data, square = 0, sides[2], step = 1e-4;
        double *direction = malloc((size_t)count * sizeof *direction);
        memcpy(direction, var->grad.data, (size_t)count * sizeof *direction);
        for (int64_t k = 0; k < count; k++) square += direction[k] * direction[k];
        for (int side = 0; side < 2; side++) {
            for (int64_t k = 0; k < count; k++) w[k] += (side ? -2 : 1) * step * direction[k] / sqrt(square);
            run moved = r;
            lt_var *loss;
            lt_tape_reset(&session->tape);
            session->tape.recording = false;
            CHECK_OK(lt_clip_pass_run(&r.pass, &moved.batch, NULL, &loss));
            sides[side] = 0;
            for (int k = 0; k < LOSSES; k++) sides[side] += weights[k] * ((double *)loss->value.data)[k];
        }
        for (int64_t k = 0; k < count; k++) w[k] += step * direction[k] / sqrt(square);
        CHECK(square > 0);
        CHECK_NEAR((sides[0] - sides[1]) / (2 * step) / sqrt(square), 1, 1e-6);
        free(direction);
    }
    lt_session_close(session);
    test_model_close(model);
}

static double weighted(const float *loss, const double *weights, int clip) {
    double sum = 0;
    for (int i = clip; i < LOSSES; i += CLIPS) sum += weights[i] * (double)loss[i];
    return sum;
}

/* The derivative of a clip's loss by its read scale is the sum of dL/dw over its noisy reads, so the gradients along
 * the way from 0 to 1 add up to what all entries are worth; the scale of one clip touches no other, and no decision. */
static void slopes_along_the_read_scale_add_up_to_the_loss(void) {
    enum { POINTS = 16 };
    double weights[LOSSES], scale[CLIPS] = {1, 1}, ends[2] = {0}, other[2] = {0}, integral = 0;
    uint64_t victims = 0;
    for (int i = 0; i < LOSSES; i++) weights[i] = 0.25 * (1 + i % 5);
    prepare("key-norm", 1);
    lt_model *model = shaken(LT_BACKEND_NAIVE, LT_MODEL_GRADS);
    listener l = {0};
    run r = {.batch = whole_batch(), .weights = weights, .listener = &l};
    r.batch.read_scale = scale;
    lt_session *session = open_session(model, &r);
    for (int i = 0; i < POINTS; i++) {
        l = (listener){.on = true};
        scale[0] = (i + 0.5) / POINTS;
        CHECK_OK(do_pass(session, &r));
        integral += l.slope[0] / POINTS;
        CHECK(l.victims != 0 && (i == 0 || l.victims == victims));
        victims = l.victims;
    }
    r.weights = NULL;
    for (int end = 0; end < 2; end++) {
        scale[0] = end;
        CHECK_OK(do_pass(session, &r));
        ends[end] = weighted(r.loss, weights, 0), other[end] = weighted(r.loss, weights, 1);
    }
    CHECK(fabs(ends[1] - ends[0]) > 1e-3);
    CHECK_NEAR(integral, ends[1] - ends[0], 1e-2 * fabs(ends[1] - ends[0]));
    CHECK(other[0] == other[1]);
    lt_session_close(session);
    test_model_close(model);
}

static void recomputation_gives_the_same_gradients(void) {
    double weights[LOSSES];
    for (int i = 0; i < LOSSES; i++) weights[i] = 1.0 / LOSSES;
    prepare("sink:read=content", 2);
    lt_model *model = shaken(LT_BACKEND_CPU, LT_MODEL_GRADS);
    run kept = {.batch = whole_batch(), .weights = weights}, again = kept;
    static const lt_dit_keep nothing;
    again.keep = &nothing;
    run_once(model, &kept);
    size_t bytes = model->grads.used;
    void *copy = malloc(bytes);
    memcpy(copy, model->grads.base, bytes);
    run_once(model, &again);
    CHECK(memcmp(kept.loss, again.loss, sizeof kept.loss) == 0);
    CHECK(memcmp(copy, model->grads.base, bytes) == 0);
    free(copy);
    test_model_close(model);
}

/* What a pass and its gradients ask of the device. */
typedef struct asked {
    int64_t calls, to_device, to_host;
} asked;

static asked copies;
static const lt_device_ops *real;

static lt_status count_copy(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                            lt_copy_kind kind) {
    copies.to_device += kind == LT_COPY_TO_DEVICE;
    copies.to_host += kind == LT_COPY_TO_HOST;
    return real->copy(device, stream, to, from, bytes, kind);
}

static asked asked_by(lt_session *session, run *r) {
    lt_ctx *ctx = &session->ctx;
    lt_meter meter = {0};
    real = ctx->device->ops;
    lt_device_ops counting = *real;
    counting.copy = count_copy;
    copies = (asked){0};
    ctx->meter = &meter;
    ctx->device->ops = &counting;
    CHECK_OK(do_pass(session, r));
    ctx->device->ops = real;
    ctx->meter = NULL;
    for (int i = 0; i < LT_OP_COUNT; i++) copies.calls += meter.op[i].calls;
    return copies;
}

/* Training the scorer: reads, read masses, decisions and damage of all clips go to the device and come back together,
 * so another clip asks for nothing more. */
static void more_clips_ask_the_device_as_often(void) {
    double weights[LOSSES];
    for (int i = 0; i < LOSSES; i++) weights[i] = 1.0 / LOSSES;
    prepare("learned:read=content", 1);
    lt_model *model = shaken(LT_BACKEND_NAIVE, LT_MODEL_GRADS);
    listener l = {0};
    run r = {.batch = whole_batch(), .weights = weights, .listener = &l};
    lt_session *session = open_session(model, &r);
    asked two = asked_by(session, &r);
    specs[1] = test_spec("key-norm:read=age", 1);
    asked mixed = asked_by(session, &r);
    specs[1] = specs[0];
    r.batch.clips = 1;
    asked one = asked_by(session, &r);
    int blocks = model->config.layers * BLOCKS, reading = model->config.layers * (BLOCKS - 1);
    CHECK(two.calls == one.calls && two.to_host == one.to_host && two.to_device == one.to_device);
    CHECK(mixed.calls <= two.calls + 18 * reading); /* the other head, forward and backward */
    CHECK(mixed.to_host == two.to_host && mixed.to_device == two.to_device);
    /* Where a block reads, commits, and hears of dL/dw; the losses, and the keep head's five parameters. */
    CHECK(two.to_host == 2 * reading + blocks + 6);
    lt_session_close(session);
    test_model_close(model);
}

static void batches_that_do_not_fit_are_refused(void) {
    lt_var *loss;
    run r = {.batch = whole_batch()};
    prepare("window", 1);
    lt_model *model = shaken(LT_BACKEND_CPU, 0);
    lt_session *session = open_session(model, &r);
    r.batch.blocks = BLOCKS + 1;
    CHECK_FAILS(lt_clip_pass_run(&r.pass, &r.batch, NULL, &loss), LT_FAILED, "reserved for");
    r.batch.blocks = BLOCKS;
    specs[1] = test_spec("window:granularity=frame", 1);
    CHECK_FAILS(lt_clip_pass_run(&r.pass, &r.batch, NULL, &loss), LT_USAGE, "granularity");
    lt_session_close(session);
    test_model_close(model);
}

/* The planning run needs no latents, and takes as much memory as a real one. */
static void planning_needs_no_data(void) {
    lt_session_plan with, without;
    double weights[LOSSES] = {1};
    run r = {.batch = whole_batch(), .weights = weights};
    lt_work work = {.setup = set_up, .work = do_pass, .close = tear_down, .user = &r};
    prepare("window:read=content", 2);
    lt_model *model = shaken(LT_BACKEND_CPU, LT_MODEL_GRADS);
    CHECK_OK(lt_session_measure(model, "null", &work, &with));
    r.batch.latents = NULL;
    CHECK_OK(lt_session_measure(model, "null", &work, &without));
    CHECK(with.step_bytes == without.step_bytes && with.run_bytes == without.run_bytes);
    CHECK(with.step_bytes > 0 && with.run_bytes > 0 && with.meter.flops > 0);
    test_model_close(model);
}

int main(int argc, char **argv) {
    lt_session_poison(true);
    RUN(the_target_is_noise_minus_clean);
    RUN(streams_are_clean_then_noisy);
    RUN(losses_are_those_of_each_clip_and_draw_alone);
    RUN(each_clip_has_its_own_policy);
    RUN(where_the_clip_lies_does_not_matter);
    RUN(gradients_equal_finite_differences);
    RUN(slopes_along_the_read_scale_add_up_to_the_loss);
    RUN(recomputation_gives_the_same_gradients);
    RUN(more_clips_ask_the_device_as_often);
    RUN(batches_that_do_not_fit_are_refused);
    RUN(planning_needs_no_data);
    return test_end();
}
