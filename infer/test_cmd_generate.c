/* longtake generate from end to end, on a run made here. */
#include "core/cli.h"

#include "core/json.h"
#include "core/output.h"
#include "data/dataset.h"
#include "data/video_reader.h"
#include "data/video_writer.h"
#include "infer/testing.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

extern const lt_command lt_cmd_generate;

enum { BLOCK_FRAMES = 4, WIDTH = 24, HEIGHT = 16, FRAME_BYTES = WIDTH * HEIGHT * 3 };

static char folder[TEST_FOLDER], run_path[LT_PATH_MAX], out_path[LT_PATH_MAX], summary_path[LT_PATH_MAX],
    stats_path[LT_PATH_MAX], data_path[LT_PATH_MAX];

static void make_run(void) {
    char path[LT_PATH_MAX];
    CHECK_OK(lt_make_dirs(run_path));
    CHECK_OK(lt_path_join(path, run_path, "config.json"));
    CHECK_OK(lt_write_file(path, TEST_CONFIG, strlen(TEST_CONFIG)));
    lt_model *model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    test_model_shake(model, 0.05);
    CHECK_OK(lt_model_save(model, run_path));
    test_model_close(model);
}

/* A bright square that moves over grey. */
static void make_dataset(void) {
    static uint8_t rgb[24 * FRAME_BYTES];
    lt_dataset *set;
    lt_dataset_spec spec = {.width = WIDTH, .height = HEIGHT, .fps = 10};
    lt_clip clip = {.fps = 10, .domain = "calm", .role = "test", .group = "g"};
    memset(rgb, 90, sizeof rgb);
    for (int f = 0; f < 24; f++)
        for (int y = 4; y < 12; y++) memset(rgb + f * FRAME_BYTES + (y * WIDTH + f / 2) * 3, 220, 8 * 3);
    CHECK_OK(lt_dataset_create(data_path, &spec, &set));
    CHECK_OK(lt_dataset_append_frames(set, rgb, NULL, 24));
    CHECK_OK(lt_dataset_add_clip(set, &clip));
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
}

static void set_up(void) {
    test_make_folder("lt_generate", folder);
    CHECK_OK(lt_path_join(run_path, folder, "run"));
    CHECK_OK(lt_path_join(out_path, folder, "v.mp4"));
    CHECK_OK(lt_path_join(summary_path, folder, "v.mp4.json"));
    CHECK_OK(lt_path_join(stats_path, folder, "v.stats.json"));
    CHECK_OK(lt_path_join(data_path, folder, "data.h5"));
    make_run();
    make_dataset();
}

/* A process of its own, as the program is: it may be killed, and its output is read. */
static int longtake(const char *const *arguments) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char *argv[64] = {"longtake", "generate", "--run", run_path, "--out", out_path, "-q"};
        int argc = 7;
        while (*arguments) argv[argc++] = (char *)*arguments++;
        lt_status status = lt_cli_run(&lt_cmd_generate, argc, argv);
        if (status != LT_OK) fprintf(stderr, "%s\n", lt_error());
        fflush(NULL);
        _exit(status);
    }
    return child;
}

