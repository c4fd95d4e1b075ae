#include "train/plan_fit.h"

#include "train/trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT = 96 };
static const char recompute_all[] = "train.recompute=\"all\"";

typedef struct search {
    const char *text, *target, *policy; /* text: of the configuration */
    int64_t limit;
    const char *fixed[2]; /* overrides that hold throughout */
    int fixed_count;
} search;

/* Bytes at one value of what is searched; < 0: such a model cannot be. */
typedef lt_status (*peak_fn)(const search *s, int64_t value, int64_t *peak);

typedef struct opened {
    lt_config *config;
    lt_device *device;
    lt_model *model;
} opened;

static void close_model(opened *o) {
    lt_model_close(o->model);
    if (o->device) lt_device_close(o->device);
    lt_config_free(o->config);
}

static lt_status open_model(const search *s, const char *override, opened *o) {
    const char *overrides[3];
    int count = 0;
    *o = (opened){0};
    for (; count < s->fixed_count; count++) overrides[count] = s->fixed[count];
    if (override) overrides[count++] = override;
    LT_TRY(lt_config_parse(s->text, "plan", overrides, count, &o->config));
    LT_TRY(lt_device_open(s->target, &o->device));
    lt_backend backend = o->device->target.matrix_dtype_bytes == 2 ? LT_BACKEND_CUDA : LT_BACKEND_NULL;
    return lt_model_open(o->config, o->device, backend, LT_MODEL_TRAINING, &o->model);
}

static lt_status measure_training(const opened *o, int64_t limit, int64_t *peak) {
    lt_train_config train;
    lt_recompute_choice choice = {0};
    LT_TRY(lt_train_config_read(o->config, o->model, &train));
    lt_trainer_spec spec = {.config = &train, .model = o->model};
    lt_status status = lt_train_set_trainable(&train, o->model);
    if (status == LT_OK) status = lt_trainer_choose(&spec, &train, limit, &choice);
    lt_train_config_free(&train);
    *peak = choice.peak;
    return status;
}

static lt_status training_peak(const search *s, const char *override, int64_t *peak) {
    opened o;
    lt_status status = open_model(s, override, &o);
    if (status == LT_OK) status = measure_training(&o, s->limit, peak);
    close_model(&o);
    return status;
}

static lt_status batch_peak(const search *s, int64_t value, int64_t *peak) {
    char override[TEXT];
    snprintf(override, sizeof override, "train.batch=%" PRId64, value);
    return training_peak(s, override, peak);
}

static lt_status blocks_peak(const search *s, int64_t value, int64_t *peak) {
    char override[TEXT];
    snprintf(override, sizeof override, "train.blocks=%" PRId64, value);
    return training_peak(s, override, peak);
}

static lt_status stream_peak(const search *s, int64_t value, int64_t *peak) {
    opened o;
    lt_stream_options options = {.steps = 1, .shift = 1, .guidance = 1};
    lt_memory memory;
    lt_status status = open_model(s, NULL, &o);
    if (status == LT_OK) status = lt_cache_spec_parse(s->policy, (int)value, &options.spec);
    if (status == LT_OK) status = lt_memory_fit_streaming(o.model, &options, s->limit, &memory);
    close_model(&o);
    LT_TRY(status);
    lt_memory_forget_training(&memory);
    *peak = lt_memory_peak(&memory);
    return LT_OK;
}

/* The largest value from 1 to `most` whose bytes are within the limit. They grow about in a straight line, so each
 * guess lies where the line through the last two measurements meets the limit. */
static lt_status largest(const search *s, peak_fn peak_of, int64_t most, int64_t *out) {
    int64_t low = 1, high = most + 1, low_peak, peak;
    *out = 0;
    LT_TRY(peak_of(s, low, &low_peak));
    if (low_peak > s->limit) return LT_OK;
    double slope = 0;
    for (int64_t guess = 2; high - low > 1; guess = guess <= low    ? low + 1
                                                    : guess >= high ? high - 1
                                                                    : guess) {
        if (guess >= high) guess = high - 1;
        LT_TRY(peak_of(s, guess, &peak));
        if (peak != low_peak) slope = (double)(peak - low_peak) / (double)(guess - low);
        if (peak <= s->limit) low = guess, low_peak = peak;
        else high = guess;
        double room = slope > 0 ? (double)(s->limit - low_peak) / slope : (double)(high - low);
        guess = room < (double)(high - low) ? low + (int64_t)room : high - 1;
    }
    *out = low;
    return LT_OK;
}

static lt_status find_recompute(search *s, lt_plan_fit *out) {
    int64_t peak;
    s->fixed[s->fixed_count++] = recompute_all;
    LT_TRY(training_peak(s, NULL, &peak));
    out->recompute_all = peak <= s->limit;
    LT_TRY(largest(s, batch_peak, 65536, &out->batch_all));
    s->fixed_count--;
    return LT_OK;
}

/* Eighths of the frame's sides; sizes that the codec or the patches do not divide are passed over. */
static lt_status find_frame(search *s, const lt_config *config, lt_plan_fit *out) {
    s->fixed[s->fixed_count++] = recompute_all;
    s->fixed[s->fixed_count++] = "train.batch=1";
    for (int eighths = 7; eighths > 0 && !out->frame_size[0]; eighths--) {
        char override[TEXT];
        int64_t peak, height = lt_config_int_at(config, "model.frame_size", 0) * eighths / 8,
                      width = lt_config_int_at(config, "model.frame_size", 1) * eighths / 8;
        snprintf(override, sizeof override, "model.frame_size=[%" PRId64 ",%" PRId64 "]", height, width);
        lt_status status = training_peak(s, override, &peak);
        if (status == LT_OK && peak <= s->limit) out->frame_size[0] = height, out->frame_size[1] = width;
        else if (status != LT_OK && status != LT_USAGE) return status;
    }
    s->fixed_count -= 2;
    return LT_OK;
}

/* What train.recompute=auto takes depends on the limit; what it can do with is everything recomputed. */
static lt_status fix_automatic(search *s, const lt_config *config) {
    opened o;
    lt_recompute recompute;
    lt_status status = open_model(s, NULL, &o);
    if (status == LT_OK)
        status =
            lt_recompute_read(lt_config_json(config, "train.recompute"), o.model->config.layers, &recompute);
    close_model(&o);
    if (status == LT_OK && recompute.automatic) s->fixed[s->fixed_count++] = recompute_all;
    return status;
}

lt_status lt_plan_fit_find(const lt_config *config, const char *target, const char *policy, int64_t limit,
                           lt_plan_fit *out) {
    char *text = lt_config_print(config);
    search s = {.text = text, .target = target, .policy = policy, .limit = limit};
    *out = (lt_plan_fit){0};
    LT_CHECK(text, LT_FAILED, "out of memory for a configuration");
    const int64_t configured = lt_config_int(config, "train.blocks"), longest = LT_PLAN_CLIPS * configured;
    lt_status status = largest(&s, stream_peak, 1 << 20, &out->budget);
    if (status == LT_OK) status = fix_automatic(&s, config);
    if (status == LT_OK) status = largest(&s, batch_peak, 65536, &out->batch);
    if (status == LT_OK) status = largest(&s, blocks_peak, longest < 4096 ? longest : 4096, &out->blocks);
    s.fixed_count = 0;
    if (status == LT_OK) status = find_recompute(&s, out);
    if (status == LT_OK && out->batch_all == 0) status = find_frame(&s, config, out);
    free(text);
    return status;
}
