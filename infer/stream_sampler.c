/* One forward of a video stream, guidance, and the samplers made of it. */
#include "infer/stream_impl.h"
#include "infer/transfer.h"
#include "kernels/random/random.h"

static lt_tensor row(lt_tensor rows, int index) { return lt_slice(rows, 0, index, 1); }

/* y = alpha a + beta b for rows [1, size]. */
static lt_status mix(lt_video_stream *s, lt_tensor a, double alpha, lt_tensor b, double beta, lt_tensor y) {
    float values[2] = {(float)alpha, (float)beta};
    lt_ctx *ctx = &s->session->ctx;
    for (int i = 0; i < 2; i++) LT_TRY(lt_put_floats(ctx, &s->session->step, &values[i], s->coefficient[i]));
    lt_mix_args args = {.a = a, .b = b, .alpha = s->coefficient[0], .beta = s->coefficient[1], .y = y};
    return lt_mix(ctx, &args);
}

/* The null prompt's sequence sees the same latents. */
static lt_status repeat_rows(lt_video_stream *s) {
    if (s->batch == 1) return LT_OK;
    lt_copy_args copy = {.x = row(s->x, 0), .y = row(s->x, 1), .scale = 1};
    return lt_copy(&s->session->ctx, &copy);
}

/* A block's first velocity is launched uncaptured (kernels load and GEMMs choose their algorithms when first
 * used), the second is captured; that pays where others follow. */
static bool repeats(const lt_video_stream *s) {
    return !s->options.no_graphs && s->options.steps > 2 && s->velocities > 0;
}

/* Once a prompt, not at every velocity: nothing that it depends on changes in between. */
static lt_status encode_prompt(lt_video_stream *s) {
    const char *prompts[2] = {s->prompt, NULL};
    lt_session *session = s->session;
    if (s->text_encoded) return LT_OK;
    LT_TRY(lt_text_embed(&session->model->text, &session->tape, s->batch, prompts, &s->text));
    s->text_encoded = true;
    return LT_OK;
}

/* With velocity NULL: the commit pass at t = 0. */
static lt_status forward(lt_video_stream *s, double t, float motion, lt_var **velocity) {
    lt_tape *tape = &s->session->tape;
    const lt_model *model = s->session->model;
    int64_t first_frame = s->options.first_frame + s->position * s->shape[0];
    double times[2] = {t, t};
    float motions[2] = {motion, motion};
    lt_tape_reset(tape);
    LT_TRY(encode_prompt(s));
    lt_dit_input in = {.batch = s->batch,
                       .streams = 1,
                       .blocks = 1,
                       .t = times,
                       .first_frame = &first_frame,
                       .motion = motions,
                       .commit_stream = velocity ? -1 : 0,
                       .replay = repeats(s) ? &s->replay : NULL,
                       .cache = &s->cache};
    lt_tensor latent = LT_RESHAPE(s->x, s->batch, s->shape[0], s->shape[1], s->shape[2], s->shape[3]);
    LT_TRY(lt_tape_var(tape, latent, false, &in.latent));
    LT_TRY(lt_text_embedding_var(&s->text, tape, s->batch, &in.text, &in.mask));
    return lt_dit_forward(&model->dit, tape, &in, velocity);
}

/* The guided velocity at x: null + guidance (prompt - null) (Ho, Salimans, arXiv 2207.12598). */
static lt_status velocity_at(lt_video_stream *s, double t, lt_tensor out) {
    lt_var *velocity;
    LT_TRY(forward(s, t, 0, &velocity));
    s->velocities++;
    lt_tensor rows = LT_RESHAPE(velocity->value, s->batch, s->size);
    if (s->batch == 2)
        return mix(s, row(rows, 0), s->options.guidance, row(rows, 1), 1 - s->options.guidance, out);
    lt_copy_args copy = {.x = rows, .y = out, .scale = 1};
    return lt_copy(&s->session->ctx, &copy);
}

lt_status lt_stream_commit(lt_video_stream *s, float motion) {
    LT_TRY(forward(s, 0, motion, NULL));
    s->position++;
    lt_stream_changed(s);
    return LT_OK;
}

const char *const lt_sampler_names[LT_SAMPLER_COUNT] = {"euler", "heun"};

static lt_status add_velocity(lt_video_stream *s, int which, double amount) {
    LT_TRY(mix(s, row(s->x, 0), 1, s->velocity[which], amount, row(s->x, 0)));
    return repeat_rows(s);
}

static lt_status step_euler(lt_video_stream *s, double t, double next) {
    LT_TRY(velocity_at(s, t, s->velocity[0]));
    return add_velocity(s, 0, next - t);
}

static lt_status step_heun(lt_video_stream *s, double t, double next) {
    LT_TRY(step_euler(s, t, next));
    if (next == 0) return LT_OK;
    LT_TRY(velocity_at(s, next, s->velocity[1]));
    LT_TRY(add_velocity(s, 0, -0.5 * (next - t)));
    return add_velocity(s, 1, 0.5 * (next - t));
}

static lt_status (*const sampler_steps[LT_SAMPLER_COUNT])(lt_video_stream *s, double t,
                                                          double next) = {step_euler, step_heun};

lt_status lt_stream_step(lt_video_stream *s, double t, double next) {
    return sampler_steps[s->options.sampler](s, t, next);
}

lt_status lt_stream_put(lt_video_stream *s, const float *latents) {
    lt_tape_reset(&s->session->tape);
    LT_TRY(lt_put_floats(&s->session->ctx, &s->session->step, latents, row(s->x, 0)));
    return repeat_rows(s);
}

lt_status lt_stream_put_noise(lt_video_stream *s) {
    lt_rng_key key = {.seed = s->options.seed,
                      .purpose = LT_RNG_SAMPLE,
                      .clip = s->sequence,
                      .block = (uint32_t)s->position};
    lt_normals_args noise = {.keys = &key, .y = row(s->x, 0)};
    lt_tape_reset(&s->session->tape);
    LT_TRY(lt_normals_fill(&s->session->ctx, &noise));
    return repeat_rows(s);
}
