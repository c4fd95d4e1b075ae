/* A dataset of video clips in one HDF5 file (docs/dataset.md has every array, attribute and checksum):
 *
 *     /frames    uint8 [F, H, W, 3] RGB, chunks of 16 frames, clips back to back
 *     /clips     table, one row per clip (data/clip.h)
 *     /flow      float16 [F, H, W, 2], optional: true motion (dx, dy) in pixels from frame f to f + 1 of the same clip;
 *                zero at a clip's last frame and in clips without LT_CLIP_HAS_FLOW
 *     /latents   float16 [R, ...], optional, with /latents_rows int64 [clips, 2] (first row, rows): see lt_feature
 *     /text      float16 [R, width], optional, with /text_rows
 *     NAME_sum   uint64 [rows]: a checksum of the content of each row of the array NAME, compared whenever the row
 *                is read
 *
 * attributes of the file: schema_version, width, height, fps. Schema 1 has no checksums of content, and Fletcher32 of
 * HDF5 alone, which takes zeros for whole and does not see a word that changes between 0x0000 and 0xFFFF. Such files
 * are read and appended to as what they are: they stay at schema 1.
 *
 * Writing is transactional. Frames and clips that were appended become part of the file at lt_dataset_commit,
 * all of them or none; a process that dies at any instruction, a full disk or lt_dataset_rollback leave the
 * file as the last commit left it (data/h5.h says how). One process may have a file open for appending, or
 * several for reading.
 *
 *     LT_TRY(lt_dataset_create(path, &spec, &set));
 *     LT_TRY(lt_dataset_append_frames(set, rgb, NULL, 16));     as often as needed
 *     LT_TRY(lt_dataset_add_clip(set, &clip));                  the frames since the last clip are its frames
 *     LT_TRY(lt_dataset_commit(set));
 *     lt_dataset_close(set);
 *
 * Reading may be done from several threads at once; appending is one thread's. Errors name the file.
 * LT_INPUT: not a dataset, another schema version, damaged; LT_FAILED: a write failed (the message has the
 * system's reason) and what was not committed is gone: only lt_dataset_rollback and lt_dataset_close do
 * anything after that.
 */
#ifndef LT_DATA_DATASET_H
#define LT_DATA_DATASET_H

#include "data/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LT_DATASET_SCHEMA 2  /* of new files; from 1 on they are read */
#define LT_DATASET_CHUNK  16 /* frames per chunk of /frames */

typedef struct lt_dataset lt_dataset;

typedef struct lt_dataset_spec {
    int width, height; /* of every frame; 1 to 8192 */
    double fps;        /* the rate that clips are brought down to */
    bool flow;         /* the file has /flow */
} lt_dataset_spec;

/* A new, empty file; LT_USAGE when `path` exists. On failure no file is left. */
lt_status lt_dataset_create(const char *path, const lt_dataset_spec *spec, lt_dataset **out);
lt_status lt_dataset_open(const char *path, lt_dataset **out);        /* to read */
lt_status lt_dataset_open_append(const char *path, lt_dataset **out); /* to read and append */
/* What was not committed is lost. NULL is fine. */
void lt_dataset_close(lt_dataset *set);
/* Of a file that is open to append: removes it, before another process can begin to use it. NULL is fine. */
void lt_dataset_close_and_remove(lt_dataset *set);

/* What it was created with; the path it was opened by; frames of all its clips, and clips. */
const lt_dataset_spec *lt_dataset_get_spec(const lt_dataset *set);
const char *lt_dataset_path(const lt_dataset *set);
int64_t lt_dataset_frame_count(const lt_dataset *set);
int64_t lt_dataset_clip_count(const lt_dataset *set);
/* Row `index` of /clips, without reading the file; uncommitted clips come last. NULL when out of range. Valid
 * until the next lt_dataset_add_clip, rollback or close. */
