#include "core/parallel.h"
#include "train/objective/keep_loss.h"
#include "train/testing.h"

/* A model with its keep head trainable, and events as a cache would send them. */
enum { LAYERS = 2, HEADS = 2, CLIPS = 2, BLOCKS = 6, BUDGET = 4, ENTRIES = BUDGET + 1 };

typedef struct world {
    lt_config *text;
    lt_device *device;
    lt_model *model;
    lt_session *session;
    lt_optimizer optimizer;
    lt_keep_loss *keep;
    lt_keep_options options;
    lt_cache_spec specs[CLIPS];
    lt_train_config adam;
} world;

static lt_status set_up(lt_session *session, void *user) {
    return lt_optimizer_init(&((world *)user)->optimizer, session);
}

static void tear_down(lt_session *session, void *user) {
    (void)session;
    lt_optimizer_free(&((world *)user)->optimizer);
}

static lt_status work(lt_session *session, void *user) {
    world *w = user;
    lt_keep_result result = {0};
    double norm;
    bool finite;
    lt_keep_loss_begin(w->keep, w->specs, CLIPS);
    lt_params_clear_grads(&session->model->params);
    LT_TRY(lt_keep_loss_run(w->keep, session, &w->options, &result));
    LT_TRY(lt_params_fill_grads(&session->model->params, &session->ctx));
    LT_TRY(lt_optimizer_norm(&w->optimizer, session, 1, &norm, &finite));
    return lt_optimizer_update(&w->optimizer, session, &w->adam, 0, 1);
}

static void open_world(world *w, lt_keep_target target) {
    memset(w, 0, sizeof *w);
    w->text = test_config(NULL);
    w->options = (lt_keep_options){.target = target, .temperature = 1};
    w->options.scale = 1.0 / (double)lt_keep_loss_sets(LAYERS, CLIPS, BLOCKS);
    w->adam = (lt_train_config){.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    CHECK_OK(lt_device_open("cpu", &w->device));
    CHECK_OK(lt_model_open(w->text, w->device, LT_BACKEND_CPU, LT_MODEL_TRAINING, &w->model));
    CHECK_OK(lt_model_initialise(w->model, 1));
    lt_params_set_trainable(&w->model->params, NULL, false);
    lt_params_set_trainable(&w->model->params, "scorer.keep.*", true);
    for (int i = 0; i < CLIPS; i++) CHECK_OK(lt_cache_spec_parse("learned", BUDGET, &w->specs[i]));
    CHECK_OK(lt_keep_loss_open(LAYERS, HEADS, CLIPS, BLOCKS, 1, BUDGET, &w->keep));
    lt_work all = {.setup = set_up, .work = work, .close = tear_down, .user = w};
    CHECK_OK(lt_session_open(w->model, &all, &w->session));
}

static void close_world(world *w) {
    lt_session_close(w->session);
    lt_keep_loss_close(w->keep);
    lt_model_close(w->model);
    lt_device_close(w->device);
    lt_config_free(w->text);
}

static float motion_of(uint64_t round, int layer, int clip, int64_t id) {
    lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = round, .block = (uint32_t)(layer * 16 + clip)};
    return (float)lt_rng_uniform(&key, (uint64_t)id);
}

/* Commits blocks 0 .. BLOCKS - 1 of one layer and clip; then the last block reads: dL/dw falls with an entry's
 * motion. */
