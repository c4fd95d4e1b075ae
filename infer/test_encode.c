/* longtake encode: what is stored, what is refused, and that a kill leaves a file that the next call goes on with. */
#include "model/codec/testing_toy.h"

#include "core/cli.h"
#include "core/parallel.h"
#include "data/loader.h"
#include "infer/encode.h"
#include "infer/evaluate.h"
#include "infer/latents.h"
#include "infer/testing_data.h"

#include <signal.h>
#include <sys/wait.h>

static char folder[TEST_FOLDER], path[LT_PATH_MAX], run_path[LT_PATH_MAX];
static lt_model *model, *toy;

enum { BLOCKS = 3, TOY_FRAMES = 21, FRAME = 16 * 24 * 3 };

/* Black and white pixels: the toy's latents are eighths, which float16 holds. */
static lt_status make_clips(const char *name, int clips, bool binary) {
    lt_dataset_spec spec = {24, 16, 16, false};
    static uint8_t rgb[32 * FRAME];
    lt_dataset *set;
    LT_TRY(lt_dataset_create(name, &spec, &set));
    lt_status status = LT_OK;
    for (int i = 0; i < clips && status == LT_OK; i++) {
        lt_clip clip = {.fps = 16, .domain = "calm", .role = "test"};
        lt_rng_key key = {.seed = 4, .purpose = LT_RNG_TEST, .clip = (uint64_t)i};
        snprintf(clip.group, sizeof clip.group, "g%d", i);
        snprintf(clip.caption, sizeof clip.caption, "clip %d", i);
        for (int k = 0; k < 32 * FRAME; k++)
            rgb[k] = binary ? (uint8_t)(255 * lt_rng_below(&key, (uint64_t)k, 2))
                            : (uint8_t)lt_rng_below(&key, (uint64_t)k, 256);
        status = lt_dataset_append_frames(set, rgb, NULL, 30 + i % 3);
        if (status == LT_OK) status = lt_dataset_add_clip(set, &clip);
    }
    if (status == LT_OK) status = lt_dataset_commit(set);
    lt_dataset_close(set);
    return status;
}

static void fresh(const char *name, int clips, bool binary) {
    CHECK_OK(lt_path_join(path, folder, name));
    remove(path);
    CHECK_OK(make_clips(path, clips, binary));
}

static lt_status encode(lt_model *m, lt_encode_options o, lt_encode_result *out) {
    lt_dataset *set;
    LT_TRY(lt_dataset_open_append(path, &set));
    lt_status status = lt_encode_dataset(m, set, &o, out);
    lt_dataset_close(set);
    return status;
}

static lt_dataset *open_set(void) {
    lt_dataset *set = NULL;
    CHECK_OK(lt_dataset_open(path, &set));
    if (!set) exit(test_end() + 1);
    return set;
}

static void latents_are_those_of_the_whole_clip_in_float16(void) {
    lt_model *models[] = {model, toy};
    for (int i = 0; i < 2; i++) {
        lt_model *m = models[i];
        static float frames[20 * 4 * 6 * 24], stored[20 * 4 * 6 * 24];
        static uint8_t rgb[32 * FRAME];
        lt_encode_result r;
        fresh("a.h5", 4, false);
        CHECK_OK(encode(m, (lt_encode_options){.latents = true}, &r));
        CHECK(r.encoded == 4 && r.skipped == 0);
        lt_dataset *set = open_set();
        CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
        for (int clip = 0; clip < 4; clip++) {
            int64_t rows, whole = lt_codec_latents(m->codec, 30 + clip % 3),
                          used = lt_codec_frames(m->codec, whole), n[4];
            CHECK_OK(lt_dataset_feature_rows(set, LT_LATENTS, clip, &rows));
            CHECK(rows == whole);
            CHECK_OK(lt_latents_read_normalised(m, set, false, clip, used, rgb, frames));
            CHECK_OK(lt_latents_read_normalised(m, set, true, clip, used, NULL, stored));
            lt_model_block_shape(m, n);
            int64_t count = rows * n[1] * n[2] * n[3], equal = 0;
            for (int64_t k = 0; k < count; k++) {
                CHECK_NEAR(frames[k], stored[k], fabs(frames[k]) / 2048 + 1e-6);
                equal += frames[k] == stored[k];
            }
            CHECK(equal < count); /* they were rounded */
        }
        lt_dataset_close(set);
    }
}

static lt_status add_loss(const lt_eval_sample *s, void *user) {
    double *sum = user;
    sum[0] += s->loss, sum[1]++;
    return LT_OK;
}

static double loss_of(lt_model *m, lt_latents_mode mode) {
    lt_dataset *set = open_set();
    lt_cache_spec spec = test_spec("window", 1);
    lt_eval_options o = lt_eval_default();
    double sum[2] = {0};
    o.blocks = BLOCKS, o.latents = mode;
    CHECK_OK(lt_evaluate(m, set, &o, &spec, 1, add_loss, sum));
    lt_dataset_close(set);
    return sum[0] / sum[1];
}

