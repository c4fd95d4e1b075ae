/* Opening a model, its values and latent statistics. */
#include "model/model.h"

#include "model/model_config.h"

#include <math.h>
#include <stdlib.h>

static lt_status declare_stats(lt_params *params, lt_var **out, lt_init init, int64_t channels,
                               const char *name) {
    lt_param *param = LT_PARAM(params, false, channels);
    if (!param) return LT_FAILED;
    lt_params_fix(param);
    *out = &param->var;
    return lt_params_publish(params, init, 0, NULL, LT_DIMS(channels), "%s", name);
}

static lt_status declare(lt_model *m, const lt_model_spec *spec) {
    const lt_dit_config *c = &spec->dit;
    LT_TRY(lt_dit_declare(&m->dit, c, &m->params));
    LT_TRY(lt_text_declare(&m->text, spec->text_encoder, spec->text_length, c->caption_channels, &m->params));
    if (spec->codec->declare) LT_TRY(spec->codec->declare(&m->params));
    LT_TRY(lt_scorer_declare(&m->scorer, c->layers, c->heads, &m->params));
    LT_TRY(declare_stats(&m->params, &m->latent_mean, LT_INIT_ZERO, c->in_channels, "latent.mean"));
    return declare_stats(&m->params, &m->latent_std, LT_INIT_ONE, c->in_channels, "latent.std");
}

static lt_status allocate(lt_model *m, int flags) {
    size_t one = lt_params_bytes(&m->params), masters = lt_params_master_bytes(&m->params);
    bool grads = flags & LT_MODEL_GRADS, moments = flags & LT_MODEL_MOMENTS, ema = flags & LT_MODEL_EMA;
    LT_TRY(lt_arena_init(&m->weights, m->device, lt_params_value_bytes(&m->params), "weights"));
    if (grads) LT_TRY(lt_arena_init(&m->grads, m->device, one, "gradients"));
    if (moments) LT_TRY(lt_arena_init(&m->moments, m->device, 2 * one + masters, "optimizer"));
    if (ema) LT_TRY(lt_arena_init(&m->ema, m->device, one, "EMA"));
    return lt_params_allocate(&m->params, &m->weights, grads ? &m->grads : NULL, moments ? &m->moments : NULL,
                              ema ? &m->ema : NULL);
}

static lt_status open_spec(const lt_model_spec *spec, lt_device *device, lt_backend backend, int flags,
                           lt_model **out) {
    *out = NULL;
    lt_model *m = calloc(1, sizeof *m);
    LT_CHECK(m, LT_FAILED, "out of memory for a model");
    *m = (lt_model){.device = device,
                    .backend = backend,
                    .config = spec->dit,
                    .codec = spec->codec,
                    .frame_height = spec->frame_height,
                    .frame_width = spec->frame_width};
    m->dtype = spec->dtype;
    lt_ctx ctx = {.backend = backend, .dtype = m->dtype};
    lt_params_init(&m->params, device, lt_ctx_sum_dtype(&ctx));
    m->params.matrix_dtype = lt_ctx_dtype(&ctx);
    m->params.e4m3 = spec->e4m3;
    lt_status status = declare(m, spec);
    if (status == LT_OK) status = allocate(m, flags);
    if (status == LT_OK) *out = m;
    else lt_model_close(m);
    return status;
}

lt_status lt_model_open(const lt_config *config, lt_device *device, lt_backend backend, int flags,
                        lt_model **out) {
    lt_model_spec spec;
    *out = NULL;
    LT_CHECK(backend != LT_BACKEND_NAIVE || lt_device_is_host(device) || lt_device_is_null(device),
             LT_UNAVAILABLE, "the naive backend runs in host memory; use --device cpu");
    LT_TRY(lt_model_spec_read(config, &spec));
    int bytes = device->target.matrix_dtype_bytes;
    spec.dtype = bytes <= 2 && backend != LT_BACKEND_CPU ? LT_BF16 : LT_F32;
    spec.e4m3 = bytes == 1;
    LT_CHECK(!spec.e4m3 || !(flags & LT_MODEL_TRAINING), LT_USAGE,
             "--precision fp8 is for inference: it generates, evaluates and benches forwards and streams; "
             "train with f32 or bf16");
    return open_spec(&spec, device, backend, flags, out);
}

void lt_model_close(lt_model *m) {
    if (!m) return;
    lt_arena_free(&m->ema);
    lt_arena_free(&m->moments);
    lt_arena_free(&m->grads);
    lt_arena_free(&m->weights);
    lt_params_free(&m->params);
    free(m);
}

