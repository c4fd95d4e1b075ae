#include "core/parallel.h"
#include "train/bench_model.h"
#include "train/plan_fit.h"
#include "train/testing.h"
#include "train/trainer.h"

static lt_config *preset(const char *name, const char *const *overrides) {
    lt_config *config = NULL;
    int count = 0;
    while (overrides && overrides[count]) count++;
    CHECK_OK(lt_config_load(name, overrides, count, &config));
    return config;
}

static void the_largest_models_are_planned_in_no_time_and_memory(void) {
    static const char *const names[] = {"model/sana-video-2b-480p", "model/sana-video-2b-720p"};
    for (int i = 0; i < 2; i++) {
        lt_plan plan;
        lt_config *config = preset(names[i], NULL);
        double start = lt_seconds();
        CHECK_OK(lt_plan_make(config, "null:h100", "window", "3", 0, &plan));
        CHECK(lt_seconds() - start < 2);
        CHECK(plan.parameters > 2000000000 && plan.parameters < 2200000000);
        CHECK(plan.row_count == 20 + 5 && plan.limit > 0 && plan.inference.bytes[LT_MEMORY_CONTEXT] > 0);
        lt_plan_free(&plan);
        lt_config_free(config);
    }
#ifndef __SANITIZE_ADDRESS__ /* which holds more than the plan does */
    CHECK(lt_rss_peak() < 100000000);
#endif
}

/* A run takes what is free, less a reserve, or what it is given; a plan judges by the same. */
static void a_plan_and_a_run_have_one_limit(void) {
    static const char *const automatic[] = {"train.recompute=auto", NULL};
    lt_plan plan;
    lt_device *device;
    int64_t room, half;
    lt_config *config = test_config(automatic);
    CHECK_OK(lt_device_open("null:h100", &device));
    CHECK_OK(lt_memory_room(device, 1, &room));
    CHECK(room == device->target.memory_bytes - device->target.memory_bytes / 64);
    CHECK_OK(lt_memory_room(device, 2, &half));
    CHECK(half - device->target.context_bytes < room / 2 &&
          half > room / 2 - device->target.memory_bytes / 64);
    CHECK_OK(lt_plan_make(config, "null:h100", "window", "3", 0, &plan));
    CHECK(plan.limit == room);
    lt_plan_free(&plan);
    CHECK_OK(lt_plan_make(config, "null:h100", "window", "3", room - 1, &plan));
    CHECK(plan.limit == room - 1);
    lt_plan_free(&plan);
    CHECK_OK(lt_plan_make(config, "null", "window", "3", 0, &plan));
    CHECK(plan.limit == 0);
    lt_plan_free(&plan);
    lt_device_close(device);
    lt_config_free(config);
}

/* On a GPU in bf16: plans for machines that have one are for that. */
static void a_plan_is_what_training_takes(void) {
    test_bench b = {0};
    lt_plan plan;
    bool on_gpu = test_backend() == LT_BACKEND_CUDA;
    CHECK_OK(lt_device_open(test_device(), &b.device));
    CHECK_OK(test_open_on(&b, test_backend(), NULL, NULL));
    CHECK_OK(lt_plan_make(b.text, on_gpu ? "null:h100" : "null", "window", "3", 0, &plan));
    const lt_session *s = lt_trainer_session(b.trainer);
    CHECK(plan.training.bytes[LT_MEMORY_ACTIVATIONS] == (int64_t)s->step.capacity);
    CHECK(plan.training.bytes[LT_MEMORY_INPUTS] == (int64_t)s->run.capacity);
    CHECK(plan.training.bytes[LT_MEMORY_WORKSPACE] == (int64_t)s->scratch.capacity);
    CHECK(lt_memory_peak(&plan.training) - plan.training.bytes[LT_MEMORY_CONTEXT] ==
          b.device->allocated_bytes);
    lt_step_result r;
    for (int i = 0; i < 6; i++) CHECK_OK(lt_trainer_step(b.trainer, &r));
    CHECK(s->step.peak <= s->step.capacity && (double)s->step.peak > 0.5 * (double)s->step.capacity);
    CHECK(plan.train_tokens == r.tokens);
    lt_plan_free(&plan);
    test_close(&b);
}

