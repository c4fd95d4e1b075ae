#include "data/dataset.h"
#include "core/checksum.h"
#include "core/rng.h"
#include "core/tensor.h"
#include "data/dataset_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLIP_PIECE 256 /* rows of the table read at a time */

static lt_h5_layout frames_layout(const lt_dataset *set) {
    return (lt_h5_layout){.type = LT_H5_U8,
                          .ndim = 4,
                          .dims = {0, set->spec.height, set->spec.width, 3},
                          .chunk_rows = LT_DATASET_CHUNK,
                          .sums = set->version >= 2,
                          .labels = {"frame", "y", "x", "channel"},
                          .about = "frames of all clips, back to back; red, green, blue",
                          .units = "8-bit code (sRGB)"};
}

/* Clips without true flow have rows that were never written. */
static lt_h5_layout flow_layout(const lt_dataset *set) {
    return (lt_h5_layout){.type = LT_H5_F16,
                          .ndim = 4,
                          .dims = {0, set->spec.height, set->spec.width, 2},
                          .chunk_rows = LT_DATASET_CHUNK,
                          .sums = set->version >= 2,
                          .sparse = true,
                          .labels = {"frame", "y", "x", "dx_dy"},
                          .about = "true motion of each pixel to the next frame of the clip",
                          .units = "pixels/frame"};
}

static lt_status check_spec(const char *path, const lt_dataset_spec *spec, lt_status code) {
    LT_CHECK(spec->width >= 1 && spec->width <= 8192 && spec->height >= 1 && spec->height <= 8192, code,
             "%s: frames of %d x %d: both sides must be 1 to 8192", path, spec->width, spec->height);
    LT_CHECK(isfinite(spec->fps) && spec->fps > 0, code, "%s: fps is %g: expected a positive number", path,
             spec->fps);
    return LT_OK;
}

static lt_status write_schema(lt_dataset *set) {
    lt_h5_layout frames = frames_layout(set), flow = flow_layout(set), table = lt_clip_layout(set->version);
    LT_TRY(lt_h5_set_int(set->h5, "/", "schema_version", set->version));
    LT_TRY(lt_h5_set_int(set->h5, "/", "width", set->spec.width));
    LT_TRY(lt_h5_set_int(set->h5, "/", "height", set->spec.height));
    LT_TRY(lt_h5_set_float(set->h5, "/", "fps", set->spec.fps));
    LT_TRY(lt_h5_add(set->h5, "/frames", &frames, &set->frames));
    LT_TRY(lt_h5_add(set->h5, "/clips", &table, &set->table));
    if (set->spec.flow) LT_TRY(lt_h5_add(set->h5, "/flow", &flow, &set->flow));
    return lt_h5_commit(set->h5);
}

lt_status lt_dataset_create(const char *path, const lt_dataset_spec *spec, lt_dataset **out) {
    *out = NULL;
    LT_TRY(check_spec(path, spec, LT_USAGE));
    lt_dataset *set = calloc(1, sizeof *set);
    LT_CHECK(set, LT_FAILED, "%s: out of memory", path);
    set->spec = *spec;
    set->version = LT_DATASET_SCHEMA;
    lt_status status = lt_h5_create(path, &set->h5);
    if (status == LT_OK) status = write_schema(set);
    if (status != LT_OK) {
        lt_dataset_close(set);
        return status;
    }
    *out = set;
    return LT_OK;
}

static lt_status read_spec(lt_dataset *set) {
    const char *path = lt_h5_path(set->h5);
    int64_t width, height;
    if (lt_h5_get_int(set->h5, "/", "schema_version", &set->version) != LT_OK)
        return lt_fail_in(LT_INPUT, "not a longtake dataset, or damaged");
    LT_CHECK(
        set->version >= 1 && set->version <= LT_DATASET_SCHEMA, LT_INPUT,
        "%s: schema version %lld, but this build reads versions 1 to %d: use the longtake that made it, or "
        "ingest the sources again",
        path, (long long)set->version, LT_DATASET_SCHEMA);
    LT_TRY(lt_h5_get_int(set->h5, "/", "width", &width));
    LT_TRY(lt_h5_get_int(set->h5, "/", "height", &height));
    LT_TRY(lt_h5_get_float(set->h5, "/", "fps", &set->spec.fps));
    bool range = width >= 1 && width <= 8192 && height >= 1 && height <= 8192;
    set->spec.width = range ? (int)width : 0;
    set->spec.height = range ? (int)height : 0;
    set->spec.flow = lt_h5_has(set->h5, "/flow");
    return check_spec(path, &set->spec, LT_INPUT);
}

