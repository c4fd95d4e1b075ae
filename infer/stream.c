#include "infer/stream.h"

#include "infer/cache_shape.h"
#include "infer/stream_impl.h"
#include "infer/transfer.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static void ignore_commit(const lt_commit_event *event, void *user) { (void)event, (void)user; }
static void ignore_read(const lt_read_event *event, void *user) { (void)event, (void)user; }

/* Observing makes the cache compute more, so planning observes too, but calls nobody. */
static lt_cache_observer observer_for(const lt_video_stream *s, const lt_session *session) {
    lt_cache_observer o = s->options.observer;
    o.on_gradient = NULL; /* no-grad */
    if (!lt_device_is_null(session->ctx.device)) return o;
    if (o.on_commit) o.on_commit = ignore_commit;
    if (o.on_read) o.on_read = ignore_read;
    return o;
}

static lt_status set_up_cache(lt_video_stream *s) {
    lt_session *session = s->session;
    lt_cache_shape shape =
        lt_cache_shape_streaming(session->model, &session->ctx, &s->options.spec, s->batch);
    LT_TRY(lt_cache_init(&s->cache, &shape, &s->options.spec, &session->run));
    s->cache.seed = s->options.seed;
    s->cache.scorer = &session->model->scorer;
    s->cache.observer = observer_for(s, session);
    for (int i = 0; i < s->batch; i++) s->cache.leader[i] = 0, s->cache.sequence[i] = s->sequence;
    return LT_OK;
}

static lt_status set_up(lt_session *session, void *user) {
    lt_video_stream *s = user;
    lt_dtype dtype = lt_ctx_sum_dtype(&session->ctx);
    s->session = session;
    s->position = 0;
    s->text_encoded = false;
    lt_stream_changed(s);
    LT_TRY(set_up_cache(s));
    LT_TRY(lt_text_embedding_new(&session->model->text, &session->ctx, &session->run, s->batch, &s->text));
    LT_TRY(LT_NEW(&session->run, dtype, &s->x, s->batch, s->size));
    for (int i = 0; i < 2; i++) {
        LT_TRY(LT_NEW(&session->run, dtype, &s->velocity[i], 1, s->size));
        LT_TRY(LT_NEW(&session->run, dtype, &s->coefficient[i], 1));
    }
    return LT_OK;
}

static void tear_down(lt_session *session, void *user) {
    lt_video_stream *s = user;
    lt_dit_replay_free(&s->replay, session->ctx.device);
    lt_cache_free(&s->cache);
    s->session = NULL;
}

/* What a block takes is most where the cache is full, so planning fills it first. */
static lt_status plan_blocks(lt_session *session, void *user) {
    lt_video_stream *s = user;
    (void)session;
    int blocks = s->options.spec.budget / s->segments + 2;
    for (int i = 0; i < blocks; i++) LT_TRY(lt_stream_commit(s, 0));
    LT_TRY(lt_stream_put_noise(s));
    LT_TRY(lt_stream_step(s, 1, 0.5));
    return lt_stream_commit(s, 0);
}

static lt_status check_options(const lt_stream_options *o) {
    LT_CHECK(o->steps >= 1 && o->steps <= 10000, LT_USAGE, "%d sampler steps, expected 1 to 10000", o->steps);
    LT_CHECK(isfinite(o->shift) && o->shift > 0, LT_USAGE, "a shift of %g, expected a number above 0",
             o->shift);
    LT_CHECK(isfinite(o->guidance) && o->guidance >= 0, LT_USAGE,
             "a guidance of %g, expected 0 or more (1: none)", o->guidance);
    LT_CHECK((unsigned)o->sampler < LT_SAMPLER_COUNT, LT_USAGE, "sampler %d does not exist", o->sampler);
    LT_CHECK(o->spec.policy, LT_USAGE, "a video stream needs a cache policy; \"none\" is one");
    return LT_OK;
}

static lt_status open_stream(lt_video_stream *s) {
    lt_model_block_shape(s->model, s->shape);
    s->size = s->shape[0] * s->shape[1] * s->shape[2] * s->shape[3];
    s->batch = s->options.guidance == 1 ? 1 : 2;
    s->segments = lt_block_segments(s->model, s->options.spec.granularity);
    s->sequence = s->options.sequence;
    s->grid = malloc((size_t)(s->options.steps + 1) * sizeof *s->grid);
    LT_CHECK(s->grid, LT_FAILED, "video stream: out of memory");
    lt_sampler_grid(s->options.steps, s->options.shift, s->grid);
    lt_work work = {.setup = set_up, .work = plan_blocks, .user = s, .close = tear_down};
    return lt_session_open(s->model, &work, &s->session);
}

