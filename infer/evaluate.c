#include "infer/evaluate.h"

#include "core/io.h"
#include "data/loader.h"
#include "infer/clip_pass.h"
#include "infer/transfer.h"

#include <stdlib.h>
#include <string.h>

/* Sums of the latents of one domain, per channel. */
typedef struct moments {
    const char *domain;
    double count;
    double *sum, *square; /* [channels]; `square` becomes the variance */
} moments;

typedef struct evaluation {
    lt_model *model;
    lt_dataset *set;
    const lt_eval_options *options;
    const lt_cache_spec *specs;
    int spec_count;
    lt_eval_sink sink;
    void *user;

    int batch;      /* clips per pass */
    int64_t frames; /* of video, per clip */
    bool stored;    /* latents are the dataset's */
    int64_t latent_size;
    lt_session *session;
    lt_clip_pass pass;
    int64_t *clips, clip_count;
    moments *domains;
    int domain_count;
    lt_pool pool;
    uint8_t *rgb;
    float *latents, *losses;
    double *t;
    uint64_t *ids;
    lt_cache_spec *batch_specs;
    int64_t done;
} evaluation;

/* ---- clips ---------------------------------------------------------------------------------------------- */

static lt_status check_options(const lt_eval_options *o) {
    LT_CHECK(o->role && lt_role_valid(o->role), LT_USAGE, "role \"%s\": expected train, val or test",
             o->role ? o->role : "");
    LT_CHECK(strcmp(o->role, "train") != 0 || o->allow_train, LT_USAGE,
             "role train: a model is not evaluated on clips that it was trained on; --allow-train does it "
             "anyway");
    LT_CHECK(o->blocks >= 2 && o->blocks <= 100000, LT_USAGE, "%d blocks per clip, expected 2 to 100000",
             o->blocks);
    LT_CHECK(o->draws >= LT_EVAL_MIN_DRAWS && o->draws <= 1000, LT_USAGE,
             "%d noise draws per bin, expected %d to 1000", o->draws, LT_EVAL_MIN_DRAWS);
    LT_CHECK(o->clips >= 0 && o->batch >= 0 && o->batch <= 1024, LT_USAGE,
             "%lld clips in batches of %d: expected 0 or more, and at most 1024 a batch", (long long)o->clips,
             o->batch);
    return LT_OK;
}

static lt_status check_frames(const lt_model *model, const lt_dataset *set) {
    const lt_dataset_spec *s = lt_dataset_get_spec(set);
    LT_CHECK(s->width == model->frame_width && s->height == model->frame_height, LT_INPUT,
             "%s holds frames of %dx%d, the model was made for %dx%d", lt_dataset_path(set), s->width,
             s->height, model->frame_width, model->frame_height);
    return LT_OK;
}

/* Whether place `place` of `all` is the first of its share, when there are `most` shares. */
static bool leads_share(int64_t place, int64_t all, int64_t most) {
    return all <= most || place == 0 || place * most / all != (place - 1) * most / all;
}

/* Keeps at most `most` clips of each domain, evenly over the domain's. Returns how many, -1 when out of memory. */
static int64_t thin(const lt_dataset *set, int64_t *clips, int64_t count, int64_t most) {
    enum { UNSEEN, STAYS, GOES };
    char *fate = calloc((size_t)count, 1);
    int64_t kept = 0;
    if (!fate) return -1;
    for (int64_t first = 0; first < count; first++) {
        const char *domain = lt_dataset_clip(set, clips[first])->domain;
        int64_t all = 0, place = 0;
        if (fate[first] != UNSEEN) continue;
        for (int64_t i = first; i < count; i++)
            all += strcmp(lt_dataset_clip(set, clips[i])->domain, domain) == 0;
        for (int64_t i = first; i < count; i++)
            if (strcmp(lt_dataset_clip(set, clips[i])->domain, domain) == 0)
                fate[i] = leads_share(place++, all, most) ? STAYS : GOES;
    }
    for (int64_t i = 0; i < count; i++)
        if (fate[i] == STAYS) clips[kept++] = clips[i];
    free(fate);
    return kept;
}

lt_status lt_eval_clips(const lt_model *model, const lt_dataset *set, const lt_eval_options *o,
                        int64_t **clips, int64_t *count) {
    *clips = NULL;
    LT_TRY(check_options(o));
    LT_TRY(check_frames(model, set));
    lt_clip_filter filter = {.role = o->role,
                             .domains = o->domains,
                             .domain_count = o->domain_count,
                             .min_frames = lt_model_frames(model, o->blocks)};
    LT_TRY(lt_select_clips(set, &filter, clips, count));
    if (o->clips > 0) *count = thin(set, *clips, *count, o->clips);
    if (*count >= 0) return LT_OK;
    free(*clips), *clips = NULL;
    return lt_fail(LT_FAILED, "evaluation: out of memory");
}

static lt_status load_clip(evaluation *e, int64_t order, float *latents) {
    return lt_latents_read_normalised(e->model, e->set, e->stored, e->clips[order], e->frames, e->rgb,
                                      latents);
}

/* ---- moments of the latents ----------------------------------------------------------------------------- */