static void losses_on_stored_latents_are_close_and_equal_where_float16_holds_them(void) {
    lt_encode_result r;
    fresh("b.h5", 3, false);
    CHECK_OK(encode(model, (lt_encode_options){.latents = true}, &r));
    double frames = loss_of(model, LT_LATENTS_FRAMES), stored = loss_of(model, LT_LATENTS_STORED);
    CHECK(frames != stored && fabs(frames / stored - 1) < 1e-3);
    CHECK(loss_of(model, LT_LATENTS_AUTO) == stored);
    fresh("c.h5", 3, true);
    CHECK_OK(encode(toy, (lt_encode_options){.latents = true}, &r));
    CHECK(loss_of(toy, LT_LATENTS_FRAMES) == loss_of(toy, LT_LATENTS_STORED));
}

static void latents_of_another_codec_are_refused_by_name(void) {
    lt_encode_result r;
    bool stored = true;
    fresh("d.h5", 2, false);
    lt_dataset *set = open_set();
    CHECK_OK(lt_latents_choose(model, set, LT_LATENTS_AUTO, false, &stored));
    CHECK(!stored);
    CHECK_FAILS(lt_latents_choose(model, set, LT_LATENTS_STORED, false, &stored), LT_INPUT,
                "longtake encode");
    lt_dataset_close(set);
    CHECK_OK(encode(toy, (lt_encode_options){.latents = true}, &r));
    set = open_set();
    CHECK_FAILS(lt_latents_choose(model, set, LT_LATENTS_STORED, false, &stored), LT_INPUT,
                "\"codec toy; parameters ");
    CHECK_OK(lt_latents_choose(model, set, LT_LATENTS_AUTO, true, &stored));
    CHECK(!stored);
    CHECK_OK(lt_latents_choose(toy, set, LT_LATENTS_STORED, true, &stored));
    CHECK(stored);
    /* The same codec with other parameters is another producer. */
    float *gain = toy->params.items[lt_params_find(&toy->params, "codec.gain")->param]->var.value.data;
    *gain = 2;
    CHECK_FAILS(lt_latents_choose(toy, set, LT_LATENTS_STORED, true, &stored), LT_INPUT,
                "codec toy; parameters ");
    *gain = 1;
    lt_dataset_close(set);
    CHECK_FAILS(encode(model, (lt_encode_options){.latents = true}, &r), LT_INPUT, "--force replaces");
    CHECK_OK(encode(model, (lt_encode_options){.latents = true, .force = true}, &r));
    set = open_set();
    CHECK_OK(lt_latents_choose(model, set, LT_LATENTS_STORED, true, &stored));
    lt_dataset_close(set);
}

static void captions_are_stored_as_the_rows_of_their_visible_tokens(void) {
    enum { LENGTH = 12, WIDTH = 16 };
    uint16_t halves[LENGTH * WIDTH];
    lt_encode_result r;
    char producer[LT_PRODUCER];
    fresh("e.h5", 2, false);
    CHECK_OK(encode(model, (lt_encode_options){.text = true}, &r));
    CHECK(r.encoded == 2);
    CHECK_OK(encode(model, (lt_encode_options){.text = true}, &r));
    CHECK(r.encoded == 0 && r.skipped == 2);
    lt_dataset *set = open_set();
    int64_t rows;
    CHECK_OK(lt_dataset_feature_rows(set, LT_TEXT, 1, &rows));
    CHECK(rows == 1 + 6); /* the start token and "clip 1" */
    CHECK_OK(lt_dataset_feature_read(set, LT_TEXT, 1, 0, rows, halves));
    const float *table = model->text.parameter[0]->value.data,
                *position = model->text.parameter[1]->value.data;
    for (int c = 0; c < WIDTH; c++)
        CHECK(halves[6 * WIDTH + c] == lt_f32_to_f16(table['1' * WIDTH + c] + position[6 * WIDTH + c]));
    CHECK_OK(lt_text_producer(model, producer));
    CHECK(strcmp(lt_dataset_feature_spec(set, LT_TEXT)->producer, producer) == 0);
    CHECK(strstr(producer, "text encoder bytes; 12 tokens of 16; parameters "));
    lt_dataset_close(set);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

extern const lt_command lt_cmd_encode;

static int start(void) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {"longtake", "encode",    "--model", run_path, "--data",
                        path,       "--latents", "--text",  "-q"};
        lt_status status = lt_cli_run(&lt_cmd_encode, sizeof argv / sizeof *argv, argv);
        if (status != LT_OK) fprintf(stderr, "%s\n", lt_error());
        fflush(NULL);
        _exit(status);
    }
    return child;
}

