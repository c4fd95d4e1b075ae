/* What a training step keeps, chosen by the bytes there are, and whether it fits. */
#include "core/cli.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>

/* ---- measuring --------------------------------------------------------------------------------------------------- */

/* Of a stream of videos beside the training session. */
static lt_status stream_bytes(lt_model *model, const lt_cache_spec *spec, int64_t *bytes) {
    lt_stream_options options = {.steps = 1, .shift = 1, .guidance = 1, .spec = *spec};
    lt_memory m;
    LT_TRY(lt_memory_streaming(model, &options, &m));
    *bytes = 0;
    for (int role = LT_MEMORY_SLOTS; role < LT_MEMORY_CONTEXT; role++) *bytes += m.bytes[role];
    return LT_OK;
}

/* Rollouts have a stream for each row of the mix, samples one for a while. */
static lt_status beside(const lt_trainer_spec *spec, int64_t *bytes) {
    const lt_train_config *c = spec->config;
    int64_t one, most = 0;
    *bytes = 0;
    if (!lt_device_is_null(spec->model->device)) return LT_OK;
    for (int i = 0; i < c->mix_count && (c->self_context || c->sample_every > 0); i++) {
        LT_TRY(stream_bytes(spec->model, &c->mix[i].spec, &one));
        if (c->self_context) *bytes += one;
        if (c->sample_every > 0 && one > most) most = one;
    }
    *bytes += most;
    return LT_OK;
}

/* Clips of a process up to which its step is walked whole, and those that stand for more. */
static const int few[] = {8, 12, 16};

static lt_status measure_clips(const lt_trainer_spec *spec, int clips, lt_session_plan *plan) {
    lt_train_config fewer = *spec->config;
    lt_trainer_spec of_few = {.config = &fewer, .model = spec->model, .comm = spec->comm};
    fewer.batch = clips * (spec->comm ? lt_comm_size(spec->comm) : 1);
    return lt_trainer_measure(&of_few, "null", plan);
}

static double on_line(double a, double b, double at) { return a + (b - a) * at; }
static int64_t bytes_on_line(int64_t a, int64_t b, double at) {
    return (int64_t)llround(on_line((double)a, (double)b, at));
}

static void plan_on_line(const lt_session_plan *a, const lt_session_plan *b, double at,
                         lt_session_plan *out) {
    *out = *a;
    out->step_bytes = bytes_on_line(a->step_bytes, b->step_bytes, at);
    out->scratch_bytes = bytes_on_line(a->scratch_bytes, b->scratch_bytes, at);
    out->run_bytes = bytes_on_line(a->run_bytes, b->run_bytes, at);
    out->meter.flops = on_line(a->meter.flops, b->meter.flops, at);
    out->meter.bytes = on_line(a->meter.bytes, b->meter.bytes, at);
    for (int i = 0; i < LT_TAPE_LABELS; i++) {
        out->again[i].bytes = bytes_on_line(a->again[i].bytes, b->again[i].bytes, at);
        out->again[i].flops = on_line(a->again[i].flops, b->again[i].flops, at);
        out->again[i].moved = on_line(a->again[i].moved, b->again[i].moved, at);
    }
}

/* All bytes grow in a straight line with the clips, since every clip takes the same: so the graph of a large batch,
 * whose nodes take half a megabyte a clip, need not be made. Where they do not, it is. */
static lt_status measure(const lt_trainer_spec *spec, lt_session_plan *plan) {
    int ranks = spec->comm ? lt_comm_size(spec->comm) : 1, clips = spec->config->batch / ranks;
    lt_session_plan at[3];
    if (clips <= few[2] || spec->config->batch % ranks != 0) return lt_trainer_measure(spec, "null", plan);
    for (int i = 0; i < 3; i++) LT_TRY(measure_clips(spec, few[i], &at[i]));
    if (!lt_on_line(at[0].step_bytes, at[1].step_bytes, at[2].step_bytes) ||
        !lt_on_line(at[0].scratch_bytes, at[1].scratch_bytes, at[2].scratch_bytes) ||
        !lt_on_line(at[0].run_bytes, at[1].run_bytes, at[2].run_bytes))
        return lt_trainer_measure(spec, "null", plan);
    plan_on_line(&at[0], &at[2], (double)(clips - few[0]) / (few[2] - few[0]), plan);
    return LT_OK;
}

