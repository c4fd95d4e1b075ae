#include "train/bench_block.h"

#include "infer/transfer.h"

/* Velocity of one block of each sequence, and the latents on the device. */
static lt_status forward(const lt_block_bench *b, lt_session *session, lt_var **velocity, lt_tensor *latent) {
    lt_tape *tape = &session->tape;
    int64_t n[4], first = 0;
    int batch = b->batch;
    double t[LT_BLOCK_BATCH];
    for (int i = 0; i < batch; i++) t[i] = 0.5;
    lt_dit_input in = {.batch = batch,
                       .streams = 1,
                       .blocks = 1,
                       .t = t,
                       .first_frame = &first,
                       .commit_stream = -1,
                       .keep = &b->keep};
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
static lt_status learn(lt_block_bench *b, lt_session *session, lt_var *velocity, lt_tensor target) {
    lt_tape *tape = &session->tape;
    int64_t batch = target.shape[0], size = lt_numel(&target) / batch;
    float one[LT_BLOCK_BATCH];
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
    lt_block_bench *b = user;
    return lt_optimizer_init(&b->optimizer, session);
}

static lt_status block_work(lt_session *session, void *user) {
    lt_block_bench *b = user;
    lt_var *velocity;
    lt_tensor latent;
    LT_TRY(forward(b, session, &velocity, &latent));
    if (b->train) LT_TRY(learn(b, session, velocity, latent));
    return lt_device_synchronize(session->ctx.device, session->ctx.stream);
}

static void block_close(lt_session *session, void *user) {
    (void)session;
    lt_optimizer_free(&((lt_block_bench *)user)->optimizer);
}

lt_status lt_block_call(void *user) {
    lt_block_bench *b = user;
    return block_work(b->session, b);
}

lt_work lt_block_work(lt_block_bench *b) {
    return (lt_work){.setup = block_setup, .work = block_work, .close = block_close, .user = b};
}
