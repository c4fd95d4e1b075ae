#include "core/io.h"
#include "core/rng.h"
#include "core/tensor.h"
#include "data/dataset_state.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define W     20
#define H     12
#define FRAME (W * H * 3)

static char folder[TEST_FOLDER];
static char path[LT_PATH_MAX + 32];

static const lt_dataset_spec spec = {W, H, 16, false};

static void fresh(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    lt_remove_tree(path);
    char journal[LT_PATH_MAX + 64];
    snprintf(journal, sizeof journal, "%s.journal", path);
    unlink(journal);
}

/* The bytes of frame `frame` of clip `clip`, so that a reader knows what must be there. */
static void paint(int clip, int frame, uint8_t *rgb) {
    for (int i = 0; i < FRAME; i++) rgb[i] = (uint8_t)(clip * 37 + frame * 11 + i * 3 + (i * i >> 5));
}

static lt_clip make_clip(int index) {
    lt_clip clip = {.fps = 16, .content_hash = (uint64_t)index + 1};
    strcpy(clip.domain, "calm");
    strcpy(clip.role, index % 3 ? "train" : "test");
    snprintf(clip.group, sizeof clip.group, "group %d", index);
    snprintf(clip.source, sizeof clip.source, "source %d", index);
    snprintf(clip.caption, sizeof clip.caption, "a caption with \xc3\xa4, %d", index);
    return clip;
}

static int frames_of(int index) { return 5 + index * 7 % 40; }

static lt_status add(lt_dataset *set, int index) {
    static uint8_t rgb[64][FRAME];
    int frames = frames_of(index), first = frames / 2;
    for (int f = 0; f < frames; f++) paint(index, f, rgb[f]);
    LT_TRY(lt_dataset_append_frames(set, rgb[0], NULL, first));
    LT_TRY(lt_dataset_append_frames(set, rgb[first], NULL, frames - first));
    lt_clip clip = make_clip(index);
    return lt_dataset_add_clip(set, &clip);
}

static bool clip_is_whole(lt_dataset *set, int index) {
    static uint8_t got[64][FRAME];
    uint8_t want[FRAME];
    const lt_clip *clip = lt_dataset_clip(set, index);
    lt_clip expected = make_clip(index);
    if (clip->frames != frames_of(index) || strcmp(clip->caption, expected.caption) != 0) return false;
    if (lt_dataset_read_frames(set, index, 0, clip->frames, got[0]) != LT_OK) return false;
    for (int f = 0; f < clip->frames; f++) {
        paint(index, f, want);
        if (memcmp(want, got[f], FRAME) != 0) return false;
    }
    return true;
}

static lt_status write_clips(int count) {
    lt_dataset *set;
    LT_TRY(lt_dataset_create(path, &spec, &set));
    lt_status status = LT_OK;
    for (int i = 0; i < count && status == LT_OK; i++) {
        status = add(set, i);
        if (status == LT_OK) status = lt_dataset_commit(set);
    }
    lt_dataset_close(set);
    return status;
}

static void what_was_written_is_read(void) {
    lt_dataset *set;
    fresh("written.h5");
    CHECK_OK(write_clips(7));
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK(lt_dataset_clip_count(set) == 7);
    CHECK(lt_dataset_get_spec(set)->width == W && lt_dataset_get_spec(set)->fps == 16);
    for (int i = 0; i < 7; i++) CHECK(clip_is_whole(set, i));
    uint8_t one[FRAME], want[FRAME];
    CHECK_OK(lt_dataset_read_frames(set, 3, 4, 1, one));
    paint(3, 4, want);
    CHECK(memcmp(one, want, FRAME) == 0);
    CHECK_FAILS(lt_dataset_read_frames(set, 3, 20, 10, one), LT_USAGE, "clip 3");
    CHECK_FAILS(lt_dataset_read_frames(set, 7, 0, 1, one), LT_USAGE, "clip 7 of 7");
    CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
    lt_dataset_close(set);
}

