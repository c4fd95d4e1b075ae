/* Models, their sessions and their folders. */
#include "model/model.h"

#include "core/io.h"
#include "core/rng.h"
#include "core/safetensors.h"
#include "core/source.h"
#include "tests/harness.h"

#include <unistd.h>

static lt_device *device;
static char folder[TEST_FOLDER];

static const char *in_folder(const char *name) {
    static char paths[4][LT_PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    CHECK_OK(lt_path_join(path, folder, name));
    return path;
}

static lt_model *open_on(lt_device *where, lt_backend backend, const char *preset, int flags, int count,
                         const char *const *overrides) {
    lt_config *config = NULL;
    lt_model *model = NULL;
    CHECK_OK(lt_config_load(preset, overrides, count, &config));
    CHECK_OK(lt_model_open(config, where, backend, flags, &model));
    lt_config_free(config);
    return model;
}

/* Two layers, 4 x 4 tokens in a frame: what most tests need. */
static const char *const smaller[] = {"model.layers=2", "model.frame_size=32,32", "model.block_frames=2"};

static lt_model *open_small(lt_backend backend, int flags) {
    lt_model *model = open_on(device, backend, "model/tiny", flags, 3, smaller);
    CHECK_OK(lt_model_initialise(model, 7));
    return model;
}

static uint64_t hash_of(const lt_model *model) {
    uint64_t hash = 0;
    CHECK_OK(lt_params_hash(&model->params, &hash));
    return hash;
}

static void initial_values_depend_on_the_seed_alone(void) {
    lt_model *a = open_small(LT_BACKEND_CPU, 0), *b = open_small(LT_BACKEND_CPU, LT_MODEL_TRAINING);
    lt_model *wide = open_small(LT_BACKEND_NAIVE, 0);
    CHECK(hash_of(a) == hash_of(b));
    CHECK(hash_of(a) == hash_of(wide)); /* float64 references start at the same values */
    CHECK_OK(lt_model_initialise(b, 8));
    CHECK(hash_of(a) != hash_of(b));
    CHECK(a->params.dtype == LT_F32 && wide->params.dtype == LT_F64);
    lt_model_close(a);
    lt_model_close(b);
    lt_model_close(wide);
}

/* Parameters of the transformer by the shapes of the published module, not by what was declared. */
static int64_t transformer_count(int64_t layers, int64_t width, int64_t hidden, int64_t caption,
                                 int64_t channels, int64_t patch) {
    int64_t C = width, R = hidden;
    int64_t attention = 4 * C * C + C + 2 * C, cross = 4 * (C * C + C) + 2 * C;
    int64_t ffn = 2 * R * C + 2 * R + 2 * R * 9 + 2 * R + R * C + 3 * C * C;
    int64_t time = 256 * C + C + C * C + C + 6 * (C * C + C);
    int64_t text = caption * C + C + C * C + C + C;
    int64_t ends = patch * channels * C + C + patch * channels * C + patch * channels + 2 * C;
    return layers * (6 * C + attention + cross + ffn) + time + text + ends;
}

/* What is not part of the published transformer. */
static int64_t own_count(const lt_model *m) {
    int64_t count = 0;
    for (int i = 0; i < m->params.published_count; i++) {
        const lt_published *p = &m->params.published[i];
        bool own = strncmp(p->name, "text_encoder.", 13) == 0 || strncmp(p->name, "scorer.", 7) == 0 ||
                   strncmp(p->name, "latent.", 7) == 0;
        if (own) count += p->count;
    }
    return count;
}

static void presets_have_the_sizes_they_promise(void) {
    const struct {
        const char *name;
        int64_t layers, width, hidden, caption, channels, patch, least, most, shape[4];
    } presets[] = {
        {"model/tiny", 4, 128, 256, 64, 24, 4, 1100000, 1400000, {4, 16, 16, 24}},
        {"model/small", 9, 512, 1536, 256, 24, 4, 48000000, 52000000, {4, 32, 32, 24}},
        {"model/sana-video-2b-480p", 20, 2240, 6720, 2304, 16, 4, 2000000000, 2100000000, {10, 60, 104, 16}},
        {"model/sana-video-2b-720p", 20, 2240, 6720, 2304, 128, 1, 2000000000, 2100000000, {10, 22, 40, 128}},
    };
    lt_device *null;
    CHECK_OK(lt_device_open("null", &null));
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        lt_model *m = open_on(null, LT_BACKEND_NULL, presets[i].name, 0, 0, NULL);
        int64_t total = lt_params_numel(&m->params), own = own_count(m), shape[4];
        CHECK(total - own == transformer_count(presets[i].layers, presets[i].width, presets[i].hidden,
                                               presets[i].caption, presets[i].channels, presets[i].patch));
        CHECK(total >= presets[i].least && total <= presets[i].most);
        lt_model_block_shape(m, shape);
        CHECK(memcmp(shape, presets[i].shape, sizeof shape) == 0);
        printf("%s: %lld parameters, %lld of them the transformer's\n", presets[i].name, (long long)total,
               (long long)(total - own));
        lt_model_close(m);
    }
    lt_device_close(null);
}

