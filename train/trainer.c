#include "train/trainer_impl.h"

#include "infer/transfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static lt_status reserve_host(lt_trainer *t) {
    const lt_train_config *c = t->config;
    int64_t n[4], noisy = (int64_t)c->blocks * c->draws * t->local;
    lt_model_block_shape(t->spec.model, n);
    if (noisy < (int64_t)c->blocks * t->local) noisy = (int64_t)c->blocks * t->local;
    t->clip_floats = c->blocks * n[0] * n[1] * n[2] * n[3];
    size_t clips = (size_t)t->local;
    t->clips = lt_pool_alloc(&t->pool, clips * sizeof *t->clips);
    t->ids = lt_pool_alloc(&t->pool, clips * sizeof *t->ids);
    t->prompts = lt_pool_alloc(&t->pool, clips * sizeof *t->prompts);
    t->specs = lt_pool_alloc(&t->pool, clips * sizeof *t->specs);
    t->t = lt_pool_alloc(&t->pool, (size_t)noisy * sizeof *t->t);
    t->times = lt_pool_alloc(&t->pool, (size_t)c->blocks * sizeof *t->times);
    t->losses = lt_pool_alloc(&t->pool, (size_t)noisy * sizeof *t->losses);
    bool all = t->clips && t->ids && t->prompts && t->specs && t->t && t->times && t->losses;
    return all ? LT_OK : LT_FAILED;
}

static lt_status reserve_latents(lt_trainer *t) {
    size_t floats = (size_t)t->local * (size_t)t->clip_floats;
    t->latents = lt_pool_alloc(&t->pool, floats * sizeof *t->latents);
    t->next_latents = lt_pool_alloc(&t->pool, floats * sizeof *t->next_latents);
    if (!t->latents || !t->next_latents) return LT_FAILED;
    if (!t->config->self_context) return LT_OK;
    t->context = lt_pool_alloc(&t->pool, floats * sizeof *t->context);
    return t->context ? LT_OK : LT_FAILED;
}

static lt_status setup(lt_session *session, void *user) {
    lt_trainer *t = user;
    const lt_train_config *c = t->config;
    t->session = session;
    LT_TRY(lt_clip_pass_init(&t->pass, session, t->local, c->blocks, c->draws));
    t->pass.cache.bptt_blocks = c->bptt_blocks;
    lt_objectives_attach(&t->objectives, &t->pass);
    return lt_optimizer_init(&t->optimizer, session);
}

static void close_memory(lt_session *session, void *user) {
    (void)session;
    lt_trainer *t = user;
    lt_clip_pass_free(&t->pass);
    lt_optimizer_free(&t->optimizer);
}

/* ---- one pass ---------------------------------------------------------------------------------------------------- */

lt_status lt_trainer_forward(lt_trainer *t, const lt_clip_batch *batch, bool recording, lt_var **loss) {
    lt_tape_reset(&t->session->tape);
    t->session->tape.recording = recording;
    lt_objective_pass pass = {.session = t->session, .pass = &t->pass, .batch = batch};
    return lt_objectives_forward(&t->objectives, &pass, loss);
}

lt_status lt_trainer_losses(lt_trainer *t, const lt_var *loss) {
    return lt_get_floats(&t->session->ctx, &t->session->step, loss->value, t->losses);
}

/* The step's loss is the mean over blocks, draws and clips of all passes and ranks. */
static double loss_share(const lt_trainer *t) {
    const lt_train_config *c = t->config;
    return 1.0 / ((double)c->blocks * c->draws * c->batch * c->accumulate);
}

static lt_status backward(lt_trainer *t, lt_var *loss) {
    lt_session *s = t->session;
    lt_tensor seed;
    int64_t count = lt_numel(&loss->value);
    LT_CHECK(loss->needs_grad, LT_USAGE, "%s", lt_objectives_no_gradient(&t->objectives));
    for (int64_t i = 0; i < count; i++) t->losses[i] = (float)loss_share(t);
    LT_TRY(lt_tensor_new(&s->step, loss->value.dtype, &seed, 1, &count));
    LT_TRY(lt_put_floats(&s->ctx, &s->step, t->losses, seed));
    LT_TRY(lt_tape_seed(&s->tape, loss, seed));
    return lt_tape_backward(&s->tape);
}

