/* Parity with the published transformer: forward after every sub-layer (1e-4) and all gradients (1e-3), float32, on the
 * fixtures that tests/fixtures/make_parity.py wrote; and block-causal streaming against its own rendition in PyTorch. */
#include "kernels/check.h"
#include "model/dit.h"
#include "tests/harness.h"

#include <cjson/cJSON.h>

enum { ARENA = 512 << 20 };

typedef struct bench {
    lt_device *device;
    lt_arena weights, grads, step, scratch, run;
    lt_params params;
    lt_dit dit;
    lt_ctx ctx;
    lt_tape tape;
    lt_st_file *file;
    lt_var *latent, *text;
    lt_tensor mask;
} bench;

static const lt_tensor *tensor(const lt_st_file *file, const char *name) {
    const lt_st_entry *entry = lt_st_find(file, name);
    if (!entry) printf("the fixture has no %s\n", name), test_bad++;
    return entry ? &entry->tensor : NULL;
}

static void expect(const char *what, const float *got, const lt_tensor *want, lt_tolerance tolerance) {
    if (!want) return;
    lt_tensor found = lt_tensor_of((void *)got, LT_F32, want->ndim, want->shape);
    CHECK_OK(lt_compare(what, &found, want, tolerance));
}

static double number(const cJSON *config, const char *key) {
    return cJSON_GetNumberValue(cJSON_GetObjectItem(config, key));
}

static lt_dit_config config_of(const lt_st_file *file, int block_frames) {
    cJSON *j = cJSON_Parse(lt_st_metadata(file, "config"));
    lt_dit_config c = {.in_channels = number(j, "in_channels"),
                       .layers = number(j, "num_layers"),
                       .heads = number(j, "num_attention_heads"),
                       .head_dim = number(j, "attention_head_dim"),
                       .cross_heads = number(j, "num_cross_attention_heads"),
                       .cross_head_dim = number(j, "cross_attention_head_dim"),
                       .caption_channels = number(j, "caption_channels"),
                       .ffn_ratio = number(j, "mlp_ratio"),
                       .block_frames = block_frames,
                       .rope_theta = 10000,
                       .norm_eps = 1e-6,
                       .qk_eps = 1e-5,
                       .time_scale = 1000};
    for (int i = 0; i < 3; i++)
        c.patch[i] = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "patch_size"), i)->valueint;
    cJSON_Delete(j);
    return c;
}

static lt_tensor copy_in(bench *b, const lt_tensor *from) {
    lt_tensor to = {0};
    CHECK_OK(lt_tensor_new(&b->run, LT_F32, &to, from->ndim, from->shape));
    memcpy(to.data, from->data, lt_nbytes(from));
    return to;
}

static void open_bench(bench *b, const char *fixture, const char *weights, int block_frames) {
    memset(b, 0, sizeof *b);
    CHECK_OK(lt_device_open("cpu", &b->device));
    lt_arena *arenas[] = {&b->weights, &b->grads, &b->step, &b->scratch, &b->run};
    for (int i = 0; i < 5; i++) CHECK_OK(lt_arena_init(arenas[i], b->device, ARENA, "test"));
    b->step.poison = b->scratch.poison = true;
    CHECK_OK(lt_st_open(weights, &b->file));
    lt_params_init(&b->params, b->device, LT_F32);
    lt_dit_config config = config_of(b->file, block_frames);
    CHECK_OK(lt_dit_declare(&b->dit, &config, &b->params));
    CHECK_OK(lt_params_allocate(&b->params, &b->weights, &b->grads, NULL, NULL));
    CHECK_OK(lt_params_load(&b->params, LT_COPY_VALUE, weights, true));
    if (strcmp(fixture, weights) != 0) {
        lt_st_close(b->file);
        CHECK_OK(lt_st_open(fixture, &b->file));
    }
    b->ctx = (lt_ctx){.device = b->device, .backend = LT_BACKEND_CPU, .scratch = &b->scratch};
    lt_tape_init(&b->tape, &b->ctx, &b->step);
}

static void close_bench(bench *b) {
    lt_tape_free(&b->tape);
    lt_st_close(b->file);
    lt_params_free(&b->params);
    lt_arena *arenas[] = {&b->weights, &b->grads, &b->step, &b->scratch, &b->run};
    for (int i = 0; i < 5; i++) lt_arena_free(arenas[i]);
    lt_device_close(b->device);
}

