/* Gradients of a training step at the width of the 2-billion-parameter model, two layers, one latent frame (1,560
 * tokens): a GPU in float32 and in bf16 against the CPU. Skipped without a GPU, because the CPU's side alone says
 * nothing. */
#include "model/model.h"

#include "autograd/ops.h"
#include "core/rng.h"
#include "kernels/testing_device.h"
#include "model/testing.h"
#include "tests/harness.h"

#include <math.h>

/* Bounds of issue and DESIGN: RMS of the difference over RMS, all gradients together. */
static const double bound_f32 = 1e-4, bound_bf16 = 3e-2;

typedef struct step {
    lt_tensor latent, target, seed;
} step;

static lt_status fill(lt_session *s, lt_tensor *t, uint64_t which) {
    int64_t count = lt_numel(t);
    if (lt_device_is_null(s->ctx.device)) return LT_OK;
    float *values = malloc((size_t)count * sizeof *values);
    LT_CHECK(values, LT_FAILED, "out of memory");
    lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = which};
    lt_rng_fill_normal(&key, 0, count, values);
    if (count == 1) values[0] = 1;
    lt_status status = lt_tensor_from_host(s->ctx.device, s->ctx.stream, t, values);
    free(values);
    return status;
}

static lt_status step_setup(lt_session *s, void *user) {
    step *b = user;
    int64_t shape[5] = {1}, one[1] = {1};
    lt_model_block_shape(s->model, shape + 1);
    LT_TRY(lt_tensor_new(&s->run, LT_F32, &b->latent, 5, shape));
    LT_TRY(lt_tensor_new(&s->run, LT_F32, &b->target, 5, shape));
    LT_TRY(lt_tensor_new(&s->run, LT_F32, &b->seed, 1, one));
    LT_TRY(fill(s, &b->latent, 1));
    LT_TRY(fill(s, &b->target, 2));
    return fill(s, &b->seed, 3);
}

static lt_status step_run(lt_session *s, void *user) {
    step *b = user;
    double t = 0.5;
    const char *prompt = "a red ball rolls to the left";
    lt_dit_input in = {.batch = 1, .streams = 1, .blocks = 1, .t = &t, .commit_stream = -1};
    lt_var *velocity, *rows, *loss;
    lt_tape *tape = &s->tape;
    int64_t size = lt_numel(&b->target);
    lt_tape_reset(tape);
    tape->recording = true;
    LT_TRY(lt_tape_var(tape, b->latent, false, &in.latent));
    LT_TRY(lt_text_encode(&s->model->text, tape, 1, &prompt, &in.text, &in.mask));
    LT_TRY(lt_dit_forward(&s->model->dit, tape, &in, &velocity));
    LT_TRY(LT_AG_RESHAPE(tape, velocity, &rows, 1, size));
    LT_TRY(lt_ag_mse(tape, rows, LT_RESHAPE(b->target, 1, size), &loss));
    lt_params_clear_grads(&s->model->params);
    LT_TRY(lt_tape_seed(tape, loss, b->seed));
    LT_TRY(lt_tape_backward(tape));
    LT_TRY(lt_params_fill_grads(&s->model->params, &s->ctx));
    return lt_device_synchronize(s->ctx.device, s->ctx.stream);
}

/* Gradients of all parameters one after another, in memory that the caller frees. */
static float *gradients_of(const lt_config *config, const char *device_name, const char *precision,
                           int64_t *count) {
    lt_device *device = NULL;
    lt_model *model = NULL;
    lt_session *s = NULL;
    step b;
    lt_work work = {.setup = step_setup, .work = step_run, .user = &b};
    CHECK_OK(lt_device_open_as(device_name, precision, test_kernels(), &device));
    CHECK_OK(lt_model_open(config, device, device->ops->backend, LT_MODEL_TRAINING, &model));
    if (!model) exit(test_end());
    CHECK_OK(lt_model_initialise(model, 3));
    test_fill_zeros(&model->params);
    CHECK_OK(lt_session_open(model, &work, &s));
    if (!s) exit(test_end());
    CHECK_OK(step_run(s, &b));
    *count = 0;
    for (int i = 0; i < model->params.count; i++) *count += lt_numel(&model->params.items[i]->var.value);
    float *all = malloc((size_t)*count * sizeof *all), *at = all;
    for (int i = 0; i < model->params.count; i++) {
        const lt_tensor *grad = &model->params.items[i]->var.grad;
        CHECK(grad->dtype == LT_F32);
        CHECK_OK(lt_tensor_to_host(device, s->ctx.stream, grad, at));
        at += lt_numel(grad);
    }
    lt_session_close(s);
    lt_model_close(model);
    lt_device_close(device);
    return all;
}

static void compare(const float *found, const float *wanted, int64_t count, const char *name, double bound) {
    double difference = 0, size = 0;
#pragma omp parallel for schedule(static) reduction(+ : difference, size)
    for (int64_t i = 0; i < count; i++) {
        double d = (double)found[i] - (double)wanted[i];
        difference += d * d, size += (double)wanted[i] * (double)wanted[i];
    }
    printf("%s: %lld gradients differ by %.2e (bound %g)\n", name, (long long)count, sqrt(difference / size),
           bound);
    CHECK(size > 0 && isfinite(difference) && sqrt(difference / size) <= bound);
}

static void a_gpu_has_the_gradients_of_the_cpu(void) {
    static const char *const overrides[] = {"model.layers=2", "model.block_frames=1"};
    if (strcmp(test_device(), "cpu") == 0) {
        printf("no GPU: skipped\n");
        return;
    }
    lt_config *config = NULL;
    CHECK_OK(lt_config_load("model/sana-video-2b-480p", overrides, 2, &config));
    int64_t count[3];
    float *wanted = gradients_of(config, "cpu", NULL, &count[0]);
    float *f32 = gradients_of(config, "cuda", "f32", &count[1]),
          *bf16 = gradients_of(config, "cuda", "bf16", &count[2]);
    CHECK(count[0] == count[1] && count[0] == count[2] && count[0] > 200000000);
    compare(f32, wanted, count[0], "float32", bound_f32);
    compare(bf16, wanted, count[0], "bf16", bound_bf16);
    free(wanted), free(f32), free(bf16);
    lt_config_free(config);
}

int main(int argc, char **argv) {
    lt_model_register_keys();
    RUN(a_gpu_has_the_gradients_of_the_cpu);
    return test_end();
}