static void uncommitted_clips_vanish(void) {
    lt_dataset *set;
    uint8_t rgb[FRAME] = {0};
    fresh("rollback.h5");
    CHECK_OK(write_clips(3));
    CHECK_OK(lt_dataset_open_append(path, &set));
    uint64_t hash = lt_dataset_hash(set);
    CHECK_OK(add(set, 3));
    CHECK_OK(lt_dataset_append_frames(set, rgb, NULL, 1));
    CHECK_FAILS(lt_dataset_commit(set), LT_USAGE, "belong to no clip");
    CHECK(lt_dataset_pending_frames(set) == 1);
    CHECK_OK(lt_dataset_rollback(set));
    CHECK(lt_dataset_clip_count(set) == 3 && lt_dataset_hash(set) == hash);
    CHECK_OK(add(set, 3));
    CHECK_OK(lt_dataset_append_frames(set, rgb, NULL, 1));
    CHECK_OK(lt_dataset_drop_frames(set));
    CHECK_OK(lt_dataset_commit(set));
    CHECK_OK(add(set, 4));
    lt_dataset_close(set);
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK(lt_dataset_clip_count(set) == 4 && lt_dataset_hash(set) != hash);
    for (int i = 0; i < 4; i++) CHECK(clip_is_whole(set, i));
    CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
    lt_dataset_close(set);
}

static void a_group_has_one_role(void) {
    lt_dataset *set;
    uint8_t rgb[FRAME] = {0};
    fresh("group.h5");
    CHECK_OK(write_clips(2));
    CHECK_OK(lt_dataset_open_append(path, &set));
    CHECK_OK(lt_dataset_append_frames(set, rgb, NULL, 1));
    lt_clip clip = make_clip(1);
    strcpy(clip.role, "val");
    CHECK_FAILS(lt_dataset_add_clip(set, &clip), LT_USAGE, "group \"group 1\" has role train");
    strcpy(clip.role, "trian");
    CHECK_FAILS(lt_dataset_add_clip(set, &clip), LT_USAGE, "role is \"trian\"");
    lt_dataset_close(set);
}

static void clips_are_found_by_group_and_source(void) {
    lt_dataset *set;
    uint8_t rgb[FRAME] = {0};
    fresh("find.h5");
    CHECK_OK(lt_dataset_create(path, &spec, &set));
    for (int i = 0; i < 500; i++) {
        lt_clip clip = make_clip(i / 2 * 3); /* two of each; all in role test */
        CHECK_OK(lt_dataset_append_frames(set, rgb, NULL, 1));
        CHECK_OK(lt_dataset_add_clip(set, &clip));
    }
    CHECK_OK(lt_dataset_commit(set));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 250; i++) {
            CHECK(lt_dataset_find_group(set, make_clip(3 * i).group) == 2 * i);
            CHECK(lt_dataset_find_source(set, (uint64_t)(3 * i) + 1, 0) == 2 * i);
            CHECK(lt_dataset_find_group(set, make_clip(3 * i + 1).group) == -1);
            CHECK(lt_dataset_find_source(set, (uint64_t)(3 * i) + 1, 7) == -1);
        }
        CHECK_OK(lt_dataset_rollback(set)); /* reads all of it again */
    }
    lt_dataset_close(set);
}

static void a_shortened_file_is_refused(void) {
    lt_dataset *set;
    struct stat info;
    fresh("short.h5");
    CHECK_OK(write_clips(5));
    CHECK(stat(path, &info) == 0);
    CHECK(truncate(path, info.st_size / 2) == 0);
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "HDF5");
    CHECK(truncate(path, 0) == 0);
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "HDF5");
}

