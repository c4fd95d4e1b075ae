/* Files with random damage: every command ends by itself, with an exit code of the table and a message, whatever was
 * hit. Run under AddressSanitizer too, this is where a bad offset in a file would show: a sanitizer's exit code is none
 * of the table. LT_FUZZ_FILES sets how many damaged copies of each file are tried, LT_FUZZ_SEED which. */
#include "core/rng.h"
#include "data/dataset.h"
#include "tests/testing.h"

#include <sys/stat.h>

enum { DEFAULT_FILES = 3 };

static lt_rng_key dice = {.purpose = LT_RNG_TEST};
static uint64_t thrown;
static int files = DEFAULT_FILES, refused, accepted;

static int64_t below(int64_t end) { return (int64_t)(lt_rng_uniform(&dice, thrown++) * (double)end); }

/* Copy number `number` of `original`, damaged in one of the ways in which files are: bytes changed, cut short, a hole
 * of zeros, a piece repeated. The first `head` bytes (where formats keep their tables) are hit half of the time. Copy 0
 * is half of the file, which no format here can do without: what the dice hit may be a comment. */
static void damage(const char *original, const char *copy, int64_t head, int number) {
    char *bytes = NULL;
    size_t size = 0;
    CHECK_OK(lt_read_file(original, &bytes, &size));
    if (!bytes || size == 0) return;
    int64_t end = below(2) && head < (int64_t)size ? head : (int64_t)size, at = below(end), kind = below(8);
    int64_t length = 1 + below((int64_t)size - at < 64 ? (int64_t)size - at : 64);
    if (number == 0) size /= 2;
    else if (kind == 0) size = (size_t)at;
    else if (kind == 1) memset(bytes + at, 0, (size_t)length);
    else if (kind == 2) memmove(bytes + below((int64_t)size - length + 1), bytes + at, (size_t)length);
    else
        for (int64_t i = 0; i < kind - 2; i++) bytes[below(end)] ^= (char)(1 << below(8));
    CHECK_OK(lt_write_file(copy, bytes, size));
    free(bytes);
}

/* The code is one of the table, never a signal, a sanitizer's or a timeout, and it comes with a message. */
static void check_ended(const char *what) {
    bool known = got.code == LT_OK || got.code == LT_USAGE || got.code == LT_INPUT || got.code == LT_FAILED;
    bool told = got.code == LT_OK || strstr(got.err, "longtake ");
    refused += got.code != LT_OK, accepted += got.code == LT_OK;
    if (known && told && !got.timed_out) return;
    printf("%s, seed %llu:%s: exit %d%s; stderr:\n%.3000s\n", what, (unsigned long long)dice.seed,
           test_command, got.code, got.timed_out ? " (timed out)" : "", got.err);
    CHECK(!"ended well");
}

static void finish(const char *what) {
    printf("%s: %d of %d damaged files refused\n", what, refused, refused + accepted);
    CHECK(refused >= 1); /* copy 0 */
    refused = accepted = 0;
}

static void damaged_datasets(void) {
    const char *bad = in_folder("bad.h5");
    for (int i = 0; i < files; i++) {
        damage(in_folder("d.h5"), bad, 8192, i);
        LONGTAKE("info", bad, "--check", "-q");
        check_ended("info --check");
        int code = got.code;
        LONGTAKE("train", "--config", in_folder("tiny.json"), "--data", bad, "--out", in_folder("new"),
                 "--steps", "2", "-q");
        check_ended("train");
        if (code == LT_OK && got.code == LT_INPUT)
            printf("train refuses what info --check accepts: %s", got.err);
        CHECK(code != LT_OK || got.code != LT_INPUT);
        CHECK_OK(lt_remove_tree(in_folder("new")));
        LONGTAKE("scenes", "--out", bad, "--append", "--domain", "more", "--clips", "1", "--frames", "8",
                 "-q");
        check_ended("scenes --append");
    }
    finish("datasets");
}

/* Puts zeros for all frames of d.h5, and for their Fletcher32 sums, which takes that for whole. */
static void lose_frames(const char *copy) {
    static uint8_t frame[16 * 16 * 3];
    lt_dataset *set = NULL;
    char *bytes = NULL, *at;
    size_t size = 0;
    CHECK_OK(lt_read_file(in_folder("d.h5"), &bytes, &size));
    CHECK_OK(lt_dataset_open(in_folder("d.h5"), &set));
    int64_t clips = set ? lt_dataset_clip_count(set) : 0, lost = 0;
    for (int64_t i = 0; i < clips; i++) { /* clips of 48 frames: three chunks */
        CHECK_OK(lt_dataset_read_frames(set, i, 0, 1, frame));
        at = memmem(bytes, size, frame, sizeof frame);
        if (at) memset(at, 0, LT_DATASET_CHUNK * sizeof frame + 4), lost++;
    }
    CHECK(clips > 0 && lost == clips);
    lt_dataset_close(set);
    CHECK_OK(lt_write_file(copy, bytes, size));
    free(bytes);
}

