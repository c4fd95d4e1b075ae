/* A forward whose large GEMMs read e4m3 against one whose GEMMs do not: on the CPU, which rounds as a GPU does and
 * multiplies in float32; on a GPU against bf16. LT_TEST_FP8_MODEL=model/sana-video-2b-480p takes that preset there. */
#include "model/model.h"

#include "core/rng.h"
#include "kernels/check.h"
#include "kernels/testing_device.h"
#include "model/testing.h"
#include "tests/harness.h"

static lt_config *config_of(const char *preset, int count, const char *const *overrides) {
    lt_config *config = NULL;
    CHECK_OK(lt_config_load(preset, overrides, count, &config));
    if (!config) exit(test_end());
    return config;
}

/* ---- one forward of one block ------------------------------------------------------------------------------------ */

typedef struct forward {
    lt_tensor latent;
    const float *clip; /* latents without noise; NULL: noise alone */
    double t;
    float *velocity; /* on the host, by the caller */
} forward;

/* What a block at time t looks like: (1 - t) clip + t noise. */
static void mix(const forward *f, int64_t count, float *values) {
    lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = 5};
    lt_rng_fill_normal(&key, 0, count, values);
    for (int64_t i = 0; i < count && f->clip; i++)
        values[i] = (float)(f->t * values[i] + (1 - f->t) * f->clip[i]);
}

static lt_status forward_setup(lt_session *s, void *user) {
    forward *f = user;
    int64_t shape[5] = {1};
    lt_model_block_shape(s->model, shape + 1);
    LT_TRY(lt_tensor_new(&s->run, LT_F32, &f->latent, 5, shape));
    if (lt_device_is_null(s->ctx.device)) return LT_OK;
    int64_t count = lt_numel(&f->latent);
    float *values = malloc((size_t)count * sizeof *values);
    LT_CHECK(values, LT_FAILED, "out of memory");
    mix(f, count, values);
    lt_status status = lt_tensor_from_host(s->ctx.device, s->ctx.stream, &f->latent, values);
    free(values);
    return status;
}

static lt_status forward_run(lt_session *s, void *user) {
    forward *f = user;
    const char *prompt = "a red ball rolls to the left";
    lt_dit_input in = {.batch = 1, .streams = 1, .blocks = 1, .t = &f->t, .commit_stream = -1};
    lt_var *velocity;
    lt_tape_reset(&s->tape);
    LT_TRY(lt_tape_var(&s->tape, f->latent, false, &in.latent));
    LT_TRY(lt_text_encode(&s->model->text, &s->tape, 1, &prompt, &in.text, &in.mask));
    LT_TRY(lt_dit_forward(&s->model->dit, &s->tape, &in, &velocity));
    if (lt_device_is_null(s->ctx.device)) return LT_OK;
    return lt_tensor_to_host(s->ctx.device, s->ctx.stream, &velocity->value, f->velocity);
}

/* The velocity, in memory that the caller frees. */
static float *velocity_of(lt_model *model, const float *clip, double t, int64_t *count) {
    int64_t n[4];
    lt_model_block_shape(model, n);
    *count = n[0] * n[1] * n[2] * n[3];
    forward f = {.clip = clip, .t = t, .velocity = calloc((size_t)*count, sizeof *f.velocity)};
    lt_work work = {.setup = forward_setup, .work = forward_run, .user = &f};
    lt_session *s = NULL;
    CHECK_OK(lt_session_open(model, &work, &s));
    if (s) CHECK_OK(forward_run(s, &f));
    lt_session_close(s);
    return f.velocity;
}

/* RMS of the difference over RMS, over all times together: what a sampler adds up. Where little noise is left the
 * velocity depends on details that lie far below the signal, and the share of the difference is larger there than at
 * the other end. */
static void compare(lt_model *narrow, lt_model *wide, const float *clip, const char *name) {
    double difference = 0, size = 0;
    for (int step = 0; step < 5; step++) {
        double t = 0.1 + 0.2 * step, one[2] = {0, 0};
        int64_t count;
        float *found = velocity_of(narrow, clip, t, &count), *wanted = velocity_of(wide, clip, t, &count);
        for (int64_t i = 0; i < count; i++) {
            double d = (double)found[i] - (double)wanted[i];
            one[0] += d * d, one[1] += (double)wanted[i] * (double)wanted[i];
        }
        printf("%s, t = %g: fp8 differs by %.4f\n", name, t, sqrt(one[0] / one[1]));
        difference += one[0], size += one[1];
        free(found);
        free(wanted);
    }
    double error = sqrt(difference / size);
    printf("%s: fp8 differs by %.4f (bound %g)\n", name, error, lt_tolerance_bound(LT_TOL_FP8_MODEL));
    CHECK(error > 1e-3 && error <= lt_tolerance_bound(LT_TOL_FP8_MODEL)); /* 0: nothing was rounded */
}

/* ---- on the CPU -------------------------------------------------------------------------------------------------- */

static int narrow_params(const lt_model *m) {
    int count = 0;
    for (int i = 0; i < m->params.count; i++) count += m->params.items[i]->var.value.dtype == LT_E4M3;
    return count;
}