static void true_flow_is_kept_to_half_precision(void) {
    lt_dataset *set;
    lt_dataset_spec with = {W, H, 8, true};
    static float flow[3][H][W][2], got[3][H][W][2];
    static uint8_t rgb[3][FRAME];
    fresh("flow.h5");
    for (int i = 0; i < 3 * H * W * 2; i++) (&flow[0][0][0][0])[i] = (float)(i % 97) / 8 - 5;
    CHECK_OK(lt_dataset_create(path, &with, &set));
    lt_clip real = make_clip(0), scene = make_clip(1);
    scene.flags = LT_CLIP_HAS_FLOW | LT_CLIP_SYNTHETIC;
    CHECK_OK(lt_dataset_append_frames(set, rgb[0], NULL, 3));
    CHECK_OK(lt_dataset_add_clip(set, &real));
    CHECK_OK(lt_dataset_append_frames(set, rgb[0], &flow[0][0][0][0], 3));
    CHECK_OK(lt_dataset_add_clip(set, &scene));
    CHECK_OK(lt_dataset_commit(set));
    CHECK_OK(lt_dataset_read_flow(set, 1, 0, 3, &got[0][0][0][0]));
    CHECK(memcmp(flow, got, sizeof flow) == 0);
    CHECK_FAILS(lt_dataset_read_flow(set, 0, 0, 3, &got[0][0][0][0]), LT_INPUT, "no true flow");
    CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
    lt_dataset_close(set);
}

static int64_t rows_of(lt_dataset *set, lt_feature feature, int64_t clip) {
    int64_t rows = -1;
    CHECK_OK(lt_dataset_feature_rows(set, feature, clip, &rows));
    return rows;
}

static void features_are_rows_per_clip(void) {
    lt_dataset *set;
    fresh("features.h5");
    CHECK_OK(write_clips(3));
    CHECK_OK(lt_dataset_open_append(path, &set));
    lt_feature_spec latents = {"haar3d", 3, {2, 3, 4}}, text = {"utf8", 1, {5}};
    uint16_t rows[4][24], got[24];
    for (int i = 0; i < 96; i++) rows[i / 24][i % 24] = lt_f32_to_f16((float)i / 4);
    CHECK_FAILS(lt_dataset_feature_read(set, LT_LATENTS, 0, 0, 1, got), LT_INPUT, "longtake encode");
    CHECK_OK(lt_dataset_feature_create(set, LT_LATENTS, &latents));
    CHECK_OK(lt_dataset_feature_create(set, LT_TEXT, &text));
    CHECK_OK(lt_dataset_feature_write(set, LT_LATENTS, 2, rows[0], 3));
    CHECK_OK(lt_dataset_feature_write(set, LT_LATENTS, 0, rows[3], 1));
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK(strcmp(lt_dataset_feature_spec(set, LT_LATENTS)->producer, "haar3d") == 0);
    CHECK(lt_dataset_feature_spec(set, LT_LATENTS)->shape[2] == 4);
    CHECK(rows_of(set, LT_LATENTS, 2) == 3 && rows_of(set, LT_LATENTS, 1) == 0);
    CHECK(rows_of(set, LT_TEXT, 2) == 0);
    CHECK_OK(lt_dataset_feature_read(set, LT_LATENTS, 2, 1, 1, got));
    CHECK(memcmp(got, rows[1], sizeof got) == 0);
    CHECK_OK(lt_dataset_feature_read(set, LT_LATENTS, 0, 0, 1, got));
    CHECK(memcmp(got, rows[3], sizeof got) == 0);
    CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
    lt_dataset_close(set);
    CHECK_OK(lt_dataset_open_append(path, &set));
    CHECK_OK(lt_dataset_feature_create(set, LT_LATENTS, &latents)); /* again: replaced */
    CHECK(rows_of(set, LT_LATENTS, 2) == 0);
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
}

