#include "infer/clip_pass.h"

#include "infer/cache_shape.h"
#include "infer/transfer.h"
#include "kernels/random/random.h"

#include <stdlib.h>
#include <string.h>

/* Elements of one block's latents. */
static int64_t block_size(const lt_model *model) {
    int64_t n[4];
    lt_model_block_shape(model, n);
    return n[0] * n[1] * n[2] * n[3];
}

static lt_status reserve_tensors(lt_clip_pass *pass) {
    lt_session *s = pass->session;
    lt_dtype dtype = lt_ctx_sum_dtype(&s->ctx);
    int64_t sequences = (int64_t)pass->max_blocks * pass->max_clips, noisy = sequences * pass->max_draws,
            size = block_size(s->model);
    LT_TRY(LT_NEW(&s->run, dtype, &pass->input, sequences + noisy, size));
    LT_TRY(LT_NEW(&s->run, dtype, &pass->target, noisy, size));
    LT_TRY(LT_NEW(&s->run, dtype, &pass->alpha, noisy));
    LT_TRY(LT_NEW(&s->run, dtype, &pass->one, noisy));
    LT_TRY(lt_text_embedding_new(&s->model->text, &s->ctx, &s->run, pass->max_clips, &pass->text));
    if (lt_device_is_null(s->ctx.device)) return LT_OK;
    int64_t staged = (int64_t)pass->max_clips * size;
    pass->host = malloc((size_t)staged * sizeof *pass->host);
    LT_CHECK(pass->host, LT_FAILED, "clip pass: out of memory for %lld floats of latents", (long long)staged);
    return LT_OK;
}

lt_status lt_clip_pass_init(lt_clip_pass *pass, lt_session *session, int clips, int blocks, int draws) {
    LT_CHECK(clips > 0 && blocks > 0 && draws > 0, LT_FAILED, "clip pass: %d clips of %d blocks, %d draws",
             clips, blocks, draws);
    *pass = (lt_clip_pass){.session = session, .max_clips = clips, .max_blocks = blocks, .max_draws = draws};
    lt_cache_spec spec;
    LT_TRY(lt_cache_spec_parse("window", 1, &spec));
    lt_cache_shape shape = lt_cache_shape_whole(session->model, &session->ctx, clips, blocks);
    lt_status status = lt_cache_init(&pass->cache, &shape, &spec, &session->run);
    if (status == LT_OK) status = reserve_tensors(pass);
    pass->cache.scorer = &session->model->scorer;
    if (status != LT_OK) lt_clip_pass_free(pass);
    return status;
}

void lt_clip_pass_free(lt_clip_pass *pass) {
    lt_cache_free(&pass->cache);
    free(pass->host);
    *pass = (lt_clip_pass){0};
}

lt_status lt_clip_pass_prompts(lt_clip_pass *pass, int clips, const char *const *prompts) {
    lt_session *s = pass->session;
    LT_CHECK(clips > 0 && clips <= pass->max_clips, LT_FAILED,
             "clip pass: prompts of %d clips, reserved for %d", clips, pass->max_clips);
    lt_tape_reset(&s->tape);
    return lt_text_embed(&s->model->text, &s->tape, clips, prompts, &pass->text);
}

static lt_status check_batch(const lt_clip_pass *pass, const lt_clip_batch *b) {
    LT_CHECK(b->clips > 0 && b->clips <= pass->max_clips && b->blocks > 0 && b->blocks <= pass->max_blocks &&
                 b->draws > 0 && b->draws <= pass->max_draws,
             LT_FAILED, "clip pass: %d clips of %d blocks, %d draws; reserved for %d, %d, %d", b->clips,
             b->blocks, b->draws, pass->max_clips, pass->max_blocks, pass->max_draws);
    LT_CHECK(b->latents || lt_device_is_null(pass->session->ctx.device), LT_FAILED,
             "clip pass: a batch without latents");
    for (int i = 1; i < b->clips; i++)
        LT_CHECK(b->specs[i].granularity == b->specs[0].granularity, LT_USAGE,
                 "policies of one batch must share a granularity: \"%s\" and \"%s\"",
                 lt_granularity_names[b->specs[0].granularity],
                 lt_granularity_names[b->specs[i].granularity]);
    return LT_OK;
}

/* Groups of block i start here: streams, then sequences. */
static int64_t first_group(const lt_clip_batch *b, int block) {
    return (int64_t)block * (1 + b->draws) * b->clips;
}

static int64_t noisy_of_block(const lt_clip_batch *b) { return (int64_t)b->draws * b->clips; }