static int wait_for(int child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define LONGTAKE(...) wait_for(longtake((const char *const[]){__VA_ARGS__, NULL}))

static cJSON *read_json(const char *path) {
    char *text = NULL;
    size_t size;
    cJSON *json = NULL;
    CHECK_OK(lt_read_file(path, &text, &size));
    if (text) CHECK_OK(lt_json_parse(text, size, path, LT_INPUT, &json));
    free(text);
    return json;
}

static double number(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static const char *word(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* All frames of a video; returns how many. */
static int64_t read_video(uint8_t *rgb, int64_t room) {
    lt_video *video;
    lt_video_request request = {.width = WIDTH, .height = HEIGHT};
    lt_video_place place;
    int64_t count = 0;
    bool got = true;
    if (lt_video_open(out_path, &request, &video) != LT_OK) return -1;
    while (got && count < room) {
        CHECK_OK(lt_video_next(video, rgb + count * FRAME_BYTES, &place, &got));
        count += got;
    }
    lt_video_close(video);
    return count;
}

static bool holds(const char *path, const char *text) {
    char *found = NULL;
    bool same = lt_read_file(path, &found, NULL) == LT_OK && strcmp(found, text) == 0;
    free(found);
    return same;
}

static void forget(void) {
    remove(out_path);
    remove(summary_path);
    remove(stats_path);
}

typedef struct found {
    int seed, policy, prompt, machine;
} found;

static void see_pair(const char *key, const char *value, void *user) {
    found *f = user;
    f->seed += strcmp(key, "seed") == 0 && strcmp(value, "7") == 0;
    f->policy += strcmp(key, "policy") == 0 && strncmp(value, "window:", 7) == 0;
    f->machine += strcmp(key, "precision") == 0 && strcmp(value, "f32") == 0;
    f->machine += strcmp(key, "kernels") == 0 && strcmp(value, "auto") == 0;
    f->machine += strcmp(key, "memory_limit") == 0 && strcmp(value, "1GiB") == 0;
    f->prompt += strcmp(key, "prompt") == 0 && strcmp(value, "a red ball") == 0;
}

static void a_video_has_its_frames_and_says_how_it_was_made(void) {
    static uint8_t rgb[32 * FRAME_BYTES];
    found f = {0};
    CHECK(LONGTAKE("--blocks", "5", "--steps", "3", "--policy", "window", "--budget", "2", "--seed", "7",
                   "--prompt", "a red ball", "--memory-limit", "1GiB") == 0);
    CHECK(read_video(rgb, 32) == 5 * BLOCK_FRAMES);
    CHECK(memcmp(rgb, rgb + 10 * FRAME_BYTES, FRAME_BYTES) != 0);
    CHECK_OK(lt_video_metadata(out_path, see_pair, &f));
    CHECK(f.seed == 1 && f.policy == 1 && f.prompt == 1 && f.machine == 3);
    cJSON *summary = read_json(summary_path);
    const cJSON *arguments = cJSON_GetObjectItemCaseSensitive(summary, "arguments");
    CHECK(number(summary, "frames") == 20 && number(summary, "blocks") == 5);
    CHECK(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(summary, "complete")));
    CHECK(number(arguments, "budget") == 2 && strcmp(word(arguments, "prompt"), "a red ball") == 0);
    CHECK(strlen(word(arguments, "weights_hash")) == 16);
    cJSON_Delete(summary);
    CHECK(LONGTAKE("--blocks", "1", "--steps", "1") == LT_USAGE); /* it exists */
    CHECK(read_video(rgb, 32) == 20);
    CHECK(LONGTAKE("--blocks", "1", "--steps", "1", "--force") == 0);
    CHECK(read_video(rgb, 32) == 4);
    forget();
}

static void stats_tell_what_the_cache_did(void) {
    CHECK(LONGTAKE("--blocks", "5", "--steps", "2", "--policy", "window:read=content", "--budget", "2",
                   "--stats", stats_path) == 0);
    cJSON *stats = read_json(stats_path);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(stats, "blocks");
    CHECK(cJSON_GetArraySize(list) == 5 && number(stats, "budget") == 2);
    for (int b = 0; b < 5 && b < cJSON_GetArraySize(list); b++) {
        const cJSON *block = cJSON_GetArrayItem(list, b),
                    *cache = cJSON_GetObjectItemCaseSensitive(block, "cache");
        CHECK(number(block, "block") == b && number(block, "seconds") > 0 && number(block, "bytes") > 0);
        CHECK(cJSON_GetArraySize(cache) == 2);
        for (int l = 0; l < cJSON_GetArraySize(cache); l++) {
            const cJSON *layer = cJSON_GetArrayItem(cache, l),
                        *entries = cJSON_GetObjectItemCaseSensitive(layer, "entries"),
                        *victims = cJSON_GetObjectItemCaseSensitive(layer, "victims");
            int present = b < 3 ? b + 1 : 3;
            CHECK(number(layer, "layer") == l && cJSON_GetArraySize(entries) == present);
            CHECK(cJSON_GetArraySize(victims) == (b >= 2));
            if (b >= 2) CHECK(cJSON_GetArrayItem(victims, 0)->valuedouble == b - 2);
            for (int e = 0; e < present && e < cJSON_GetArraySize(entries); e++) {
                const cJSON *entry = cJSON_GetArrayItem(entries, e),
                            *weights = cJSON_GetObjectItemCaseSensitive(entry, "weights");
                CHECK(number(entry, "id") == b + 1 - present + e);
                CHECK(e == present - 1 ? !weights : cJSON_GetArraySize(weights) == 2);
                if (weights) CHECK(cJSON_GetArrayItem(weights, 0)->valuedouble != 1); /* a shaken read head */
                CHECK(e == present - 1 || number(entry, "read_mass") > 0);
            }
        }
    }
    cJSON_Delete(stats);
    forget();
}

static double difference(const uint8_t *a, const uint8_t *b, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += abs(a[i] - b[i]);
    return sum / (double)count;
}

/* Out of a dataset, then out of the video that this made; the source's rate is kept. */
static void it_goes_on_from_a_clip(void) {
    static uint8_t source[8 * FRAME_BYTES], rgb[32 * FRAME_BYTES];
    char clip[LT_PATH_MAX + 8], first[LT_PATH_MAX];
    lt_dataset *set;
    CHECK_OK(lt_dataset_open(data_path, &set));
    CHECK_OK(lt_dataset_read_frames(set, 0, 0, 8, source));
    lt_dataset_close(set);
    snprintf(clip, sizeof clip, "%s:0", data_path);
    CHECK(LONGTAKE("--blocks", "1", "--steps", "2", "--from", clip, "--history", "2") == 0);
    CHECK(read_video(rgb, 32) == 3 * BLOCK_FRAMES);
    CHECK(difference(source, rgb, 8 * FRAME_BYTES) < 12);
    CHECK(difference(source, rgb + 8 * FRAME_BYTES, 4 * FRAME_BYTES) > 12);
    cJSON *summary = read_json(summary_path);
    CHECK(number(cJSON_GetObjectItemCaseSensitive(summary, "arguments"), "fps") == 10);
    cJSON_Delete(summary);
    CHECK_OK(lt_path_join(first, folder, "first.mp4"));
    CHECK(rename(out_path, first) == 0);
    CHECK(LONGTAKE("--blocks", "1", "--steps", "1") == LT_USAGE); /* its FILE.json is there */
    forget();
    CHECK(LONGTAKE("--blocks", "2", "--steps", "2", "--from", first) == 0);
    CHECK(read_video(rgb, 32) == 3 * BLOCK_FRAMES);
    CHECK(difference(source, rgb, 4 * FRAME_BYTES) < 12);
    forget();
    CHECK(LONGTAKE("--blocks", "1", "--from", first, "--history", "4") == LT_INPUT);
    snprintf(clip, sizeof clip, "%s:1", data_path);
    CHECK(LONGTAKE("--blocks", "1", "--from", clip) == LT_INPUT);
    CHECK(LONGTAKE("--blocks", "1", "--from", data_path) == LT_USAGE);
    CHECK(!lt_path_exists(out_path));
}

/* ^C: the part ends in good order with the blocks that are done, and says so; what was there before stays. */
static void an_interrupted_video_plays(void) {
    static uint8_t rgb[4096 * FRAME_BYTES];
    char whole[LT_PATH_MAX], whole_stats[LT_PATH_MAX];
    strcpy(whole, out_path), strcpy(whole_stats, stats_path);
    const char *const old[] = {whole, summary_path, whole_stats};
    for (int i = 0; i < 3; i++) CHECK_OK(lt_write_file(old[i], "old", 3));
    int child = longtake(
        (const char *const[]){"--blocks", "1000000", "--steps", "1", "--stats", stats_path, "--force", NULL});
    CHECK_OK(lt_part_path(whole, out_path));
    CHECK_OK(lt_part_path(whole_stats, stats_path));
    snprintf(summary_path, sizeof summary_path, "%.*s.json", LT_PATH_MAX - 6, out_path);
    for (int i = 0; i < 1000 && !lt_path_exists(out_path); i++) usleep(10000);
    usleep(300000);
    CHECK(kill(child, SIGINT) == 0);
    CHECK(wait_for(child) == LT_INTERRUPTED);
    cJSON *summary = read_json(summary_path), *stats = read_json(stats_path);
    CHECK(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(summary, "complete")));
    double frames = number(summary, "frames");
    CHECK(frames > 0 && frames < 4e6);
    CHECK((double)read_video(rgb, 4096) == fmin(frames, 4096));
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(stats, "blocks")) ==
          (int)number(summary, "blocks"));
    cJSON_Delete(summary);
    cJSON_Delete(stats);
    strcpy(out_path, whole), strcpy(stats_path, whole_stats);
    snprintf(summary_path, sizeof summary_path, "%.*s.json", LT_PATH_MAX - 6, out_path);
    for (int i = 0; i < 3; i++) CHECK(holds(old[i], "old"));
    forget();
    CHECK(LONGTAKE("--blocks", "1", "--steps", "1") == 0); /* replaces the part */
    CHECK(read_video(rgb, 4096) == BLOCK_FRAMES);
    forget();
}