lt_status lt_video_stream_open(lt_model *model, const lt_stream_options *options, lt_video_stream **out) {
    *out = NULL;
    LT_TRY(check_options(options));
    lt_video_stream *s = calloc(1, sizeof *s);
    LT_CHECK(s, LT_FAILED, "video stream: out of memory");
    s->model = model;
    s->options = *options;
    lt_status status = open_stream(s);
    if (status == LT_OK) *out = s;
    else lt_video_stream_close(s);
    return status;
}

void lt_video_stream_close(lt_video_stream *s) {
    if (!s) return;
    lt_session_close(s->session);
    free(s->prompt);
    free(s->grid);
    free(s);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

lt_status lt_video_stream_restart(lt_video_stream *s, uint64_t sequence) {
    lt_cache_reset(&s->cache);
    lt_stream_changed(s);
    s->text_encoded = false;
    s->sequence = sequence;
    s->position = 0;
    for (int i = 0; i < s->batch; i++) s->cache.sequence[i] = sequence;
    return LT_OK;
}

lt_status lt_video_stream_prompt(lt_video_stream *s, const char *prompt) {
    char *copy = prompt ? strdup(prompt) : NULL;
    LT_CHECK(copy || !prompt, LT_FAILED, "video stream: out of memory for a prompt");
    free(s->prompt);
    s->prompt = copy;
    s->text_encoded = false;
    lt_stream_changed(s);
    return LT_OK;
}

/* Index of the first value that is not finite, or -1. */
static int64_t first_bad(const lt_video_stream *s, const float *latents) {
    enum { CHUNK = 4096 };
    for (int64_t at = 0; at < s->size; at += CHUNK) {
        int64_t end = at + CHUNK < s->size ? at + CHUNK : s->size;
        int bad = 0; /* without a way out, so that many are looked at at once */
        for (int64_t i = at; i < end; i++) bad |= !(fabsf(latents[i]) <= FLT_MAX);
        for (int64_t i = at; bad && i < end; i++)
            if (!isfinite(latents[i])) return i;
    }
    return -1;
}

static float motion_of(const lt_video_stream *s, const float *latents) {
    return lt_latent_motion(latents, s->shape[0], s->size / s->shape[0]);
}

lt_status lt_video_stream_push(lt_video_stream *s, const float *latents) {
    int64_t bad = first_bad(s, latents);
    LT_CHECK(bad < 0, LT_INPUT, "block %" PRId64 ": value %" PRId64 " of the latents given is not finite",
             s->position, bad);
    LT_TRY(lt_stream_put(s, latents));
    return lt_stream_commit(s, motion_of(s, latents));
}

lt_status lt_video_stream_next(lt_video_stream *s, float *latents) {
    LT_TRY(lt_stream_put_noise(s));
    for (int i = 0; i < s->options.steps; i++) LT_TRY(lt_stream_step(s, s->grid[i], s->grid[i + 1]));
    lt_tape_reset(&s->session->tape);
    LT_TRY(lt_get_floats(&s->session->ctx, &s->session->step, lt_slice(s->x, 0, 0, 1), latents));
    int64_t bad = first_bad(s, latents);
    LT_CHECK(bad < 0, LT_FAILED,
             "block %" PRId64 ": value %" PRId64
             " of the generated latents is not finite; are these weights trained, and is a guidance of %g "
             "with %d steps what they were made for?",
             s->position, bad, s->options.guidance, s->options.steps);
    return lt_stream_commit(s, motion_of(s, latents));
}

int64_t lt_video_stream_position(const lt_video_stream *s) { return s->position; }
lt_cache *lt_video_stream_cache(lt_video_stream *s) { return &s->cache; }
lt_session *lt_video_stream_session(lt_video_stream *s) { return s->session; }

lt_stream_memory lt_video_stream_memory(const lt_video_stream *s) {
    const lt_session *session = s->session;
    return (lt_stream_memory){.slots = lt_cache_slot_bytes(&s->cache),
                              .tails = lt_cache_tail_bytes(&s->cache),
                              .run = (int64_t)session->run.used,
                              .step = (int64_t)session->step.capacity,
                              .scratch = (int64_t)session->scratch.capacity,
                              .step_peak = (int64_t)session->step.peak,
                              .scratch_peak = (int64_t)session->scratch.peak};
}
