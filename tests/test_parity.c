/* Parity with the published transformer: forward after every sub-layer (1e-4) and all gradients (1e-3), float32, on the
 * fixtures that tests/fixtures/make_parity.py wrote; and block-causal streaming against its own rendition in
 * PyTorch. */
#include "kernels/check.h"
#include "kernels/testing_device.h"
#include "model/dit/dit.h"
#include "tests/harness.h"

#include <cjson/cJSON.h>

#define FIXTURES LT_SOURCE_DIR "/tests/fixtures/"
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

static lt_tensor copy_to(lt_arena *arena, const lt_tensor *from) {
    lt_tensor to = {0};
    CHECK_OK(lt_tensor_new(arena, LT_F32, &to, from->ndim, from->shape));
    memcpy(to.data, from->data, lt_nbytes(from));
    return to;
}
/* For the whole test, and until the tape is reset. */
static lt_tensor copy_in(bench *b, const lt_tensor *from) { return copy_to(&b->run, from); }
static lt_tensor copy_step(bench *b, const lt_tensor *from) { return copy_to(&b->step, from); }

static void open_bench(bench *b, const char *fixture, const char *weights, int block_frames) {
    memset(b, 0, sizeof *b);
    lt_backend backend = LT_BACKEND_CPU;
    CHECK_OK(test_device_open("cpu", &backend, &b->device));
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
    b->ctx = (lt_ctx){.device = b->device, .backend = backend, .scratch = &b->scratch};
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

static const lt_dit_keep nothing;

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
                       .keep = recompute ? &nothing : NULL,
                       .probe = compare_sublayer,
                       .probe_user = &b};
    lt_var *velocity;
    CHECK_OK(lt_dit_forward(&b.dit, &b.tape, &in, &velocity));
    CHECK_OK(lt_tape_seed(&b.tape, velocity, copy_in(&b, tensor(b.file, "in.loss_weights"))));
    CHECK_OK(lt_tape_backward(&b.tape));
    compare_gradients(&b);
    close_bench(&b);
}

/* What one commit pass of the streaming fixture must produce. */
typedef struct expected_commit {
    bench *b;
    const char *mode;
    int block, layers, batch;
} expected_commit;

/* The slice [block, layer, sequence] of a fixture tensor. */
static void expect_slice(const expected_commit *e, const char *what, int layer, int sequence,
                         const lt_tensor *got) {
    char name[64], label[128];
    snprintf(name, sizeof name, "%s.%s", e->mode, what);
    const lt_tensor *all = tensor(e->b->file, name);
    if (!all) return;
    lt_tensor want = lt_select(lt_select(lt_select(*all, 0, e->block), 0, layer), 0, sequence);
    snprintf(label, sizeof label, "%s, block %d, layer %d, sequence %d", name, e->block, layer, sequence);
    expect(label, got->data, &want, LT_TOL_PARITY_FORWARD);
}

static void compare_entry(const lt_commit_event *event, void *user) {
    const lt_entry *newest = &event->present[event->count - 1];
    expect_slice(user, "S", event->layer, event->sequence, &newest->S);
    expect_slice(user, "z", event->layer, event->sequence, &newest->z);
}

/* One pass of one block; `clean` commits. Returns the velocity. */
static void stream_pass(bench *b, lt_cache *cache, const expected_commit *e, bool clean) {
    const lt_tensor *all = tensor(b->file, clean ? "in.clean" : "in.noisy");
    const float *times = tensor(b->file, "in.timestep")->data;
    lt_var *latent, *text, *velocity;
    double t[2];
    lt_tape_reset(&b->tape);
    for (int i = 0; i < e->batch; i++) t[i] = clean ? 0 : times[e->block * e->batch + i] / 1000;
    lt_tensor block = lt_select(*all, 0, e->block);
    CHECK_OK(lt_tape_var(&b->tape, copy_step(b, &block), false, &latent));
    CHECK_OK(lt_tape_var(&b->tape, copy_step(b, tensor(b->file, "in.text")), false, &text));
    int64_t first = e->block * latent->value.shape[1];
    lt_dit_input in = {.batch = e->batch,
                       .streams = 1,
                       .blocks = 1,
                       .latent = latent,
                       .t = t,
                       .text = text,
                       .mask = copy_step(b, tensor(b->file, "in.mask")),
                       .first_frame = &first,
                       .commit_stream = clean ? 0 : -1,
                       .cache = cache};
    CHECK_OK(lt_dit_forward(&b->dit, &b->tape, &in, &velocity));
    char name[64];
    snprintf(name, sizeof name, "%s.%s", e->mode, clean ? "commit_output" : "output");
    lt_tensor want = lt_select(*tensor(b->file, name), 0, e->block);
    expect(name, velocity->value.data, &want, LT_TOL_PARITY_FORWARD);
}

static void run_streaming(const char *mode, const char *policy, int budget) {
    bench b;
    lt_cache cache;
    lt_cache_spec spec;
    open_bench(&b, FIXTURES "streaming.safetensors", FIXTURES "parity_heads2x32.safetensors", 2);
    const int64_t *n = tensor(b.file, "in.clean")->shape;
    const lt_dit_config *c = &b.dit.config;
    expected_commit e = {.b = &b, .mode = mode, .layers = c->layers, .batch = (int)n[1]};
    CHECK_OK(lt_cache_spec_parse(policy, budget, &spec));
    lt_cache_shape shape = {.layers = c->layers,
                            .batch = e.batch,
                            .heads = c->heads,
                            .head_dim = c->head_dim,
                            .slots = lt_cache_slots_for(&spec, 1),
                            .capacity = (int)n[0] + 1,
                            .tail_rows = n[3] / c->patch[1] * (n[4] / c->patch[2]),
                            .tail_width = lt_dit_width(c)};
    CHECK_OK(lt_cache_init(&cache, &shape, &spec, &b.run));
    cache.observer = (lt_cache_observer){.on_commit = compare_entry, .user = &e};
    for (e.block = 0; e.block < n[0]; e.block++) {
        stream_pass(&b, &cache, &e, false);
        stream_pass(&b, &cache, &e, true);
        for (int layer = 0; layer < e.layers; layer++)
            for (int s = 0; s < e.batch; s++) {
                lt_tensor tail = lt_select(lt_cache_tail(&cache, layer), 0, s);
                expect_slice(&e, "tail", layer, s, &tail);
            }
    }
    lt_cache_free(&cache);
    close_bench(&b);
}

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

static void streaming_with_a_window_of_1(void) { run_streaming("window1", "window", 1); }
static void streaming_with_a_window_of_2(void) { run_streaming("window2", "window", 2); }
static void streaming_with_everything_kept(void) { run_streaming("keep_all", "keep-all", 1); }

int main(int argc, char **argv) {
    RUN(published_model_2_heads_of_32);
    RUN(published_model_1_head_of_56);
    RUN(published_model_3_heads_of_20);
    RUN(recomputation_gives_the_same_gradients);
    RUN(streaming_with_a_window_of_1);
    RUN(streaming_with_a_window_of_2);
    RUN(streaming_with_everything_kept);
    return test_end();
}
