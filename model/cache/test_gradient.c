/* Gradients through the cache against central differences, in float64. */
#include "model/cache/testing.h"

enum { BLOCKS = 5 };

/* A loss: the reads of all blocks of layer 0, sequence 0, times fixed numbers. */
static double coefficient(int block, int i) {
    lt_rng_key key = {.seed = 8, .purpose = LT_RNG_TEST, .block = (uint32_t)block};
    return lt_rng_normal(&key, (uint64_t)i);
}

static void seed_loss(world *w, lt_var **S, lt_var **z, int first, int last) {
    for (int b = first; b < last; b++) {
        double values[WORLD_STATE];
        for (int i = 0; i < WORLD_STATE; i++) values[i] = coefficient(b, i);
        lt_tensor dS = world_new(w, LT_DIMS(WORLD_H, WORLD_D, WORLD_D)),
                  dz = world_new(w, LT_DIMS(WORLD_H, WORLD_D));
        CHECK_OK(lt_host_write(&w->ctx, &dS, values));
        CHECK_OK(lt_host_write(&w->ctx, &dz, values + 32));
        CHECK_OK(lt_tape_seed(&w->tape, S[b], dS));
        CHECK_OK(lt_tape_seed(&w->tape, z[b], dz));
    }
}

static double loss_of(const world *w, int first, int last) {
    double loss = 0;
    for (int b = first; b < last; b++)
        for (int i = 0; i < WORLD_STATE; i++) loss += coefficient(b, i) * world_read(w, b, 0, 0)[i];
    return loss;
}

static void open_world(world *w, const char *spec, int budget) {
    world_open(w, LT_BACKEND_NAIVE, "cpu");
    world_cache(w, spec, budget, 1, 1, false);
    world_scorer(w, 1, true);
}

/* Gathered dL/dw of one reader, by id of the entry. */
typedef struct gathered {
    world *w;
    int64_t reader;
    int count, ghosts, calls;
    double dw[BLOCKS][WORLD_H];
} gathered;

static void gather(const lt_read_event *e, void *user) {
    gathered *g = user;
    g->calls++;
    if (e->block != g->reader) return;
    g->count = e->count;
    for (int i = 0; i < e->count; i++) {
        g->ghosts += e->present[i].ghost;
        for (int h = 0; h < WORLD_H; h++) g->dw[e->present[i].id][h] = e->gradient[i * WORLD_H + h];
    }
}

/* The read is linear in w, so dL/dw is exact to rounding: <coefficients, state> per head. */
static void dw_equals_what_the_entry_would_add(const char *spec, int budget, int ghosts) {
    world w;
    lt_var *S[BLOCKS], *z[BLOCKS];
    gathered g = {.w = &w, .reader = BLOCKS - 1};
    open_world(&w, spec, budget);
    w.cache.ghosts = ghosts;
    w.cache.observer = (lt_cache_observer){.on_gradient = gather, .user = &g};
    w.tape.recording = true;
    CHECK_OK(world_whole(&w, BLOCKS, true, S, z));
    seed_loss(&w, S, z, 0, BLOCKS);
    CHECK_OK(lt_tape_backward(&w.tape));
    CHECK(g.calls == BLOCKS - 1);
    CHECK(g.count == (ghosts ? BLOCKS - 1 : budget) && g.ghosts == (ghosts ? BLOCKS - 1 - budget : 0));
    for (int e = BLOCKS - 1 - g.count; e < BLOCKS - 1; e++)
        for (int h = 0; h < WORLD_H; h++) {
            double state[WORLD_STATE], wanted = 0;
            world_state(&w, 0, 0, e, 0, state);
            for (int i = 0; i < 16; i++) wanted += coefficient(BLOCKS - 1, h * 16 + i) * state[h * 16 + i];
            for (int i = 0; i < 4; i++)
                wanted += coefficient(BLOCKS - 1, 32 + h * 4 + i) * state[32 + h * 4 + i];
            CHECK_NEAR(g.dw[e][h], wanted, 1e-9);
        }
    world_close(&w);
}

static void dw_is_exact_for_the_kept_and_for_ghosts(void) {
    dw_equals_what_the_entry_would_add("window", 2, false);
    dw_equals_what_the_entry_would_add("window", 2, true);
    dw_equals_what_the_entry_would_add("window:read=content", 2, true);
    dw_equals_what_the_entry_would_add("window:read=age", 3, false);
}

