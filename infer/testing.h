/* A small model with random weights for the tests of this room. */
#ifndef LT_INFER_TESTING_H
#define LT_INFER_TESTING_H

#include "kernels/testing_device.h"
#include "model/model.h"
#include "tests/harness.h"

/* Latents of a block: 2 x 4 x 6 x 24, 12 tokens; 2 layers. With weights that are random, not trained, the velocity is a
 * smooth function of t only at a small time_scale. */
enum { TEST_FRAMES = 2, TEST_FRAME_SIZE = 4 * 6 * 24, TEST_BLOCK = TEST_FRAMES * TEST_FRAME_SIZE };

#define TEST_CONFIG                                                                                          \
    "{\"model\": {\"frame_size\": [16, 24], \"block_frames\": 2, \"layers\": 2, \"heads\": 2, "              \
    "\"head_dim\": 16, \"caption_channels\": 16, \"text_length\": 12, \"time_scale\": 1}}"

/* On the null device without values. The device is closed with test_model_close. */
static inline lt_model *test_model_open(const char *device_name, lt_backend backend, int flags) {
    lt_device *device;
    lt_config *config;
    lt_model *model = NULL;
    lt_model_register_keys();
    CHECK_OK(lt_config_parse(TEST_CONFIG, "test", NULL, 0, &config));
    CHECK_OK(test_device_open(device_name, &backend, &device));
    CHECK_OK(lt_model_open(config, device, backend, flags, &model));
    lt_config_free(config);
    if (!lt_device_is_null(device)) CHECK_OK(lt_model_initialise(model, 1));
    return model;
}

static inline void test_model_close(lt_model *model) {
    lt_device *device = model->device;
    lt_model_close(model);
    lt_device_close(device);
}

/* Adds noise to every weight: what starts at zero (projections, the temporal convolution, the scorer) takes part. */
static inline void test_model_shake(lt_model *model, double deviation) {
    lt_params *params = &model->params;
    for (int i = 0; i < params->count; i++) {
        lt_var *var = &params->items[i]->var;
        if (var == model->latent_mean || var == model->latent_std) continue;
        lt_rng_key key = {.seed = 3, .purpose = LT_RNG_TEST, .clip = (uint64_t)i};
        for (int64_t k = 0; k < lt_numel(&var->value); k++) {
            double noise = deviation * (double)lt_rng_normal(&key, (uint64_t)k);
            if (var->value.dtype == LT_F64) ((double *)var->value.data)[k] += noise;
            else ((float *)var->value.data)[k] += (float)noise;
        }
    }
}

static inline void test_latents(uint64_t clip, int64_t count, float *out) {
    lt_rng_key key = {.seed = 8, .purpose = LT_RNG_TEST, .clip = clip};
    lt_rng_fill_normal(&key, 0, count, out);
}

static inline lt_cache_spec test_spec(const char *text, int budget) {
    lt_cache_spec spec;
    memset(&spec, 0, sizeof spec);
    CHECK_OK(lt_cache_spec_parse(text, budget, &spec));
    return spec;
}

#endif