const lt_clip *lt_dataset_clip(const lt_dataset *set, int64_t index);
/* The first clip of a group, or of a source that was brought in with these options; -1 when there is none. */
int64_t lt_dataset_find_group(const lt_dataset *set, const char *group);
int64_t lt_dataset_find_source(const lt_dataset *set, uint64_t content_hash, uint64_t recipe_hash);
/* 64-bit hash of the clip table and of the file's attributes: names the data in a run's record. In schema 2 the table
 * has a hash of each clip's frames (lt_clip.frames_hash), so other frames are other data. */
uint64_t lt_dataset_hash(const lt_dataset *set);

/* Frames first .. first + count - 1 of a clip (counted from its start) into rgb[count][height][width][3]. What is
 * damaged, or lost from the file since it was opened, is LT_INPUT and names the frames and the clip. */
lt_status lt_dataset_read_frames(lt_dataset *set, int64_t clip, int64_t first, int64_t count, uint8_t *rgb);
/* The same of /flow, into flow[count][height][width][2]. LT_INPUT when the clip has none. */
lt_status lt_dataset_read_flow(lt_dataset *set, int64_t clip, int64_t first, int64_t count, float *flow);

/* Appends rgb[count][height][width][3], any count; `flow` as above, or NULL. They belong to the next clip
 * added. */
lt_status lt_dataset_append_frames(lt_dataset *set, const uint8_t *rgb, const float *flow, int64_t count);
/* Makes the frames appended since the last clip a clip: sets clip->first_frame and clip->frames and checks
 * the row (at least one frame, fps, domain, role, group set; group without another role: else LT_USAGE). */
lt_status lt_dataset_add_clip(lt_dataset *set, lt_clip *clip);
/* Frames appended since the last clip. */
int64_t lt_dataset_pending_frames(const lt_dataset *set);
/* Forgets the frames appended since the last clip; earlier clips stay pending. */
lt_status lt_dataset_drop_frames(lt_dataset *set);
/* Makes everything appended permanent and flushes it to the disk. LT_USAGE while frames without a clip are
 * pending. */
lt_status lt_dataset_commit(lt_dataset *set);
/* Back to the last commit; the file stays open. */
lt_status lt_dataset_rollback(lt_dataset *set);

/* Precomputed float16 rows per clip, as many as each clip needs, all of one shape. */
typedef enum lt_feature {
    LT_LATENTS, /* one row per latent frame, shape [channels, height, width] */
    LT_TEXT     /* one row per token, shape [width] */
} lt_feature;

#define LT_FEATURE_DIMS 3

typedef struct lt_feature_spec {
    char producer[256]; /* what computed them, such as a codec's name and hash: a reader compares it */
    int ndim;           /* dimensions of one row */
    int64_t shape[LT_FEATURE_DIMS];
} lt_feature_spec;

/* Creates /latents or /text; one that is there already is replaced. */
lt_status lt_dataset_feature_create(lt_dataset *set, lt_feature feature, const lt_feature_spec *spec);
/* NULL when the file has none. */
const lt_feature_spec *lt_dataset_feature_spec(const lt_dataset *set, lt_feature feature);
/* Rows of one clip; 0 when they have not been written. */
lt_status lt_dataset_feature_rows(lt_dataset *set, lt_feature feature, int64_t clip, int64_t *out);
/* Appends the rows of a clip, f16[rows][shape...] as IEEE half bits (lt_f32_to_f16); permanent at the next
 * commit. */
lt_status lt_dataset_feature_write(lt_dataset *set, lt_feature feature, int64_t clip, const uint16_t *f16,
                                   int64_t rows);
lt_status lt_dataset_feature_read(lt_dataset *set, lt_feature feature, int64_t clip, int64_t first,
                                  int64_t count, uint16_t *f16);

/* Reads the whole file and reports every fault found, one line each, through `report` (NULL: only counts):
 * content whose checksum does not agree, clips that overlap or lie outside /frames, bad fields, groups with
 * two roles, feature rows out of range. LT_INPUT when there was any. `progress`, if not NULL, hears about
 * frames read. */
typedef void (*lt_check_report)(const char *line, void *user);
typedef void (*lt_check_progress)(int64_t done, int64_t total, void *user);
lt_status lt_dataset_check(lt_dataset *set, lt_check_report report, lt_check_progress progress, void *user);

#ifdef __cplusplus
}
#endif
#endif