static void wrong_files_are_refused(void) {
    lt_dataset *set;
    lt_h5 *h5;
    fresh("absent.h5");
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "No such file");
    fresh("text.h5");
    CHECK_OK(lt_write_file(path, "not an HDF5 file, only text", 27));
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "HDF5");
    CHECK_FAILS(lt_dataset_create(path, &spec, &set), LT_USAGE, "exists");
    CHECK_FAILS(lt_dataset_open(folder, &set), LT_INPUT, "");
    fresh("other.h5");
    CHECK_OK(lt_h5_create(path, &h5));
    CHECK_OK(lt_h5_commit(h5));
    lt_h5_close(h5);
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "not a longtake dataset");
    fresh("version.h5");
    CHECK_OK(write_clips(1));
    CHECK_OK(lt_h5_open(path, true, &h5));
    CHECK_OK(lt_h5_set_int(h5, "/", "schema_version", 3));
    CHECK_OK(lt_h5_commit(h5));
    lt_h5_close(h5);
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "schema version 3");
    CHECK_FAILS(lt_dataset_open_append(path, &set), LT_INPUT, "schema version 3");
}

static void one_writer_at_a_time(void) {
    lt_dataset *writer, *other;
    fresh("lock.h5");
    CHECK_OK(write_clips(1));
    CHECK_OK(lt_dataset_open_append(path, &writer));
    CHECK_FAILS(lt_dataset_open(path, &other), LT_INPUT, "in use");
    lt_dataset_close(writer);
    CHECK_OK(lt_dataset_open(path, &other));
    CHECK_OK(lt_dataset_open(path, &writer));
    lt_dataset_close(writer);
    lt_dataset_close(other);
}

static void count_line(const char *line, void *user) {
    int *lines = user;
    (*lines)++;
    CHECK(strstr(line, "/frames") && strstr(line, "clips 1 to 2"));
}

/* Flips one byte inside the frames of clip 2: found by its bytes in the file. */
static void a_flipped_byte_is_found(void) {
    lt_dataset *set;
    fresh("flipped.h5");
    CHECK_OK(write_clips(5));
    char *bytes;
    size_t size, at = 0;
    uint8_t want[FRAME];
    paint(2, 3, want);
    CHECK_OK(lt_read_file(path, &bytes, &size));
    while (at + FRAME <= size && memcmp(bytes + at, want, FRAME) != 0) at++;
    CHECK(at + FRAME <= size);
    bytes[at + 10] ^= 1;
    CHECK_OK(lt_write_file(path, bytes, size));
    free(bytes);
    CHECK_OK(lt_dataset_open(path, &set));
    uint8_t got[FRAME];
    CHECK_FAILS(lt_dataset_read_frames(set, 2, 3, 1, got), LT_INPUT, "/frames");
    int lines = 0;
    CHECK_FAILS(lt_dataset_check(set, count_line, NULL, &lines), LT_INPUT, "1 fault");
    CHECK(lines == 1);
    lt_dataset_close(set);
}

/* Where the file has these frames of the painted clips. */
static int64_t find_frame(const char *bytes, size_t size, int clip, int frame) {
    uint8_t want[FRAME];
    paint(clip, frame, want);
    for (size_t at = 0; at + FRAME <= size; at++)
        if (memcmp(bytes + at, want, FRAME) == 0) return (int64_t)at;
    CHECK(!"found");
    return 0;
}

static void count_fault(const char *line, void *user) {
    int *lines = user;
    (*lines)++;
    CHECK(line[0]);
}

/* Damage that Fletcher32 takes for whole: the chunk and its sum are zero, as a lost block of a disk leaves them. */
static void zeros_are_not_content(void) {
    lt_dataset *set;
    char *bytes;
    size_t size;
    uint8_t got[FRAME];
    int lines = 0;
    fresh("zeros.h5");
    CHECK_OK(write_clips(5));
    CHECK_OK(lt_read_file(path, &bytes, &size));
    /* 5 + 12 frames come before clip 2, so its frame 15 begins a chunk. */
    int64_t at = find_frame(bytes, size, 2, 15);
    memset(bytes + at, 0, LT_DATASET_CHUNK * FRAME + 4);
    CHECK_OK(lt_write_file(path, bytes, size));
    free(bytes);
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK_FAILS(lt_dataset_read_frames(set, 2, 15, 1, got), LT_INPUT, "not what was written");
    CHECK_OK(lt_dataset_read_frames(set, 2, 14, 1, got));
    CHECK_FAILS(lt_dataset_check(set, count_fault, NULL, &lines), LT_INPUT, "1 fault");
    CHECK(lines == 1);
    lt_dataset_close(set);
}