static lt_status reserve_clips(lt_dataset *set, int64_t count) {
    if (count <= set->clip_capacity) return LT_OK;
    int64_t capacity = 2 * set->clip_capacity > count ? 2 * set->clip_capacity : count;
    lt_clip *clips = realloc(set->clips, (size_t)capacity * sizeof *clips);
    LT_CHECK(clips, LT_FAILED, "%s: no memory for %lld clips", lt_h5_path(set->h5), (long long)capacity);
    /* Older files lack columns. */
    memset(clips + set->clip_capacity, 0, (size_t)(capacity - set->clip_capacity) * sizeof *clips);
    set->clips = clips;
    set->clip_capacity = capacity;
    return LT_OK;
}

static lt_status index_clip(lt_dataset *set, int64_t at) {
    LT_TRY(lt_clip_index_add(&set->by_group, LT_BY_GROUP, set->clips, at));
    return lt_clip_index_add(&set->by_source, LT_BY_SOURCE, set->clips, at);
}

/* The rows must at least be safe to use: what they say about frames is checked here, the rest by
 * lt_dataset_check. */
static lt_status read_clips(lt_dataset *set) {
    int64_t count = lt_h5_rows(set->h5, set->table), frames = lt_h5_rows(set->h5, set->frames);
    LT_TRY(reserve_clips(set, count));
    for (int64_t i = 0; i < count; i += CLIP_PIECE)
        LT_TRY(lt_h5_read(set->h5, set->table, i, count - i < CLIP_PIECE ? count - i : CLIP_PIECE,
                          set->clips + i));
    for (int64_t i = 0; i < count; i++) {
        lt_clip *c = &set->clips[i];
        if (lt_clip_check(c) != LT_OK)
            return lt_fail_in(LT_INPUT, "%s: clip %lld", lt_h5_path(set->h5), (long long)i);
        LT_CHECK(c->first_frame >= 0 && c->frames <= frames && c->first_frame <= frames - c->frames, LT_INPUT,
                 "%s: clip %lld lies outside /frames", lt_h5_path(set->h5), (long long)i);
    }
    lt_clip_index_free(&set->by_group);
    lt_clip_index_free(&set->by_source);
    for (int64_t i = 0; i < count; i++) LT_TRY(index_clip(set, i));
    set->clip_count = set->committed_clips = count;
    set->frame_end = frames;
    return LT_OK;
}

static lt_status bind_arrays(lt_dataset *set) {
    lt_h5_layout frames = frames_layout(set), flow = flow_layout(set), table = lt_clip_layout(set->version);
    LT_TRY(lt_h5_bind(set->h5, "/frames", &frames, &set->frames));
    LT_TRY(lt_h5_bind(set->h5, "/clips", &table, &set->table));
    if (set->spec.flow) LT_TRY(lt_h5_bind(set->h5, "/flow", &flow, &set->flow));
    LT_TRY(read_clips(set));
    return lt_dataset_features_open(set);
}

static lt_status open_dataset(const char *path, bool append, lt_dataset **out) {
    *out = NULL;
    lt_dataset *set = calloc(1, sizeof *set);
    LT_CHECK(set, LT_FAILED, "%s: out of memory", path);
    lt_status status = lt_h5_open(path, append, &set->h5);
    if (status == LT_OK) status = read_spec(set);
    if (status == LT_OK) status = bind_arrays(set);
    if (status != LT_OK) {
        lt_dataset_close(set);
        return status;
    }
    *out = set;
    return LT_OK;
}

lt_status lt_dataset_open(const char *path, lt_dataset **out) { return open_dataset(path, false, out); }

lt_status lt_dataset_open_append(const char *path, lt_dataset **out) { return open_dataset(path, true, out); }

static void end(lt_dataset *set, void (*close)(lt_h5 *)) {
    if (!set) return;
    close(set->h5);
    lt_clip_index_free(&set->by_group);
    lt_clip_index_free(&set->by_source);
    free(set->clips);
    free(set);
}

void lt_dataset_close(lt_dataset *set) { end(set, lt_h5_close); }
void lt_dataset_close_and_remove(lt_dataset *set) { end(set, lt_h5_close_and_remove); }

