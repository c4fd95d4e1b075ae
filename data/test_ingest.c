#include "core/cli.h"
#include "core/io.h"
#include "core/rng.h"
#include "data/ingest.h"
#include "data/video_reader.h"
#include "data/video_writer.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern const lt_command lt_cmd_ingest;

#define W 96
#define H 64

static char folder[TEST_FOLDER], out[LT_PATH_MAX];

static const char *in_folder(const char *name) {
    static char paths[4][LT_PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    CHECK_OK(lt_path_join(path, folder, name));
    return path;
}

/* An empty folder for each test. */
static void fresh(void) {
    CHECK_OK(lt_remove_tree(folder));
    CHECK_OK(lt_make_dirs(folder));
    snprintf(out, sizeof out, "%s", in_folder("out.h5"));
}

/* A scene: soft blobs of its own colours, drifting by one pixel a frame. */
static void paint(int scene, double frame, int width, int height, uint8_t *rgb) {
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, rgb += 3)
            for (int c = 0; c < 3; c++) {
                double u = (x + frame) * (0.11 + 0.03 * c), v = (y + 0.3 * frame) * (0.17 + 0.02 * scene);
                double tone = scene % 2 ? 50 + 30 * c : 190 - 40 * c;
                rgb[c] = (uint8_t)(tone + 40 * sin(u + scene) * cos(v + c));
            }
}

typedef struct recipe {
    int width, height, frames, cut; /* cut: first frame of another scene, 0: none */
    int repeat;                     /* every repeat-th frame repeats the one before, 0: none */
    double fps;
    int scene;
} recipe;

static void write_video(const char *name, recipe v) {
    lt_video_writer_spec spec = {
        .width = v.width ? v.width : W, .height = v.height ? v.height : H, .fps = v.fps, .crf = 10};
    lt_video_writer *writer;
    uint8_t *rgb = malloc((size_t)spec.width * (size_t)spec.height * 3);
    CHECK_OK(lt_video_writer_open(in_folder(name), &spec, &writer));
    for (int f = 0; f < v.frames; f++) {
        int shown = v.repeat && f % v.repeat == v.repeat - 1 ? f - 1 : f;
        paint(v.cut && f >= v.cut ? v.scene + 1 : v.scene, shown, spec.width, spec.height, rgb);
        CHECK_OK(lt_video_writer_append(writer, rgb, 1));
    }
    CHECK_OK(lt_video_writer_close(writer));
    free(rgb);
}

static void truncate_to(const char *name, double share) {
    struct stat info;
    CHECK(stat(in_folder(name), &info) == 0);
    CHECK(truncate(in_folder(name), (off_t)(share * (double)info.st_size)) == 0);
}

/* The command, in a process of its own; its process id. */
static pid_t start_ingest(const char *const *extra) {
    char *argv[32] = {"longtake", "ingest", "--out", out, "--quiet"};
    int argc = 5;
    for (; *extra; extra++) argv[argc++] = (char *)*extra;
    fflush(stdout);
    pid_t child = fork();
    if (child != 0) return child;
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    lt_status status = lt_cli_run(&lt_cmd_ingest, argc, argv);
    if (getenv("LT_TEST_VERBOSE") && status != LT_OK) fprintf(stderr, "exit %d: %s\n", status, lt_error());
    fflush(NULL);
    _exit(status);
}

/* Its exit code. */
static int ingest(const char *const *extra) {
    int state;
    waitpid(start_ingest(extra), &state, 0);
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}
#define INGEST(...) ingest((const char *const[]){__VA_ARGS__, NULL})

/* The file, checked, if it holds this many clips; else NULL and a failed check. */
static lt_dataset *open_out(int64_t clips) {
    lt_dataset *set = NULL;
    CHECK_OK(lt_dataset_open(out, &set));
    if (!set) return NULL;
    CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
    if (lt_dataset_clip_count(set) == clips) return set;
    printf("%lld clips instead of %lld\n", (long long)lt_dataset_clip_count(set), (long long)clips),
        test_bad++;
    lt_dataset_close(set);
    return NULL;
}

