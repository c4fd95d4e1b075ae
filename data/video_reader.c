#include "data/video_reader.h"

#ifndef LT_WITH_FFMPEG

struct lt_video {
    lt_video_info info;
};

lt_status lt_video_available(void) {
    return lt_fail(LT_UNAVAILABLE,
                   "this build has no FFmpeg libraries, so it cannot decode video; install libavformat-dev "
                   "libavcodec-dev libavutil-dev libswscale-dev and build again");
}

lt_status lt_video_open(const char *path, const lt_video_request *request, lt_video **out) {
    (void)path, (void)request;
    *out = NULL;
    return lt_video_available();
}

void lt_video_close(lt_video *video) { (void)video; }
const lt_video_info *lt_video_get_info(const lt_video *video) { return &video->info; }

int64_t lt_video_repeats(const lt_video *video, int64_t first, int64_t last) {
    (void)video, (void)first, (void)last;
    return 0;
}

double lt_video_rate(const lt_video *video, const lt_video_place *first, const lt_video_place *last,
                     int64_t frames) {
    (void)video, (void)first, (void)last, (void)frames;
    return 0;
}

lt_status lt_video_next(lt_video *video, uint8_t *rgb, lt_video_place *place, bool *got) {
    (void)video, (void)rgb, (void)place;
    *got = false;
    return LT_UNAVAILABLE;
}

#else

#    include "data/video_decode.h"
#    include "data/video_scale.h"

#    include <libavutil/display.h>
#    include <math.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <string.h>

struct lt_video {
    char path[256]; /* for messages */
    lt_video_request request;
    lt_video_info info;
    lt_video_decoder decoder;
    lt_clock clock;
    AVFrame *held; /* nearest to its point of the grid so far */
    lt_video_place place;
    bool holds;
    double end_s; /* when the last picture goes, by its duration */
    lt_scaler *scaler;
    lt_step_meter meter;
};

