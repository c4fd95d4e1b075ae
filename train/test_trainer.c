#include "core/parallel.h"
#include "train/latent_stats.h"
#include "train/objective/keep_loss.h"
#include "train/testing.h"
#include "train/trainer_impl.h"

static void *copy_values(const lt_model *m, size_t *bytes) {
    *bytes = m->weights.used;
    void *copy = malloc(*bytes);
    memcpy(copy, m->weights.base, *bytes);
    return copy;
}

/* RMS of the difference of all values over their RMS. */
static double difference(const lt_model *a, const lt_model *b) {
    double sum = 0, square = 0;
    for (int i = 0; i < a->params.count; i++) {
        const lt_tensor *x = &a->params.items[i]->var.value, *y = &b->params.items[i]->var.value;
        for (int64_t j = 0; j < lt_numel(x); j++) {
            double p = ((const float *)x->data)[j], q = ((const float *)y->data)[j];
            sum += (p - q) * (p - q), square += q * q;
        }
    }
    return sqrt(sum / square);
}

static double train(test_bench *b, int steps) {
    lt_step_result r = {0};
    for (int i = 0; i < steps; i++) CHECK_OK(lt_trainer_step(b->trainer, &r));
    return r.loss;
}

static void accumulation_equals_the_big_batch(void) {
    static const char *const parts[] = {"train.batch=2", "train.accumulate=2", NULL};
    static const char *const whole[] = {"train.batch=4", NULL};
    test_bench a, b;
    CHECK_OK(test_open(&a, parts));
    CHECK_OK(test_open(&b, whole));
    CHECK_NEAR(train(&a, 1), train(&b, 1), 1e-5);
    lt_params *p = &a.model->params;
    for (int i = 0; i < p->published_count; i++) {
        const lt_published *name = &p->published[i];
        double *x = malloc((size_t)name->count * 2 * sizeof *x), *y = x + name->count, sum = 0,
               square = 1e-30;
        if (!p->items[name->param]->var.needs_grad) {
            free(x);
            continue;
        }
        CHECK_OK(lt_params_get_grad(p, name, x));
        CHECK_OK(lt_params_get_grad(&b.model->params, name, y));
        for (int64_t j = 0; j < name->count; j++) sum += (x[j] - y[j]) * (x[j] - y[j]), square += y[j] * y[j];
        CHECK_NEAR(sqrt(sum / square), 0, 1e-5);
        free(x);
    }
    test_close(&a);
    test_close(&b);
}

static void recomputation_changes_no_bit(void) {
    static const char *const with[] = {"train.recompute=true", NULL};
    test_bench a, b;
    CHECK_OK(test_open(&a, with));
    CHECK_OK(test_open(&b, NULL));
    CHECK(train(&a, 2) == train(&b, 2));
    CHECK(difference(a.model, b.model) == 0);
    CHECK(lt_trainer_session(a.trainer)->step.capacity < lt_trainer_session(b.trainer)->step.capacity);
    test_close(&a);
    test_close(&b);
}

static void overfitting_one_clip_halves_the_loss(void) {
    static const char *const overrides[] = {"train.lr=3e-3",     "train.batch=1",  "model.heads=4",
                                            "model.head_dim=32", "model.layers=1", NULL};
    const int steps = test_times(200, 80);
    test_bench b;
    double first = 0, last = 0;
    char one[LT_PATH_MAX], many[LT_PATH_MAX];
    snprintf(one, sizeof one, "%s/one.h5", test_folder), snprintf(many, sizeof many, "%s", test_data);
    CHECK_OK(test_make_data(one, 1, 0));
    snprintf(test_data, sizeof test_data, "%s", one);
    CHECK_OK(test_open(&b, overrides));
    snprintf(test_data, sizeof test_data, "%s", many);
    CHECK_OK(lt_latent_stats_measure(b.set, &b.config, b.model));
    for (int i = 0; i < steps; i++) {
        double loss = train(&b, 1);
        if (i < 10) first += loss / 10;
        if (i >= steps - 10) last += loss / 10;
    }
    if (!(last < 0.5 * first)) printf("loss %g, then %g\n", first, last);
    CHECK(last < 0.5 * first);
    test_close(&b);
}

static void a_clipped_gradient_has_the_norm_asked_for(void) {
    static const char *const overrides[] = {"train.clip_norm=0.001", NULL};
    test_bench b;
    lt_step_result r;
    CHECK_OK(test_open(&b, overrides));
    CHECK_OK(lt_trainer_step(b.trainer, &r));
    const float *control = b.trainer->optimizer.control.data;
    CHECK(r.grad_norm > 0.001);
    CHECK_NEAR(control[1] * r.grad_norm, 0.001, 1e-8);
    test_close(&b);
}