/* Before any work, and also through links; what was there stays as it was. */
static void outputs_are_told_apart(void) {
    char link[LT_PATH_MAX], other[LT_PATH_MAX], clip[LT_PATH_MAX + 8], part[LT_PATH_MAX];
    CHECK_OK(lt_path_join(link, folder, "link"));
    CHECK_OK(lt_path_join(other, folder, "other.json"));
    CHECK_OK(lt_part_path(out_path, part));
    CHECK(LONGTAKE("--blocks", "1", "--stats", out_path) == LT_USAGE);
    CHECK(LONGTAKE("--blocks", "1", "--stats", summary_path, "--force") == LT_USAGE);
    CHECK(LONGTAKE("--blocks", "1", "--stats", part, "--force") == LT_USAGE);
    CHECK(!lt_path_exists(out_path) && !lt_path_exists(summary_path));
    CHECK_OK(lt_write_file(other, "old", 3));
    CHECK(LONGTAKE("--blocks", "1", "--stats", other) == LT_USAGE);
    CHECK(LONGTAKE("--blocks", "1", "--stats", data_path) == LT_USAGE);
    snprintf(clip, sizeof clip, "%s:0", data_path);
    CHECK(LONGTAKE("--blocks", "1", "--stats", data_path, "--from", clip, "--force") == LT_USAGE);
    CHECK_OK(lt_write_file(out_path, "old", 3));
    CHECK(symlink(out_path, link) == 0);
    CHECK(LONGTAKE("--blocks", "1", "--stats", link, "--force") == LT_USAGE);
    CHECK(LONGTAKE("--blocks", "1", "--prompts", other, "--stats", other, "--force") == LT_USAGE);
    CHECK(LONGTAKE("--blocks", "1", "--policy", "windw", "--force") == LT_USAGE);
    CHECK(holds(other, "old") && holds(out_path, "old"));
    CHECK_OK(lt_write_file(part, "old", 3)); /* not what generate leaves */
    remove(out_path);
    CHECK(LONGTAKE("--blocks", "1", "--steps", "1") == LT_USAGE && holds(part, "old"));
    remove(part), remove(link), remove(other);
}