static const char *domain(const char *name) {
    static char text[LT_PATH_MAX + 32];
    snprintf(text, sizeof text, "%s=%s", name, folder);
    return text;
}

static void frames_are_left_out_down_to_the_rate(void) {
    fresh();
    write_video("fast.mp4", (recipe){.frames = 60, .fps = 30});
    write_video("slow.mp4", (recipe){.frames = 20, .fps = 10, .scene = 2});
    write_video("third.mp4", (recipe){.frames = 50, .fps = 25, .scene = 3});
    CHECK(INGEST("--domain", domain("calm"), "--size", "96x64", "--fps", "16") == 0);
    lt_dataset *set = open_out(3);
    if (!set) return;
    const lt_clip *fast = lt_dataset_clip(set, 0), *slow = lt_dataset_clip(set, 1),
                  *third = lt_dataset_clip(set, 2);
    CHECK(fast->frames == 32 && fast->fps == 16 && !(fast->flags & LT_CLIP_SOURCE_FPS));
    CHECK(slow->frames == 20 && slow->fps == 10 && slow->flags & LT_CLIP_SOURCE_FPS);
    CHECK(third->frames == 32 && third->fps == 16);
    /* Frame k shows the moment k / 16 s, to half a frame of the source. */
    uint8_t *got = malloc(32 * W * H * 3), *want = malloc(W * H * 3);
    CHECK_OK(lt_dataset_read_frames(set, 0, 0, 32, got));
    for (int k = 0; k < 32; k++) {
        double best = 1e9;
        int at = -1;
        for (int f = 0; f < 60; f++) {
            double sum = 0;
            paint(0, f, W, H, want);
            for (int i = 0; i < W * H * 3; i++) sum += abs(want[i] - got[k * W * H * 3 + i]);
            if (sum < best) best = sum, at = f;
        }
        CHECK(fabs(at / 30.0 - k / 16.0) <= 0.5 / 16 + 1e-9);
        CHECK(best / (W * H * 3) < 4);
    }
    free(got);
    free(want);
    lt_dataset_close(set);
}

static void motion_is_measured_in_stored_pixels_per_second(void) {
    fresh();
    write_video("drift.mp4", (recipe){.frames = 40, .fps = 16});
    CHECK(INGEST("--domain", domain("calm"), "--size", "96x64") == 0);
    lt_dataset *set = open_out(1);
    if (!set) return;
    double drift = sqrt(1 + 0.3 * 0.3) * 16;
    CHECK_NEAR(lt_dataset_clip(set, 0)->flow_px_per_s, drift, 0.15 * drift);
    CHECK(lt_dataset_clip(set, 0)->luma_diff > 1 && lt_dataset_clip(set, 0)->luma_diff < 10);
    CHECK(lt_dataset_clip(set, 0)->repeated == 0);
    lt_dataset_close(set);
}

static void the_centre_is_kept_and_odd_sizes_work(void) {
    fresh();
    /* White bars left and right of a black square: a square crop must not show them. */
    lt_video_writer_spec spec = {.width = 160, .height = 80, .fps = 8, .crf = 5};
    lt_video_writer *writer;
    uint8_t *rgb = calloc(160 * 80, 3);
    for (int i = 0; i < 160 * 80; i++)
        if (i % 160 < 36 || i % 160 >= 124) memset(rgb + 3 * i, 255, 3);
    CHECK_OK(lt_video_writer_open(in_folder("bars.mp4"), &spec, &writer));
    for (int f = 0; f < 10; f++) CHECK_OK(lt_video_writer_append(writer, rgb, 1));
    CHECK_OK(lt_video_writer_close(writer));
    CHECK(INGEST("--domain", domain("calm"), "--size", "33x33") == 0);
    lt_dataset *set = open_out(1);
    if (set) {
        int brightest = 0;
        CHECK_OK(lt_dataset_read_frames(set, 0, 0, 10, rgb));
        for (int i = 0; i < 10 * 33 * 33 * 3; i++) brightest = rgb[i] > brightest ? rgb[i] : brightest;
        CHECK(brightest < 40);
        lt_dataset_close(set);
    }
    free(rgb);
    CHECK(INGEST("--domain", domain("calm"), "--size", "64x64") == 2); /* the file holds 33x33 */
    CHECK(INGEST("--domain", domain("calm"), "--size", "7x64") == 2);
}