lt_status lt_trainer_memory(const lt_trainer_spec *spec, lt_session_plan *plan, lt_memory *out) {
    int64_t streams;
    LT_TRY(measure(spec, plan));
    LT_TRY(beside(spec, &streams));
    *out = lt_memory_of(spec->model, plan);
    out->bytes[LT_MEMORY_INPUTS] += streams;
    return LT_OK;
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

typedef struct step_measure {
    const lt_trainer_spec *spec;
    lt_train_config *config;
} step_measure;

static lt_status measure_step(const lt_dit_keep *keep, lt_session_plan *plan, int64_t *peak, void *user) {
    const step_measure *m = user;
    lt_memory memory;
    m->config->recompute.keep = *keep;
    LT_TRY(lt_trainer_memory(m->spec, plan, &memory));
    *peak = lt_memory_peak(&memory);
    return LT_OK;
}

lt_status lt_trainer_choose(const lt_trainer_spec *spec, lt_train_config *config, int64_t limit,
                            lt_recompute_choice *out) {
    const lt_model *model = spec->model;
    step_measure m = {spec, config};
    lt_session_plan plan;
    if (!config->recompute.automatic || limit <= 0) {
        *out = (lt_recompute_choice){.keep = config->recompute.keep};
        config->recompute.automatic = false;
        return measure_step(&out->keep, &plan, &out->peak, &m);
    }
    LT_TRY(lt_recompute_choose(model->config.layers, &model->device->target, limit, config->mix_count,
                               measure_step, &m, out));
    config->recompute = (lt_recompute){.keep = out->keep};
    return LT_OK;
}

/* ---- fitting ----------------------------------------------------------------------------------------------------- */

/* What would fit: everything recomputed, then one clip a process as well. */
static lt_status advise(const lt_trainer_spec *spec, const lt_train_config *config, int64_t limit, char *text,
                        size_t size) {
    lt_train_config less = *config;
    lt_trainer_spec again = {.config = &less, .model = spec->model, .comm = spec->comm};
    lt_memory memory;
    lt_session_plan plan;
    char peak[32];
    less.recompute = (lt_recompute){0};
    LT_TRY(lt_trainer_memory(&again, &plan, &memory));
    bool fits = lt_memory_peak(&memory) <= limit;
    lt_format_bytes(lt_memory_peak(&memory), peak);
    snprintf(text, size, "train.recompute=all needs %s%s", peak,
             fits ? ", and auto fits itself to the limit" : "");
    if (fits) return LT_OK;
    less.batch = spec->comm ? lt_comm_size(spec->comm) : 1;
    LT_TRY(lt_trainer_memory(&again, &plan, &memory));
    fits = lt_memory_peak(&memory) <= limit;
    snprintf(text, size, "train.recompute=all needs %s, with train.batch=%d as well %s%s", peak, less.batch,
             lt_format_bytes(lt_memory_peak(&memory), (char[32]){0}),
             fits ? "" : "; a smaller model, or shorter clips (train.blocks)");
    return LT_OK;
}

lt_status lt_trainer_fit(const lt_trainer_spec *spec, lt_train_config *config, int64_t limit,
                         lt_recompute_choice *out) {
    char advice[256];
    lt_memory memory;
    lt_session_plan plan;
    LT_TRY(lt_trainer_choose(spec, config, limit, out));
    if (limit <= 0 || out->peak <= limit) return LT_OK;
    LT_TRY(lt_trainer_memory(spec, &plan, &memory));
    LT_TRY(advise(spec, config, limit, advice, sizeof advice));
    return lt_memory_check(&memory, limit, "training", advice);
}