static void zero_out(const void *pattern, size_t length) {
    char *bytes, *at;
    size_t size;
    CHECK_OK(lt_read_file(path, &bytes, &size));
    at = memmem(bytes, size, pattern, length);
    CHECK(at);
    if (at) memset(at, 0, length);
    CHECK_OK(lt_write_file(path, bytes, size));
    free(bytes);
}

/* Every array has checksums, not only the frames; chunks of flow and features have other sizes. */
static void zeros_are_seen_in_every_array(void) {
    lt_dataset *set;
    lt_dataset_spec with = {4, 2, 8, true};
    static uint8_t rgb[2][4 * 2 * 3];
    static float flow[2 * 16], got[2 * 16];
    uint16_t half[2 * 16], rows[4 * 5], read[4 * 5];
    lt_feature_spec text = {"utf8", 1, {5}};
    lt_clip clip = make_clip(0);
    fresh("every.h5");
    clip.flags = LT_CLIP_HAS_FLOW;
    for (int i = 0; i < 32; i++) flow[i] = (float)i + 0.5f, half[i] = lt_f32_to_f16(flow[i]);
    for (int i = 0; i < 20; i++) rows[i] = (uint16_t)(1000 + i * 37);
    CHECK_OK(lt_dataset_create(path, &with, &set));
    CHECK_OK(lt_dataset_append_frames(set, rgb[0], flow, 2));
    CHECK_OK(lt_dataset_add_clip(set, &clip));
    CHECK_OK(lt_dataset_feature_create(set, LT_TEXT, &text));
    CHECK_OK(lt_dataset_feature_write(set, LT_TEXT, 0, rows, 4));
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
    zero_out(half + 16, 16 * sizeof *half);
    zero_out(rows + 10, 5 * sizeof *rows);
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK_FAILS(lt_dataset_read_flow(set, 0, 0, 2, got), LT_INPUT, "/flow: 1 of rows 0 to 1");
    CHECK_OK(lt_dataset_read_flow(set, 0, 0, 1, got));
    CHECK_FAILS(lt_dataset_feature_read(set, LT_TEXT, 0, 0, 4, read), LT_INPUT, "/text: 1 of rows 0 to 3");
    CHECK_OK(lt_dataset_feature_read(set, LT_TEXT, 0, 0, 2, read));
    lt_dataset_close(set);
    zero_out("source 0", 8);
    CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "/clips");
}

/* A word that changes between 0x0000 and 0xFFFF leaves Fletcher32 as it is. */
static void black_does_not_become_white(void) {
    lt_dataset *set;
    static uint8_t black[16 * FRAME], got[16 * FRAME];
    fresh("black.h5");
    CHECK_OK(lt_dataset_create(path, &spec, &set));
    lt_clip clip = make_clip(1);
    black[0] = 1, black[1] = 2, black[2] = 3; /* to be found by */
    CHECK_OK(lt_dataset_append_frames(set, black, NULL, 16));
    CHECK_OK(lt_dataset_add_clip(set, &clip));
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
    char *bytes, *at;
    size_t size;
    CHECK_OK(lt_read_file(path, &bytes, &size));
    at = memmem(bytes, size, black, sizeof black);
    CHECK(at);
    if (at) memset(at + 2 * FRAME, 0xFF, FRAME);
    CHECK_OK(lt_write_file(path, bytes, size));
    free(bytes);
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK_FAILS(lt_dataset_read_frames(set, 0, 0, 16, got), LT_INPUT, "1 of rows 0 to 15");
    CHECK_OK(lt_dataset_read_frames(set, 0, 3, 13, got));
    lt_dataset_close(set);
}

