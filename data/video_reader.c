#include "data/video_reader.h"

#ifndef LT_WITH_FFMPEG

struct lt_video {
    lt_video_info info;
};

lt_status lt_video_open(const char *path, const lt_video_request *request, lt_video **out) {
    (void)request;
    *out = NULL;
    return lt_fail(
        LT_UNAVAILABLE,
        "%s: this build cannot decode video; install libavformat-dev libavcodec-dev libswscale-dev "
        "and configure again",
        path);
}

void lt_video_close(lt_video *video) { (void)video; }
const lt_video_info *lt_video_get_info(const lt_video *video) { return &video->info; }

int64_t lt_video_repeats(const lt_video *video, int64_t first, int64_t last) {
    (void)video, (void)first, (void)last;
    return 0;
}

lt_status lt_video_next(lt_video *video, uint8_t *rgb, lt_video_place *place, bool *got) {
    (void)video, (void)rgb, (void)place;
    *got = false;
    return LT_UNAVAILABLE;
}

#else

#    include "data/video_scale.h"

#    include <errno.h>
#    include <libavcodec/avcodec.h>
#    include <libavformat/avformat.h>
#    include <libavutil/display.h>
#    include <libavutil/pixdesc.h>
#    include <math.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <string.h>

/* Containers of moving pictures; not those that name other files, nor text that is drawn as pictures. */
#    define FORMATS                                                                                          \
        "mov,mp4,matroska,webm,avi,ogg,mpeg,mpegts,asf,flv,gif,h264,hevc,ivf,mpegvideo,m4v,mjpeg,"           \
        "yuv4mpegpipe,nut,"                                                                                  \
        "dv,swf,av1,obu,rm,mxf"

struct lt_video {
    char path[256]; /* for messages */
    lt_video_request request;
    lt_video_info info;
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream;
    AVPacket *packet;
    AVFrame *frame;
    lt_scaler *scaler;
    double start_s;    /* timestamp of the first frame */
    double last_s;     /* of the last frame decoded, counted from start_s */
    int64_t decoded;   /* frames */
    int64_t last_slot; /* of the last frame returned */
    bool drained;
    lt_step_meter meter;
};

static lt_status av_fail(const lt_video *video, const char *what, int code) {
    char reason[AV_ERROR_MAX_STRING_SIZE];
    av_strerror(code, reason, sizeof reason);
    return lt_fail(code == AVERROR(ENOMEM) ? LT_FAILED : LT_INPUT, "%s: %s: %s", video->path, what, reason);
}

/* Degrees clockwise that turn the picture upright, from the stream's display matrix. */
static int rotation_of(const AVStream *stream) {
    const void *matrix;
#    if LIBAVFORMAT_VERSION_MAJOR >= 61
    const AVPacketSideData *side = av_packet_side_data_get(
        stream->codecpar->coded_side_data, stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    matrix = side ? side->data : NULL;
#    else
    matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, NULL);
#    endif
    if (!matrix) return 0;
    double angle = -av_display_rotation_get(matrix);
    return isfinite(angle) ? ((int)lround(angle / 90) % 4 + 4) % 4 * 90 : 0;
}

/* An index entry past the end of the file: what an interrupted copy of a film leaves. */
static lt_status check_index(const lt_video *video) {
    int64_t size = avio_size(video->format->pb);
    int count = avformat_index_get_entries_count(video->stream);
    for (int i = 0; i < count && size > 0; i++) {
        const AVIndexEntry *entry = avformat_index_get_entry(video->stream, i);
        LT_CHECK(entry->pos <= size && entry->size <= size - entry->pos, LT_INPUT,
                 "%s: cut short: frame %d of %d lies past the end of the file", video->path, i, count);
    }
    return LT_OK;
}