/* The stream's display matrix; NULL: none. */
static const int32_t *matrix_of(const AVStream *stream) {
#    if LIBAVFORMAT_VERSION_MAJOR >= 61
    const AVPacketSideData *side = av_packet_side_data_get(
        stream->codecpar->coded_side_data, stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    return side && side->size >= 9 * sizeof(int32_t) ? (const int32_t *)(const void *)side->data : NULL;
#    else
    size_t size = 0;
    const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    return data && size >= 9 * sizeof(int32_t) ? (const int32_t *)(const void *)data : NULL;
#    endif
}

static void fill_info(lt_video *video, lt_turn turn) {
    lt_video_info *info = &video->info;
    const lt_video_file *file = &video->decoder.file;
    const lt_pace *pace = &video->clock.pace;
    AVRational shape = av_guess_sample_aspect_ratio(file->format, file->stream, NULL);
    double wide = shape.num > 0 && shape.den > 0 ? av_q2d(shape) : 1;
    int width = (int)lround(file->stream->codecpar->width * wide), height = file->stream->codecpar->height;
    info->source_fps = pace->mean;
    info->fps = video->clock.every ? pace->mean : video->request.fps;
    info->seconds = (double)pace->pictures / pace->mean;
    info->width = turn.swap ? height : width;
    info->height = turn.swap ? width : height;
    /* A turn is a rotation, or one that is mirrored left to right afterwards. */
    info->mirrored = turn.swap == (turn.flip_x == turn.flip_y);
    bool flip_x = turn.flip_x != info->mirrored;
    info->rotation = turn.swap ? (flip_x ? 90 : 270) : (turn.flip_y ? 180 : 0);
    snprintf(info->codec, sizeof info->codec, "%s", video->decoder.codec->codec->name);
}

static lt_status open_video(lt_video *video, const char *path) {
    lt_pace pace;
    const lt_video_request *request = &video->request;
    LT_TRY(lt_video_file_pace(path, &pace));
    LT_TRY(lt_video_decoder_open(video->path, path, request->threads, &video->decoder));
    lt_clock_open(&video->clock, &pace, request->fps);
    video->held = av_frame_alloc();
    LT_CHECK(video->held, LT_FAILED, "%s: out of memory", path);
    lt_turn turn = lt_turn_of(matrix_of(video->decoder.file.stream));
    fill_info(video, turn);
    return lt_scaler_open(request->width, request->height, turn, &video->scaler);
}

lt_status lt_video_available(void) { return LT_OK; }

lt_status lt_video_open(const char *path, const lt_video_request *request, lt_video **out) {
    *out = NULL;
    lt_video *video = calloc(1, sizeof *video);
    LT_CHECK(video, LT_FAILED, "%s: out of memory", path);
    snprintf(video->path, sizeof video->path, "%s", path);
    video->request = *request;
    lt_status status = open_video(video, path);
    if (status == LT_OK) *out = video;
    else lt_video_close(video);
    return status;
}

void lt_video_close(lt_video *video) {
    if (!video) return;
    lt_scaler_close(video->scaler);
    lt_step_meter_free(&video->meter);
    av_frame_free(&video->held);
    lt_video_decoder_close(&video->decoder);
    free(video);
}

const lt_video_info *lt_video_get_info(const lt_video *video) { return &video->info; }

double lt_video_rate(const lt_video *video, const lt_video_place *first, const lt_video_place *last,
                     int64_t frames) {
    return lt_clock_rate(&video->clock, &first->moment, &last->moment, frames);
}

int64_t lt_video_repeats(const lt_video *video, int64_t first, int64_t last) {
    const float *step = video->meter.steps;
    int64_t repeats = 0;
    for (int64_t i = first + 1; i < last; i++)
        repeats += step[i] < 0.25f * step[i - 1] && step[i] < 0.25f * step[i + 1];
    return repeats;
}

/* A file that states its length and ends well before has lost its end; one that hardly decodes is none. */
static lt_status check_end(const lt_video *video) {
    int64_t good = video->meter.count, lost = video->info.lost;
    LT_CHECK(good > 0 || lost > 0, LT_INPUT, "%s: has no frames", video->path);
    LT_CHECK(9 * good >= lost && good > 0, LT_INPUT, "%s: damaged: %lld of its frames decode, %lld do not",
             video->path, (long long)good, (long long)lost);
    double stated = lt_video_file_length(&video->decoder.file), step = video->clock.pace.step;
    LT_CHECK(video->end_s >= 0.9 * stated - 4 * step, LT_INPUT,
             "%s: cut short: the frames end after %.2f s of %.2f s", video->path, video->end_s, stated);
    return LT_OK;
}

static void note(lt_video *video, const lt_picture *picture) {
    lt_video_info *info = &video->info;
    info->lost = video->decoder.lost;
    info->restarts = video->clock.restarts;
    info->holes = video->clock.holes;
    info->hdr |= picture->hdr;
    info->interlaced |= picture->interlaced;
    info->alpha |= picture->alpha;
}

/* Converts the frame that is held. */
static lt_status give(lt_video *video, uint8_t *rgb, lt_video_place *place) {
    *place = video->place;
    return lt_scaler_run(video->scaler, video->held, video->decoder.limited_grey, video->path, rgb);
}

/* Holds the picture instead, if it is another's turn or nearer. */
static void hold(lt_video *video, AVFrame *frame, const lt_moment *at) {
    av_frame_unref(video->held);
    av_frame_move_ref(video->held, frame);
    video->place = (lt_video_place){*at, video->meter.count - 1};
    video->holds = true;
}

lt_status lt_video_next(lt_video *video, uint8_t *rgb, lt_video_place *place, bool *got) {
    for (;;) {
        lt_picture picture;
        LT_TRY(lt_video_decode(&video->decoder, &picture, got));
        video->info.lost = video->decoder.lost;
        if (!*got) {
            LT_TRY(check_end(video));
            *got = video->holds;
            video->holds = false;
            return *got ? give(video, rgb, place) : LT_OK;
        }
        AVFrame *frame = video->decoder.frame;
        lt_moment at = lt_clock_next(&video->clock, picture.stamp, picture.duration, picture.after_loss);
        video->end_s = fmax(video->end_s, at.time_s + fmax(picture.duration, video->clock.pace.step));
        note(video, &picture);
        LT_TRY(lt_step_meter_add(&video->meter, frame));
        const lt_moment *last = &video->place.moment;
        bool same = video->holds && !video->clock.every && at.piece == last->piece && at.slot == last->slot;
        if (same && at.off >= last->off) continue;
        if (!video->holds || same) {
            hold(video, frame, &at);
            continue;
        }
        LT_TRY(give(video, rgb, place));
        hold(video, frame, &at);
        return LT_OK;
    }
}

#endif