static void tiny_is_the_default(void) {
    lt_config *preset, *empty;
    CHECK_OK(lt_config_load("model/tiny", NULL, 0, &preset));
    CHECK_OK(lt_config_parse("{}", "test", NULL, 0, &empty));
    CHECK(lt_config_hash(preset) == lt_config_hash(empty));
    lt_config_free(preset);
    lt_config_free(empty);
}

static void architectures_that_cannot_be_are_refused(void) {
    const struct {
        const char *override, *message;
    } cases[] = {
        {"model.codec=haar4d", "haar3d"},
        {"model.frame_size=64", "model.frame_size has 1 elements, expected 2"},
        {"model.frame_size=66,64", "model.frame_size"},
        {"model.frame_size=60,64", "model.patch [1,2,2] does not divide"},
        {"model.patch=1,2", "model.patch has 2 elements, expected 3"},
        {"model.patch=3,2,2", "temporal patch 3"},
        {"model.in_channels=16", "codec haar3d has 24 channels"},
        {"model.head_dim=33", "even"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lt_config *config;
        lt_model *model;
        CHECK_OK(lt_config_load("model/tiny", &cases[i].override, 1, &config));
        CHECK_FAILS(lt_model_open(config, device, LT_BACKEND_CPU, 0, &model), LT_USAGE, cases[i].message);
        CHECK(model == NULL);
        lt_config_free(config);
    }
}

static void published_codecs_have_shapes_only(void) {
    uint8_t rgb[1] = {0};
    float latents[1];
    int64_t shape[4];
    const lt_codec *codec = lt_codec_find("wan-vae");
    CHECK_OK(lt_codec_latent_shape(codec, 81, 480, 832, shape));
    CHECK(shape[0] == 21 && shape[1] == 60 && shape[2] == 104 && shape[3] == 16);
    CHECK_FAILS(lt_codec_encode(codec, 5, 8, 8, rgb, latents), LT_UNAVAILABLE, "wan-vae");
    codec = lt_codec_find("ltx2-vae");
    CHECK_OK(lt_codec_latent_shape(codec, 81, 704, 1280, shape));
    CHECK(shape[0] == 11 && shape[1] == 22 && shape[2] == 40 && shape[3] == 128);
    CHECK_FAILS(lt_codec_decode(codec, 1, 1, 1, latents, rgb), LT_UNAVAILABLE, "ltx2-vae");
}

/* ---- latents ------------------------------------------------------------------------------------------- */

static void make_video(int64_t bytes, uint8_t *rgb) {
    for (int64_t i = 0; i < bytes; i++) rgb[i] = (uint8_t)(128 + 100 * sin((double)(i / 3 % 32) / 9));
}

static void video_survives_normalised_latents(void) {
    enum { FRAMES = 4, SIZE = 32, BYTES = FRAMES * SIZE * SIZE * 3, VALUES = 2 * 8 * 8 * 24 };
    static uint8_t rgb[BYTES], plain[BYTES], back[BYTES];
    static float latents[VALUES], normalised[VALUES];
    float mean[24], deviation[24];
    lt_model *m = open_small(LT_BACKEND_CPU, 0);
    make_video(BYTES, rgb);
    CHECK(lt_model_frames_per_block(m) == FRAMES);
    CHECK_OK(lt_model_encode(m, FRAMES, rgb, latents));
    CHECK_OK(lt_model_decode(m, 2, latents, plain));
    for (int c = 0; c < 24; c++) mean[c] = 0.25f * (float)c - 2, deviation[c] = 0.5f + 0.125f * (float)c;
    CHECK_OK(lt_model_set_latent_stats(m, mean, deviation));
    CHECK_OK(lt_model_encode(m, FRAMES, rgb, normalised));
    for (int i = 0; i < VALUES; i++)
        CHECK_NEAR(normalised[i] * deviation[i % 24] + mean[i % 24], latents[i], 1e-5);
    CHECK_OK(lt_model_decode(m, 2, normalised, back));
    int largest = 0, error = 0;
    for (int i = 0; i < BYTES; i++) {
        if (abs(back[i] - plain[i]) > largest) largest = abs(back[i] - plain[i]);
        error += abs(back[i] - rgb[i]);
    }
    CHECK(largest <= 1); /* a value on the edge between two bytes */
    CHECK(error < 4 * BYTES);
    CHECK_FAILS(lt_model_encode(m, 3, rgb, latents), LT_USAGE, "multiple of 2");
    CHECK_FAILS(lt_model_decode(m, 0, latents, back), LT_USAGE, "latent frames");
    lt_model_close(m);
}

static void latent_statistics_are_checked_and_kept(void) {
    float mean[24] = {0}, deviation[24];
    lt_model *a = open_small(LT_BACKEND_CPU, LT_MODEL_TRAINING), *b = open_small(LT_BACKEND_CPU, 0);
    for (int c = 0; c < 24; c++) deviation[c] = 1 + (float)c;
    mean[3] = 5;
    CHECK_OK(lt_model_set_latent_stats(a, mean, deviation));
    CHECK(!a->latent_mean->needs_grad && !a->latent_std->needs_grad);
    CHECK_OK(lt_model_save(a, folder));
    CHECK_OK(lt_model_load(b, folder, true)); /* the EMA has them too */
    CHECK(((const float *)b->latent_mean->value.data)[3] == 5);
    CHECK(((const float *)b->latent_std->value.data)[23] == 24);
    deviation[5] = 0;
    CHECK_FAILS(lt_model_set_latent_stats(a, mean, deviation), LT_INPUT, "channel 5");
    ((float *)a->latent_std->value.data)[6] = NAN;
    CHECK_OK(lt_model_save(a, folder));
    CHECK_FAILS(lt_model_load(b, folder, false), LT_INPUT, "latent.std of channel 6");
    lt_model_close(a);
    lt_model_close(b);
}

static void motion_is_the_rms_difference_of_frames(void) {
    const float latents[] = {1, 2, 4, 6, 4, 6};
    CHECK_NEAR(lt_latent_motion(latents, 3, 2), sqrt((9 + 16) / 4.0), 1e-6);
    CHECK(lt_latent_motion(latents, 1, 6) == 0);
    CHECK(lt_latent_motion(latents + 2, 2, 2) == 0);
}

/* ---- folders ------------------------------------------------------------------------------------------- */

/* Moves the EMA away from the values. */
static void shift_ema(lt_model *m) {
    for (int i = 0; i < m->params.count; i++) {
        lt_param *p = m->params.items[i];
        for (int64_t k = 0; !p->fixed && k < lt_numel(&p->ema); k++) ((float *)p->ema.data)[k] += 1;
    }
}

static void saving_and_loading_keeps_every_bit(void) {
    lt_model *a = open_small(LT_BACKEND_CPU, LT_MODEL_TRAINING), *b = open_small(LT_BACKEND_CPU, 0);
    CHECK_OK(lt_model_initialise(b, 99));
    shift_ema(a);
    CHECK_OK(lt_model_save(a, folder));
    CHECK_OK(lt_model_load(b, folder, false));
    CHECK(hash_of(a) == hash_of(b));
    CHECK_OK(lt_model_load(b, folder, true));
    CHECK(hash_of(a) != hash_of(b));
    CHECK_OK(lt_params_swap_ema(&a->params, NULL));
    CHECK(hash_of(a) == hash_of(b));
    CHECK_OK(lt_params_swap_ema(&a->params, NULL));

    lt_model *c = open_small(LT_BACKEND_CPU, LT_MODEL_EMA);
    CHECK_OK(lt_model_load(c, folder, false)); /* resuming: both copies come back */
    CHECK(hash_of(c) == hash_of(a));
    CHECK_OK(lt_params_swap_ema(&c->params, NULL));
    CHECK(hash_of(c) == hash_of(b));
    CHECK_OK(lt_remove_tree(in_folder("ema.safetensors")));
    CHECK_OK(lt_model_load(c, folder, false)); /* no EMA kept: it starts at the values */
    CHECK(hash_of(c) == hash_of(a));
    CHECK_OK(lt_params_swap_ema(&c->params, NULL));
    CHECK(hash_of(c) == hash_of(a));
    CHECK_FAILS(lt_model_load(c, folder, true), LT_INPUT, "ema.safetensors");
    lt_model_close(a);
    lt_model_close(b);
    lt_model_close(c);
}

/* A file says whose values it holds, and by the same hash as everything else. */
static void weight_files_describe_themselves(void) {
    lt_model *a = open_small(LT_BACKEND_CPU, LT_MODEL_TRAINING);
    static const char *const files[] = {"model.safetensors", "ema.safetensors"};
    char text[2][LT_HASH_TEXT];
    uint64_t hash;
    shift_ema(a);
    CHECK_OK(lt_model_save(a, folder));
    for (int i = 0; i < 2; i++) {
        lt_st_file *file;
        CHECK_OK(lt_st_open(in_folder(files[i]), &file));
        CHECK(strcmp(lt_st_metadata(file, "format"), "pt") == 0);
        CHECK(strcmp(lt_st_metadata(file, "longtake_version"), lt_version()) == 0);
        CHECK(lt_st_metadata(file, "longtake_commit") &&
              strstr(lt_st_metadata(file, "model"), "2 layers of"));
        snprintf(text[i], LT_HASH_TEXT, "%s", lt_st_metadata(file, "weights_hash"));
        lt_st_close(file);
    }
    CHECK(strcmp(text[0], text[1]) != 0 && strlen(text[0]) == 16);
    CHECK_OK(lt_weights_hash(folder, &hash)); /* what a run is opened with: the EMA, where it has one */
    CHECK(strcmp(text[1], lt_hash_text(hash, (char[LT_HASH_TEXT]){0})) == 0);
    char *bytes;
    size_t size;
    CHECK_OK(lt_read_file(in_folder("ema.safetensors"), &bytes, &size));
    bytes[size - 5] ^= 1; /* one bit of one value, finite as it was */
    CHECK_OK(lt_write_file(in_folder("ema.safetensors"), bytes, size));
    free(bytes);
    const uint64_t before = hash_of(a);
    CHECK_FAILS(lt_model_load(a, folder, true), LT_INPUT, "ema.safetensors: its values are not those");
    CHECK(hash_of(a) == before);
    CHECK_OK(lt_remove_tree(in_folder("ema.safetensors")));
    CHECK_OK(lt_weights_hash(folder, &hash));
    CHECK(strcmp(text[0], lt_hash_text(hash, (char[LT_HASH_TEXT]){0})) == 0);
    CHECK_OK(lt_remove_tree(in_folder("model.safetensors")));
    CHECK_FAILS(lt_weights_hash(folder, &hash), LT_INPUT, "neither ema.safetensors nor model.safetensors");
    lt_model_close(a);
}

static void weights_of_another_architecture_are_refused(void) {
    const char *deeper[] = {"model.layers=3", "model.frame_size=32,32"};
    lt_model *a = open_small(LT_BACKEND_CPU, 0),
             *b = open_on(device, LT_BACKEND_CPU, "model/tiny", 0, 2, deeper);
    CHECK_OK(lt_model_save(a, folder));
    CHECK_FAILS(lt_model_load(b, folder, false), LT_INPUT, "transformer_blocks.2.");
    lt_model_close(a);
    lt_model_close(b);
}

static void write_text(const char *run, const char *name, const char *text) {
    char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, run, name));
    CHECK_OK(lt_write_file(path, text, strlen(text)));
}