static void clips_end_at_cuts_and_at_the_longest_length(void) {
    fresh();
    write_video("cut.mp4", (recipe){.frames = 60, .fps = 16, .cut = 27});
    CHECK(INGEST("--domain", domain("calm"), "--clip-frames", "20", "--min-frames", "10") == 0);
    lt_dataset *set = open_out(3); /* 20, (7 dropped) | 20, 13 */
    if (!set) return;
    const lt_clip *a = lt_dataset_clip(set, 0), *b = lt_dataset_clip(set, 1), *c = lt_dataset_clip(set, 2);
    CHECK(a->frames == 20 && b->frames == 20 && c->frames == 13);
    CHECK(!(a->flags & LT_CLIP_BEFORE_CUT) && b->flags & LT_CLIP_AFTER_CUT &&
          !(c->flags & LT_CLIP_AFTER_CUT));
    CHECK_NEAR(b->start_s, 27 / 16.0, 1e-3);
    CHECK(a->part == 0 && b->part == 1 && c->part == 2);
    lt_dataset_close(set);
    CHECK(INGEST("--domain", domain("calm"), "--no-cuts") == 0); /* another recipe: in again */
    set = open_out(4);
    CHECK(set && lt_dataset_clip(set, 3)->frames == 60);
    lt_dataset_close(set);
}

static void repeated_frames_are_flagged(void) {
    fresh();
    write_video("a_plain.mp4", (recipe){.frames = 40, .fps = 16});
    write_video("b_doubled.mp4", (recipe){.frames = 40, .fps = 16, .repeat = 2});
    write_video("c_fifth.mp4", (recipe){.frames = 40, .fps = 30, .repeat = 5});
    CHECK(INGEST("--domain", domain("calm"), "--size", "96x64") == 0);
    lt_dataset *set = open_out(3);
    if (!set) return;
    CHECK(!(lt_dataset_clip(set, 0)->flags & LT_CLIP_REPEATED));
    CHECK(lt_dataset_clip(set, 1)->flags & LT_CLIP_REPEATED && lt_dataset_clip(set, 1)->repeated >= 18);
    CHECK(lt_dataset_clip(set, 2)->flags & LT_CLIP_REPEATED && lt_dataset_clip(set, 2)->repeated >= 7);
    lt_dataset_close(set);
}

static void sidecars_give_captions_and_groups(void) {
    fresh();
    write_video("ride_a.mp4", (recipe){.frames = 12, .fps = 16});
    write_video("ride_b.mp4", (recipe){.frames = 12, .fps = 16, .scene = 2});
    write_video("swim.mp4", (recipe){.frames = 12, .fps = 16, .scene = 4});
    CHECK_OK(lt_write_file(in_folder("ride_a.txt"), " a rider\nin the caf\xc3\xa9 \n", 23));
    CHECK_OK(lt_write_file(in_folder("swim.group"), "ride\n", 5));
    CHECK(INGEST("--domain", domain("dynamic"), "--group-by", "prefix:_", "--role", "test=0.5,val=0.2") == 0);
    lt_dataset *set = open_out(3);
    if (!set) return;
    CHECK(strcmp(lt_dataset_clip(set, 0)->caption, "a rider in the caf\xc3\xa9") == 0);
    CHECK(lt_dataset_clip(set, 1)->caption[0] == '\0');
    for (int i = 0; i < 3; i++) {
        CHECK(strcmp(lt_dataset_clip(set, i)->group, "ride") == 0);
        CHECK(strcmp(lt_dataset_clip(set, i)->domain, "dynamic") == 0);
        CHECK(strcmp(lt_dataset_clip(set, i)->role, lt_dataset_clip(set, 0)->role) == 0);
    }
    char role[8];
    strcpy(role, lt_dataset_clip(set, 0)->role);
    lt_dataset_close(set);
    /* Other shares do not move a group that is in: a fourth clip of it follows the first three. */
    write_video("ride_c.mp4", (recipe){.frames = 12, .fps = 16, .scene = 6});
    const char *shares = strcmp(role, "test") == 0 ? "test=0,val=0" : "test=1,val=0";
    CHECK(INGEST("--domain", domain("dynamic"), "--group-by", "prefix:_", "--role", shares) == 0);
    set = open_out(4);
    CHECK(set && strcmp(lt_dataset_clip(set, 3)->role, role) == 0);
    lt_dataset_close(set);
}