static void a_step_that_is_not_finite_changes_nothing(void) {
    test_bench b;
    lt_step_result r;
    size_t bytes;
    CHECK_OK(test_open(&b, NULL));
    ((float *)b.model->dit.patch.b->value.data)[0] = INFINITY;
    void *before = copy_values(b.model, &bytes);
    CHECK_OK(lt_trainer_step(b.trainer, &r));
    CHECK(!r.finite);
    CHECK(memcmp(before, b.model->weights.base, bytes) == 0);
    free(before);
    test_close(&b);
}

/* A new transformer hands nothing on (its last projection and gates are zero): gives zeros values. */
static void stir(lt_model *m) {
    for (int i = 0; i < m->params.published_count; i++) {
        const lt_published *name = &m->params.published[i];
        lt_tensor *t = &m->params.items[name->param]->var.value;
        lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = (uint64_t)i};
        if (strncmp(name->name, "scorer.", 7) == 0 || strncmp(name->name, "latent.", 7) == 0) continue;
        for (int64_t j = name->offset; j < name->offset + name->count; j++)
            if (((float *)t->data)[j] == 0) ((float *)t->data)[j] = 0.1f * lt_rng_normal(&key, (uint64_t)j);
    }
}

static void stage_scorer_leaves_the_denoiser_alone(void) {
    static const char *const overrides[] = {
        "train.stage=scorer", "train.steps=4",
        "train.policy_mix=[{\"policy\":\"learned:read=content\",\"budget\":2},{\"policy\":\"sink:read=age\","
        "\"budget\":2}]",
        NULL};
    test_bench a, b;
    lt_step_result r = {0};
    CHECK_OK(test_open(&a, overrides));
    CHECK_OK(test_open(&b, overrides));
    stir(a.model), stir(b.model);
    for (int i = 0; i < 4; i++) CHECK_OK(lt_trainer_step(a.trainer, &r));
    const lt_keep_result *keep = (const lt_keep_result *)r.figures;
    CHECK(keep->sets > 0 && keep->pairs > 0 && isfinite(keep->loss));
    int changed = 0;
    for (int i = 0; i < a.model->params.published_count; i++) {
        const lt_published *name = &a.model->params.published[i];
        const lt_tensor *x = &a.model->params.items[name->param]->var.value;
        const lt_tensor *y = &b.model->params.items[name->param]->var.value;
        bool same = memcmp(x->data, y->data, lt_nbytes(x)) == 0;
        bool scorer = strncmp(name->name, "scorer.", 7) == 0;
        if (!scorer) CHECK(same);
        changed += scorer && !same;
    }
    CHECK(changed >= 9); /* keep, read_age and read_content */
    test_close(&a);
    test_close(&b);
}

static void frozen_names_stay(void) {
    static const char *const overrides[] = {"train.freeze=transformer_blocks.0.*,proj_out.*", NULL};
    static const char *const none[] = {"train.freeze=transformer_block.*", NULL};
    test_bench b;
    CHECK_OK(test_open(&b, overrides));
    for (int i = 0; i < b.model->params.published_count; i++) {
        const lt_published *name = &b.model->params.published[i];
        bool frozen = strncmp(name->name, "transformer_blocks.0.", 21) == 0 ||
                      strncmp(name->name, "proj_out.", 9) == 0 || strncmp(name->name, "scorer.", 7) == 0 ||
                      strncmp(name->name, "latent.", 7) == 0;
        CHECK(b.model->params.items[name->param]->var.needs_grad == !frozen);
    }
    train(&b, 1);
    test_close(&b);
    CHECK_FAILS(test_open(&b, none), LT_USAGE, "train.freeze");
    test_close(&b);
}