const lt_dataset_spec *lt_dataset_get_spec(const lt_dataset *set) { return &set->spec; }
const char *lt_dataset_path(const lt_dataset *set) { return lt_h5_path(set->h5); }
int64_t lt_dataset_frame_count(const lt_dataset *set) { return set->frame_end; }
int64_t lt_dataset_clip_count(const lt_dataset *set) { return set->clip_count; }

const lt_clip *lt_dataset_clip(const lt_dataset *set, int64_t index) {
    return index >= 0 && index < set->clip_count ? &set->clips[index] : NULL;
}

int64_t lt_dataset_find_group(const lt_dataset *set, const char *group) {
    lt_clip like;
    if (!lt_copy_text(like.group, sizeof like.group, group)) return -1;
    return lt_clip_index_find(&set->by_group, LT_BY_GROUP, set->clips, &like);
}

int64_t lt_dataset_find_source(const lt_dataset *set, uint64_t content_hash, uint64_t recipe_hash) {
    lt_clip like = {.content_hash = content_hash, .recipe_hash = recipe_hash};
    return lt_clip_index_find(&set->by_source, LT_BY_SOURCE, set->clips, &like);
}

/* Of the rows as schema 1 had them, so that the data of older runs keep their names. */
static uint64_t hash_clips(const lt_dataset *set, uint64_t hash) {
    if (set->version >= 2) return lt_checksum(set->clips, (size_t)set->clip_count * sizeof *set->clips, hash);
    for (int64_t i = 0; i < set->clip_count; i++)
        hash = lt_hash(&set->clips[i], offsetof(lt_clip, frames_hash), hash);
    return hash;
}

uint64_t lt_dataset_hash(const lt_dataset *set) {
    const int64_t numbers[] = {set->version, set->spec.width, set->spec.height, set->spec.flow,
                               set->clip_count};
    uint64_t hash = lt_hash(numbers, sizeof numbers, LT_HASH_SEED);
    hash = lt_hash(&set->spec.fps, sizeof set->spec.fps, hash);
    return hash_clips(set, hash);
}

lt_status lt_dataset_hash_frames(lt_dataset *set, const lt_clip *clip, uint64_t *out) {
    *out = 0;
    if (set->version < 2) return LT_OK;
    uint64_t *sums = malloc((size_t)clip->frames * sizeof *sums + 1);
    LT_CHECK(sums, LT_FAILED, "%s: no memory for %lld checksums", lt_h5_path(set->h5),
             (long long)clip->frames);
    lt_status status = lt_h5_read_sums(set->h5, set->frames, clip->first_frame, clip->frames, sums);
    if (status == LT_OK) *out = lt_checksum(sums, (size_t)clip->frames * sizeof *sums, 0);
    free(sums);
    return status;
}

/* Where frames first .. first + count - 1 of a clip are in /frames. */
static lt_status locate(const lt_dataset *set, int64_t clip, int64_t first, int64_t count, int64_t *at) {
    const lt_clip *c = lt_dataset_clip(set, clip);
    *at = 0;
    LT_CHECK(c, LT_USAGE, "%s: clip %lld of %lld", lt_h5_path(set->h5), (long long)clip,
             (long long)set->clip_count);
    LT_CHECK(first >= 0 && count >= 0 && count <= c->frames && first <= c->frames - count, LT_USAGE,
             "%s: frames %lld to %lld of clip %lld, which has %lld", lt_h5_path(set->h5), (long long)first,
             (long long)(first + count - 1), (long long)clip, (long long)c->frames);
    *at = c->first_frame + first;
    return LT_OK;
}

lt_status lt_dataset_read_frames(lt_dataset *set, int64_t clip, int64_t first, int64_t count, uint8_t *rgb) {
    int64_t at;
    LT_TRY(locate(set, clip, first, count, &at));
    lt_status status = lt_h5_read(set->h5, set->frames, at, count, rgb);
    return status == LT_OK ? LT_OK
                           : lt_fail(status, "%s (clip %lld); `longtake info %s --check` finds all damage",
                                     lt_error(), (long long)clip, lt_h5_path(set->h5));
}