/* The file of an older build: no checksums of content, and no column for their hash. */
static lt_status write_version_1(void) {
    lt_h5_layout table = lt_clip_layout(1),
                 frames = {.type = LT_H5_U8, .ndim = 4, .dims = {0, H, W, 3}, .chunk_rows = 16};
    lt_h5_field fields[32] = {{NULL}};
    for (int i = 0, n = 0; table.fields[i].name; i++)
        if (!table.fields[i].optional) fields[n++] = table.fields[i];
    lt_clip clip = make_clip(0);
    static uint8_t rgb[64][FRAME];
    clip.frames = frames_of(0);
    for (int f = 0; f < clip.frames; f++) paint(0, f, rgb[f]);
    table.fields = fields, table.record_bytes = offsetof(lt_clip, frames_hash);
    lt_h5 *h5;
    int id;
    LT_TRY(lt_h5_create(path, &h5));
    LT_TRY(lt_h5_set_int(h5, "/", "schema_version", 1));
    LT_TRY(lt_h5_set_int(h5, "/", "width", W));
    LT_TRY(lt_h5_set_int(h5, "/", "height", H));
    LT_TRY(lt_h5_set_float(h5, "/", "fps", 16));
    LT_TRY(lt_h5_add(h5, "/frames", &frames, &id));
    LT_TRY(lt_h5_write(h5, id, 0, clip.frames, rgb));
    LT_TRY(lt_h5_add(h5, "/clips", &table, &id));
    LT_TRY(lt_h5_write(h5, id, 0, 1, &clip));
    LT_TRY(lt_h5_commit(h5));
    lt_h5_close(h5);
    return LT_OK;
}

static void a_file_of_version_1_stays_one(void) {
    lt_dataset *set;
    lt_h5 *h5;
    int64_t version = 0;
    lt_feature_spec text = {"utf8", 1, {5}};
    uint16_t row[5] = {1, 2, 3, 4, 5};
    fresh("version1.h5");
    CHECK_OK(write_version_1());
    CHECK_OK(lt_dataset_open_append(path, &set));
    uint64_t hash = lt_dataset_hash(set);
    CHECK(clip_is_whole(set, 0) && lt_dataset_clip(set, 0)->frames_hash == 0);
    CHECK_OK(add(set, 1));
    CHECK_OK(lt_dataset_feature_create(set, LT_TEXT, &text));
    CHECK_OK(lt_dataset_feature_write(set, LT_TEXT, 1, row, 1));
    CHECK_OK(lt_dataset_commit(set));
    CHECK(lt_dataset_hash(set) != hash);
    lt_dataset_close(set);
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK(lt_dataset_clip_count(set) == 2 && clip_is_whole(set, 0) && clip_is_whole(set, 1));
    CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
    lt_dataset_close(set);
    CHECK_OK(lt_h5_open(path, false, &h5));
    CHECK_OK(lt_h5_get_int(h5, "/", "schema_version", &version));
    CHECK(version == 1 && !lt_h5_has(h5, "/frames_sum") && !lt_h5_has(h5, "/text_sum"));
    lt_h5_close(h5);
}

static void other_frames_are_other_data(void) {
    lt_dataset *set;
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        uint8_t rgb[FRAME] = {0};
        rgb[77] = (uint8_t)i;
        fresh("hash.h5");
        CHECK_OK(lt_dataset_create(path, &spec, &set));
        CHECK_OK(lt_dataset_append_frames(set, rgb, NULL, 1));
        lt_clip clip = make_clip(0);
        CHECK_OK(lt_dataset_add_clip(set, &clip));
        CHECK_OK(lt_dataset_commit(set));
        hashes[i] = lt_dataset_hash(set);
        lt_dataset_close(set);
    }
    CHECK(hashes[0] != hashes[1]);
}