/* Every parameter of the read head against central differences of the whole walk. */
static void check_scorer(const char *spec, bool ghosts) {
    world w;
    lt_var *S[BLOCKS], *z[BLOCKS];
    double norm = 0, error = 0;
    open_world(&w, spec, 2);
    w.cache.ghosts = ghosts;
    w.tape.recording = true;
    lt_params_clear_grads(&w.params);
    CHECK_OK(world_whole(&w, BLOCKS, true, S, z));
    seed_loss(&w, S, z, 0, BLOCKS);
    CHECK_OK(lt_tape_backward(&w.tape));
    CHECK_OK(lt_params_fill_grads(&w.params, &w.ctx));
    w.tape.recording = false;
    for (int i = 0; i < w.params.published_count; i++) {
        const lt_published *p = &w.params.published[i];
        double value[4096], grad[4096];
        CHECK_OK(lt_params_get(&w.params, LT_COPY_VALUE, p, value));
        CHECK_OK(lt_params_get_grad(&w.params, p, grad));
        for (int64_t k = 0; k < p->count; k += 1 + p->count / 40) {
            double here = value[k], loss[2], step = 1e-4;
            for (int side = 0; side < 2; side++) {
                value[k] = here + (side ? step : -step);
                CHECK_OK(lt_params_set(&w.params, LT_COPY_VALUE, p, value));
                CHECK_OK(world_whole(&w, BLOCKS, false, NULL, NULL));
                loss[side] = loss_of(&w, 0, BLOCKS);
            }
            value[k] = here;
            CHECK_OK(lt_params_set(&w.params, LT_COPY_VALUE, p, value));
            double difference = (loss[1] - loss[0]) / (2 * step);
            norm += difference * difference;
            error += (difference - grad[k]) * (difference - grad[k]);
        }
    }
    CHECK(norm > 1e-3);
    CHECK(sqrt(error / norm) < 1e-6);
    world_close(&w);
}

static void the_read_head_learns_the_derivative(void) {
    check_scorer("window:read=content", false);
    check_scorer("window:read=age", false);
    check_scorer("sink:read=content", true);
    check_scorer("window:read=content,consolidate=nearest", false);
}

/* The gradient of block 3's loss with respect to the state that block 0 committed: relative error against central
 * differences, and its size. */
static double gradient_into_the_first_commit(const char *spec, int budget, int bptt, double *size) {
    world w;
    lt_var *S[BLOCKS], *z[BLOCKS];
    double grad[WORLD_STATE] = {0}, norm = 0, error = 0, loss[2];
    open_world(&w, spec, budget);
    w.cache.bptt_blocks = bptt;
    w.tape.recording = true;
    CHECK_OK(world_whole(&w, BLOCKS, true, S, z));
    seed_loss(&w, S, z, 3, 4);
    CHECK_OK(lt_tape_backward(&w.tape));
    CHECK(w.first_S->has_grad == w.first_z->has_grad);
    if (w.first_S->has_grad) {
        CHECK_OK(lt_host_read(&w.ctx, &w.first_S->grad, grad));
        CHECK_OK(lt_host_read(&w.ctx, &w.first_z->grad, grad + 32));
    }
    w.tape.recording = false;
    *size = 0;
    for (w.nudged = 0; w.nudged < WORLD_STATE; w.nudged++) {
        for (int side = 0; side < 2; side++) {
            w.nudge = side ? 1e-4 : -1e-4;
            CHECK_OK(world_whole(&w, BLOCKS, false, NULL, NULL));
            loss[side] = loss_of(&w, 3, 4);
        }
        double difference = (loss[1] - loss[0]) / 2e-4;
        norm += difference * difference;
        error += pow(difference - grad[w.nudged], 2);
        *size += grad[w.nudged] * grad[w.nudged];
    }
    world_close(&w);
    return sqrt(error / norm);
}

static void later_losses_reach_the_commit_that_wrote_an_entry(void) {
    const char *specs[] = {"window",
                           "keep-all",
                           "keep-all:consolidate=decay",
                           "window:consolidate=sum",
                           "sink:consolidate=ema,alpha=0.7",
                           "window:consolidate=nearest",
                           "read-mass:consolidate=sum,protect=0",
                           "sink:read=age"};
    for (int i = 0; i < 8; i++) {
        double size;
        CHECK(gradient_into_the_first_commit(specs[i], i == 0 ? 5 : 2, -1, &size) < 1e-6);
        CHECK(size > 1e-3);
    }
}

static void gradients_stop_at_bptt_blocks(void) {
    double size;
    CHECK(gradient_into_the_first_commit("window", 5, 3, &size) < 1e-6);
    CHECK(size > 1e-3);
    gradient_into_the_first_commit("window", 5, 2, &size);
    CHECK(size == 0);
    gradient_into_the_first_commit("keep-all", 5, 1, &size);
    CHECK(size == 0);
    gradient_into_the_first_commit("window:consolidate=sum", 2, 0, &size);
    CHECK(size == 0);
}

static void without_recording_nothing_is_kept_for_gradients(void) {
    world w;
    gathered g = {.w = &w};
    open_world(&w, "window:read=content", 2);
    w.cache.observer = (lt_cache_observer){.on_gradient = gather, .user = &g};
    CHECK_OK(world_whole(&w, BLOCKS, true, NULL, NULL));
    CHECK(w.tape.last == NULL);
    CHECK_OK(lt_tape_backward(&w.tape));
    CHECK(g.calls == 0);
    world_close(&w);
}

int main(int argc, char **argv) {
    RUN(dw_is_exact_for_the_kept_and_for_ghosts);
    RUN(the_read_head_learns_the_derivative);
    RUN(later_losses_reach_the_commit_that_wrote_an_entry);
    RUN(gradients_stop_at_bptt_blocks);
    RUN(without_recording_nothing_is_kept_for_gradients);
    return test_end();
}