lt_status lt_dataset_read_flow(lt_dataset *set, int64_t clip, int64_t first, int64_t count, float *flow) {
    int64_t at, values = count * set->spec.width * set->spec.height * 2;
    LT_TRY(locate(set, clip, first, count, &at));
    LT_CHECK(set->spec.flow && set->clips[clip].flags & LT_CLIP_HAS_FLOW, LT_INPUT,
             "%s: clip %lld has no true flow", lt_h5_path(set->h5), (long long)clip);
    LT_CHECK(lt_h5_rows(set->h5, set->flow) >= at + count, LT_INPUT,
             "%s: /flow is shorter than /frames: damaged", lt_h5_path(set->h5));
    uint16_t *half = malloc((size_t)values * sizeof *half + 1);
    LT_CHECK(half, LT_FAILED, "%s: no memory for %lld flow values", lt_h5_path(set->h5), (long long)values);
    lt_status status = lt_h5_read(set->h5, set->flow, at, count, half);
    if (status != LT_OK) lt_fail_in(status, "clip %lld", (long long)clip);
    for (int64_t i = 0; i < values && status == LT_OK; i++) flow[i] = lt_f16_to_f32(half[i]);
    free(half);
    return status;
}

static lt_status write_flow(lt_dataset *set, int64_t at, const float *flow, int64_t count) {
    int64_t values = count * set->spec.width * set->spec.height * 2;
    uint16_t *half = malloc((size_t)values * sizeof *half + 1);
    LT_CHECK(half, LT_FAILED, "%s: no memory for %lld flow values", lt_h5_path(set->h5), (long long)values);
    for (int64_t i = 0; i < values; i++) half[i] = lt_f32_to_f16(flow[i]);
    lt_status status = lt_h5_write(set->h5, set->flow, at, count, half);
    free(half);
    return status;
}

lt_status lt_dataset_append_frames(lt_dataset *set, const uint8_t *rgb, const float *flow, int64_t count) {
    int64_t at = lt_h5_rows(set->h5, set->frames);
    LT_CHECK(!flow || set->spec.flow, LT_USAGE, "%s: was made without /flow", lt_h5_path(set->h5));
    LT_TRY(lt_h5_write(set->h5, set->frames, at, count, rgb));
    if (flow) return write_flow(set, at, flow, count);
    return set->spec.flow ? lt_h5_resize(set->h5, set->flow, at + count) : LT_OK;
}

int64_t lt_dataset_pending_frames(const lt_dataset *set) {
    return lt_h5_rows(set->h5, set->frames) - set->frame_end;
}

lt_status lt_dataset_drop_frames(lt_dataset *set) {
    LT_TRY(lt_h5_resize(set->h5, set->frames, set->frame_end));
    return set->spec.flow ? lt_h5_resize(set->h5, set->flow, set->frame_end) : LT_OK;
}

lt_status lt_dataset_add_clip(lt_dataset *set, lt_clip *clip) {
    clip->first_frame = set->frame_end;
    clip->frames = lt_dataset_pending_frames(set);
    lt_status status = lt_clip_check(clip);
    if (status != LT_OK) return lt_fail_in(status, "%s: clip of %.200s", lt_h5_path(set->h5), clip->source);
    int64_t relative = lt_dataset_find_group(set, clip->group);
    LT_CHECK(relative < 0 || strcmp(set->clips[relative].role, clip->role) == 0, LT_USAGE,
             "%s: group \"%s\" has role %s already; a clip of it cannot have role %s", lt_h5_path(set->h5),
             clip->group, set->clips[relative].role, clip->role);
    LT_TRY(lt_dataset_hash_frames(set, clip, &clip->frames_hash));
    LT_TRY(reserve_clips(set, set->clip_count + 1));
    set->clips[set->clip_count] = *clip;
    LT_TRY(index_clip(set, set->clip_count));
    set->clip_count++;
    set->frame_end += clip->frames;
    return LT_OK;
}

lt_status lt_dataset_commit(lt_dataset *set) {
    int64_t pending = lt_dataset_pending_frames(set), clips = set->clip_count - set->committed_clips;
    LT_CHECK(pending == 0, LT_USAGE, "%s: %lld frames belong to no clip yet", lt_h5_path(set->h5),
             (long long)pending);
    if (clips > 0)
        LT_TRY(
            lt_h5_write(set->h5, set->table, set->committed_clips, clips, set->clips + set->committed_clips));
    LT_TRY(lt_h5_commit(set->h5));
    set->committed_clips = set->clip_count;
    return LT_OK;
}

lt_status lt_dataset_rollback(lt_dataset *set) {
    memset(set->features, 0, sizeof set->features);
    LT_TRY(lt_h5_rollback(set->h5));
    LT_TRY(read_spec(set));
    return bind_arrays(set);
}