static void every_target_and_stage_runs(void) {
    static const char *const cases[][4] = {
        {"train.stage=joint", "scorer.target=soft", "scorer.temperature_end=0.1", NULL},
        {"train.stage=joint", "scorer.target=regression", NULL, NULL},
        {"train.stage=joint", "scorer.target=none", NULL, NULL},
        {"train.stage=joint", "train.recompute=true", NULL, NULL},
        {"train.noise=monotone", "train.draws=2", NULL, NULL},
        {"train.context=self", "train.rollout_steps=1", NULL, NULL},
        {"train.bptt_blocks=1", "train.noise=same", NULL, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bench b;
        lt_step_result r = {0};
        CHECK_OK(test_open(&b, cases[i]));
        if (b.trainer) CHECK_OK(lt_trainer_step(b.trainer, &r));
        CHECK(r.finite && r.loss > 0 && r.grad_norm > 0);
        test_close(&b);
    }
}

static void validation_repeats_itself(void) {
    test_bench b;
    lt_validation v, w;
    CHECK_OK(test_open(&b, NULL));
    CHECK_OK(lt_trainer_validate(b.trainer, &v));
    train(&b, 1);
    CHECK_OK(lt_params_swap_ema(&b.model->params, NULL));
    CHECK_OK(lt_params_swap_ema(&b.model->params, NULL));
    CHECK_OK(lt_params_initialise(&b.model->params, 3));
    CHECK_OK(lt_trainer_validate(b.trainer, &w));
    CHECK(v.found && v.clips == VAL_CLIPS && v.loss > 0);
    CHECK(memcmp(&v, &w, sizeof v) == 0);
    test_close(&b);
}

static void a_mix_without_empty_caches_is_refused(void) {
    static const char *const none[] = {"train.policy_mix=[{\"policy\":\"window\",\"budget\":2}]", NULL};
    static const char *const named[] = {"train.policy_mix=[{\"policy\":\"windw\",\"budget\":2}]", NULL};
    static const char *const bare[] = {"train.policy_mix=[{\"policy\":\"window\"}]", NULL};
    test_bench b;
    CHECK_FAILS(test_open(&b, none), LT_USAGE, "empty cache");
    test_close(&b);
    CHECK_FAILS(test_open(&b, named), LT_USAGE, "policy_mix[0].policy");
    test_close(&b);
    CHECK_FAILS(test_open(&b, bare), LT_USAGE, "needs a \"budget\"");
    test_close(&b);
}

static void the_mix_is_drawn_with_its_weights(void) {
    static const char *const overrides[] = {"train.policy_mix=[{\"policy\":\"none\",\"weight\":1},{"
                                            "\"policy\":\"window\",\"budget\":[1,2],\"weight\":3}]",
                                            NULL};
    test_bench b;
    int drawn[3] = {0};
    CHECK_OK(test_open(&b, overrides));
    CHECK(b.config.mix_count == 3 && b.config.max_budget == 2);
    for (uint64_t i = 0; i < 8000; i++) drawn[lt_mix_draw(&b.config, i)]++;
    CHECK_NEAR(drawn[0] / 8000.0, 0.25, 0.02);
    CHECK_NEAR(drawn[1] / 8000.0, 0.375, 0.02);
    test_close(&b);
}

static void latents_of_the_training_clips_are_standardised(void) {
    test_bench b;
    CHECK_OK(test_open(&b, NULL));
    CHECK_OK(lt_latent_stats_measure(b.set, &b.config, b.model));
    const lt_batch *batch;
    double sum = 0, square = 0;
    int64_t count = b.trainer->clip_floats;
    for (int i = 0; i < 5; i++) {
        CHECK_OK(lt_loader_next(b.trainer->loader, &batch));
        CHECK_OK(lt_model_encode(b.model, batch->frames, batch->rgb, b.trainer->latents));
        for (int64_t j = 0; j < count; j++) {
            sum += b.trainer->latents[j] / (5.0 * (double)count);
            square += b.trainer->latents[j] * b.trainer->latents[j] / (5.0 * (double)count);
        }
    }
    CHECK_NEAR(sum, 0, 0.3);
    CHECK_NEAR(square, 1, 0.5);
    test_close(&b);
}

int main(int argc, char **argv) {
    test_begin();
    lt_set_threads(1); /* steps are so small that threads only wait for each other */
    lt_session_poison(true);
    RUN(accumulation_equals_the_big_batch);
    RUN(recomputation_changes_no_bit);
    RUN(overfitting_one_clip_halves_the_loss);
    RUN(a_clipped_gradient_has_the_norm_asked_for);
    RUN(a_step_that_is_not_finite_changes_nothing);
    RUN(stage_scorer_leaves_the_denoiser_alone);
    RUN(frozen_names_stay);
    RUN(every_target_and_stage_runs);
    RUN(validation_repeats_itself);
    RUN(a_mix_without_empty_caches_is_refused);
    RUN(the_mix_is_drawn_with_its_weights);
    RUN(latents_of_the_training_clips_are_standardised);
    test_finish();
    return test_end();
}