/* The other objectives learn from what the backward has left. */
static lt_status run_after(lt_trainer *t, double *figures) {
    lt_objective_pass pass = {.session = t->session,
                              .pass = &t->pass,
                              .batch = &t->batch,
                              .progress = fmin((double)t->done / (double)t->config->steps, 1)};
    return lt_objectives_after(&t->objectives, &pass, figures);
}

static lt_status prepare_next(lt_trainer *t);

/* Forward of the clips in the trainer's host memory. */
static lt_status begin_pass(lt_trainer *t, lt_var **loss) {
    const lt_train_config *c = t->config;
    t->batch = (lt_clip_batch){.clips = t->local,
                               .blocks = c->blocks,
                               .draws = c->draws,
                               .latents = t->latents,
                               .context = t->context,
                               .prompts = t->prompts,
                               .encoded = t->text != NULL,
                               .ids = t->ids,
                               .t = t->t,
                               .seed = c->seed,
                               .purpose = LT_RNG_NOISE,
                               .specs = t->specs};
    lt_objectives_edit(&t->objectives, &t->batch);
    if (t->text) LT_TRY(lt_stored_text_put(t->text, &t->pass, t->local, t->clips, t->prompts));
    return lt_trainer_forward(t, &t->batch, true, loss);
}

/* Its backward; adds to *loss_sum and the figures. The host reads the losses last: until then the device has work, and
 * the host has time for the next batch. */
static lt_status end_pass(lt_trainer *t, lt_var *loss, double *loss_sum, double *figures) {
    bool others = t->objectives.has_passes; /* which take the memory of this one */
    if (loss->needs_grad || !others) LT_TRY(backward(t, loss));
    int64_t count = lt_numel(&loss->value);
    if (others) LT_TRY(lt_trainer_losses(t, loss));
    LT_TRY(run_after(t, figures));
    LT_TRY(prepare_next(t));
    if (!others) LT_TRY(lt_trainer_losses(t, loss));
    for (int64_t i = 0; i < count; i++) *loss_sum += t->losses[i] * loss_share(t);
    return LT_OK;
}

/* ---- planning ---------------------------------------------------------------------------------------------------- */

/* A step whose clips are all under one row of the mix. */
static lt_status rehearse_row(lt_trainer *t, int row) {
    lt_session *s = t->session;
    double loss = 0, norm, figures[LT_OBJECTIVE_FIGURES] = {0};
    lt_var *losses;
    bool finite;
    for (int i = 0; i < t->local; i++) t->specs[i] = t->config->mix[row].spec;
    lt_params_clear_grads(&s->model->params);
    for (int i = 0; i < t->config->accumulate; i++) {
        LT_TRY(begin_pass(t, &losses));
        LT_TRY(end_pass(t, losses, &loss, figures));
    }
    LT_TRY(lt_params_fill_grads(&s->model->params, &s->ctx));
    LT_TRY(lt_optimizer_norm(&t->optimizer, s, t->config->clip_norm, &norm, &finite));
    return lt_optimizer_update(&t->optimizer, s, t->config, 0, 1);
}

/* What a step allocates at most: each row in turn. */
static lt_status rehearse(lt_session *session, void *user) {
    lt_trainer *t = user;
    (void)session; /* setup has made it the trainer's */
    for (int row = 0; row < t->config->mix_count; row++) LT_TRY(rehearse_row(t, row));
    return LT_OK;
}