/* One block of all clips' `latents` into `to`. */
static lt_status put_latents(lt_clip_pass *pass, const lt_clip_batch *b, const float *latents, int block,
                             lt_tensor to) {
    int64_t size = pass->input.shape[1];
    for (int clip = 0; pass->host && clip < b->clips; clip++)
        memcpy(pass->host + clip * size, latents + ((int64_t)clip * b->blocks + block) * size,
               (size_t)size * sizeof *pass->host);
    return lt_put_floats(&pass->session->ctx, &pass->session->step, pass->host, to);
}

/* Clean latents of one block into the noisy streams, which noise is mixed into, and what commits into stream 0. */
static lt_status put_clean(lt_clip_pass *pass, const lt_clip_batch *b, int block) {
    lt_tensor clean = lt_slice(pass->input, 0, first_group(b, block), b->clips);
    LT_TRY(put_latents(pass, b, b->latents, block, clean));
    for (int draw = 0; draw < b->draws; draw++) {
        lt_copy_args copy = {
            .x = clean,
            .y = lt_slice(pass->input, 0, first_group(b, block) + (int64_t)(1 + draw) * b->clips, b->clips),
            .scale = 1};
        LT_TRY(lt_copy(&pass->session->ctx, &copy));
    }
    return b->context ? put_latents(pass, b, b->context, block, clean) : LT_OK;
}

static lt_status put_noise(lt_clip_pass *pass, const lt_clip_batch *b, int block, lt_tensor to) {
    lt_rng_key *keys = lt_tape_saved(&pass->session->tape, (size_t)noisy_of_block(b) * sizeof *keys);
    if (!keys) return LT_FAILED;
    for (int draw = 0; draw < b->draws; draw++)
        for (int clip = 0; clip < b->clips; clip++)
            keys[draw * b->clips + clip] =
                (lt_rng_key){.seed = b->seed,
                             .purpose = b->purpose,
                             .clip = b->ids ? b->ids[clip] : 0,
                             .block = (uint32_t)block,
                             .step = b->step * (uint32_t)b->draws + (uint32_t)draw};
    lt_normals_args normals = {.keys = keys, .y = to};
    return lt_normals_fill(&pass->session->ctx, &normals);
}

/* With x in both the input and, as noise, n in the target: target = n - x, then input = x + t target, which is
 * (1 - t) x + t n. */
static lt_status mix_block(lt_clip_pass *pass, const lt_clip_batch *b, int block) {
    lt_ctx *ctx = &pass->session->ctx;
    int64_t count = noisy_of_block(b);
    lt_tensor x = lt_slice(pass->input, 0, first_group(b, block) + b->clips, count);
    lt_tensor n = lt_slice(pass->target, 0, block * count, count);
    LT_TRY(put_clean(pass, b, block));
    LT_TRY(put_noise(pass, b, block, n));
    lt_tensor one = lt_slice(pass->one, 0, 0, count);
    lt_copy_args subtract = {.x = x, .y = n, .scale = -1, .accumulate = true};
    LT_TRY(lt_copy(ctx, &subtract));
    lt_mix_args mix = {
        .a = x, .alpha = one, .b = n, .beta = lt_slice(pass->alpha, 0, block * count, count), .y = x};
    return lt_mix(ctx, &mix);
}

/* Times of all groups, clean ones 0; and the noisy ones' as mixing weights on the device. */
static lt_status put_times(lt_clip_pass *pass, const lt_clip_batch *b, double *t) {
    lt_session *s = pass->session;
    int64_t count = noisy_of_block(b), noisy = b->blocks * count;
    float *weights = lt_tape_saved(&s->tape, (size_t)noisy * sizeof *weights);
    if (!weights) return LT_FAILED;
    for (int64_t i = 0; i < noisy; i++) {
        int64_t block = i / count;
        t[first_group(b, (int)block) + b->clips + i % count] = b->t[i];
        weights[i] = (float)b->t[i];
    }
    LT_TRY(lt_put_floats(&s->ctx, &s->step, weights, lt_slice(pass->alpha, 0, 0, noisy)));
    for (int64_t i = 0; i < noisy; i++) weights[i] = 1;
    return lt_put_floats(&s->ctx, &s->step, weights, lt_slice(pass->one, 0, 0, noisy));
}

static void put_motion(const lt_clip_pass *pass, const lt_clip_batch *b, int64_t frames, float *motion) {
    const float *committed = b->context ? b->context : b->latents;
    int64_t size = pass->input.shape[1];
    if (!pass->host) return;
#pragma omp parallel for schedule(static) collapse(2)
    for (int block = 0; block < b->blocks; block++)
        for (int clip = 0; clip < b->clips; clip++)
            motion[block * b->clips + clip] = lt_latent_motion(
                committed + ((int64_t)clip * b->blocks + block) * size, frames, size / frames);
}