static void only_mp4_is_written(void) {
    static const char *const names[] = {"v.gif", "v.webm", "v", "mp4", "v.mp4/"};
    char whole[LT_PATH_MAX];
    strcpy(whole, out_path);
    for (int i = 0; i < 5; i++) {
        CHECK_OK(lt_path_join(out_path, folder, names[i]));
        CHECK(LONGTAKE("--blocks", "1", "--steps", "1") == LT_USAGE);
        CHECK(!lt_path_exists(out_path));
    }
    strcpy(out_path, whole);
}

static void mistakes_leave_no_file(void) {
    CHECK(LONGTAKE("--policy", "windw") == LT_USAGE);
    CHECK(LONGTAKE("--budget", "many") == LT_USAGE);
    CHECK(LONGTAKE("--checkpoint", "step-9") == LT_INPUT);
    CHECK(LONGTAKE("--prompt", "a", "--prompts", "b") == LT_USAGE);
    CHECK(LONGTAKE("--prompts", "/nowhere") == LT_INPUT);
    CHECK(LONGTAKE("--stats", "/nowhere/s.json") == LT_USAGE);
    CHECK(LONGTAKE("--device", "null") == LT_USAGE);
    CHECK(!lt_path_exists(out_path) && !lt_path_exists(summary_path));
}

int main(int argc, char **argv) {
    set_up();
    if (lt_video_metadata("/nowhere", see_pair, NULL) == LT_UNAVAILABLE) {
        printf("no FFmpeg in this build: generate is exit 5\n");
        CHECK(LONGTAKE("--blocks", "1") == LT_UNAVAILABLE);
    } else {
        RUN(a_video_has_its_frames_and_says_how_it_was_made);
        RUN(stats_tell_what_the_cache_did);
        RUN(it_goes_on_from_a_clip);
        RUN(an_interrupted_video_plays);
        RUN(outputs_are_told_apart);
    }
    RUN(only_mp4_is_written);
    RUN(mistakes_leave_no_file);
    CHECK_OK(lt_remove_tree(folder));
    return test_end();
}