/* No command works on zeros in place of frames, and a run that meets them keeps its checkpoints. */
static void datasets_that_lost_their_frames(void) {
    const char *bad = in_folder("bad.h5"), *run = in_folder("work"),
               *checkpoints = in_folder("work/checkpoints");
    char from[LT_PATH_MAX + 8];
    lose_frames(bad);
    snprintf(from, sizeof from, "%s:0", bad);
    CHECK_OK(lt_remove_tree(run));
    copy_tree(in_folder("run"), run);
    uint64_t before = folder_state(checkpoints);
    CHECK_EXIT(LT_INPUT, "fault", "info", bad, "--check", "-q");
    CHECK_EXIT(LT_INPUT, "not what was written", "train", "--config", in_folder("tiny.json"), "--data", bad,
               "--out", in_folder("new"), "-q");
    CHECK_OK(lt_remove_tree(in_folder("new")));
    CHECK_EXIT(LT_INPUT, "", "train", "--data", bad, "--out", run, "--resume", "--steps", "9", "-q");
    CHECK(folder_state(checkpoints) == before);
    CHECK_EXIT(LT_INPUT, "not what was written", "evaluate", "--run", run, "--data", bad, "--policy",
               "window", "--budget", "1", "--clips", "1", "--blocks", "4", "-q");
    CHECK_EXIT(LT_INPUT, "not what was written", "generate", "--run", run, "--out", in_folder("w.mp4"),
               "--blocks", "1", "--steps", "1", "--from", from, "-q");
    CHECK(!lt_path_exists(in_folder("w.mp4")));
}

/* A checkpoint in which one file is damaged (a changed weight is a weight, so few of those may be refused); `name`
 * within checkpoints/step-6, which is the latest and the best. */
static void damaged_checkpoint(const char *name, int64_t head) {
    char original[LT_PATH_MAX], copy[LT_PATH_MAX];
    const char *run = in_folder("work");
    snprintf(original, sizeof original, "%s/checkpoints/step-6/%s", in_folder("run"), name);
    snprintf(copy, sizeof copy, "%s/checkpoints/step-6/%s", in_folder("work"), name);
    for (int i = 0; i < files; i++) {
        CHECK_OK(lt_remove_tree(run));
        copy_tree(in_folder("run"), run);
        damage(original, copy, head, i);
        LONGTAKE("info", run, "--check", "-q");
        check_ended("info --check");
        LONGTAKE("evaluate", "--run", run, "--data", in_folder("d.h5"), "--policy", "window", "--budget", "1",
                 "--clips", "1", "--blocks", "4", "-q");
        check_ended("evaluate");
        LONGTAKE("train", "--data", in_folder("d.h5"), "--out", run, "--resume", "--steps", "7", "-q");
        check_ended("train --resume");
    }
    finish(name);
}

static void damaged_weights(void) { damaged_checkpoint("model.safetensors", 4096); }
static void damaged_averages(void) { damaged_checkpoint("ema.safetensors", 4096); }
static void damaged_moments(void) { damaged_checkpoint("optimizer.safetensors", 4096); }
static void damaged_configurations(void) { damaged_checkpoint("config.json", 1 << 20); }
static void damaged_states(void) { damaged_checkpoint("state.json", 1 << 20); }

/* Files of the run folder itself. */
static void damaged_records(void) {
    static const char *const names[] = {"config.json", "metrics.jsonl", "environment.json"};
    const char *run = in_folder("work");
    for (int i = 0; i < files; i++) {
        char original[LT_PATH_MAX], copy[LT_PATH_MAX];
        snprintf(original, sizeof original, "%s/%s", in_folder("run"), names[i % 3]);
        snprintf(copy, sizeof copy, "%s/%s", run, names[i % 3]);
        CHECK_OK(lt_remove_tree(run));
        copy_tree(in_folder("run"), run);
        damage(original, copy, 1 << 20, i);
        LONGTAKE("info", run, "-q");
        check_ended("info");
        LONGTAKE("compare", run, in_folder("run"), "-q");
        check_ended("compare");
        LONGTAKE("train", "--data", in_folder("d.h5"), "--out", run, "--resume", "--steps", "7", "-q");
        check_ended("train --resume");
    }
    finish("records");
}

