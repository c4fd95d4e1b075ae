/* The whole path through the program, scenes to report, and what damaged files and full disks do to it. */
#define TEST_ON_DEVICE
#include "data/dataset.h"
#include "tests/testing.h"

static const char experiment[] =
    "{\"experiment\": {\"title\": \"End to end\", \"policies\": [\"none\", \"window\", \"sink\"], "
    "\"budgets\": [\"2\"],"
    " \"clips\": 4, \"blocks\": 6, \"reference_clips\": 4, \"video_blocks\": 2, \"video_history\": 1,"
    " \"video_steps\": 1, \"video_policies\": 2}}";

static bool holds(const char *folder, const char *name) {
    char path[LT_PATH_MAX], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    bool there = lt_path_exists(path) && lt_read_file(path, &text, &size) == LT_OK && size > 0;
    if (!there) printf("%s is missing or empty\n", path);
    free(text);
    return there;
}

/* Stdout is one JSON value of this type, and nothing else. */
static void check_json(bool array) {
    cJSON *json = parse_output();
    CHECK(json && (array ? cJSON_IsArray(json) && cJSON_GetArraySize(json) > 0 : cJSON_IsObject(json)));
    cJSON_Delete(json);
}

/* ---- the chain -------------------------------------------------------------------------------------------------- */

static void datasets_are_made_and_described(void) {
    CHECK_RUN("scenes", "--out", in_folder("d.h5"), "--domain", "dynamic", "--clips", "24", "--frames", "48",
              "--role", "val=0.3", "--role", "test=0.4", "--speed", "5", "--seed", "3", "--append", "--json",
              "-q");
    check_json(false);
    CHECK_RUN("info", in_folder("d.h5"), "--check", "--json", "-q");
    cJSON *info = parse_output();
    CHECK(json_number(info, "clips") == 48 && json_number(info, "frames") == 48 * 48);
    cJSON_Delete(info);
}

static void a_model_is_trained_and_described(void) {
    const char *run = in_folder("run");
    CHECK_RUN("plan", "--config", in_folder("tiny.json"), "--json");
    check_json(false);
    CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"), "--out", run);
    static const char *const files[] = {"config.json",
                                        "environment.json",
                                        "metrics.jsonl",
                                        "log.txt",
                                        "checkpoints/latest/model.safetensors",
                                        "checkpoints/best/ema.safetensors",
                                        "checkpoints/step-6/optimizer.safetensors",
                                        "checkpoints/step-3/state.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) CHECK(holds(run, files[i]));
    CHECK_RUN("info", run, "--json", "--check");
    check_json(false);
    CHECK_RUN("train", "--data", in_folder("d.h5"), "--out", run, "--resume", "--steps", "8", "-q");
    CHECK(holds(run, "checkpoints/step-8/model.safetensors"));
    CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"), "--out",
              in_folder("run2"), "--init", run, "--set", "train.stage=scorer", "--set", "train.steps=3",
              "-q");
    CHECK_RUN("compare", run, in_folder("run2"), "--json");
    check_json(false);
}

/* Before the first step, with the options that help; in the commands that cannot go on it is the error. */
static void clips_that_are_missing_are_named_first(void) {
    const char *data = in_folder("few.h5"), *run = in_folder("few"), *missing, *step;
    CHECK_RUN("scenes", "--out", data, "--domain", "calm", "--clips", "4", "--frames", "48", "--size",
              "16x16", "--role", "train=1", "--no-flow", "-q");
    CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", data, "--out", run);
    missing = strstr(got.err, "--role val=0.2"), step = strstr(got.err, "step 6 / 6");
    CHECK(missing && step && missing < step && strstr(got.err, "train.validate_every=0"));
    CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", data, "--out", run, "--force", "--set",
              "train.validate_every=0");
    CHECK(!strstr(got.err, "role val"));
    CHECK_EXIT(LT_INPUT, "--role test=0.2", "evaluate", "--run", run, "--data", data, "--blocks", "4");
    write_text(in_folder("e.json"), experiment);
    LONGTAKE("ablate", "--config", in_folder("e.json"), "--run", run, "--data", data, "--out",
             in_folder("r"));
    CHECK(ended(LT_INPUT, "no clip of role test") && strstr(got.err, "--role test=0.2"));
}