/* On a GPU activations are bf16 and the scorer is float32: every operand must have the dtype that its op expects. */
static void every_stage_can_be_planned_in_bf16(void) {
    static const char *const names[] = {"train/tiny",      "train/tiny-scorer", "train/tiny-shipped-scorer",
                                        "train/tiny-copy", "train/planted",     "train/planted-keep"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lt_plan plan;
        lt_config *config = preset(names[i], NULL);
        CHECK_OK(lt_plan_make(config, "null:h100", "window", "3", 0, &plan));
        CHECK(plan.training.bytes[LT_MEMORY_ACTIVATIONS] > 0);
        lt_plan_free(&plan);
        lt_config_free(config);
    }
}

/* What a batch takes is planned from smaller ones, to within rounding, in no more memory than those take. */
static void large_batches_are_planned_as_exactly_in_constant_memory(void) {
    static const char *const large[] = {"train.batch=48", NULL}, *const huge[] = {"train.batch=65536", NULL};
    lt_plan plan;
    lt_config *config = test_config(large), *more = test_config(huge);
    lt_train_config train;
    lt_device *device;
    lt_model *model;
    lt_session_plan exact;
    CHECK_OK(lt_device_open("null", &device));
    CHECK_OK(lt_model_open(config, device, LT_BACKEND_NULL, LT_MODEL_TRAINING, &model));
    CHECK_OK(lt_train_config_read(config, model, &train));
    CHECK_OK(lt_train_set_trainable(&train, model));
    lt_trainer_spec spec = {.config = &train, .model = model};
    CHECK_OK(lt_trainer_measure(&spec, "null", &exact));
    CHECK_OK(lt_plan_make(config, "null", "window", "3", 0, &plan));
    double whole = (double)(exact.step_bytes + exact.run_bytes + exact.scratch_bytes);
    double planned = (double)lt_memory_peak(&plan.training) -
                     (double)lt_memory_peak(&(lt_memory){{plan.training.bytes[0], plan.training.bytes[1],
                                                          plan.training.bytes[2], plan.training.bytes[3]}});
    CHECK_NEAR(planned, whole, 2e-4 * whole);
    CHECK_NEAR(plan.train_flops * train.mix_count, exact.meter.flops, 1e-6 * exact.meter.flops);
    lt_plan_free(&plan);
    int64_t before = lt_rss_peak();
    CHECK_OK(lt_plan_make(more, "null", "window", "3", 0, &plan));
    CHECK(lt_rss_peak() - before < 20000000 && plan.training.bytes[LT_MEMORY_ACTIVATIONS] > whole * 1000);
    lt_plan_free(&plan);
    lt_train_config_free(&train);
    lt_model_close(model);
    lt_device_close(device);
    lt_config_free(config), lt_config_free(more);
}

/* Peaks of training and streaming with one key changed. */
static void peaks_with(const char *override, const char *budget, int64_t limit, int64_t peak[2]) {
    const char *overrides[] = {override, NULL};
    lt_plan plan;
    lt_config *config = test_config(override ? overrides : NULL);
    CHECK_OK(lt_plan_make(config, "null", "window", budget, limit, &plan));
    peak[0] = lt_memory_peak(&plan.training), peak[1] = lt_memory_peak(&plan.inference);
    lt_plan_free(&plan);
    lt_config_free(config);
}

static void largest_is(const char *key, int64_t value, int64_t limit) {
    char text[64];
    int64_t peak[2];
    snprintf(text, sizeof text, "%s=%" PRId64, key, value);
    peaks_with(text, "3", limit, peak);
    CHECK(value > 0 && peak[0] <= limit);
    snprintf(text, sizeof text, "%s=%" PRId64, key, value + 1);
    peaks_with(text, "3", limit, peak);
    CHECK(peak[0] > limit);
}