static void make_results(void) {
    write_text(in_folder("e.json"),
               "{\"experiment\": {\"policies\": [\"none\", \"window\"], \"budgets\": [\"1\"],"
               " \"clips\": 2, \"blocks\": 4, \"reference_clips\": 2, \"video_blocks\": 0}}");
    CHECK_RUN("ablate", "--config", in_folder("e.json"), "--run", in_folder("run"), "--data",
              in_folder("d.h5"), "--out", in_folder("results"), "-q");
}

static void damaged_results(void) {
    const char *results = in_folder("work");
    make_results();
    for (int i = 0; i < files; i++) {
        char folder[LT_PATH_MAX], original[LT_PATH_MAX], copy[LT_PATH_MAX], name[512], **cells = NULL;
        int count = 0;
        snprintf(folder, sizeof folder, "%s/cells", in_folder("results"));
        CHECK_OK(lt_list_dir(folder, &cells, &count));
        if (count == 0) return;
        bool cell = i % 2;
        snprintf(name, sizeof name, "%s%.400s", cell ? "cells/" : "",
                 cell ? cells[below(count)] : "results.json");
        lt_list_free(cells, count);
        snprintf(original, sizeof original, "%s/%s", in_folder("results"), name);
        snprintf(copy, sizeof copy, "%s/%s", results, name);
        CHECK_OK(lt_remove_tree(results));
        copy_tree(in_folder("results"), results);
        damage(original, copy, 2048, i);
        LONGTAKE("info", results, "--check", "-q");
        check_ended("info --check");
        LONGTAKE("report", results, "-q");
        check_ended("report");
        LONGTAKE("ablate", "--config", in_folder("e.json"), "--run", in_folder("run"), "--data",
                 in_folder("d.h5"), "--out", results, "--resume", "-q");
        check_ended("ablate --resume");
    }
    finish("results");
}

static void damaged_videos(void) {
    char domain[LT_PATH_MAX];
    if (!has_video()) {
        printf("skipped: no FFmpeg in this build\n");
        return;
    }
    CHECK_RUN("generate", "--run", in_folder("run"), "--out", in_folder("v.mp4"), "--blocks", "6", "--steps",
              "1", "-q");
    snprintf(domain, sizeof domain, "made=%s", in_folder("bad.mp4"));
    for (int i = 0; i < files; i++) {
        damage(in_folder("v.mp4"), in_folder("bad.mp4"), 2048, i);
        LONGTAKE("ingest", "--out", in_folder("made.h5"), "--size", "16x16", "--domain", domain, "-q");
        check_ended("ingest");
        CHECK((got.code == LT_OK) == lt_path_exists(in_folder("made.h5")));
        CHECK_OK(lt_remove_tree(in_folder("made.h5")));
        LONGTAKE("generate", "--run", in_folder("run"), "--out", in_folder("w.mp4"), "--blocks", "1",
                 "--steps", "1", "--from", in_folder("bad.mp4"), "--force", "-q");
        check_ended("generate --from");
    }
    finish("videos");
}

/* HDF5 itself loses some bytes when it meets a damaged table; leaks of our own still count. */
static void ignore_leaks_of_hdf5(void) {
    char options[LT_PATH_MAX + 64];
    write_text(in_folder("lsan.supp"), "leak:libhdf5\n");
    snprintf(options, sizeof options, "suppressions=%s:print_suppressions=0", in_folder("lsan.supp"));
    setenv("LSAN_OPTIONS", options, 1);
}

int main(int argc, char **argv) {
    const char *count = getenv("LT_FUZZ_FILES"), *seed = getenv("LT_FUZZ_SEED");
    if (count) files = atoi(count);
    dice.seed = seed ? strtoull(seed, NULL, 10) : 1;
    test_begin("12");
    ignore_leaks_of_hdf5();
    CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"), "--out",
              in_folder("run"), "-q");
    RUN(damaged_datasets);
    RUN(datasets_that_lost_their_frames);
    RUN(damaged_weights);
    RUN(damaged_averages);
    RUN(damaged_moments);
    RUN(damaged_configurations);
    RUN(damaged_states);
    RUN(damaged_records);
    RUN(damaged_results);
    RUN(damaged_videos);
    return test_finish();
}