static void byte_order_marks_are_not_part_of_a_text(void) {
    fresh();
    write_video("a.mp4", (recipe){.frames = 12, .fps = 16});
    CHECK_OK(lt_write_file(in_folder("a.txt"),
                           "\xef\xbb\xbf"
                           "a dog runs\r\n",
                           15));
    CHECK_OK(lt_write_file(in_folder("a.group"),
                           "\xef\xbb\xbf"
                           "park\r\n",
                           9));
    CHECK(INGEST("--domain", domain("calm")) == 0);
    lt_dataset *set = open_out(1);
    CHECK(set && strcmp(lt_dataset_clip(set, 0)->caption, "a dog runs") == 0);
    CHECK(set && strcmp(lt_dataset_clip(set, 0)->group, "park") == 0);
    lt_dataset_close(set);
}

/* Only what cannot be read is lost, and none of it is waited for. */
static void links_back_pipes_and_what_cannot_be_read_cost_only_themselves(void) {
    fresh();
    write_video("a.mp4", (recipe){.frames = 12, .fps = 16});
    CHECK_OK(lt_make_dirs(in_folder("sub/deep")));
    write_video("sub/deep/b.mp4", (recipe){.frames = 12, .fps = 16, .scene = 1});
    write_video("c.mp4", (recipe){.frames = 12, .fps = 16, .scene = 2});
    CHECK(symlink("..", in_folder("sub/up")) == 0 && symlink(".", in_folder("sub/deep/self")) == 0);
    CHECK(symlink("/nowhere/at/all.mp4", in_folder("gone.mp4")) == 0);
    CHECK(mkfifo(in_folder("live.mp4"), 0600) == 0);
    CHECK_OK(lt_write_file(in_folder("c.group"), "\xff\xfe", 2)); /* not a text: c is lost */
    CHECK_OK(lt_make_dirs(in_folder("locked")));
    CHECK(chmod(in_folder("locked"), 0) == 0);
    alarm(60);
    CHECK(INGEST("--domain", domain("calm")) == 0);
    alarm(0);
    lt_dataset *set = open_out(2);
    lt_dataset_close(set);
    CHECK(remove(out) == 0);
    CHECK(INGEST("--domain", domain("calm"), "--strict") == 3);
    CHECK(chmod(in_folder("locked"), 0700) == 0);
    lt_sources sources = {0};
    lt_grouping grouping = {0};
    CHECK_OK(lt_sources_add(&sources, domain("calm"), &grouping));
    int problems = 0;
    for (int64_t i = 0; i < sources.count; i++) problems += sources.items[i].problem != NULL;
    CHECK(sources.count == 5 && problems == 3);
    lt_sources_free(&sources);
}

static void running_again_adds_what_is_new(void) {
    fresh();
    write_video("a.mp4", (recipe){.frames = 12, .fps = 16});
    CHECK(INGEST("--domain", domain("calm")) == 0);
    lt_dataset *set = open_out(1);
    uint64_t hash = set ? lt_dataset_hash(set) : 0;
    lt_dataset_close(set);
    CHECK(INGEST("--domain", domain("calm")) == 0);
    set = open_out(1);
    CHECK(set && lt_dataset_hash(set) == hash);
    lt_dataset_close(set);
    write_video("b.mp4", (recipe){.frames = 12, .fps = 16, .scene = 1});
    CHECK(INGEST("--domain", domain("calm")) == 0);
    set = open_out(2);
    lt_dataset_close(set);
}