static void what_would_fit_fits_and_one_more_does_not(void) {
    int64_t peak[2], limit;
    char budget[32];
    lt_plan_fit fit;
    lt_config *config = test_config(NULL);
    peaks_with(NULL, "3", 0, peak);
    for (limit = peak[0] * 3 / 4; limit < 40 * peak[0]; limit *= 7) {
        CHECK_OK(lt_plan_fit_find(config, "null", "window", limit, &fit));
        largest_is("train.batch", fit.batch, limit);
        if (fit.blocks < 5 * LT_PLAN_CLIPS) largest_is("train.blocks", fit.blocks, limit);
        snprintf(budget, sizeof budget, "%" PRId64, fit.budget);
        peaks_with(NULL, budget, limit, peak);
        CHECK(peak[1] <= limit && fit.batch_all >= fit.batch);
        peaks_with("train.recompute=all", "3", limit, peak);
        CHECK(fit.recompute_all == (peak[0] <= limit));
        snprintf(budget, sizeof budget, "%" PRId64, fit.budget + 1);
        peaks_with(NULL, budget, limit, peak);
        CHECK(peak[1] > limit);
    }
    peaks_with("train.recompute=all", "3", 0, peak);
    CHECK_OK(lt_plan_fit_find(config, "null", "window", peak[0] / 2, &fit));
    CHECK(!fit.recompute_all && fit.batch_all < 2);
    CHECK_OK(lt_plan_fit_find(config, "null", "window", 1, &fit));
    CHECK(fit.budget == 0 && fit.batch_all == 0 && fit.frame_size[0] == 0);
    lt_config_free(config);
}

/* Slots of a large cache are planned from a few, to the byte. */
static void large_caches_are_planned_without_filling_them(void) {
    int64_t few[2], many[2], huge[2];
    double start = lt_seconds();
    peaks_with(NULL, "31", 0, few);
    peaks_with(NULL, "32", 0, many);
    peaks_with(NULL, "100032", 0, huge);
    CHECK_NEAR((double)(huge[1] - many[1]), 1e5 * (double)(many[1] - few[1]), 0.02 * (double)huge[1]);
    CHECK(lt_seconds() - start < 5);
}

static void rows_hold_all_parameters_and_all_work(void) {
    lt_plan plan;
    lt_config *config = test_config(NULL);
    CHECK_OK(lt_plan_make(config, "null", "sink", "2", 0, &plan));
    int64_t parameters = 0;
    double flops = 0;
    for (int i = 0; i < plan.row_count; i++)
        parameters += plan.rows[i].parameters, flops += plan.rows[i].flops;
    CHECK(parameters == plan.parameters);
    CHECK_NEAR(flops, plan.forward_flops, 1e-6 * plan.forward_flops);
    for (int i = 0; i < plan.row_count - 1; i++)
        CHECK(plan.rows[i].parameters > 0 && plan.rows[i].flops > 0 && *plan.rows[i].shape);
    lt_plan_free(&plan);
    lt_config_free(config);
}

static void recomputation_and_budgets_show(void) {
    static const char *const again[] = {"train.recompute=true", NULL};
    lt_plan plain, recomputed, larger;
    lt_config *config = test_config(NULL), *second = test_config(again);
    CHECK_OK(lt_plan_make(config, "null", "window", "3", 0, &plain));
    CHECK_OK(lt_plan_make(second, "null", "window", "3", 0, &recomputed));
    CHECK_OK(lt_plan_make(config, "null", "window", "6", 0, &larger));
    CHECK(recomputed.training.bytes[LT_MEMORY_ACTIVATIONS] < plain.training.bytes[LT_MEMORY_ACTIVATIONS]);
    CHECK(recomputed.train_flops > 1.1 * plain.train_flops);
    CHECK(larger.inference.bytes[LT_MEMORY_SLOTS] == 2 * plain.inference.bytes[LT_MEMORY_SLOTS] &&
          larger.inference.bytes[LT_MEMORY_TAILS] == plain.inference.bytes[LT_MEMORY_TAILS]);
    lt_plan_free(&plain), lt_plan_free(&recomputed), lt_plan_free(&larger);
    lt_config_free(config), lt_config_free(second);
}