lt_status lt_model_initialise(lt_model *m, uint64_t seed) { return lt_params_initialise(&m->params, seed); }

lt_status lt_model_twin(const lt_model *m, lt_device *device, int flags, lt_model **out) {
    lt_model_spec spec = {.dit = m->config,
                          .codec = m->codec,
                          .frame_height = m->frame_height,
                          .frame_width = m->frame_width,
                          .text_encoder = m->text.kind->name,
                          .text_length = m->text.length,
                          .dtype = lt_device_is_host(device) ? LT_F32 : m->dtype,
                          .e4m3 = m->params.e4m3 && !lt_device_is_host(device)};
    bool keeps = lt_device_is_null(device) || m->backend == LT_BACKEND_NAIVE;
    LT_TRY(open_spec(&spec, device, keeps ? m->backend : device->ops->backend, flags, out));
    (*out)->dit.wide_bytes = m->dit.wide_bytes;
    for (int i = 0; i < m->params.count; i++) {
        lt_param *twin = (*out)->params.items[i];
        twin->trainable = m->params.items[i]->trainable;
        twin->var.needs_grad = twin->trainable && !lt_is_empty(&twin->var.grad);
    }
    return LT_OK;
}

/* ---- latents ------------------------------------------------------------------------------------------- */

typedef enum statistic { MEAN, DEVIATION, STATISTICS } statistic;
static const char *const statistic_names[STATISTICS] = {"latent.mean", "latent.std"};

static lt_status read_statistic(const lt_model *m, statistic which, double *out) {
    for (int c = 0; c < m->config.in_channels; c++) out[c] = which == DEVIATION;
    if (lt_device_is_null(m->device)) return LT_OK;
    return lt_params_get(&m->params, LT_COPY_VALUE, lt_params_find(&m->params, statistic_names[which]), out);
}

static lt_status check_statistics(int channels, const double *mean, const double *deviation) {
    for (int c = 0; c < channels; c++)
        LT_CHECK(isfinite(mean[c]) && isfinite(deviation[c]) && deviation[c] > 0, LT_INPUT,
                 "latent statistics of channel %d: mean %g, deviation %g; expected finite numbers and a "
                 "positive deviation",
                 c, mean[c], deviation[c]);
    return LT_OK;
}

/* Mean and deviation of each channel, checked, in one block that the caller frees. */
lt_status lt_model_statistics(const lt_model *m, double **out) {
    int channels = m->config.in_channels;
    double *values = malloc(STATISTICS * channels * sizeof *values);
    LT_CHECK(values, LT_FAILED, "out of memory for latent statistics");
    lt_status status = read_statistic(m, MEAN, values);
    if (status == LT_OK) status = read_statistic(m, DEVIATION, values + channels);
    if (status == LT_OK) status = check_statistics(channels, values, values + channels);
    if (status == LT_OK) *out = values;
    else free(values);
    return status;
}

static lt_status write_statistic(lt_model *m, statistic which, const double *values) {
    const lt_published *p = lt_params_find(&m->params, statistic_names[which]);
    LT_TRY(lt_params_set(&m->params, LT_COPY_VALUE, p, values));
    if (lt_is_empty(&m->params.items[p->param]->ema)) return LT_OK;
    return lt_params_set(&m->params, LT_COPY_EMA, p, values);
}

lt_status lt_model_set_latent_stats(lt_model *m, const float *mean, const float *deviation) {
    int channels = m->config.in_channels;
    double *wide = malloc(STATISTICS * channels * sizeof *wide);
    LT_CHECK(wide, LT_FAILED, "out of memory for latent statistics");
    for (int c = 0; c < channels; c++) wide[c] = mean[c], wide[channels + c] = deviation[c];
    lt_status status = check_statistics(channels, wide, wide + channels);
    if (status == LT_OK) status = write_statistic(m, MEAN, wide);
    if (status == LT_OK) status = write_statistic(m, DEVIATION, wide + channels);
    free(wide);
    return status;
}

float lt_latent_motion(const float *latents, int64_t frames, int64_t frame_size) {
    enum { LANES = 8 }; /* sums that do not wait for one another */
    double sums[LANES] = {0}, sum = 0;
    int64_t count = (frames - 1) * frame_size, i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int k = 0; k < LANES; k++) {
            double difference = (double)latents[i + k + frame_size] - latents[i + k];
            sums[k] += difference * difference;
        }
    for (; i < count; i++) {
        double difference = (double)latents[i + frame_size] - latents[i];
        sum += difference * difference;
    }
    for (int k = 0; k < LANES; k++) sum += sums[k];
    return count > 0 ? (float)sqrt(sum / (double)count) : 0;
}