/* The table claims rows that the file cannot hold. */
static void claims_are_checked_before_memory_is_taken(void) {
    lt_dataset *set;
    lt_h5 *h5;
    int id;
    fresh("claims.h5");
    CHECK_OK(write_version_1());
    lt_h5_layout frames = {.type = LT_H5_U8, .ndim = 4, .dims = {0, H, W, 3}, .chunk_rows = 16};
    for (int64_t rows = 3000000; rows > 0; rows = rows < INT64_MAX ? INT64_MAX : 0) {
        CHECK_OK(lt_h5_open(path, true, &h5));
        CHECK_OK(lt_h5_bind(h5, "/frames", &frames, &id));
        CHECK_OK(lt_h5_resize(h5, id, rows));
        CHECK_OK(lt_h5_commit(h5));
        lt_h5_close(h5);
        frames.dims[0] = 0;
        CHECK_FAILS(lt_dataset_open(path, &set), LT_INPUT, "/frames claims");
        CHECK_FAILS(lt_dataset_open_append(path, &set), LT_INPUT, "/frames claims");
        fresh("claims.h5");
        CHECK_OK(write_version_1());
    }
}

/* A node of the tree of chunks that is its own child: HDF5 1.10 goes round until the stack is full. */
static void a_tree_that_leads_in_a_circle_is_refused(void) {
    enum { FEW = 1100, HEAD = 24, KEY = 8 + 5 * 8 };
    lt_dataset *set;
    static uint8_t rgb[FEW * 3], got[3];
    lt_dataset_spec small = {1, 1, 16, false};
    char *bytes, *node;
    size_t size;
    int changed = 0;
    fresh("circle.h5");
    CHECK_OK(lt_dataset_create(path, &small, &set));
    CHECK_OK(lt_dataset_append_frames(set, rgb, NULL, FEW));
    lt_clip clip = make_clip(0);
    CHECK_OK(lt_dataset_add_clip(set, &clip));
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
    CHECK_OK(lt_read_file(path, &bytes, &size));
    for (node = bytes; (node = memmem(node, size - (size_t)(node - bytes), "TREE", 4)); node += 4) {
        if (node[4] != 1 || node[5] != 1) continue; /* of chunks, a level above the leaves */
        int64_t self = node - bytes;
        memcpy(node + HEAD + KEY, &self, sizeof self), changed++;
    }
    CHECK(changed == 1);
    CHECK_OK(lt_write_file(path, bytes, size));
    free(bytes);
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK_FAILS(lt_dataset_read_frames(set, 0, 0, 1, got), LT_INPUT, "no node of the level below");
    lt_dataset_close(set);
    CHECK_FAILS(lt_dataset_open_append(path, &set), LT_INPUT, "no node of the level below");
}

static void a_file_that_shrinks_under_its_reader_is_an_error(void) {
    lt_dataset *set;
    static uint8_t got[64][FRAME];
    fresh("shrinks.h5");
    CHECK_OK(write_clips(5));
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK(clip_is_whole(set, 0));
    CHECK(truncate(path, 0) == 0);
    CHECK_FAILS(lt_dataset_read_frames(set, 4, 0, 20, got[0]), LT_INPUT, "cut short");
    lt_dataset_close(set);
}

/* A file system that is full, as far as this process can tell: a limit on the size of files. */
static void a_full_disk_keeps_what_was_committed(void) {
    lt_dataset *set;
    struct rlimit old, small;
    fresh("full.h5");
    CHECK_OK(write_clips(2));
    struct stat info;
    CHECK(stat(path, &info) == 0);
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    for (int extra = 0; extra < 60000; extra += 4000) {
        small = old;
        small.rlim_cur = (rlim_t)(info.st_size + extra);
        setrlimit(RLIMIT_FSIZE, &small);
        lt_status status = lt_dataset_open_append(path, &set);
        CHECK(status == LT_OK);
        if (status != LT_OK) break;
        for (int i = 2; i < 9 && status == LT_OK; i++) status = add(set, i);
        if (status == LT_OK) status = lt_dataset_commit(set);
        CHECK(status == LT_FAILED && strstr(lt_error(), "File too large"));
        CHECK_FAILS(lt_dataset_commit(set), LT_FAILED, "");
        lt_dataset_close(set);
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK_OK(lt_dataset_open(path, &set));
        CHECK(lt_dataset_clip_count(set) == 2 && clip_is_whole(set, 0) && clip_is_whole(set, 1));
        CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
        lt_dataset_close(set);
    }
    signal(SIGXFSZ, SIG_DFL);
    setrlimit(RLIMIT_FSIZE, &old);
}