static void the_bench_measures_what_is_asked_for(void) {
    lt_device *device;
    lt_model_bench b;
    lt_config *config = test_config(NULL);
    lt_model_bench_options all = {.what = LT_BENCH_ALL, .batch = 1, .stream_steps = 2};
    lt_model_bench_options twice = {.what = LT_BENCH_FORWARD, .batch = 2};
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_OK(lt_bench_model(config, device, &all, &b));
    CHECK(b.tokens == 2 * 4 * 4 && b.forward_ms > 0 && b.step_ms > b.forward_ms &&
          b.stream_ms > b.forward_ms && b.train_ms > b.forward_ms);
    CHECK(b.step_bytes > b.forward_bytes && b.train_bytes > b.stream_bytes);
    int64_t trained = b.forward_bytes;
    CHECK_OK(lt_bench_model(config, device, &twice, &b));
    CHECK(b.forward_ms > 0 && b.step_ms == 0 && b.forward_bytes < trained); /* no gradients, no moments */
    twice.batch = 1000;
    CHECK_FAILS(lt_bench_model(config, device, &twice, &b), LT_USAGE, "batch");
    lt_device_close(device);
    CHECK_OK(lt_device_open("null", &device));
    CHECK_FAILS(lt_bench_model(config, device, &all, &b), LT_UNAVAILABLE, "plan");
    lt_device_close(device);
    lt_config_free(config);
}

static void the_learning_rate_warms_up_and_falls(void) {
    lt_train_config c = {.steps = 110, .warmup = 10, .lr = 1, .min_lr = 0.1, .cosine = true};
    CHECK_NEAR(lt_learning_rate(&c, 1), 0.1, 1e-12);
    CHECK_NEAR(lt_learning_rate(&c, 10), 1, 1e-12);
    CHECK_NEAR(lt_learning_rate(&c, 60), 0.55, 1e-12);
    CHECK_NEAR(lt_learning_rate(&c, 110), 0.1, 1e-12);
    CHECK_NEAR(lt_learning_rate(&c, 500), 0.1, 1e-12);
    c.cosine = false;
    CHECK_NEAR(lt_learning_rate(&c, 110), 1, 1e-12);
}

static void the_presets_are_sound(void) {
    static const char *const names[] = {"train/tiny", "train/tiny-scorer"};
    for (int i = 0; i < 2; i++) {
        lt_plan plan;
        lt_config *config = preset(names[i], NULL);
        CHECK_OK(lt_plan_make(config, "null", "window", "3", 0, &plan));
        lt_plan_free(&plan);
        lt_config_free(config);
    }
}

int main(int argc, char **argv) {
    lt_set_threads(1);
    lt_model_register_keys();
    lt_train_register_keys();
    RUN(a_plan_and_a_run_have_one_limit);
    RUN(the_largest_models_are_planned_in_no_time_and_memory);
    test_begin();
    RUN(every_stage_can_be_planned_in_bf16);
    RUN(a_plan_is_what_training_takes);
    RUN(large_batches_are_planned_as_exactly_in_constant_memory);
    RUN(what_would_fit_fits_and_one_more_does_not);
    RUN(large_caches_are_planned_without_filling_them);
    RUN(rows_hold_all_parameters_and_all_work);
    RUN(recomputation_and_budgets_show);
    RUN(the_bench_measures_what_is_asked_for);
    RUN(the_learning_rate_warms_up_and_falls);
    RUN(the_presets_are_sound);
    test_finish();
    return test_end();
}