static void send_events(world *w, uint64_t round, int layer, int clip) {
    lt_cache_observer o = lt_keep_loss_observer(w->keep);
    lt_entry entries[BLOCKS] = {0};
    double gradient[BLOCKS][HEADS];
    for (int64_t block = 0; block < BLOCKS; block++) {
        int first = block >= ENTRIES ? (int)block - ENTRIES + 1 : 0, count = (int)block - first + 1;
        for (int i = 0; i < count; i++) {
            lt_entry *e = &entries[i];
            *e = (lt_entry){.id = first + i, .block = first + i};
            e->features[LT_FEATURE_AGE] = (float)(block - e->id);
            e->features[LT_FEATURE_MOTION] = motion_of(round, layer, clip, e->id);
        }
        lt_commit_event commit = {.layer = layer,
                                  .sequence = clip,
                                  .block = block,
                                  .commit = block,
                                  .count = count,
                                  .present = entries};
        o.on_commit(&commit, o.user);
    }
    for (int i = 0; i < BLOCKS; i++) {
        entries[i] = (lt_entry){.id = i, .ghost = i < BLOCKS - ENTRIES};
        for (int h = 0; h < HEADS; h++) gradient[i][h] = -motion_of(round, layer, clip, i) * (float)(h + 1);
    }
    lt_read_event read = {.layer = layer,
                          .sequence = clip,
                          .stream = 1,
                          .block = BLOCKS - 1,
                          .count = BLOCKS - 1,
                          .present = entries,
                          .gradient = gradient[0]};
    o.on_gradient(&read, o.user);
}

static lt_keep_result one_round(world *w, uint64_t round, double lr) {
    lt_keep_result result = {0};
    double norm;
    bool finite;
    lt_ctx *ctx = &w->session->ctx;
    lt_keep_loss_begin(w->keep, w->specs, CLIPS);
    for (int l = 0; l < LAYERS; l++)
        for (int c = 0; c < CLIPS; c++) send_events(w, round, l, c);
    lt_params_clear_grads(&w->model->params);
    CHECK_OK(lt_keep_loss_run(w->keep, w->session, &w->options, &result));
    CHECK_OK(lt_params_fill_grads(&w->model->params, ctx));
    CHECK_OK(lt_optimizer_norm(&w->optimizer, w->session, 1, &norm, &finite));
    if (lr > 0) CHECK_OK(lt_optimizer_update(&w->optimizer, w->session, &w->adam, lr, (int64_t)round + 1));
    return result;
}

/* Share of pairs of fresh entries in which the one whose loss would hurt more has the higher score. */
static double right_pairs(world *w) {
    double pairs = 0, right = 0;
    CHECK_OK(lt_scorer_refresh(&w->model->scorer, &w->session->ctx));
    for (uint64_t round = 2000; round < 2040; round++) {
        float features[ENTRIES][LT_FEATURE_COUNT] = {{0}}, score[ENTRIES];
        for (int i = 0; i < ENTRIES; i++) {
            features[i][LT_FEATURE_AGE] = (float)(ENTRIES - 1 - i);
            features[i][LT_FEATURE_MOTION] = motion_of(round, 0, 0, i);
        }
        CHECK_OK(lt_scorer_keep_host(&w->model->scorer, 0, ENTRIES,
                                     (const float(*)[LT_FEATURE_COUNT])features, score));
        for (int i = 0; i < ENTRIES - 1; i++)
            for (int j = 0; j < i; j++) {
                pairs++;
                right += (features[i][LT_FEATURE_MOTION] > features[j][LT_FEATURE_MOTION]) ==
                         (score[i] > score[j]);
            }
    }
    return right / pairs;
}

static void learns_order(lt_keep_target target) {
    world w;
    open_world(&w, target);
    lt_keep_result before = one_round(&w, 0, 0), after = {0};
    CHECK(before.pairs > 0 && before.ordered == 0 &&
          before.spread == 0); /* an untrained head scores all alike */
    for (uint64_t i = 0; i < 400; i++) (void)one_round(&w, i, 1e-2);
    for (uint64_t i = 1000; i < 1040; i++) {
        lt_keep_result r = one_round(&w, i, 0);
        after.pairs += r.pairs, after.ordered += r.ordered, after.spread += r.spread, after.sets += r.sets;
    }
    if (!(after.ordered > 0.95 * after.pairs))
        printf("%g of %g pairs in order\n", after.ordered, after.pairs);
    CHECK(after.ordered > 0.95 * after.pairs);
    CHECK(after.spread / after.sets > 0.05);
    CHECK(right_pairs(&w) > 0.95);
    close_world(&w);
}