/* A checkpoint of `model` in run/checkpoints/`name`. */
static void write_checkpoint(const char *run, const char *name, const lt_model *model, bool done) {
    char path[LT_PATH_MAX];
    snprintf(path, sizeof path, "%s/checkpoints/%s", run, name);
    CHECK_OK(lt_make_dirs(path));
    if (model) CHECK_OK(lt_model_save(model, path));
    if (done) write_text(path, "DONE", "");
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static void checkpoints_are_found_only_when_complete(void) {
    char found[LT_PATH_MAX], link[LT_PATH_MAX];
    const char *run = in_folder("run");
    CHECK_FAILS(lt_run_checkpoint(run, NULL, found), LT_INPUT, "no such run");
    CHECK_OK(lt_make_dirs(run));
    CHECK_FAILS(lt_run_checkpoint(run, NULL, found), LT_INPUT, "neither a run");
    write_checkpoint(run, "step-100", NULL, false);
    CHECK_FAILS(lt_run_checkpoint(run, NULL, found), LT_INPUT, "complete ones: none");
    write_checkpoint(run, "step-90", NULL, true);
    write_checkpoint(run, "step-9", NULL, true);
    write_checkpoint(run, "step-1000x", NULL, true);
    CHECK_OK(lt_run_checkpoint(run, NULL, found));
    CHECK(ends_with(found, "run/checkpoints/step-90"));

    snprintf(link, sizeof link, "%s/checkpoints/latest", run);
    CHECK(symlink("step-100", link) == 0); /* the link was moved before the checkpoint was complete */
    CHECK_OK(lt_run_checkpoint(run, "latest", found));
    CHECK(ends_with(found, "run/checkpoints/step-90"));
    snprintf(link, sizeof link, "%s/checkpoints/best", run);
    CHECK(symlink("step-9", link) == 0);
    CHECK_OK(lt_run_checkpoint(run, NULL, found));
    CHECK(ends_with(found, "run/checkpoints/step-9"));
    CHECK_OK(lt_run_checkpoint(run, "step-90", found));
    CHECK(ends_with(found, "run/checkpoints/step-90"));
    CHECK_FAILS(lt_run_checkpoint(run, "step-100", found), LT_INPUT, "step-9, step-90");
    CHECK_FAILS(lt_run_checkpoint(run, "step-7", found), LT_INPUT, "step-7");
    CHECK_OK(lt_remove_tree(run));
}

static void runs_open_with_ema_weights(void) {
    char found[LT_PATH_MAX], step[LT_PATH_MAX];
    const char *run = in_folder("run");
    lt_model *a = open_small(LT_BACKEND_CPU, LT_MODEL_EMA), *b = NULL;
    lt_config *config;
    shift_ema(a);
    write_checkpoint(run, "step-5", a, true);
    CHECK_FAILS(lt_run_open(run, NULL, device, &b, NULL, NULL), LT_INPUT, "config.json");
    CHECK(b == NULL);
    CHECK_OK(lt_config_load("model/tiny", smaller, 3, &config));
    CHECK_OK(lt_path_join(step, run, "config.json"));
    CHECK_OK(lt_config_save(config, step));
    lt_config_free(config);

    CHECK_OK(lt_params_swap_ema(&a->params, NULL));
    CHECK_OK(lt_run_open(run, NULL, device, &b, &config, found));
    CHECK(hash_of(a) == hash_of(b) && b->config.layers == 2 && !b->grads.base);
    CHECK(lt_config_int(config, "model.layers") == 2 && ends_with(found, "run/checkpoints/step-5"));
    lt_config_free(config);
    lt_model_close(b);

    CHECK_OK(lt_path_join(step, run, "checkpoints/step-5/")); /* a checkpoint folder itself */
    CHECK_OK(lt_run_open(step, NULL, device, &b, NULL, NULL));
    CHECK(hash_of(a) == hash_of(b));
    lt_model_close(b);
    CHECK_OK(lt_path_join(step, run, "checkpoints/step-5/DONE"));
    CHECK_OK(lt_remove_tree(step));
    CHECK_OK(lt_path_join(step, run, "checkpoints/step-5"));
    CHECK_FAILS(lt_run_open(step, NULL, device, &b, NULL, NULL), LT_INPUT, "step-5");
    CHECK_OK(lt_remove_tree(run));
    lt_model_close(a);
}

static void published_folders_open_without_a_run_around_them(void) {
    char path[LT_PATH_MAX];
    const char *published = in_folder("published");
    lt_model *a = open_small(LT_BACKEND_CPU, 0), *b = NULL;
    lt_config *config;
    CHECK_OK(lt_make_dirs(published));
    CHECK_OK(lt_config_load("model/tiny", smaller, 3, &config));
    CHECK_OK(lt_path_join(path, published, "config.json"));
    CHECK_OK(lt_config_save(config, path));
    lt_config_free(config);
    CHECK_OK(lt_path_join(path, published, "ema.safetensors"));
    CHECK_OK(lt_params_save(&a->params, LT_COPY_VALUE, path, NULL, 0));
    CHECK_OK(lt_run_open(published, NULL, device, &b, NULL, path));
    CHECK(hash_of(a) == hash_of(b) && strcmp(path, published) == 0);
    lt_model_close(a);
    lt_model_close(b);
    CHECK_OK(lt_remove_tree(published));
}

/* ---- sessions ------------------------------------------------------------------------------------------ */

/* One block through the transformer, backward too when `train`. */
typedef struct block_work {
    bool train, recompute, fails;
    int setups, closes, runs;
    lt_tensor latent;
    double sum; /* of the velocity, or of the first gradient */
} block_work;

static lt_status block_setup(lt_session *s, void *user) {
    block_work *w = user;
    int64_t shape[5] = {1};
    w->setups++;
    lt_model_block_shape(s->model, shape + 1);
    LT_TRY(lt_tensor_new(&s->run, lt_ctx_sum_dtype(&s->ctx), &w->latent, 5, shape));
    return lt_tensor_zero(s->ctx.device, s->ctx.stream, &w->latent);
}

static void block_close(lt_session *s, void *user) {
    (void)s;
    ((block_work *)user)->closes++;
}

static lt_status sum_of(lt_session *s, const lt_tensor *t, double *sum) {
    int64_t count = lt_numel(t);
    char *host = malloc(lt_nbytes(t));
    LT_CHECK(host, LT_FAILED, "out of memory");
    lt_status status = lt_tensor_to_host(s->ctx.device, s->ctx.stream, t, host);
    *sum = 0;
    for (int64_t i = 0; i < count; i++) *sum += t->dtype == LT_F64 ? ((double *)host)[i] : ((float *)host)[i];
    free(host);
    return status;
}

static lt_status run_forward(lt_session *s, block_work *w, lt_var **velocity) {
    const char *prompt = "a red ball";
    double t = 0.5;
    lt_dit_input in = {.batch = 1, .streams = 1, .blocks = 1, .t = &t, .commit_stream = -1};
    static const lt_dit_keep nothing;
    in.keep = w->recompute ? &nothing : NULL;
    lt_tape_reset(&s->tape);
    lt_params_clear_grads(&s->model->params);
    s->tape.recording = w->train;
    LT_TRY(lt_tape_var(&s->tape, w->latent, false, &in.latent));
    LT_TRY(lt_text_encode(&s->model->text, &s->tape, 1, &prompt, &in.text, &in.mask));
    return lt_dit_forward(&s->model->dit, &s->tape, &in, velocity);
}

static lt_status block_run(lt_session *s, void *user) {
    block_work *w = user;
    lt_var *velocity;
    lt_tensor ones;
    w->runs++;
    LT_CHECK(!w->fails, LT_FAILED, "told to fail");
    LT_TRY(run_forward(s, w, &velocity));
    if (!w->train) return sum_of(s, &velocity->value, &w->sum);
    LT_TRY(lt_tensor_new(&s->step, velocity->value.dtype, &ones, 5, velocity->value.shape));
    LT_TRY(lt_tensor_zero(s->ctx.device, s->ctx.stream, &ones));
    LT_TRY(lt_tape_seed(&s->tape, velocity, ones));
    LT_TRY(lt_tape_backward(&s->tape));
    LT_TRY(lt_params_fill_grads(&s->model->params, &s->ctx));
    return sum_of(s, &s->model->params.items[0]->var.grad, &w->sum);
}

static lt_work work_of(block_work *w) { return (lt_work){block_setup, block_run, w, block_close}; }

static void measured_memory_is_exactly_enough(void) {
    lt_backend backends[] = {LT_BACKEND_CPU, LT_BACKEND_NAIVE};
    lt_session_poison(true);
    for (int i = 0; i < 6; i++) {
        block_work w = {.train = i / 2 > 0, .recompute = i / 2 > 1};
        lt_work work = work_of(&w);
        lt_session *s;
        lt_session_plan plan;
        lt_model *m = open_small(backends[i % 2], w.train ? LT_MODEL_GRADS : 0);
        CHECK_OK(lt_session_measure(m, "null", &work, &plan));
        CHECK_OK(lt_session_open(m, &work, &s));
        CHECK(w.setups == 3 && w.closes == 2 && w.runs == 2);
        for (int run = 0; run < 2; run++) CHECK_OK(block_run(s, &w));
        CHECK(isfinite(w.sum)); /* nothing read what was not written */
        CHECK((int64_t)s->step.capacity == plan.step_bytes && s->step.peak == s->step.capacity);
        CHECK((int64_t)s->scratch.capacity == plan.scratch_bytes && s->scratch.peak == s->scratch.capacity);
        CHECK((int64_t)s->run.capacity == plan.run_bytes && s->run.peak == s->run.capacity);
        CHECK_NEAR(s->meter.flops, 2 * plan.meter.flops, 1e-9 * s->meter.flops);
        CHECK(plan.meter.flops > 0);
        lt_session_close(s);
        CHECK(w.closes == 3);
        lt_model_close(m);
    }
    lt_session_poison(false);
}

static void plans_follow_what_is_trainable(void) {
    block_work w = {.train = true};
    lt_work work = work_of(&w);
    lt_session_plan all, few;
    lt_model *m = open_small(LT_BACKEND_CPU, LT_MODEL_GRADS);
    CHECK_OK(lt_session_measure(m, "null", &work, &all));
    lt_params_set_trainable(&m->params, NULL, false);
    lt_params_set_trainable(&m->params, "proj_out.*", true);
    CHECK_OK(lt_session_measure(m, "null", &work, &few));
    /* No gradient of a frozen matrix is computed: a third of the GEMMs of a step. */
    CHECK(few.meter.flops < 0.7 * all.meter.flops && few.step_bytes < all.step_bytes);
    lt_model_close(m);
}

static void a_session_that_cannot_run_says_why(void) {
    block_work w = {.fails = true};
    lt_work work = work_of(&w);
    lt_session *s;
    lt_session_plan plan;
    lt_model *m = open_small(LT_BACKEND_CPU, 0);
    CHECK_FAILS(lt_session_open(m, &work, &s), LT_FAILED, "measuring memory: told to fail");
    CHECK(s == NULL && w.closes == w.setups);
    CHECK_FAILS(lt_session_measure(m, "cpu", &work, &plan), LT_USAGE, "null");
    CHECK_FAILS(lt_session_measure(m, "null:abacus", &work, &plan), LT_USAGE, "abacus");
    lt_model_close(m);
}

static void twins_have_the_same_parameters(void) {
    lt_device *null;
    lt_model *m = open_small(LT_BACKEND_NAIVE, 0), *twin, *same;
    CHECK_OK(lt_device_open("null", &null));
    CHECK_OK(lt_model_twin(m, null, LT_MODEL_TRAINING, &twin));
    CHECK(twin->backend == LT_BACKEND_NAIVE && twin->params.dtype == LT_F64);
    CHECK(lt_params_numel(&twin->params) == lt_params_numel(&m->params));
    CHECK(twin->text.length == m->text.length && twin->frame_width == m->frame_width);
    CHECK(twin->grads.base && twin->moments.base && twin->ema.base);
    CHECK_FAILS(lt_model_save(twin, folder), LT_FAILED, "null device");
    lt_model_close(twin);
    CHECK_OK(lt_model_twin(m, device, 0, &same)); /* in host memory, as a copy to be filled */
    CHECK_OK(lt_model_save(m, folder));
    CHECK_OK(lt_model_load(same, folder, false));
    CHECK(hash_of(same) == hash_of(m));
    lt_model_close(same);
    lt_model_close(m);
    lt_device_close(null);
}

/* Of bf16 matrices their masters are copied; nulls come from the null device. */
static void a_twin_in_host_memory_holds_float32(void) {
    static const uint8_t nothing[4096];
    lt_device *null, *host;
    lt_model *twin;
    CHECK_OK(lt_device_open("null:h100", &null));
    CHECK_OK(lt_device_open("cpu", &host));
    lt_model *m = open_on(null, LT_BACKEND_NULL, "model/tiny", LT_MODEL_TRAINING, 3, smaller);
    CHECK(m->dtype == LT_BF16 && m->params.matrix_dtype == LT_BF16);
    CHECK_OK(lt_model_twin(m, host, LT_MODEL_MOMENTS | LT_MODEL_EMA, &twin));
    CHECK(twin->params.matrix_dtype == LT_F32 && lt_params_master_bytes(&twin->params) == 0);
    CHECK(!twin->grads.base && twin->weights.capacity == twin->ema.capacity);
    memset(twin->weights.base, 1, twin->weights.capacity);
    memset(twin->moments.base, 1, twin->moments.capacity);
    CHECK_OK(lt_params_copy_to_pinned(&m->params, &twin->params, NULL));
    for (int i = 0; i < twin->params.count; i++) {
        const lt_param *p = twin->params.items[i];
        size_t bytes = lt_nbytes(&p->v) < sizeof nothing ? lt_nbytes(&p->v) : sizeof nothing;
        CHECK(memcmp(p->var.value.data, nothing, bytes) == 0 && memcmp(p->v.data, nothing, bytes) == 0);
    }
    lt_model_close(twin);
    lt_model_close(m);
    lt_device_close(host);
    lt_device_close(null);
}

static void two_billion_parameters_are_planned_in_no_memory(void) {
    const char *presets[] = {"model/sana-video-2b-480p", "model/sana-video-2b-720p"};
    for (int i = 0; i < 4; i++) {
        block_work w = {.train = i % 2, .recompute = true};
        lt_work work = work_of(&w);
        lt_session_plan plan;
        lt_device *null;
        double start = lt_seconds();
        CHECK_OK(lt_device_open("null:h100", &null));
        lt_model *m =
            open_on(null, LT_BACKEND_NULL, presets[i / 2], w.train ? LT_MODEL_TRAINING : 0, 0, NULL);
        CHECK_OK(lt_session_measure(m, "null:h100", &work, &plan));
        double seconds = lt_seconds() - start;
        CHECK(seconds < 2);
        CHECK(lt_rss_peak() < 100000000);
        CHECK((int64_t)m->weights.used == (int64_t)lt_params_value_bytes(&m->params));
        printf("%s %s: %.1f TFLOP, step %.2f GiB, scratch %.2f GiB, planned in %.0f ms, %.0f MB resident\n",
               presets[i / 2], w.train ? "training" : "forward", plan.meter.flops / 1e12,
               (double)plan.step_bytes / (1 << 30), (double)plan.scratch_bytes / (1 << 30), 1e3 * seconds,
               (double)lt_rss_peak() / 1e6);
        lt_model_close(m);
        lt_device_close(null);
    }
}

int main(int argc, char **argv) {
    lt_model_register_keys();
    test_make_folder("lt_model", folder);
    if (lt_device_open("cpu", &device) != LT_OK) return 1;
    RUN(two_billion_parameters_are_planned_in_no_memory); /* first: it looks at the peak of the process */
    RUN(initial_values_depend_on_the_seed_alone);
    RUN(presets_have_the_sizes_they_promise);
    RUN(tiny_is_the_default);
    RUN(architectures_that_cannot_be_are_refused);
    RUN(published_codecs_have_shapes_only);
    RUN(video_survives_normalised_latents);
    RUN(latent_statistics_are_checked_and_kept);
    RUN(motion_is_the_rms_difference_of_frames);
    RUN(saving_and_loading_keeps_every_bit);
    RUN(weight_files_describe_themselves);
    RUN(weights_of_another_architecture_are_refused);
    RUN(checkpoints_are_found_only_when_complete);
    RUN(runs_open_with_ema_weights);
    RUN(published_folders_open_without_a_run_around_them);
    RUN(measured_memory_is_exactly_enough);
    RUN(plans_follow_what_is_trainable);
    RUN(a_session_that_cannot_run_says_why);
    RUN(twins_have_the_same_parameters);
    RUN(a_twin_in_host_memory_holds_float32);
    lt_device_close(device);
    CHECK_OK(lt_remove_tree(folder));
    return test_end();
}