/* A container of sound: a header of RIFF/WAVE inside AVI would need a muxer, so the smallest Ogg-free one is used:
 * an AVI whose only stream is PCM. */
static void write_sound(const char *name) {
    static const unsigned char header[] =
        "RIFF\xbc\x01\x00\x00"
        "AVI "
        "LIST\x98\x00\x00\x00"
        "hdrl"
        "avih\x38\x00\x00\x00"
        "\x40\x9c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"
        "\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        "\x00\x00\x00\x00\x00\x00\x00\x00"
        "LIST\x4c\x00\x00\x00"
        "strl"
        "strh\x38\x00\x00\x00"
        "auds"
        "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x40\x1f\x00\x00"
        "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00"
        "\x00\x00\x00\x00"
        "strf\x10\x00\x00\x00"
        "\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00"
        "LIST\x0c\x01\x00\x00"
        "movi"
        "01wb\x00\x01\x00\x00";
    unsigned char file[sizeof header - 1 + 256];
    memcpy(file, header, sizeof header - 1);
    memset(file + sizeof header - 1, 128, 256);
    CHECK_OK(lt_write_file(in_folder(name), file, sizeof file));
}

/* Each alone: exit 3, and no file is left. */
static void bad_alone(const char *name) {
    char source[LT_PATH_MAX + 16];
    snprintf(source, sizeof source, "calm=%s", in_folder(name));
    CHECK(INGEST("--domain", source) == 3);
    if (lt_path_exists(out)) printf("%s: a file was left\n", name), test_bad++;
}

static void bad_files_are_refused_without_output(void) {
    fresh();
    write_video("cut_short.mp4", (recipe){.frames = 80, .fps = 16});
    truncate_to("cut_short.mp4", 0.7);
    write_video("header.mp4", (recipe){.frames = 80, .fps = 16});
    truncate_to("header.mp4", 0.01);
    CHECK_OK(lt_write_file(in_folder("text.mp4"), "only a text, whatever its name says\n", 36));
    CHECK_OK(lt_write_file(in_folder("empty.mp4"), "", 0));
    CHECK_OK(lt_write_file(in_folder("list.mp4"), "#EXTM3U\n#EXTINF:1,\ncut_short.mp4\n", 33));
    write_video("no_frames.mp4", (recipe){.frames = 0, .fps = 16});
    write_video("few.mp4", (recipe){.frames = 3, .fps = 16});
    write_sound("sound.avi");
    bad_alone("cut_short.mp4");
    bad_alone("header.mp4");
    bad_alone("text.mp4");
    bad_alone("empty.mp4");
    bad_alone("list.mp4");
    bad_alone("no_frames.mp4");
    bad_alone("few.mp4");
    bad_alone("sound.avi");
    bad_alone("absent.mp4");
    CHECK(INGEST("--domain", domain("calm")) == 3);
    CHECK(!lt_path_exists(out));
    CHECK(INGEST("--domain", "calm") == 2);
    CHECK(INGEST("--domain", domain("calm"), "--group-by", "mood") == 2);
    lt_video *opened;
    lt_video_request request = {32, 32, 0, 1};
    CHECK_FAILS(lt_video_open(in_folder("sound.avi"), &request, &opened), LT_INPUT, "no video stream");
}

static void a_folder_without_videos_is_an_error(void) {
    fresh();
    CHECK_OK(lt_write_file(in_folder("notes.txt"), "hello", 5));
    CHECK(INGEST("--domain", domain("calm")) == 3);
    CHECK(INGEST("--domain", "calm=/does/not/exist") == 3);
    CHECK(!lt_path_exists(out));
}