static lt_status open_container(lt_video *video, const char *path) {
    AVDictionary *options = NULL;
    av_dict_set(&options, "format_whitelist", FORMATS, 0);
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    char url[4200];
    snprintf(url, sizeof url, "file:%s", path);
    int code = avformat_open_input(&video->format, url, NULL, &options);
    av_dict_free(&options);
    if (code < 0) return av_fail(video, "not a readable video file", code);
    code = avformat_find_stream_info(video->format, NULL);
    if (code < 0) return av_fail(video, "cannot read the streams", code);
    int best = av_find_best_stream(video->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    bool picture = best >= 0 && video->format->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC;
    LT_CHECK(best >= 0 && !picture, LT_INPUT, "%s: has no video stream", video->path);
    video->stream = video->format->streams[best];
    for (unsigned i = 0; i < video->format->nb_streams; i++)
        if ((int)i != best) video->format->streams[i]->discard = AVDISCARD_ALL;
    return check_index(video);
}

static lt_status open_decoder(lt_video *video) {
    const AVCodecParameters *coded = video->stream->codecpar;
    const AVCodec *decoder = avcodec_find_decoder(coded->codec_id);
    LT_CHECK(decoder, LT_INPUT, "%s: no decoder for %s in this FFmpeg", video->path,
             avcodec_get_name(coded->codec_id));
    LT_CHECK(coded->width > 0 && coded->height > 0, LT_INPUT, "%s: the picture is %d x %d", video->path,
             coded->width, coded->height);
    video->codec = avcodec_alloc_context3(decoder);
    LT_CHECK(video->codec, LT_FAILED, "%s: no memory for a decoder", video->path);
    int code = avcodec_parameters_to_context(video->codec, coded);
    if (code < 0) return av_fail(video, "cannot set up the decoder", code);
    video->codec->thread_count = video->request.threads;
    video->codec->pkt_timebase = video->stream->time_base;
    code = avcodec_open2(video->codec, decoder, NULL);
    if (code < 0) return av_fail(video, "cannot open the decoder", code);
    snprintf(video->info.codec, sizeof video->info.codec, "%s", decoder->name);
    return LT_OK;
}

static double stated_length(const lt_video *video);

static void fill_info(lt_video *video) {
    lt_video_info *info = &video->info;
    AVRational rate = av_guess_frame_rate(video->format, video->stream, NULL);
    double fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0, most = video->request.fps;
    if (fps <= 0 || fps > 10000) fps = most > 0 ? most : 25;
    info->source_fps = fps;
    /* 29.97 and 30, 23.976 and 24 count as the same rate. */
    info->fps = most > 0 && fps > 1.002 * most ? most : fps;
    info->seconds = stated_length(video);
    info->rotation = rotation_of(video->stream);
    AVRational shape = av_guess_sample_aspect_ratio(video->format, video->stream, NULL);
    double wide = shape.num > 0 && shape.den > 0 ? av_q2d(shape) : 1;
    int width = (int)lround(video->stream->codecpar->width * wide), height = video->stream->codecpar->height;
    bool turned = info->rotation % 180 != 0;
    info->width = turned ? height : width;
    info->height = turned ? width : height;
}

lt_status lt_video_open(const char *path, const lt_video_request *request, lt_video **out) {
    *out = NULL;
    lt_video *video = calloc(1, sizeof *video);
    LT_CHECK(video, LT_FAILED, "%s: out of memory", path);
    av_log_set_level(AV_LOG_QUIET);
    snprintf(video->path, sizeof video->path, "%s", path);
    video->request = *request;
    video->last_slot = -1;
    lt_status status = open_container(video, path);
    if (status == LT_OK) status = open_decoder(video);
    if (status == LT_OK) {
        fill_info(video);
        video->packet = av_packet_alloc();
        video->frame = av_frame_alloc();
        if (!video->packet || !video->frame) status = lt_fail(LT_FAILED, "%s: out of memory", path);
    }
    if (status == LT_OK)
        status = lt_scaler_open(request->width, request->height, video->info.rotation, &video->scaler);
    if (status != LT_OK) {
        lt_video_close(video);
        return status;
    }
    *out = video;
    return LT_OK;
}

void lt_video_close(lt_video *video) {
    if (!video) return;
    lt_scaler_close(video->scaler);
    lt_step_meter_free(&video->meter);
    av_frame_free(&video->frame);
    av_packet_free(&video->packet);
    avcodec_free_context(&video->codec);
    avformat_close_input(&video->format);
    free(video);
}

const lt_video_info *lt_video_get_info(const lt_video *video) { return &video->info; }

/* Gives the decoder its next packet, or the end. */
static lt_status feed(lt_video *video) {
    for (;;) {
        int code = av_read_frame(video->format, video->packet);
        if (code == AVERROR_EOF) {
            video->drained = true;
            code = avcodec_send_packet(video->codec, NULL);
            return code < 0 ? av_fail(video, "cannot finish decoding", code) : LT_OK;
        }
        if (code < 0) return av_fail(video, "damaged or cut short", code);
        if (video->packet->stream_index == video->stream->index) break;
        av_packet_unref(video->packet);
    }
    bool corrupt = video->packet->flags & AV_PKT_FLAG_CORRUPT;
    int code = corrupt ? 0 : avcodec_send_packet(video->codec, video->packet);
    av_packet_unref(video->packet);
    LT_CHECK(!corrupt, LT_INPUT, "%s: damaged or cut short after %lld frames", video->path,
             (long long)video->decoded);
    return code < 0 ? av_fail(video, "cannot decode", code) : LT_OK;
}

/* The length that the file states for its pictures, in seconds; 0 when it states none. Matroska has one for the whole
 * film, which counts if there is no sound that may go on longer. */
static double stated_length(const lt_video *video) {
    if (video->stream->duration > 0)
        return (double)video->stream->duration * av_q2d(video->stream->time_base);
    bool stated = video->format->duration_estimation_method == AVFMT_DURATION_FROM_STREAM;
    if (!stated || video->format->nb_streams != 1 || video->format->duration <= 0) return 0;
    return (double)video->format->duration / AV_TIME_BASE;
}

/* A file that states its length and ends well before has lost its end. */
static lt_status check_end(const lt_video *video) {
    LT_CHECK(video->decoded > 0, LT_INPUT, "%s: has no frames", video->path);
    double stated = stated_length(video), step = 1 / video->info.source_fps, end = video->last_s + step;
    LT_CHECK(end >= 0.9 * stated - 4 * step, LT_INPUT, "%s: cut short: the frames end after %.2f s of %.2f s",
             video->path, end, stated);
    return LT_OK;
}

/* One decoded frame into video->frame. */
static lt_status decode(lt_video *video, bool *got) {
    for (;;) {
        int code = avcodec_receive_frame(video->codec, video->frame);
        *got = code >= 0;
        if (code >= 0) {
            bool bad = video->frame->decode_error_flags || video->frame->flags & AV_FRAME_FLAG_CORRUPT;
            LT_CHECK(!bad, LT_INPUT, "%s: frame %lld is damaged", video->path, (long long)video->decoded);
            return LT_OK;
        }
        if (code == AVERROR_EOF || (code == AVERROR(EAGAIN) && video->drained)) return check_end(video);
        if (code != AVERROR(EAGAIN)) return av_fail(video, "cannot decode", code);
        LT_TRY(feed(video));
    }
}

/* Seconds since the first frame; frames without a timestamp follow at the stated rate. */
static double time_of(lt_video *video) {
    int64_t stamp = video->frame->best_effort_timestamp;
    double at = stamp == AV_NOPTS_VALUE ? video->start_s + video->last_s + 1 / video->info.source_fps
                                        : (double)stamp * av_q2d(video->stream->time_base);
    if (video->decoded == 0) video->start_s = stamp == AV_NOPTS_VALUE ? 0 : at;
    return video->decoded == 0 ? 0 : at - video->start_s;
}

int64_t lt_video_repeats(const lt_video *video, int64_t first, int64_t last) {
    const float *step = video->meter.steps;
    int64_t repeats = 0;
    for (int64_t i = first + 1; i < last; i++)
        repeats += step[i] < 0.25f * step[i - 1] && step[i] < 0.25f * step[i + 1];
    return repeats;
}

lt_status lt_video_next(lt_video *video, uint8_t *rgb, lt_video_place *place, bool *got) {
    for (;;) {
        LT_TRY(decode(video, got));
        if (!*got) return LT_OK;
        video->last_s = time_of(video);
        video->decoded++;
        LT_TRY(lt_step_meter_add(&video->meter, video->frame));
        int64_t slot = llround(video->last_s * video->info.fps);
        if (video->request.fps > 0 && slot <= video->last_slot) continue;
        video->last_slot = slot;
        *place = (lt_video_place){video->last_s, video->decoded - 1};
        return lt_scaler_run(video->scaler, video->frame, video->path, rgb);
    }
}

#endif