/* Our probe's names and the fixture's. */
static void compare_sublayer(const char *name, const lt_tensor *value, void *user) {
    static const char *const pairs[][2] = {{"patch", "patch_embedding"}, {"time", "time_modulation"},
                                           {"text", "caption_norm"},     {"final", "norm_out"},
                                           {"output", "output"},         {"attn", "self_attention"},
                                           {"cross", "cross_attention"}, {"ffn", "ffn"}};
    bench *b = user;
    char want[128] = "out.";
    const char *dot = strchr(name, '.'), *what = dot ? dot + 1 : name;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(what, pairs[i][0]) == 0)
            snprintf(want, sizeof want, "out.%.*s%s", dot ? (int)(dot + 1 - name) : 0, name, pairs[i][1]);
    expect(want, value->data, tensor(b->file, want), LT_TOL_PARITY_FORWARD);
}

static void compare_gradients(bench *b) {
    for (int i = 0; i < b->params.published_count; i++) {
        const lt_published *p = &b->params.published[i];
        char name[128];
        snprintf(name, sizeof name, "grad.%s", p->name);
        double *wide = malloc(p->count * sizeof *wide);
        float *got = malloc(p->count * sizeof *got);
        CHECK_OK(lt_params_get_grad(&b->params, p, wide));
        for (int64_t k = 0; k < p->count; k++) got[k] = (float)wide[k];
        expect(name, got, tensor(b->file, name), LT_TOL_PARITY_GRADIENT);
        free(wide);
        free(got);
    }
    expect("grad.latents", b->latent->grad.data, tensor(b->file, "grad.latents"), LT_TOL_PARITY_GRADIENT);
    expect("grad.text", b->text->grad.data, tensor(b->file, "grad.text"), LT_TOL_PARITY_GRADIENT);
}

static void run_published(const char *fixture, bool recompute) {
    bench b;
    double t[8];
    open_bench(&b, fixture, fixture, 0x7fff / 64 * 64);
    const lt_tensor *latents = tensor(b.file, "in.latents"), *times = tensor(b.file, "in.timestep");
    b.tape.recording = true;
    CHECK_OK(lt_tape_var(&b.tape, copy_in(&b, latents), true, &b.latent));
    CHECK_OK(lt_tape_var(&b.tape, copy_in(&b, tensor(b.file, "in.text")), true, &b.text));
    b.mask = copy_in(&b, tensor(b.file, "in.mask"));
    for (int i = 0; i < times->shape[0]; i++) t[i] = ((float *)times->data)[i] / 1000;
    lt_dit_input in = {.batch = (int)latents->shape[0],
                       .streams = 1,
                       .blocks = 1,
                       .latent = b.latent,
                       .t = t,
                       .text = b.text,
                       .mask = b.mask,
                       .commit_stream = -1,
                       .recompute = recompute};
    lt_var *velocity;
    lt_dit_set_probe(compare_sublayer, &b);
    CHECK_OK(lt_dit_forward(&b.dit, &b.tape, &in, &velocity));
    CHECK_OK(lt_tape_seed(&b.tape, velocity, copy_in(&b, tensor(b.file, "in.loss_weights"))));
    CHECK_OK(lt_tape_backward(&b.tape));
    lt_dit_set_probe(NULL, NULL);
    compare_gradients(&b);
    close_bench(&b);
}

#define FIXTURES LT_SOURCE_DIR "/tests/fixtures/"
static void published_model_2_heads_of_32(void) {
    run_published(FIXTURES "parity_heads2x32.safetensors", false);
}
static void published_model_1_head_of_56(void) {
    run_published(FIXTURES "parity_heads1x56.safetensors", false);
}
static void published_model_3_heads_of_20(void) {
    run_published(FIXTURES "parity_heads3x20.safetensors", false);
}
static void recomputation_gives_the_same_gradients(void) {
    run_published(FIXTURES "parity_heads2x32.safetensors", true);
}

int main(int argc, char **argv) {
    RUN(published_model_2_heads_of_32);
    RUN(published_model_1_head_of_56);
    RUN(published_model_3_heads_of_20);
    RUN(recomputation_gives_the_same_gradients);
    return test_end();
}