/* Writes clips until it is killed, and says at first and after each commit how many there are. */
static void write_until_killed(int report) {
    lt_dataset *set;
    if (lt_dataset_open_append(path, &set) != LT_OK) _exit(9);
    int there = (int)lt_dataset_clip_count(set);
    if (write(report, &there, sizeof there) != sizeof there) _exit(7);
    for (int i = (int)lt_dataset_clip_count(set); i < 100000; i++) {
        if (add(set, i) != LT_OK || lt_dataset_commit(set) != LT_OK) _exit(8);
        int committed = i + 1;
        if (write(report, &committed, sizeof committed) != sizeof committed) _exit(7);
    }
    _exit(6);
}

static void a_killed_writer_loses_nothing_finished(void) {
    int kills = getenv("LT_TEST_KILLS") ? atoi(getenv("LT_TEST_KILLS")) : 60;
    fresh("killed.h5");
    CHECK_OK(write_clips(0));
    lt_rng_key key = {.seed = 7, .purpose = LT_RNG_TEST};
    int known = 0;
    for (int k = 0; k < kills && !test_bad; k++) {
        int pipes[2];
        if (pipe(pipes) != 0) return;
        pid_t child = fork();
        if (child == 0) write_until_killed(pipes[1]);
        close(pipes[1]);
        if (k % 4 && read(pipes[0], &known, sizeof known) != sizeof known)
            known = -1; /* else while it opens */
        usleep((useconds_t)(2000 + lt_rng_below(&key, (uint64_t)k, 30000)));
        kill(child, SIGKILL);
        int state;
        waitpid(child, &state, 0);
        CHECK(WIFSIGNALED(state));
        for (int last; read(pipes[0], &last, sizeof last) == sizeof last;) known = last;
        close(pipes[0]);
        lt_dataset *set;
        lt_status status = lt_dataset_open(path, &set);
        CHECK_OK(status);
        if (status != LT_OK) break;
        int64_t count = lt_dataset_clip_count(set);
        CHECK(count == known || count == known + 1); /* it may die between the commit and the report */
        known = (int)count;
        CHECK_OK(lt_dataset_check(set, NULL, NULL, NULL));
        for (int i = (int)count - 1; i >= 0 && i >= count - 20; i--) CHECK(clip_is_whole(set, i));
        lt_dataset_close(set);
    }
    printf("  %d kills, %d clips committed between them\n", kills, known);
    CHECK(known > 0);
}

int main(int argc, char **argv) {
    test_make_folder("lt_dataset", folder);
    RUN(what_was_written_is_read);
    RUN(uncommitted_clips_vanish);
    RUN(a_group_has_one_role);
    RUN(clips_are_found_by_group_and_source);
    RUN(a_shortened_file_is_refused);
    RUN(true_flow_is_kept_to_half_precision);
    RUN(features_are_rows_per_clip);
    RUN(wrong_files_are_refused);
    RUN(one_writer_at_a_time);
    RUN(a_flipped_byte_is_found);
    RUN(zeros_are_not_content);
    RUN(zeros_are_seen_in_every_array);
    RUN(black_does_not_become_white);
    RUN(a_file_of_version_1_stays_one);
    RUN(other_frames_are_other_data);
    RUN(claims_are_checked_before_memory_is_taken);
    RUN(a_tree_that_leads_in_a_circle_is_refused);
    RUN(a_file_that_shrinks_under_its_reader_is_an_error);
    RUN(a_full_disk_keeps_what_was_committed);
    RUN(a_killed_writer_loses_nothing_finished);
    lt_remove_tree(folder);
    return test_end();
}
