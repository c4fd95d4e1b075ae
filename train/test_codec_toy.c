/* A causal codec (1 + 4 (L - 1) frames, with state) through training, evaluation, rollouts and generation: none of them
 * assumes latent frames of equal length, or that a block can be decoded alone. */
#include "model/codec/testing_toy.h"

#include "core/cli.h"
#include "core/parallel.h"
#include "data/video_reader.h"
#include "infer/evaluate_rollout.h"
#include "infer/held.h"
#include "train/testing.h"

/* Blocks of 2 latent frames: 5 video frames, then 8 each. */
enum { BLOCKS = 3, FRAMES = 21, FRAME = SIDE * SIDE * 3 };

static const char *const overrides[] = {
    "model.codec=toy",        "train.blocks=3",           "train.steps=4",
    "train.validate_every=2", "train.sample_every=4",     "train.sample_blocks=3",
    "train.sample_steps=2",   "train.checkpoint_every=4", NULL};
static char run_path[LT_PATH_MAX];

static lt_status train_once(const char *out) {
    lt_device *device;
    lt_config *config = test_config(overrides);
    LT_TRY(lt_device_open("cpu", &device));
    lt_run_options options = {.config = config, .data = test_data, .device = device, .out = out};
    lt_status status = lt_run_train(&options);
    lt_device_close(device);
    lt_config_free(config);
    return status;
}

static int64_t frames_of(const char *path) {
    lt_video *video;
    lt_video_request request = {.width = SIDE, .height = SIDE, .fps = 16};
    static uint8_t rgb[FRAME];
    int64_t frames = -1;
    bool got = true;
    if (lt_video_open(path, &request, &video) != LT_OK) return -1;
    for (; got; frames++) {
        lt_video_place place;
        CHECK_OK(lt_video_next(video, rgb, &place, &got));
    }
    lt_video_close(video);
    return frames;
}

/* The one sample of a run, as far as this build writes videos. */
static void training_and_its_samples_follow_the_rule(void) {
    char path[LT_PATH_MAX], **names;
    int count = 0;
    CHECK_OK(train_once(run_path));
    CHECK_OK(lt_path_join(path, run_path, "samples"));
    if (lt_list_dir(path, &names, &count) != LT_OK) return;
    for (int i = 0; i < count; i++) {
        char file[LT_PATH_MAX];
        CHECK_OK(lt_path_join(file, path, names[i]));
        if (strstr(names[i], ".mp4")) CHECK(frames_of(file) == FRAMES);
    }
    lt_list_free(names, count);
}

typedef struct heard {
    int count;
    int64_t frames;
    bool starts_right;
    uint64_t made, real;
} heard;

static lt_status hear(const lt_eval_sample *s, void *user) {
    heard *h = user;
    CHECK(isfinite(s->loss) && s->block < BLOCKS);
    h->count++;
    return LT_OK;
}

static lt_status hear_rollout(const lt_rollout_sample *s, void *user) {
    heard *h = user;
    h->count++, h->frames = s->frames;
    h->starts_right = h->starts_right && memcmp(s->made, s->real, FRAME) == 0;
    if (s->row == 0 && s->order == 0) h->made = lt_hash(s->made, (size_t)s->frames * FRAME, LT_HASH_SEED);
    return LT_OK;
}

static lt_cache_spec window(void) {
    lt_cache_spec spec;
    CHECK_OK(lt_cache_spec_parse("window", 1, &spec));
    return spec;
}

static void evaluation_and_rollouts_follow_the_rule(void) {
    lt_device *device;
    lt_model *model;
    lt_dataset *set;
    lt_cache_spec spec = window();
    heard h = {0}, again = {.starts_right = true}, r = {.starts_right = true};
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_OK(lt_run_open(run_path, NULL, device, &model, NULL, NULL));
    CHECK_OK(lt_dataset_open(test_data, &set));
    lt_eval_options o = lt_eval_default();
    o.role = "val", o.blocks = BLOCKS;
    CHECK_OK(lt_evaluate(model, set, &o, &spec, 1, hear, &h));
    CHECK(h.count == VAL_CLIPS * BLOCKS * LT_EVAL_BINS * LT_EVAL_MIN_DRAWS);
    o.blocks = BLOCKS + 1; /* 29 frames, and clips have 24 */
    CHECK_FAILS(lt_evaluate(model, set, &o, &spec, 1, hear, &h), LT_INPUT, "at least 29 frames");
    lt_rollout_options ro = lt_rollout_default();
    ro.clips.role = "val", ro.context = 1, ro.blocks = 2, ro.stream.steps = 2;
    CHECK_OK(lt_evaluate_rollout(model, set, &ro, &spec, 1, hear_rollout, &r));
    CHECK(r.count == VAL_CLIPS * 3 && r.frames == 17 && r.starts_right);
    CHECK_OK(lt_evaluate_rollout(model, set, &ro, &spec, 1, hear_rollout, &again));
    CHECK(again.made == r.made);
    lt_dataset_close(set);
    lt_model_close(model);
    lt_device_close(device);
}

extern const lt_command lt_cmd_generate;

static lt_status generate(const char *out, const char *from) {
    char *argv[] = {"longtake",  "generate",
                    "--run",     run_path,
                    "--out",     (char *)(uintptr_t)out,
                    "--from",    (char *)(uintptr_t)from,
                    "--history", "2",
                    "--blocks",  "2",
                    "--steps",   "2",
                    "--fps",     "16",
                    "-q"};
    return lt_cli_run(&lt_cmd_generate, sizeof argv / sizeof *argv, argv);
}

static void generation_from_a_clip_follows_the_rule(void) {
    char out[LT_PATH_MAX], from[LT_PATH_MAX + 8];
    CHECK_OK(lt_path_join(out, test_folder, "v.mp4"));
    snprintf(from, sizeof from, "%s:0", test_data);
    lt_status status = generate(out, from);
    if (status == LT_UNAVAILABLE) return; /* no FFmpeg */
    CHECK_OK(status);
    CHECK(frames_of(out) == 5 + 3 * 8);
}

int main(int argc, char **argv) {
    lt_set_threads(1);
    test_begin();
    snprintf(run_path, sizeof run_path, "%s/toy", test_folder);
    RUN(training_and_its_samples_follow_the_rule);
    RUN(evaluation_and_rollouts_follow_the_rule);
    RUN(generation_from_a_clip_follows_the_rule);
    test_finish();
    return test_end();
}