static int ended(int child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void interrupt_after_ten(int64_t done, int64_t total, void *user) {
    (void)total, (void)user;
    if (done == 10) raise(SIGINT);
}

static void an_interrupted_encode_keeps_what_is_done_and_the_next_goes_on(void) {
    lt_encode_result r;
    bool stored;
    if (test_backend() == LT_BACKEND_CUDA) return; /* a child has no GPU */
    fresh("f.h5", 24, false);
    lt_catch_signals();
    lt_encode_options o = {.latents = true, .commit_every = 4, .progress = interrupt_after_ten};
    pid_t child = fork();
    if (child == 0) _exit(encode(model, o, &r));
    CHECK(ended(child) == LT_INTERRUPTED);
    lt_dataset *set = open_set();
    CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
    CHECK_FAILS(lt_latents_choose(model, set, LT_LATENTS_STORED, true, &stored), LT_INPUT, "13 of 24 clips");
    lt_dataset_close(set);
    CHECK_OK(encode(model, (lt_encode_options){.latents = true}, &r));
    CHECK(r.encoded == 13 && r.skipped == 11);
    set = open_set();
    CHECK_OK(lt_latents_choose(model, set, LT_LATENTS_STORED, true, &stored));
    lt_dataset_close(set);
}

static void a_killed_encode_leaves_a_readable_file_and_the_next_goes_on(void) {
    bool stored = false;
    fresh("g.h5", 60, false);
    for (int wait = 1; wait < 40; wait += 6) {
        int child = start();
        usleep((unsigned)wait * 1000);
        kill(child, SIGKILL);
        (void)ended(child);
        lt_dataset *set = open_set();
        CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
        lt_dataset_close(set);
    }
    CHECK(ended(start()) == LT_OK);
    lt_dataset *set = open_set();
    CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
    CHECK_OK(lt_latents_choose(model, set, LT_LATENTS_STORED, true, &stored));
    CHECK(stored && lt_dataset_feature_spec(set, LT_TEXT));
    lt_dataset_close(set);
}

/* ---- the loader -------------------------------------------------------------------------------------------------- */

static void the_loader_hands_out_the_latents_of_its_windows(void) {
    enum { ROWS = 4, ROW = 24 * 4 * 6 };
    lt_encode_result r;
    const lt_batch *frames = NULL, *latents = NULL;
    lt_loader *a = NULL, *b = NULL;
    static float from_frames[2 * ROWS * ROW], stored[2 * ROWS * ROW];
    fresh("h.h5", 6, false);
    CHECK_OK(encode(model, (lt_encode_options){.latents = true}, &r));
    lt_dataset *set = open_set();
    lt_loader_spec spec = {.role = "test", .frames = 2 * ROWS, .align = 2, .batch = 2, .ranks = 1, .seed = 3};
    CHECK_OK(lt_loader_open(set, &spec, 0, &a));
    spec.rows = ROWS;
    CHECK_OK(lt_loader_open(set, &spec, 0, &b));
    for (int step = 0; step < 9; step++) {
        CHECK_OK(lt_loader_next(a, &frames));
        CHECK_OK(lt_loader_next(b, &latents));
        CHECK(frames->rgb && !frames->latents && latents->latents && !latents->rgb);
        CHECK_OK(lt_model_encode_clips(model, NULL, 2, frames->frames, frames->rgb, from_frames));
        lt_latents_from_rows(model, 2 * ROWS, latents->latents, stored);
        for (int i = 0; i < 2 * ROWS * ROW; i++)
            CHECK_NEAR(from_frames[i], stored[i], fabs(stored[i]) / 2048 + 1e-6);
        CHECK(frames->samples[0].first_frame == latents->samples[0].first_frame);
    }
    lt_loader_close(a);
    lt_loader_close(b);
    lt_dataset_close(set);
    fresh("i.h5", 2, false);
    set = open_set();
    CHECK_FAILS(lt_loader_open(set, &spec, 0, &b), LT_USAGE, "without any");
    lt_dataset_close(set);
}

static lt_model *open_toy(void) {
    static const char *const overrides[] = {"model.codec=toy"};
    lt_device *device;
    lt_config *config;
    lt_model *m = NULL;
    CHECK_OK(lt_config_parse(TEST_CONFIG, "test", overrides, 1, &config));
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_OK(lt_model_open(config, device, LT_BACKEND_CPU, 0, &m));
    CHECK_OK(lt_model_initialise(m, 1));
    lt_config_free(config);
    return m;
}

int main(int argc, char **argv) {
    char config[LT_PATH_MAX];
    lt_set_threads(1); /* OpenMP has no threads in a child of a process that had some */
    test_make_folder("lt_encode", folder);
    model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    toy = open_toy();
    CHECK_OK(lt_path_join(run_path, folder, "run"));
    CHECK_OK(lt_make_dirs(run_path));
    CHECK_OK(lt_path_join(config, run_path, "config.json"));
    CHECK_OK(lt_write_file(config, TEST_CONFIG, strlen(TEST_CONFIG)));
    CHECK_OK(lt_model_save(model, run_path));
    RUN(latents_are_those_of_the_whole_clip_in_float16);
    RUN(losses_on_stored_latents_are_close_and_equal_where_float16_holds_them);
    RUN(latents_of_another_codec_are_refused_by_name);
    RUN(captions_are_stored_as_the_rows_of_their_visible_tokens);
    RUN(an_interrupted_encode_keeps_what_is_done_and_the_next_goes_on);
    RUN(a_killed_encode_leaves_a_readable_file_and_the_next_goes_on);
    RUN(the_loader_hands_out_the_latents_of_its_windows);
    test_model_close(model);
    test_model_close(toy);
    CHECK_OK(lt_remove_tree(folder));
    return test_end();
}