static void bad_files_are_skipped_or_strict_ends_there(void) {
    fresh();
    write_video("a.mp4", (recipe){.frames = 12, .fps = 16});
    write_video("c.mp4", (recipe){.frames = 12, .fps = 16, .scene = 1});
    write_video("b.mp4", (recipe){.frames = 80, .fps = 16, .scene = 2});
    truncate_to("b.mp4", 0.8);
    CHECK(INGEST("--domain", domain("calm")) == 0);
    lt_dataset *set = open_out(2);
    CHECK(set && lt_dataset_frame_count(set) == 24);
    lt_dataset_close(set);
    CHECK(lt_remove_tree(out) == LT_OK);
    char named[3][LT_PATH_MAX + 32];
    for (int i = 0; i < 3; i++) snprintf(named[i], sizeof named[i], "%c=%s/%c.mp4", 'a' + i, folder, 'a' + i);
    CHECK(INGEST("--domain", named[0], "--domain", named[1], "--domain", named[2], "--strict") == 3);
    set = open_out(1);
    lt_dataset_close(set);
}

/* 13 videos of 1 to 5 seconds in the order of their names: every role has one of 3 seconds, which blocks can be made
 * of. */
static void few_videos_fill_every_role_with_long_ones(void) {
    static const int frames[13] = {16, 20, 24, 50, 28, 32, 60, 18, 22, 70, 80, 26, 30};
    int64_t groups[LT_ROLES] = {0}, longest[LT_ROLES] = {0};
    fresh();
    for (int i = 0; i < 13; i++) {
        char name[16];
        snprintf(name, sizeof name, "%c.mp4", 'a' + i);
        write_video(name, (recipe){.frames = frames[i], .fps = 16, .scene = i});
    }
    CHECK(INGEST("--domain", domain("calm"), "--no-cuts") == 0);
    lt_dataset *set = open_out(13);
    for (int64_t i = 0; set && i < 13; i++) {
        const lt_clip *clip = lt_dataset_clip(set, i);
        int role = lt_role_number(clip->role);
        groups[role]++;
        if (clip->frames > longest[role]) longest[role] = clip->frames;
    }
    CHECK(groups[LT_ROLE_TRAIN] == 9 && groups[LT_ROLE_VAL] == 1 && groups[LT_ROLE_TEST] == 3);
    for (int r = 0; r < LT_ROLES; r++) CHECK(longest[r] >= 48);
    lt_dataset_close(set);
}

static void a_foreign_output_file_is_left_alone(void) {
    fresh();
    write_video("a.mp4", (recipe){.frames = 12, .fps = 16});
    CHECK_OK(lt_write_file(out, "my notes", 8));
    CHECK(INGEST("--domain", domain("calm")) == 3);
    lt_dataset *set;
    CHECK_FAILS(lt_dataset_open(out, &set), LT_INPUT, "signature");
    char *text;
    size_t size;
    CHECK_OK(lt_read_file(out, &text, &size));
    CHECK(size == 8 && memcmp(text, "my notes", 8) == 0);
    free(text);
}

static void stop_after_first(const lt_source *source, const lt_ingest_result *result, int64_t done,
                             int64_t total, void *user) {
    (void)source, (void)result, (void)total, (void)user;
    if (done == 1) raise(SIGINT);
}

static void an_interrupt_keeps_finished_sources(void) {
    fresh();
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.mp4", i);
        write_video(name, (recipe){.frames = 12, .fps = 16, .scene = i});
    }
    pid_t child = fork();
    if (child == 0) {
        lt_dataset *set;
        lt_dataset_spec spec = {32, 32, 16, false};
        lt_sources sources = {0};
        lt_grouping grouping = {0};
        lt_ingest_options options = lt_ingest_defaults();
        lt_catch_signals();
        lt_status status = lt_sources_add(&sources, domain("calm"), &grouping);
        if (status == LT_OK) status = lt_dataset_create(out, &spec, &set);
        if (status == LT_OK) status = lt_ingest(set, &sources, &options, stop_after_first, NULL);
        _exit(status); /* without closing */
    }
    int state;
    waitpid(child, &state, 0);
    CHECK(WIFEXITED(state) && WEXITSTATUS(state) == LT_INTERRUPTED);
    lt_dataset *set = open_out(1);
    lt_dataset_close(set);
    CHECK(INGEST("--domain", domain("calm")) == 0);
    set = open_out(3);
    lt_dataset_close(set);
}