static void set_up_cache(lt_clip_pass *pass, const lt_clip_batch *b) {
    lt_cache_reset(&pass->cache);
    pass->cache.seed = b->seed;
    pass->cache.read_scale = b->read_scale;
    for (int clip = 0; clip < b->clips; clip++) {
        pass->cache.spec[clip] = b->specs[clip];
        pass->cache.sequence[clip] = b->ids[clip];
    }
}

static lt_status forward(lt_clip_pass *pass, const lt_clip_batch *b, const lt_dit_keep *keep,
                         lt_var **velocity) {
    lt_session *s = pass->session;
    int64_t n[4], groups = (int64_t)b->blocks * (1 + b->draws) * b->clips;
    lt_model_block_shape(s->model, n);
    double *t = lt_tape_saved(&s->tape, (size_t)groups * sizeof *t);
    int64_t *first = lt_tape_saved(&s->tape, (size_t)b->blocks * sizeof *first);
    float *motion = lt_tape_saved(&s->tape, (size_t)b->blocks * (size_t)b->clips * sizeof *motion);
    if (!t || !first || !motion) return LT_FAILED;
    lt_dit_input in = {.batch = b->clips,
                       .streams = 1 + b->draws,
                       .blocks = b->blocks,
                       .t = t,
                       .first_frame = first,
                       .motion = motion,
                       .commit_stream = 0,
                       .cache = &pass->cache,
                       .keep = keep};
    for (int i = 0; i < b->blocks; i++) first[i] = b->first_frame + i * n[0];
    put_motion(pass, b, n[0], motion);
    LT_TRY(put_times(pass, b, t));
    for (int i = 0; i < b->blocks; i++) LT_TRY(mix_block(pass, b, i));
    lt_tensor latent = LT_RESHAPE(lt_slice(pass->input, 0, 0, groups), groups, n[0], n[1], n[2], n[3]);
    LT_TRY(lt_tape_var(&s->tape, latent, false, &in.latent));
    if (b->encoded) LT_TRY(lt_text_embedding_var(&pass->text, &s->tape, b->clips, &in.text, &in.mask));
    else LT_TRY(lt_text_encode(&s->model->text, &s->tape, b->clips, b->prompts, &in.text, &in.mask));
    return lt_dit_forward(&s->model->dit, &s->tape, &in, velocity);
}

/* The noisy groups of a block lie together: one squared error per block, into its piece of the losses. */
static lt_status noisy_loss(lt_clip_pass *pass, const lt_clip_batch *b, lt_var *velocity, lt_var *loss) {
    lt_tape *tape = &pass->session->tape;
    int64_t count = noisy_of_block(b), groups = velocity->value.shape[0];
    lt_tensor *views = lt_tape_saved(tape, 2 * (size_t)b->blocks * sizeof *views);
    lt_var **parts = lt_tape_saved(tape, 2 * (size_t)b->blocks * sizeof *parts), *rows, *piece;
    if (!views || !parts) return LT_FAILED;
    LT_TRY(LT_AG_RESHAPE(tape, velocity, &rows, groups, pass->input.shape[1]));
    for (int i = 0; i < b->blocks; i++) {
        views[2 * i] = lt_slice(rows->value, 0, first_group(b, i), b->clips);
        views[2 * i + 1] = lt_slice(rows->value, 0, first_group(b, i) + b->clips, count);
    }
    LT_TRY(lt_tape_views(tape, rows, 2 * b->blocks, views, parts));
    for (int i = 0; i < b->blocks; i++) {
        LT_TRY(lt_tape_piece(tape, loss, lt_slice(loss->value, 0, i * count, count), &piece));
        lt_tensor target = lt_slice(pass->target, 0, i * count, count);
        LT_TRY(lt_ag_mse_into(tape, parts[2 * i + 1], target, piece));
    }
    return LT_OK;
}

lt_status lt_clip_pass_run(lt_clip_pass *pass, const lt_clip_batch *batch, const lt_dit_keep *keep,
                           lt_var **loss) {
    lt_tape *tape = &pass->session->tape;
    lt_var *velocity;
    LT_TRY(check_batch(pass, batch));
    set_up_cache(pass, batch);
    LT_TRY(forward(pass, batch, keep, &velocity));
    const int64_t size = batch->blocks * noisy_of_block(batch);
    LT_TRY(lt_tape_new(tape, velocity->value.dtype, velocity->needs_grad, loss, 1, &size));
    return noisy_loss(pass, batch, velocity, *loss);
}