static void a_video_is_generated_and_ingested_again(void) {
    const char *video = in_folder("v.mp4");
    if (!has_video()) {
        printf("skipped: no FFmpeg in this build\n");
        CHECK_EXIT(LT_UNAVAILABLE, "FFmpeg", "generate", "--run", in_folder("run"), "--out", video);
        return;
    }
    CHECK_RUN("generate", "--run", in_folder("run"), "--out", video, "--blocks", "8", "--steps", "2",
              "--stats", in_folder("stats.json"), "--json", "-q");
    cJSON *made = parse_output();
    CHECK(json_number(made, "frames") == 32);
    cJSON_Delete(made);
    CHECK(holds(test_folder, "v.mp4") && holds(test_folder, "v.mp4.json") &&
          holds(test_folder, "stats.json"));
    char domain[LT_PATH_MAX];
    snprintf(domain, sizeof domain, "made=%s", video);
    CHECK_RUN("ingest", "--out", in_folder("made.h5"), "--size", "16x16", "--domain", domain,
              "--clip-seconds", "0", "--no-cuts", "--json", "-q");
    check_json(false);
    CHECK_RUN("info", in_folder("made.h5"), "--json", "--check");
    made = parse_output();
    CHECK(json_number(made, "frames") == 32 && json_number(made, "clips") == 1);
    cJSON_Delete(made);
}

static void policies_are_compared(void) {
    const char *results = in_folder("results"), *config = in_folder("experiment.json");
    CHECK_RUN("evaluate", "--run", in_folder("run"), "--data", in_folder("d.h5"), "--policy", "window",
              "--policy", "sink", "--budget", "2", "--clips", "4", "--blocks", "6", "--json", "-q");
    check_json(true);
    write_text(config, experiment);
    CHECK_RUN("ablate", "--config", config, "--run", in_folder("run"), "--data", in_folder("d.h5"), "--out",
              results, "-q");
    static const char *const files[] = {"results.csv", "results.h5", "results.json", "report.html"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) CHECK(holds(results, files[i]));
    CHECK_EXIT(LT_USAGE, "--resume", "ablate", "--config", config, "--run", in_folder("run"), "--data",
               in_folder("d.h5"), "--out", results);
    CHECK_RUN("ablate", "--config", config, "--run", in_folder("run"), "--data", in_folder("d.h5"), "--out",
              results, "--resume", "-q");
    CHECK(remove(in_folder("results/report.html")) == 0);
    CHECK_RUN("report", results);
    CHECK(holds(results, "report.html"));
    CHECK_RUN("info", results, "--json");
    check_json(false);
}

/* Whoever sets a limit is told what exceeds it, before anything is written. */
static void a_memory_limit_is_kept(void) {
    const char *video = in_folder("limited.mp4"), *run = in_folder("limited");
    CHECK_EXIT(LT_USAGE, "the video needs", "generate", "--run", in_folder("run"), "--out", video,
               "--memory-limit", "100kB");
    CHECK(!lt_path_exists(video));
    CHECK_EXIT(LT_USAGE, "the evaluation needs", "evaluate", "--run", in_folder("run"), "--data",
               in_folder("d.h5"), "--clips", "4", "--blocks", "6", "--memory-limit", "100kB");
    CHECK_EXIT(LT_USAGE, "training needs", "train", "--config", in_folder("tiny.json"), "--data",
               in_folder("d.h5"), "--out", run, "--memory-limit", "100kB");
    CHECK(!lt_path_exists(run));
    CHECK_EXIT(LT_USAGE, "the forward needs", "bench", "--model", in_folder("tiny.json"), "--only", "forward",
               "--memory-limit", "100kB");
    CHECK_RUN("evaluate", "--run", in_folder("run"), "--data", in_folder("d.h5"), "--policy", "window",
              "--budget", "2", "--clips", "4", "--blocks", "6", "--memory-limit", "1GiB", "--json", "-q");
    check_json(true);
}