static void rank_learns_a_planted_order(void) { learns_order(LT_KEEP_RANK); }
static void regression_learns_a_planted_order(void) { learns_order(LT_KEEP_REGRESSION); }

static void soft_choice_puts_the_best_on_top(void) {
    world w;
    open_world(&w, LT_KEEP_SOFT);
    for (uint64_t i = 0; i < 400; i++) (void)one_round(&w, i, 1e-2);
    double pairs = 0, ordered = 0;
    for (uint64_t i = 1000; i < 1040; i++) {
        lt_keep_result r = one_round(&w, i, 0);
        pairs += r.pairs, ordered += r.ordered;
    }
    if (!(ordered > 0.8 * pairs)) printf("%g of %g pairs in order\n", ordered, pairs);
    CHECK(ordered > 0.8 * pairs);
    CHECK(right_pairs(&w) > 0.8);
    close_world(&w);
}

/* The gradients that reach the head, against the loss it says it has. */
static void gradients_equal_differences_of_the_loss(void) {
    for (int target = LT_KEEP_RANK; target <= LT_KEEP_REGRESSION; target++) {
        world w;
        open_world(&w, target);
        for (uint64_t i = 0; i < 20; i++) (void)one_round(&w, i, 1e-2);
        (void)one_round(&w, 50, 0);
        lt_var *bias = w.model->scorer.keep.b1;
        float *value = bias->value.data, kept = value[3], step = 0.02f;
        double slope = ((float *)bias->grad.data)[3];
        value[3] = kept + step;
        double up = one_round(&w, 50, 0).loss;
        value[3] = kept - step;
        double down = one_round(&w, 50, 0).loss;
        CHECK(fabs(slope) > 1e-5);
        CHECK_NEAR((up - down) / (2 * step), slope, 0.02 * fabs(slope) + 1e-6);
        close_world(&w);
    }
}

static void reads_before_the_commit_do_not_count(void) {
    world w;
    open_world(&w, LT_KEEP_RANK);
    lt_cache_observer o = lt_keep_loss_observer(w.keep);
    lt_keep_loss_begin(w.keep, w.specs, CLIPS);
    lt_entry entries[4] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}};
    const double gradient[3][HEADS] = {{-1, -1}, {-5, -5}, {2, 2}};
    lt_read_event read = {.block = 3, .count = 3, .present = entries, .gradient = gradient[0]};
    lt_commit_event commit = {.block = 3, .commit = 3, .count = 4, .present = entries};
    lt_keep_result result = {0};
    o.on_gradient(&read, o.user);
    o.on_commit(&commit, o.user);
    CHECK_OK(lt_keep_loss_run(w.keep, w.session, &w.options, &result));
    CHECK(result.sets == 0 && result.loss == 0);
    close_world(&w);
}

static void churn_counts_what_window_would_not_do(void) {
    world w;
    open_world(&w, LT_KEEP_RANK);
    lt_cache_observer o = lt_keep_loss_observer(w.keep);
    lt_keep_loss_begin(w.keep, w.specs, CLIPS);
    lt_entry entries[ENTRIES] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};
    int64_t oldest = 0, other = 2;
    lt_commit_event commit = {
        .block = 4, .count = ENTRIES, .present = entries, .victims = 1, .victim_ids = &oldest};
    lt_keep_result result = {0};
    o.on_commit(&commit, o.user);
    commit.sequence = 1, commit.victim_ids = &other;
    o.on_commit(&commit, o.user);
    CHECK_OK(lt_keep_loss_run(w.keep, w.session, &w.options, &result));
    CHECK(result.victims == 2 && result.churned == 1);
    close_world(&w);
}

int main(int argc, char **argv) {
    lt_set_threads(1);
    lt_model_register_keys();
    lt_train_register_keys();
    RUN(rank_learns_a_planted_order);
    RUN(regression_learns_a_planted_order);
    RUN(soft_choice_puts_the_best_on_top);
    RUN(gradients_equal_differences_of_the_loss);
    RUN(reads_before_the_commit_do_not_count);
    RUN(churn_counts_what_window_would_not_do);
    return test_end();
}