static moments *moments_of(evaluation *e, const char *domain) {
    for (int i = 0; i < e->domain_count; i++)
        if (strcmp(e->domains[i].domain, domain) == 0) return &e->domains[i];
    size_t channels = (size_t)e->model->config.in_channels;
    moments *m = &e->domains[e->domain_count];
    *m = (moments){.domain = domain,
                   .sum = lt_pool_alloc(&e->pool, channels * sizeof(double)),
                   .square = lt_pool_alloc(&e->pool, channels * sizeof(double))};
    if (!m->sum || !m->square) return NULL;
    e->domain_count++;
    return m;
}

static lt_status measure_moments(evaluation *e) {
    int channels = e->model->config.in_channels;
    e->domains = lt_pool_alloc(&e->pool, (size_t)e->clip_count * sizeof *e->domains);
    if (!e->domains) return LT_FAILED;
    for (int64_t i = 0; i < e->clip_count; i++) {
        moments *m = moments_of(e, lt_dataset_clip(e->set, e->clips[i])->domain);
        if (!m) return LT_FAILED;
        LT_TRY(load_clip(e, i, e->latents));
        for (int64_t k = 0; k < e->latent_size; k++) {
            double x = e->latents[k];
            m->sum[k % channels] += x, m->square[k % channels] += x * x;
        }
        m->count += (double)(e->latent_size / channels);
    }
    for (int i = 0; i < e->domain_count; i++)
        for (int c = 0; c < channels; c++) {
            moments *m = &e->domains[i];
            double mean = m->sum[c] / m->count;
            m->square[c] = m->square[c] / m->count - mean * mean;
        }
    return LT_OK;
}

/* ---- one pass: some clips, one spec, one bin ------------------------------------------------------------ */

static double time_of(const lt_eval_options *o, uint64_t clip, int block, int bin, int draw) {
    lt_rng_key key = {.seed = o->seed,
                      .purpose = LT_RNG_TIME,
                      .clip = clip,
                      .block = (uint32_t)block,
                      .step = (uint32_t)(bin * o->draws + draw)};
    return (bin + (draw + lt_rng_uniform(&key, 0)) / o->draws) / LT_EVAL_BINS;
}

static lt_status run_pass(evaluation *e, const lt_cache_spec *spec, int clips, int bin,
                          const float *latents) {
    const lt_eval_options *o = e->options;
    double *t = e->t;
    for (int block = 0; block < o->blocks; block++)
        for (int draw = 0; draw < o->draws; draw++)
            for (int i = 0; i < clips; i++) *t++ = time_of(o, e->ids[i], block, bin, draw);
    for (int i = 0; i < clips; i++) e->batch_specs[i] = *spec;
    lt_clip_batch batch = {.clips = clips,
                           .blocks = o->blocks,
                           .draws = o->draws,
                           .latents = latents,
                           .encoded = true,
                           .ids = e->ids,
                           .t = e->t,
                           .seed = o->seed,
                           .purpose = LT_RNG_NOISE,
                           .step = (uint32_t)bin,
                           .specs = e->batch_specs};
    lt_var *loss;
    lt_session *s = e->pass.session;
    lt_tape_reset(&s->tape);
    s->tape.recording = false;
    LT_TRY(lt_clip_pass_run(&e->pass, &batch, NULL, &loss));
    return lt_get_floats(&s->ctx, &s->step, loss->value, e->losses);
}

static lt_status hand_out(evaluation *e, int spec, int64_t first, int clips, int bin) {
    const lt_eval_options *o = e->options;
    int channels = e->model->config.in_channels;
    int64_t at = 0;
    for (int block = 0; block < o->blocks; block++)
        for (int draw = 0; draw < o->draws; draw++)
            for (int i = 0; i < clips; i++, at++) {
                lt_eval_sample s = {
                    .spec = spec, .order = first + i, .block = block, .bin = bin, .draw = draw};
                s.clip = e->clips[s.order];
                s.row = lt_dataset_clip(e->set, s.clip);
                s.t = e->t[at];
                s.loss = e->losses[at];
                s.gaussian = lt_gaussian_denoiser_loss(s.t, moments_of(e, s.row->domain)->square, channels);
                s.evicting = lt_eval_evicting(e->model, &e->specs[spec], block);
                s.place = lt_eval_place_of(s.row, e->model, block);
                LT_TRY(e->sink(&s, e->user));
            }
    return LT_OK;
}

static lt_status evaluate_batch(evaluation *e, int64_t first, int clips) {
    int64_t total = (e->clip_count + e->batch - 1) / e->batch * e->spec_count * LT_EVAL_BINS;
    for (int i = 0; i < clips; i++) {
        e->ids[i] = (uint64_t)e->clips[first + i];
        LT_TRY(load_clip(e, first + i, e->latents + i * e->latent_size));
    }
    LT_TRY(lt_clip_pass_prompts(&e->pass, clips, NULL));
    for (int spec = 0; spec < e->spec_count; spec++)
        for (int bin = 0; bin < LT_EVAL_BINS; bin++) {
            LT_TRY(run_pass(e, &e->specs[spec], clips, bin, e->latents));
            LT_TRY(hand_out(e, spec, first, clips, bin));
            if (e->options->progress) e->options->progress(++e->done, total, e->options->progress_user);
            LT_CHECK(!lt_interrupted(), LT_INTERRUPTED, "evaluation was interrupted");
        }
    return LT_OK;
}