static void lists_and_timings_are_json_too(void) {
    static const char *const kinds[] = {"policies", "ops", "metrics", "presets", "devices"};
    for (int i = 0; i < 5; i++) {
        CHECK_RUN("list", kinds[i], "--json");
        check_json(true);
    }
    CHECK_EXIT(LT_USAGE, "policies", "list", "polices");
    CHECK_RUN("bench", "--op", "mse", "--json");
    cJSON *json = parse_output();
    CHECK(json);
    cJSON_Delete(json);
}

/* ---- damage ----------------------------------------------------------------------------------------------------- */

/* Where the first frame of a clip lies in the file. */
static int64_t offset_of_clip(const char *path, int64_t index) {
    static uint8_t frame[16 * 16 * 3];
    lt_dataset *set = NULL;
    char *bytes = NULL;
    size_t size = 0;
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK_OK(lt_dataset_read_frames(set, index, 0, 1, frame));
    lt_dataset_close(set);
    CHECK_OK(lt_read_file(path, &bytes, &size));
    char *at = bytes ? memmem(bytes, size, frame, sizeof frame) : NULL;
    int64_t offset = at ? at - bytes : -1;
    free(bytes);
    return offset;
}

static int64_t find_clip(const char *path, const char *role) {
    lt_dataset *set = NULL;
    int64_t found = -1;
    CHECK_OK(lt_dataset_open(path, &set));
    for (int64_t i = 0; found < 0 && i < lt_dataset_clip_count(set); i++)
        if (strcmp(lt_dataset_clip(set, i)->role, role) == 0) found = i;
    lt_dataset_close(set);
    return found;
}

static void a_corrupted_chunk_is_found_and_its_clip_named(void) {
    const char *bad = in_folder("bad.h5");
    char name[32];
    copy_tree(in_folder("d.h5"), bad);
    int64_t clip = find_clip(bad, "train"), offset = offset_of_clip(bad, clip);
    CHECK(offset > 0);
    damage_byte(bad, offset + 100, 1);
    snprintf(name, sizeof name, "clip %d", (int)clip);
    uint64_t before = folder_state(test_folder);
    CHECK_EXIT(LT_INPUT, "bad.h5", "info", bad, "--check", "-q");
    CHECK(strstr(got.out, name) || strstr(got.err, name));
    CHECK_EXIT(LT_INPUT, name, "train", "--config", in_folder("tiny.json"), "--data", bad, "--out",
               in_folder("new"), "--set", "train.steps=200", "--set", "train.validate_every=0", "-q");
    CHECK(folder_state(test_folder) == before || lt_path_exists(in_folder("new")));
    CHECK_OK(lt_remove_tree(in_folder("new")));
}

static void weights_that_were_cut_short_are_named(void) {
    const char *run = in_folder("cut"), *weights = in_folder("cut/checkpoints/best/model.safetensors");
    copy_tree(in_folder("run"), run);
    CHECK(truncate(weights, 20000) == 0);
    CHECK(truncate(in_folder("cut/checkpoints/best/ema.safetensors"), 20000) == 0);
    CHECK(truncate(in_folder("cut/checkpoints/latest/model.safetensors"), 20000) == 0);
    uint64_t before = folder_state(test_folder);
    CHECK_EXIT(LT_INPUT, ".safetensors", "generate", "--run", run, "--out", in_folder("w.mp4"), "-q");
    CHECK_EXIT(LT_INPUT, ".safetensors", "evaluate", "--run", run, "--data", in_folder("d.h5"), "-q");
    CHECK_EXIT(LT_INPUT, "model.safetensors", "train", "--data", in_folder("d.h5"), "--out", run, "--resume",
               "--steps", "12", "-q");
    CHECK_EXIT(LT_INPUT, "cut", "info", run, "--check");
    CHECK(strstr(got.out, "model.safetensors") || strstr(got.err, "model.safetensors"));
    CHECK(folder_state(test_folder) == before);
}

