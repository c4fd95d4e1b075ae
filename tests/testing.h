/* The program `longtake` as its users see it: commands run as children, in a folder of the test's own, with a model and
 * scenes so small that every step takes a fraction of a second. A test that defines TEST_ON_DEVICE before it includes
 * this has them compute on the GPU, in float32, where LT_TEST_DEVICE=cuda asks for it. */
#ifndef LT_TESTS_TESTING_H
#define LT_TESTS_TESTING_H

#include "core/json.h"
#include "data/video_reader.h"
#include "tests/harness.h"
#include "tests/process.h"

#include <cjson/cJSON.h>

static char test_folder[TEST_FOLDER], test_program[LT_PATH_MAX];
static process_result got;         /* of the latest command */
static char test_command[1 << 12]; /* the latest command, for messages */

/* 4 frames of 16x16 per block, 68 thousand parameters. */
static const char test_config[] =
    "{\"model\": {\"frame_size\": [16, 16], \"block_frames\": 2, \"layers\": 2, \"heads\": 2, \"head_dim\": "
    "16,"
    " \"caption_channels\": 16, \"text_length\": 8},"
    " \"train\": {\"batch\": 2, \"blocks\": 4, \"lr\": 2e-3, \"warmup\": 0, \"schedule\": \"constant\","
    " \"steps\": 6, \"checkpoint_every\": 3, \"validate_every\": 3, \"validate_clips\": 3},"
    " \"data\": {\"train_domains\": [\"calm\"]}}";

