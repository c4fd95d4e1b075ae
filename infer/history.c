#include "infer/history.h"

#include "core/io.h"
#include "data/dataset.h"
#include "data/video_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* "D.h5:12" -> "D.h5" and 12. A file of exactly that name is a video. */
static bool names_a_clip(const char *from, char file[LT_PATH_MAX], int64_t *index) {
    const char *colon = strrchr(from, ':');
    if (!colon || lt_path_exists(from) || colon - from >= LT_PATH_MAX) return false;
    size_t digits = strlen(colon + 1);
    if (digits == 0 || digits > 15 || strspn(colon + 1, "0123456789") != digits) return false;
    memcpy(file, from, (size_t)(colon - from));
    file[colon - from] = '\0';
    *index = strtoll(colon + 1, NULL, 10);
    return true;
}

static lt_status too_short(const char *from, int64_t found, int64_t needed) {
    return lt_fail(LT_INPUT, "%s: has %" PRId64 " frames, %" PRId64 " are needed; take fewer blocks of it",
                   from, found, needed);
}

static lt_status read_clip(const lt_model *model, lt_dataset *set, int64_t index, lt_history *h) {
    const lt_dataset_spec *spec = lt_dataset_get_spec(set);
    const char *path = lt_dataset_path(set);
    const lt_clip *clip = lt_dataset_clip(set, index);
    LT_CHECK(clip, LT_INPUT, "%s: clip %" PRId64 " asked for, it has clips 0 to %" PRId64, path, index,
             lt_dataset_clip_count(set) - 1);
    LT_CHECK(spec->width == model->frame_width && spec->height == model->frame_height, LT_USAGE,
             "%s: frames of %dx%d (width x height), the model makes %dx%d", path, spec->width, spec->height,
             model->frame_width, model->frame_height);
    h->fps = clip->fps;
    if (clip->frames < h->frames) return too_short(path, clip->frames, h->frames);
    return lt_dataset_read_frames(set, index, 0, h->frames, h->rgb);
}

static lt_status read_dataset(const lt_model *model, const char *path, int64_t index, lt_history *h) {
    lt_dataset *set;
    LT_TRY(lt_dataset_open(path, &set));
    lt_status status = read_clip(model, set, index, h);
    lt_dataset_close(set);
    return status;
}

static lt_status read_frames(lt_video *video, const char *path, size_t frame_bytes, lt_history *h) {
    lt_video_place first, place;
    for (int64_t i = 0; i < h->frames; i++) {
        bool got;
        LT_TRY(lt_video_next(video, h->rgb + (size_t)i * frame_bytes, &place, &got));
        if (!got) return too_short(path, i, h->frames);
        if (i == 0) first = place;
        LT_CHECK(place.moment.piece == first.moment.piece, LT_INPUT,
                 "%s: its clock jumps, or frames are damaged, after %" PRId64 " frames; %" PRId64
                 " that follow each other are needed; take fewer blocks of it, or cut the file there",
                 path, i, h->frames);
    }
    h->fps = lt_video_rate(video, &first, &place, h->frames);
    return LT_OK;
}

static lt_status read_video(const lt_model *model, const char *path, double fps, size_t frame_bytes,
                            lt_history *h) {
    lt_video *video;
    lt_video_request request = {.width = model->frame_width, .height = model->frame_height, .fps = fps};
    size_t length = strlen(path);
    LT_CHECK(length < 3 || strcmp(path + length - 3, ".h5") != 0, LT_USAGE,
             "%s: name a clip of the dataset, such as %s:0", path, path);
    LT_TRY(lt_video_open(path, &request, &video));
    lt_status status = read_frames(video, path, frame_bytes, h);
    lt_video_close(video);
    return status;
}

lt_status lt_history_read(const lt_model *model, const char *from, int64_t blocks, double fps,
                          lt_history *out) {
    char file[LT_PATH_MAX];
    int64_t index;
    size_t frame_bytes = (size_t)model->frame_height * (size_t)model->frame_width * 3;
    *out = (lt_history){.frames = lt_model_frames(model, blocks)};
    out->rgb = malloc((size_t)out->frames * frame_bytes);
    LT_CHECK(out->rgb, LT_FAILED, "%s: out of memory for %" PRId64 " frames", from, out->frames);
    lt_status status = names_a_clip(from, file, &index) ? read_dataset(model, file, index, out)
                                                        : read_video(model, from, fps, frame_bytes, out);
    if (status != LT_OK) lt_history_free(out);
    return status;
}

void lt_history_free(lt_history *history) {
    free(history->rgb);
    *history = (lt_history){0};
}