/* Frame by frame in the Mix-FFN, whose rows of the norm then come with their own scales. */
static void groups_of_frames_read_their_own_scales(lt_model *m, const float *clip) {
    int64_t whole = m->dit.wide_bytes, count;
    float *wanted = velocity_of(m, clip, 0.5, &count);
    m->dit.wide_bytes = 1;
    float *found = velocity_of(m, clip, 0.5, &count);
    m->dit.wide_bytes = whole;
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)found[i] - (double)wanted[i];
        difference += d * d, size += (double)wanted[i] * (double)wanted[i];
    }
    printf("frame by frame: differs by %.2g\n", sqrt(difference / size));
    CHECK(sqrt(difference / size) < 1e-3);
    free(found);
    free(wanted);
}

/* Each published tensor alone: rounded where it is narrow, the same numbers elsewhere. */
static void values_come_back_rounded(const lt_model *fp8, const lt_model *f32) {
    for (int i = 0; i < fp8->params.published_count; i++) {
        const lt_published *p = &fp8->params.published[i];
        double *found = malloc((size_t)p->count * sizeof *found), difference = 0, size = 0;
        double *wanted = malloc((size_t)p->count * sizeof *wanted);
        CHECK_OK(lt_params_get(&fp8->params, LT_COPY_VALUE, p, found));
        CHECK_OK(lt_params_get(&f32->params, LT_COPY_VALUE, &f32->params.published[i], wanted));
        for (int64_t k = 0; k < p->count; k++) {
            double d = found[k] - wanted[k];
            difference += d * d, size += wanted[k] * wanted[k];
        }
        double error = sqrt(difference / size);
        if (fp8->params.items[p->param]->var.value.dtype != LT_E4M3) CHECK(difference == 0);
        else CHECK(error > 0.02 && error < 0.03); /* three bits of fraction: 2^-4 / sqrt(3) and less */
        free(found);
        free(wanted);
    }
}

/* A model with a value in every parameter, on a device of that precision, which the caller closes. */
static lt_model *open_filled(const lt_config *config, lt_device *device) {
    lt_model *model = NULL;
    CHECK_OK(lt_model_open(config, device, device->ops->backend, 0, &model));
    if (!model) exit(test_end());
    CHECK_OK(lt_model_initialise(model, 3));
    test_fill_zeros(&model->params);
    return model;
}

/* A red disc that moves to the left over grey, as latents that the caller frees. */
static float *disc_of(const lt_model *m) {
    int64_t n[4], frames = lt_model_frames_per_block(m), height = m->frame_height, width = m->frame_width;
    lt_model_block_shape(m, n);
    uint8_t *rgb = malloc((size_t)(frames * height * width * 3));
    float *latents = malloc((size_t)(n[0] * n[1] * n[2] * n[3]) * sizeof *latents);
    for (int64_t i = 0; i < frames * height * width; i++) {
        int64_t x = i % width, y = i / width % height, frame = i / width / height;
        double dx = (double)x - 0.7 * (double)width + (double)frame, dy = (double)y - 0.4 * (double)height;
        bool inside = dx * dx + dy * dy < 100;
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = inside ? (c == 0 ? 220 : 40) : 128;
    }
    CHECK_OK(lt_model_encode(m, frames, rgb, latents));
    free(rgb);
    return latents;
}

/* The CPU rounds as a GPU does; no command may ask it to, since it gains nothing by it. */
static lt_device *open_narrow_cpu(void) {
    lt_device *device = NULL;
    CHECK_OK(lt_device_open("cpu", &device));
    device->target.matrix_dtype_bytes = 1;
    return device;
}

static void a_rounded_model_keeps_its_velocity(void) {
    static const char *const overrides[] = {"model.layers=2"};
    lt_config *config = config_of("model/small", 1, overrides);
    lt_device *wide, *narrow = open_narrow_cpu();
    CHECK_OK(lt_device_open("cpu", &wide));
    lt_model *f32 = open_filled(config, wide), *fp8 = open_filled(config, narrow);
    CHECK(narrow_params(f32) == 0 && narrow_params(fp8) == 7 * fp8->config.layers);
    values_come_back_rounded(fp8, f32);
    float *clip = disc_of(f32);
    compare(fp8, f32, clip, "model/small, 2 layers");
    groups_of_frames_read_their_own_scales(fp8, clip);
    free(clip);
    lt_model_close(f32);
    lt_model_close(fp8);
    lt_device_close(wide);
    lt_device_close(narrow);
    lt_config_free(config);
}

static void narrow_layers_stay_as_they_are(void) {
    lt_config *config = config_of("model/tiny", 0, NULL);
    lt_device *device = open_narrow_cpu();
    lt_model *tiny = open_filled(config, device);
    CHECK(narrow_params(tiny) == 0);
    lt_model_close(tiny);
    lt_device_close(device);
    lt_config_free(config);
}