static void a_dataset_that_was_cut_short_is_refused(void) {
    const char *bad = in_folder("short.h5");
    copy_tree(in_folder("d.h5"), bad);
    CHECK(truncate(bad, 100000) == 0);
    CHECK_EXIT(LT_INPUT, "short.h5", "info", bad, "-q");
    CHECK_EXIT(LT_INPUT, "short.h5", "train", "--config", in_folder("tiny.json"), "--data", bad, "--out",
               in_folder("new"), "-q");
    CHECK(!lt_path_exists(in_folder("new")));
}

/* ---- a full disk ------------------------------------------------------------------------------------------------ */

#define FULL_DISK(limit, ...) longtake_run(ARGUMENTS(__VA_ARGS__), (limit))

/* The last checkpoint before the disk was full can be resumed, and used. */
static void a_full_disk_leaves_the_checkpoint_before(void) {
    const char *run = in_folder("full"), *data = in_folder("d.h5");
    CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", data, "--out", run, "-q");
    CHECK(FULL_DISK(100000, "train", "--data", data, "--out", run, "--resume", "--steps", "12", "-q") ==
          LT_FAILED);
    CHECK(ended(LT_FAILED, "full"));
    CHECK(!lt_path_exists(in_folder("full/checkpoints/step-9")) &&
          !lt_path_exists(in_folder("full/checkpoints/step-9.tmp")));
    CHECK_RUN("info", run, "--check");
    CHECK_RUN("train", "--data", data, "--out", run, "--resume", "--steps", "12", "-q");
    CHECK(holds(run, "checkpoints/step-12/model.safetensors"));
}

static void a_full_disk_leaves_no_half_dataset_or_video(void) {
    const char *data = in_folder("e.h5");
    uint64_t before = folder_state(test_folder);
    CHECK(FULL_DISK(100000, "scenes", "--out", data, "--domain", "calm", "--clips", "64", "--size", "32x32",
                    "-q") == LT_FAILED);
    CHECK(ended(LT_FAILED, "e.h5"));
    CHECK(!lt_path_exists(data) && folder_state(test_folder) == before);
    if (!has_video()) return;
    CHECK(FULL_DISK(2000, "generate", "--run", in_folder("run"), "--out", in_folder("w.mp4"), "--blocks",
                    "400", "--steps", "1", "-q") == LT_FAILED);
    CHECK(ended(LT_FAILED, "w.mp4"));
    char domain[LT_PATH_MAX];
    snprintf(domain, sizeof domain, "made=%s", in_folder("v.mp4"));
    CHECK(FULL_DISK(3000, "ingest", "--out", data, "--size", "16x16", "--domain", domain, "-q") == LT_FAILED);
    CHECK(ended(LT_FAILED, "e.h5"));
    CHECK(!lt_path_exists(data));
}

int main(int argc, char **argv) {
    test_begin("24");
    RUN(datasets_are_made_and_described);
    RUN(a_model_is_trained_and_described);
    RUN(clips_that_are_missing_are_named_first);
    RUN(a_video_is_generated_and_ingested_again);
    RUN(policies_are_compared);
    RUN(a_memory_limit_is_kept);
    RUN(lists_and_timings_are_json_too);
    unsetenv("LT_TEST_DEVICE"); /* what damage does is the same everywhere, and a GPU takes seconds to open */
    RUN(a_corrupted_chunk_is_found_and_its_clip_named);
    RUN(weights_that_were_cut_short_are_named);
    RUN(a_dataset_that_was_cut_short_is_refused);
    RUN(a_full_disk_leaves_the_checkpoint_before);
    RUN(a_full_disk_leaves_no_half_dataset_or_video);
    return test_finish();
}
