/* A small dataset of scenes for the tests of evaluation: frames of the size that infer/testing.h configures. */
#ifndef LT_INFER_TESTING_DATA_H
#define LT_INFER_TESTING_DATA_H

#include "core/io.h"
#include "data/dataset.h"
#include "data/scenes.h"
#include "infer/testing.h"

#include <unistd.h>

enum {
    TEST_CLIP_FRAMES = 32,
    TEST_CLIPS = 20
}; /* 8 blocks of 4 video frames; cuts every 8 frames, with returns */

/* Of each domain 10 clips: 0 is for training, 1 and 2 for validation, the others for tests. */
static inline lt_status test_dataset_make(const char *path) {
    lt_scenes_spec scenes = lt_scenes_default();
    lt_dataset_spec spec = {24, 16, 16, false};
    static uint8_t rgb[TEST_CLIP_FRAMES * 16 * 24 * 3];
    lt_dataset *set;
    LT_TRY(lt_dataset_create(path, &spec, &set));
    scenes.width = 24, scenes.height = 16, scenes.frames = TEST_CLIP_FRAMES, scenes.cut_every = 8;
    scenes.return_rate = 1;
    lt_status status = LT_OK;
    for (int i = 0; i < TEST_CLIPS && status == LT_OK; i++) {
        lt_clip clip;
        int number = i % 10;
        scenes.speed = i < 10 ? 1 : 6;
        status = lt_scenes_clip(&scenes, (uint64_t)number, rgb, NULL, &clip);
        if (status != LT_OK) break;
        snprintf(clip.domain, sizeof clip.domain, "%s", i < 10 ? "calm" : "dynamic");
        snprintf(clip.role, sizeof clip.role, "%s", number == 0 ? "train" : number < 3 ? "val" : "test");
        status = lt_dataset_append_frames(set, rgb, NULL, clip.frames);
        if (status == LT_OK) status = lt_dataset_add_clip(set, &clip);
    }
    if (status == LT_OK) status = lt_dataset_commit(set);
    lt_dataset_close(set);
    return status;
}

#endif
