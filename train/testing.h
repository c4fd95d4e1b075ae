/* A dataset of small scenes, a model that trains on it in milliseconds, and runs of it: for the tests of this room. */
#ifndef LT_TRAIN_TESTING_H
#define LT_TRAIN_TESTING_H

#include "core/io.h"
#include "data/scenes.h"
#include "kernels/testing_device.h"
#include "tests/harness.h"
#include "train/run.h"

#include <inttypes.h>
#include <unistd.h>

enum { SIDE = 32, CLIP_FRAMES = 24, TRAIN_CLIPS = 10, VAL_CLIPS = 3 };

static char test_folder[TEST_FOLDER], test_data[LT_PATH_MAX];

static inline lt_status test_add_clip(lt_dataset *set, uint64_t index, const char *role) {
    static uint8_t rgb[CLIP_FRAMES * SIDE * SIDE * 3];
    lt_scenes_spec scenes = lt_scenes_default();
    lt_clip clip = {0};
    scenes.width = scenes.height = SIDE, scenes.frames = CLIP_FRAMES, scenes.cut_every = 8;
    LT_TRY(lt_scenes_clip(&scenes, index, rgb, NULL, &clip));
    strcpy(clip.domain, "calm"), strcpy(clip.role, role);
    LT_TRY(lt_dataset_append_frames(set, rgb, NULL, CLIP_FRAMES));
    return lt_dataset_add_clip(set, &clip);
}

static inline lt_status test_make_data(const char *path, int train_clips, int val_clips) {
    lt_dataset_spec spec = {SIDE, SIDE, 16, false};
    lt_dataset *set;
    LT_TRY(lt_dataset_create(path, &spec, &set));
    lt_status status = LT_OK;
    for (int i = 0; i < train_clips + val_clips && status == LT_OK; i++)
        status = test_add_clip(set, (uint64_t)i, i < train_clips ? "train" : "val");
    if (status == LT_OK) status = lt_dataset_commit(set);
    lt_dataset_close(set);
    return status;
}

/* A folder of this process with the dataset in it. */
static inline void test_begin(void) {
    test_make_folder("lt_train", test_folder);
    snprintf(test_data, sizeof test_data, "%s/data.h5", test_folder);
    CHECK_OK(test_make_data(test_data, TRAIN_CLIPS, VAL_CLIPS));
    lt_model_register_keys();
    lt_train_register_keys();
}

static inline void test_finish(void) { (void)lt_remove_tree(test_folder); }

static const char test_base[] =
    "{\"model\": {\"frame_size\": [32,32], \"block_frames\": 2, \"layers\": 2, \"heads\": 2, \"head_dim\": "
    "16,"
    " \"caption_channels\": 16, \"text_length\": 8},"
    " \"train\": {\"batch\": 2, \"blocks\": 5, \"lr\": 2e-3, \"warmup\": 0, \"schedule\": \"constant\","
    " \"steps\": 6, \"checkpoint_every\": 0, \"validate_every\": 0, \"validate_clips\": 3},"
    " \"data\": {\"train_domains\": [\"calm\"]}}";

/* The small configuration with overrides that end with NULL; freed by the caller. */
static inline lt_config *test_config(const char *const *overrides) {
    lt_config *config = NULL;
    int count = 0;
    while (overrides && overrides[count]) count++;
    CHECK_OK(lt_config_parse(test_base, "test", overrides, count, &config));
    return config;
}

/* A trainer with all that it needs, outside of a run folder. */
typedef struct test_bench {
    lt_config *text;
    lt_device *device;
    lt_model *model;
    lt_dataset *set;
    lt_train_config config;
    lt_trainer *trainer;
} test_bench;

/* On b->device, which is open and closed with the rest; one of the ranks of `comm`, which may be NULL. */
static inline lt_status test_open_on(test_bench *b, lt_backend backend, const char *const *overrides,
                                     lt_comm *comm) {
    b->text = test_config(overrides);
    LT_TRY(lt_model_open(b->text, b->device, backend, LT_MODEL_TRAINING, &b->model));
    LT_TRY(lt_train_config_read(b->text, b->model, &b->config));
    LT_TRY(lt_train_set_trainable(&b->config, b->model));
    LT_TRY(lt_model_initialise(b->model, 3));
    LT_TRY(lt_dataset_open(test_data, &b->set));
    lt_trainer_spec spec = {.config = &b->config, .model = b->model, .set = b->set, .comm = comm};
    return lt_trainer_open(&spec, 0, &b->trainer);
}

static inline lt_status test_open(test_bench *b, const char *const *overrides) {
    lt_backend backend = LT_BACKEND_CPU;
    memset(b, 0, sizeof *b);
    LT_TRY(test_device_open("cpu", &backend, &b->device));
    return test_open_on(b, backend, overrides, NULL);
}

static inline void test_close(test_bench *b) {
    lt_trainer_close(b->trainer);
    lt_dataset_close(b->set);
    lt_train_config_free(&b->config);
    lt_model_close(b->model);
    if (b->device) lt_device_close(b->device);
    lt_config_free(b->text);
}

#endif