/* ---- memory --------------------------------------------------------------------------------------------- */

static lt_status setup(lt_session *session, void *user) {
    evaluation *e = user;
    return lt_clip_pass_init(&e->pass, session, e->batch, e->options->blocks, e->options->draws);
}

static lt_status rehearse(lt_session *session, void *user) {
    evaluation *e = user;
    (void)session;
    LT_TRY(lt_clip_pass_prompts(&e->pass, e->batch, NULL));
    for (int i = 0; i < e->spec_count; i++) LT_TRY(run_pass(e, &e->specs[i], e->batch, 0, NULL));
    return LT_OK;
}

static void close_pass(lt_session *session, void *user) {
    (void)session;
    lt_clip_pass_free(&((evaluation *)user)->pass);
}

static lt_status allocate(evaluation *e) {
    const lt_eval_options *o = e->options;
    size_t batch = (size_t)e->batch, count = (size_t)o->blocks * (size_t)o->draws * batch;
    e->rgb = lt_pool_alloc(&e->pool, (size_t)e->frames * (size_t)e->model->frame_height *
                                         (size_t)e->model->frame_width * 3);
    e->latents = lt_pool_alloc(&e->pool, batch * (size_t)e->latent_size * sizeof *e->latents);
    e->losses = lt_pool_alloc(&e->pool, count * sizeof *e->losses);
    e->t = lt_pool_alloc(&e->pool, count * sizeof *e->t);
    e->ids = lt_pool_alloc(&e->pool, batch * sizeof *e->ids);
    e->batch_specs = lt_pool_alloc(&e->pool, batch * sizeof *e->batch_specs);
    return e->rgb && e->latents && e->losses && e->t && e->ids && e->batch_specs ? LT_OK : LT_FAILED;
}

static lt_status check_specs(const lt_cache_spec *specs, int count) {
    LT_CHECK(count > 0, LT_USAGE, "no policy to evaluate");
    for (int i = 0; i < count; i++) {
        char text[LT_SPEC_TEXT];
        LT_CHECK(
            specs[i].scope == LT_SCOPE_LAYER || !lt_cache_spec_looks(&specs[i]), LT_USAGE,
            "policy %s: with scope=model all layers decide together once they have seen a block, which a "
            "pass over whole clips cannot do; evaluate it with scope=layer, or by rollouts",
            lt_cache_spec_text(&specs[i], text, sizeof text));
    }
    return LT_OK;
}

static lt_work work_of(evaluation *e) {
    return (lt_work){.setup = setup, .work = rehearse, .close = close_pass, .user = e};
}

static lt_status size_up(evaluation *e, int64_t most_clips) {
    int64_t n[4];
    lt_model_block_shape(e->model, n);
    e->frames = lt_model_frames(e->model, e->options->blocks);
    e->latent_size = e->options->blocks * n[0] * n[1] * n[2] * n[3];
    e->batch = e->options->batch ? e->options->batch : 1;
    if (e->batch > most_clips) e->batch = (int)most_clips;
    return allocate(e);
}

lt_status lt_evaluate_measure(lt_model *model, const lt_eval_options *options, const lt_cache_spec *specs,
                              int count, lt_session_plan *plan) {
    LT_TRY(check_specs(specs, count));
    evaluation e = {.model = model, .options = options, .specs = specs, .spec_count = count};
    lt_work work = work_of(&e);
    lt_status status = size_up(&e, INT64_MAX);
    if (status == LT_OK) status = lt_session_measure(model, "null", &work, plan);
    lt_pool_free(&e.pool);
    return status;
}

static lt_status run(evaluation *e) {
    lt_work work = work_of(e);
    LT_TRY(lt_eval_clips(e->model, e->set, e->options, &e->clips, &e->clip_count));
    LT_TRY(lt_latents_choose(e->model, e->set, e->options->latents, true, &e->stored));
    LT_TRY(size_up(e, e->clip_count));
    LT_TRY(measure_moments(e));
    LT_TRY(lt_session_open(e->model, &work, &e->session));
    for (int64_t first = 0; first < e->clip_count; first += e->batch) {
        int64_t left = e->clip_count - first;
        LT_TRY(evaluate_batch(e, first, left < e->batch ? (int)left : e->batch));
    }
    return LT_OK;
}

lt_status lt_evaluate(lt_model *model, lt_dataset *set, const lt_eval_options *options,
                      const lt_cache_spec *specs, int count, lt_eval_sink sink, void *user) {
    LT_TRY(check_specs(specs, count));
    evaluation e = {.model = model,
                    .set = set,
                    .options = options,
                    .specs = specs,
                    .spec_count = count,
                    .sink = sink,
                    .user = user};
    lt_status status = run(&e);
    if (e.session) lt_session_close(e.session);
    free(e.clips);
    lt_pool_free(&e.pool);
    return status;
}