static void weights_take_a_byte_and_training_is_refused(void) {
    lt_device *device, *other;
    lt_model *bf16, *fp8;
    lt_config *config = config_of("model/sana-video-2b-480p", 0, NULL);
    CHECK_OK(lt_device_open_as("null:h100", "bf16", NULL, &other));
    CHECK_OK(lt_model_open(config, other, LT_BACKEND_CUDA, 0, &bf16));
    CHECK_OK(lt_device_open_as("null:h100", "fp8", NULL, &device));
    CHECK_OK(lt_model_open(config, device, LT_BACKEND_CUDA, 0, &fp8));
    const lt_dit_layer *l = &fp8->dit.layers[0];
    CHECK(l->qkv.w->value.dtype == LT_E4M3 && lt_numel(&l->qkv.w->scale) == 3 * 2240);
    CHECK(l->temporal_w->value.dtype == LT_E4M3 && lt_numel(&l->temporal_w->scale) == 3 * 2240);
    CHECK(l->cross_kv.w->value.dtype == LT_BF16 && fp8->dit.patch.w->value.dtype == LT_BF16);
    CHECK(fp8->dit.out.w->value.dtype == LT_BF16 && lt_is_empty(&fp8->dit.out.w->scale));
    CHECK(fp8->weights.used == lt_params_value_bytes(&fp8->params));
    printf("2B: weights of %.2f GiB in bf16, %.2f GiB in fp8\n", (double)bf16->weights.used / (1 << 30),
           (double)fp8->weights.used / (1 << 30));
    CHECK(fp8->weights.used < 0.6 * (double)bf16->weights.used);
    forward f = {.t = 0.5};
    lt_work work = {.setup = forward_setup, .work = forward_run, .user = &f};
    lt_session_plan plans[2];
    CHECK_OK(lt_session_measure(bf16, "null:h100", &work, &plans[0]));
    CHECK_OK(lt_session_measure(fp8, "null:h100", &work, &plans[1]));
    CHECK(plans[0].meter.flops == plans[1].meter.flops);
    int64_t n[4], saved = (int64_t)plans[0].step_bytes - (int64_t)plans[1].step_bytes;
    lt_model_block_shape(fp8, n);
    int64_t rows = n[0] * (n[1] / 2) * (n[2] / 2);
    CHECK(llabs(saved - rows * (2240 - 4)) <
          4096); /* the norm of the stream in e4m3, with a scale for each row */
    CHECK(plans[0].meter.bytes > plans[1].meter.bytes);
    double cross[2] = {plans[0].meter.op[LT_OP_CROSS_ATTENTION].bytes,
                       plans[1].meter.op[LT_OP_CROSS_ATTENTION].bytes};
    CHECK(cross[0] - cross[1] == (double)(fp8->config.layers * rows * (2240 - 4))); /* what it leaves */
    lt_model_close(bf16);
    lt_model_close(fp8);
    CHECK_FAILS(lt_model_open(config, device, LT_BACKEND_CUDA, LT_MODEL_TRAINING, &fp8), LT_USAGE,
                "fp8 is for inference");
    lt_device_close(device);
    lt_device_close(other);
    lt_config_free(config);
}

static void precision_that_is_not_there_says_what_has_it(void) {
    lt_device *device;
    CHECK_FAILS(lt_device_open_as("cpu", "fp8", NULL, &device), LT_UNAVAILABLE, "--device cuda");
    CHECK_FAILS(lt_device_open_as("null", "fp8", NULL, &device), LT_UNAVAILABLE, "8.9");
    CHECK_FAILS(lt_device_open_as("null:a100-80g", "fp8", NULL, &device), LT_UNAVAILABLE, "use bf16 here");
    CHECK_OK(lt_device_open_as("null:rtx4080", "fp8", NULL, &device));
    lt_device_close(device);
}

/* ---- on a GPU ---------------------------------------------------------------------------------------------------- */

static void a_gpu_agrees_with_its_bf16(void) {
    static const char *const overrides[] = {"model.layers=4"};
    const char *asked = getenv("LT_TEST_FP8_MODEL");
    if (strcmp(test_device(), "cpu") == 0) {
        printf("no GPU: skipped\n");
        return;
    }
    lt_config *config = config_of(asked ? asked : "model/small", asked ? 0 : 1, overrides);
    lt_device *devices[2];
    CHECK_OK(lt_device_open_as("cuda", "fp8", test_kernels(), &devices[0]));
    CHECK_OK(lt_device_open_as("cuda", "bf16", test_kernels(), &devices[1]));
    lt_model *fp8 = open_filled(config, devices[0]), *bf16 = open_filled(config, devices[1]);
    compare(fp8, bf16, NULL, asked ? asked : "model/small");
    lt_model_close(fp8);
    lt_model_close(bf16);
    for (int i = 0; i < 2; i++) lt_device_close(devices[i]);
    lt_config_free(config);
}

int main(int argc, char **argv) {
    lt_model_register_keys();
    RUN(a_rounded_model_keeps_its_velocity);
    RUN(narrow_layers_stay_as_they_are);
    RUN(weights_take_a_byte_and_training_is_refused);
    RUN(precision_that_is_not_there_says_what_has_it);
    RUN(a_gpu_agrees_with_its_bf16);
    return test_end();
}