static void a_full_disk_ends_it_with_the_finished_sources(void) {
    fresh();
    write_video("a.mp4", (recipe){.frames = 16, .fps = 16});
    write_video("b.mp4", (recipe){.frames = 100, .fps = 16, .scene = 1});
    char first[LT_PATH_MAX + 32], second[LT_PATH_MAX + 32];
    snprintf(first, sizeof first, "calm=%s/a.mp4", folder);
    snprintf(second, sizeof second, "sport=%s/b.mp4", folder);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 600000; /* 16 frames of 96 x 64 are 295 kB, 116 are 2.1 MB */
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int code = INGEST("--domain", first, "--domain", second, "--size", "96x64");
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    CHECK(code == 4);
    lt_dataset *set = open_out(1);
    lt_dataset_close(set);
    CHECK(INGEST("--domain", domain("calm")) == 0);
    set = open_out(2);
    lt_dataset_close(set);
}

/* The program at any instant: it is killed again and again, and started again, until it gets through. */
static void a_killed_ingest_goes_on_where_it_was(void) {
    enum { SOURCES = 8 };
    fresh();
    for (int i = 0; i < SOURCES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.mp4", i);
        write_video(name, (recipe){.frames = 24, .fps = 16, .scene = i});
    }
    lt_rng_key key = {.seed = 3, .purpose = LT_RNG_TEST};
    int64_t before = 0;
    int kills = 0;
    for (int k = 0; k < 24; k++) {
        pid_t child =
            start_ingest((const char *const[]){"--domain", domain("calm"), "--size", "96x64", NULL});
        usleep(
            (useconds_t)lt_rng_below(&key, (uint64_t)k, 20000 * (k + 2))); /* whatever the machine's speed */
        kill(child, SIGKILL);
        int state;
        waitpid(child, &state, 0);
        kills += WIFSIGNALED(state);
        if (!lt_path_exists(out)) continue;
        lt_dataset *set = NULL;
        CHECK_OK(lt_dataset_open(out, &set));
        if (!set) return;
        CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
        CHECK(lt_dataset_clip_count(set) >= before);
        before = lt_dataset_clip_count(set);
        lt_dataset_close(set);
    }
    CHECK(INGEST("--domain", domain("calm"), "--size", "96x64") == 0);
    lt_dataset *set = open_out(SOURCES);
    CHECK(set && lt_dataset_frame_count(set) == SOURCES * 24);
    lt_dataset_close(set);
    printf("  %d kills, %d sources finished under them\n", kills, (int)before);
}

static void without_ffmpeg_it_says_how_to_get_it(void) {
    CHECK(INGEST("--domain", "calm=.") == LT_UNAVAILABLE);
    CHECK_FAILS(lt_video_available(), LT_UNAVAILABLE, "libavformat-dev");
}

int main(int argc, char **argv) {
    if (lt_video_available() != LT_OK) {
        RUN(without_ffmpeg_it_says_how_to_get_it);
        return test_end();
    }
    test_make_folder("lt_ingest", folder);
    RUN(frames_are_left_out_down_to_the_rate);
    RUN(motion_is_measured_in_stored_pixels_per_second);
    RUN(the_centre_is_kept_and_odd_sizes_work);
    RUN(clips_end_at_cuts_and_at_the_longest_length);
    RUN(repeated_frames_are_flagged);
    RUN(sidecars_give_captions_and_groups);
    RUN(byte_order_marks_are_not_part_of_a_text);
    RUN(links_back_pipes_and_what_cannot_be_read_cost_only_themselves);
    RUN(running_again_adds_what_is_new);
    RUN(bad_files_are_refused_without_output);
    RUN(a_folder_without_videos_is_an_error);
    RUN(bad_files_are_skipped_or_strict_ends_there);
    RUN(few_videos_fill_every_role_with_long_ones);
    RUN(a_foreign_output_file_is_left_alone);
    RUN(an_interrupt_keeps_finished_sources);
    RUN(a_full_disk_ends_it_with_the_finished_sources);
    RUN(a_killed_ingest_goes_on_where_it_was);
    lt_remove_tree(folder);
    return test_end();
}