lt_status lt_trainer_rehearse(lt_trainer *t) {
    return rehearse_row(t, (int)(t->done++ % t->config->mix_count));
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static lt_status check_frames(const lt_trainer_spec *spec) {
    const lt_dataset_spec *data = lt_dataset_get_spec(spec->set);
    const lt_model *m = spec->model;
    LT_CHECK(
        data->width == m->frame_width && data->height == m->frame_height, LT_USAGE,
        "%s holds frames of %dx%d, and the model's are %dx%d (width x height); ingest at that size or set "
        "model.frame_size",
        lt_dataset_path(spec->set), data->width, data->height, m->frame_width, m->frame_height);
    return LT_OK;
}

/* Stored latents are those of whole clips. Where the first of a video stands for fewer frames than the others, a window
 * that begins later has other latents than its frames alone would, so windows begin with the clip. */
static int64_t window_align(const lt_trainer *t) {
    const lt_codec *codec = t->spec.model->codec;
    bool causal = codec->bytes || codec->first_frames != codec->stride_t;
    return t->stored && causal ? INT64_MAX : codec->stride_t;
}

static lt_status open_loader(lt_trainer *t, int64_t done) {
    const lt_train_config *c = t->config;
    LT_TRY(lt_latents_choose(t->spec.model, t->spec.set, c->latents, t->rank > 0, &t->stored));
    LT_TRY(lt_stored_text_open(t->spec.model, t->spec.set, c->captions, t->local, t->rank > 0, &t->text));
    lt_loader_spec spec = {.role = "train",
                           .domains = c->train_domains,
                           .domain_count = c->train_domain_count,
                           .frames = lt_model_frames(t->spec.model, c->blocks),
                           .align = window_align(t),
                           .rows = t->stored ? (int64_t)c->blocks * t->spec.model->config.block_frames : 0,
                           .batch = c->batch,
                           .rank = t->rank,
                           .ranks = t->ranks,
                           .seed = c->seed};
    LT_CHECK(
        c->train_domain_count > 0, LT_USAGE,
        "data.train_domains is empty; name the domains to train on, as in --set data.train_domains=calm");
    LT_TRY(check_frames(&t->spec));
    return lt_loader_open(t->spec.set, &spec, done * c->accumulate, &t->loader);
}

/* Normals at time 1/2 in place of clips. */
static lt_status random_latents(lt_trainer *t) {
    lt_rng_key key = {.seed = t->config->seed, .purpose = LT_RNG_NOISE};
    lt_rng_fill_normal(&key, 0, t->local * t->clip_floats, t->latents);
    for (int i = 0; i < t->config->blocks * t->config->draws * t->local; i++) t->t[i] = 0.5;
    return LT_OK;
}

static lt_status prepare(const lt_trainer_spec *spec, lt_trainer **out) {
    lt_trainer *t = calloc(1, sizeof *t);
    *out = t;
    LT_CHECK(t, LT_FAILED, "out of memory for a trainer");
    t->spec = *spec;
    t->config = spec->config;
    t->rank = spec->comm ? lt_comm_rank(spec->comm) : 0;
    t->ranks = spec->comm ? lt_comm_size(spec->comm) : 1;
    t->local = t->config->batch / t->ranks;
    LT_CHECK(t->local * t->ranks == t->config->batch, LT_USAGE,
             "train.batch is %d clips, which %d processes cannot share evenly", t->config->batch, t->ranks);
    LT_TRY(reserve_host(t));
    return lt_objectives_open(spec->objectives, spec->objective_count, t->config, spec->model, t->local,
                              &t->objectives);
}

lt_status lt_trainer_open(const lt_trainer_spec *spec, int64_t done, lt_trainer **out) {
    lt_trainer *t;
    lt_status status = prepare(spec, &t);
    *out = NULL;
    if (status == LT_OK) t->done = done;
    if (status == LT_OK) status = reserve_latents(t);
    if (status == LT_OK) status = spec->set ? open_loader(t, done) : random_latents(t);
    if (status == LT_OK && spec->set && t->config->validate_every > 0)
        status = lt_trainer_choose_validation(t);
    if (status == LT_OK && t->config->self_context)
        status = lt_rollout_open(t->config, spec->model, &t->rollout);
    lt_work work = {.setup = setup, .work = rehearse, .close = close_memory, .user = t};
    lt_session *session = NULL;
    if (status == LT_OK) status = lt_session_open(spec->model, &work, &session);
    if (t) t->session = session;
    if (status == LT_OK) status = lt_trainer_join_ranks(t);
    if (status == LT_OK) *out = t;
    else lt_trainer_close(t);
    return status;
}

void lt_trainer_close(lt_trainer *t) {
    if (!t) return;
    lt_session_close(t->session);
    lt_rollout_close(t->rollout);
    lt_loader_close(t->loader);
    lt_objectives_close(&t->objectives);
    lt_stored_text_close(t->text);
    lt_buckets_free(&t->buckets);
    lt_pool_free(&t->pool);
    free(t->val_clips);
    free(t->statistics);
    free(t);
}

lt_status lt_trainer_measure(const lt_trainer_spec *spec, const char *target, lt_session_plan *plan) {
    lt_trainer *t;
    lt_trainer_spec only = *spec;
    only.set = NULL;
    lt_status status = prepare(&only, &t);
    lt_work work = {.setup = setup, .work = rehearse, .close = close_memory, .user = t};
    if (status == LT_OK) status = lt_session_measure(spec->model, target, &work, plan);
    if (t) t->session = NULL;
    lt_trainer_close(t);
    return status;
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static const char *prompt_of(const lt_train_config *c, const lt_sample *sample, uint64_t id) {
    lt_rng_key key = {.seed = c->seed, .purpose = LT_RNG_CAPTION, .clip = id};
    bool drop = !*sample->row->caption || lt_rng_uniform(&key, 0) < c->caption_drop;
    return drop ? NULL : sample->row->caption;
}

static void fill_times(lt_trainer *t, int clip) {
    const lt_train_config *c = t->config;
    double *times = t->times;
    for (int draw = 0; draw < c->draws; draw++) {
        lt_rng_key key = {
            .seed = c->seed, .purpose = LT_RNG_TIME, .clip = t->ids[clip], .step = (uint32_t)draw};
        lt_clip_times(c->noise, &key, c->time_mean, c->time_deviation, c->time_shift, c->blocks, times);
        for (int b = 0; b < c->blocks; b++) t->t[(b * c->draws + draw) * t->local + clip] = times[b];
    }
}

/* Reads and encodes the batch after the one in use. Called while the device works, so it must not wait for it. */
static lt_status prepare_next(lt_trainer *t) {
    if (t->next || !t->loader) return LT_OK;
    if (!t->statistics) LT_TRY(lt_model_statistics(t->spec.model, &t->statistics));
    LT_TRY(lt_loader_next(t->loader, &t->next));
    if (t->stored) {
        int64_t rows = (int64_t)t->local * t->config->blocks * t->spec.model->config.block_frames;
        lt_latents_from_rows(t->spec.model, rows, t->next->latents, t->next_latents);
        lt_model_normalise(t->spec.model, t->statistics,
                           t->local * t->clip_floats / t->spec.model->config.in_channels, t->next_latents);
        return LT_OK;
    }
    return lt_model_encode_clips(t->spec.model, t->statistics, t->local, t->next->frames, t->next->rgb,
                                 t->next_latents);
}

/* The next batch into host memory: latents, and for each clip a number of its own, which all its randomness hangs
 * on. */
static lt_status fill_batch(lt_trainer *t) {
    const lt_train_config *c = t->config;
    LT_TRY(prepare_next(t));
    const lt_batch *batch = t->next;
    float *encoded = t->next_latents;
    t->next_latents = t->latents;
    t->latents = encoded;
    t->next = NULL;
    for (int i = 0; i < t->local; i++) {
        float *latents = t->latents + i * t->clip_floats;
        t->ids[i] = (uint64_t)(batch->step * c->batch + (int64_t)t->rank * t->local + i);
        int row = lt_mix_draw(c, t->ids[i]);
        t->specs[i] = c->mix[row].spec;
        t->clips[i] = batch->samples[i].clip;
        t->prompts[i] = prompt_of(c, &batch->samples[i], t->ids[i]);
        fill_times(t, i);
        if (t->rollout)
            LT_TRY(lt_rollout_run(t->rollout, row, t->ids[i], t->prompts[i], latents,
                                  t->context + i * t->clip_floats));
    }
    return LT_OK;
}

/* All of a step's passes, but of the last only the forward. */
static lt_status passes(lt_trainer *t, double *loss_sum, double *figures, lt_var **loss) {
    lt_params_clear_grads(&t->spec.model->params);
    for (int i = 1; i < t->config->accumulate; i++) {
        LT_TRY(fill_batch(t));
        LT_TRY(begin_pass(t, loss));
        LT_TRY(end_pass(t, *loss, loss_sum, figures));
    }
    LT_TRY(fill_batch(t));
    lt_trainer_sum_from_here(t);
    return begin_pass(t, loss);
}

/* The last backward, in which ranks may sum gradients: they go into it together. */
static lt_status last_backward(lt_trainer *t, lt_var *loss, double *loss_sum, double *figures) {
    LT_TRY(end_pass(t, loss, loss_sum, figures));
    return lt_params_fill_grads(&t->spec.model->params, &t->session->ctx);
}

void lt_trainer_update_after(lt_trainer *t, lt_event *event) { t->update_after = event; }

static lt_status update(lt_trainer *t, double lr, int64_t step) {
    lt_session *s = t->session;
    if (t->update_after)
        LT_TRY(s->ctx.device->ops->event_wait(s->ctx.device, t->update_after, s->ctx.stream));
    t->update_after = NULL;
    return lt_optimizer_update(&t->optimizer, s, t->config, lr, step);
}

lt_status lt_trainer_step(lt_trainer *t, lt_step_result *out) {
    const lt_train_config *c = t->config;
    *out = (lt_step_result){.step = t->done + 1, .lr = lt_learning_rate(c, t->done + 1)};
    lt_var *loss = NULL;
    LT_TRY(lt_trainer_agree(t, passes(t, &out->loss, out->figures, &loss)));
    LT_TRY(lt_trainer_agree(t, last_backward(t, loss, &out->loss, out->figures)));
    LT_TRY(lt_trainer_share(t, &out->loss, out->figures));
    LT_TRY(lt_optimizer_norm(&t->optimizer, t->session, c->clip_norm, &out->grad_norm, &out->finite));
    out->finite = out->finite && isfinite(out->loss);
    if (out->finite) LT_TRY(update(t, out->lr, out->step));
    if (t->rollout)
        LT_TRY(lt_device_synchronize(t->session->ctx.device,
                                     t->session->ctx.stream)); /* it reads them on its own stream */
    out->tokens = lt_trainer_tokens(t);
    t->done++;
    return LT_OK;
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

lt_trainer_sources lt_trainer_get_sources(const lt_trainer *t) {
    return (lt_trainer_sources){.latents = t->stored ? LT_LATENTS_STORED : LT_LATENTS_FRAMES,
                                .captions = t->text ? LT_LATENTS_STORED : LT_LATENTS_FRAMES};
}
int64_t lt_trainer_clips(const lt_trainer *t) { return t->loader ? lt_loader_clips(t->loader) : 0; }

double lt_trainer_wait_seconds(const lt_trainer *t) {
    return t->loader ? lt_loader_wait_seconds(t->loader) : 0;
}

const lt_objectives *lt_trainer_objectives(const lt_trainer *t) { return &t->objectives; }

lt_session *lt_trainer_session(const lt_trainer *t) { return t->session; }

double lt_trainer_tokens(const lt_trainer *t) { return lt_train_tokens(t->config, t->spec.model); }