/* The path of `name` in the test's folder; valid until the program ends. */
static inline const char *in_folder(const char *name) {
    static char *paths[64];
    static int count;
    char path[LT_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    for (int i = 0; i < count; i++)
        if (strcmp(paths[i], path) == 0) return paths[i];
    if (count == 64) printf("in_folder: more than 64 names\n"), exit(1);
    return paths[count++] = strdup(path);
}

#ifdef TEST_ON_DEVICE
static inline bool on_gpu(void) {
    const char *asked = getenv("LT_TEST_DEVICE");
    return asked && strcmp(asked, "cuda") == 0;
}

/* Of commands that compute, unless they choose a device themselves or run out of disk: the limit would hit the driver's
 * files. */
static inline int choose_device(const char **argv, int count, int64_t file_limit) {
    static const char *const computing[] = {"train", "generate", "evaluate", "ablate"};
    bool computes = false;
    for (int i = 0; i < 4 && count > 1; i++) computes = computes || strcmp(argv[1], computing[i]) == 0;
    for (int i = 2; i < count; i++) computes = computes && strcmp(argv[i], "--device") != 0;
    if (!on_gpu() || !computes || file_limit > 0) return count;
    argv[count++] = "--device=cuda";
    argv[count++] = "--precision=f32";
    return count;
}
#else
static inline int choose_device(const char **argv, int count, int64_t file_limit) {
    (void)argv, (void)file_limit;
    return count;
}
#endif

/* The machine is shared with other tests, so a command gets one thread. */
static inline process longtake_start(const char *const *arguments, int64_t file_limit) {
    const char *argv[64] = {test_program};
    size_t used = 0;
    int count = 1;
    for (; *arguments && count < 60; arguments++) argv[count++] = *arguments;
    count = choose_device(argv, count, file_limit);
    for (int i = 1; i < count && used < sizeof test_command; i++)
        used += (size_t)snprintf(test_command + used, sizeof test_command - used, " %s", argv[i]);
    if (count > 1 && argv[1][0] != '-' && strcmp(argv[1], "help") != 0) argv[count++] = "--threads=1";
    return process_start(&(process_spec){.argv = argv, .timeout = 120, .file_limit = file_limit});
}

static inline int longtake_run(const char *const *arguments, int64_t file_limit) {
    process p = longtake_start(arguments, file_limit);
    process_free(&got);
    got = process_wait(&p);
    return got.code;
}
#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LONGTAKE(...)  longtake_run(ARGUMENTS(__VA_ARGS__), 0)

/* The latest command ended with `code` and, unless that is 0, with a last line on stderr that contains `text`. */
static inline bool ended(int code, const char *text) {
    bool said = code == 0 || (strstr(got.err, "longtake") && strstr(got.err, text));
    if (got.code == code && said) return true;
    printf("longtake%s: exit %d, wanted %d \"...%s...\"; stderr:\n%.2000s\n", test_command, got.code, code,
           text, got.err);
    return false;
}
#define CHECK_EXIT(code, text, ...)                                                                          \
    do {                                                                                                     \
        LONGTAKE(__VA_ARGS__);                                                                               \
        CHECK(ended((code), (text)));                                                                        \
    } while (0)
#define CHECK_RUN(...) CHECK_EXIT(0, "", __VA_ARGS__)

/* ---- folders ------------------------------------------------------------------------------------------------- */

/* What a folder holds, names and contents, as one number; not the mark, which says which process was there last. */
static inline uint64_t folder_state(const char *folder) {
    char command[LT_PATH_MAX + 128];
    uint64_t hash = 1469598103934665603u;
    snprintf(command, sizeof command,
             "cd '%s' && find . ! -name .longtake | sort && find . -type f ! -name .longtake -exec md5sum {} "
             "+ | sort",
             folder);
    FILE *list = popen(command, "r");
    for (int c; list && (c = fgetc(list)) != EOF;) hash = (hash ^ (uint64_t)c) * 1099511628211u;
    if (list) pclose(list);
    return hash;
}

static inline void write_text(const char *path, const char *text) {
    CHECK_OK(lt_write_file(path, text, strlen(text)));
}

static inline void copy_tree(const char *from, const char *to) {
    process p = process_start(&(process_spec){.argv = ARGUMENTS("cp", "-a", from, to)});
    process_result r = process_wait(&p);
    CHECK(r.code == 0);
    process_free(&r);
}

/* Adds `difference` to the byte at `at`; negative counts from the end. */
static inline void damage_byte(const char *path, int64_t at, int difference) {
    FILE *file = fopen(path, "r+b");
    CHECK(file);
    if (!file) return;
    CHECK(fseek(file, (long)at, at < 0 ? SEEK_END : SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(byte != EOF && fseek(file, -1, SEEK_CUR) == 0 && fputc((byte + difference) & 255, file) != EOF);
    fclose(file);
}

static inline cJSON *parse_output(void) {
    cJSON *json = NULL;
    CHECK_OK(lt_json_parse(got.out, got.out_size, test_command, LT_INPUT, &json));
    return json;
}

static inline cJSON *read_json(const char *path) {
    char *text = NULL;
    size_t size;
    cJSON *json = NULL;
    CHECK_OK(lt_read_file(path, &text, &size));
    if (text) CHECK_OK(lt_json_parse(text, size, path, LT_INPUT, &json));
    free(text);
    return json;
}

static inline double json_number(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* This build writes and reads mp4. */
static inline bool has_video(void) {
    lt_video *video;
    lt_video_request request = {.width = 16, .height = 16};
    return lt_video_open("/nowhere", &request, &video) != LT_UNAVAILABLE;
}

/* ---- begin and end ------------------------------------------------------------------------------------------- */

/* The program lies beside the test in the build folder. */
static inline void find_program(void) {
    ssize_t length = readlink("/proc/self/exe", test_program, sizeof test_program - 16);
    char *slash = length > 0 ? memrchr(test_program, '/', (size_t)length) : NULL;
    if (slash) strcpy(slash + 1, "longtake");
    if (!lt_path_exists(test_program))
        printf("%s is missing: build the target longtake\n", test_program), exit(1);
}

/* A folder with tiny.json and, unless `clips` is "0", d.h5 with calm clips of 48 frames and three roles. */
static inline void test_begin(const char *clips) {
    find_program();
    test_make_folder("longtake", test_folder);
    write_text(in_folder("tiny.json"), test_config);
    if (strcmp(clips, "0") == 0) return;
    CHECK_RUN("scenes", "--out", in_folder("d.h5"), "--domain", "calm", "--clips", clips, "--frames", "48",
              "--size", "16x16", "--role", "val=0.3", "--role", "test=0.4", "--seed", "3", "-q");
}

static inline int test_finish(void) {
    process_free(&got);
    CHECK_OK(lt_remove_tree(test_folder));
    return test_end();
}

#endif
