#include "data/video_writer.h"
#include "data/video_colour.h"

#include "core/output.h"

#ifdef LT_WITH_FFMPEG

#    include <libavcodec/avcodec.h>
#    include <libavformat/avformat.h>
#    include <libavutil/opt.h>

#    include <math.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <string.h>

struct lt_video_writer {
    char *path, part[LT_PATH_MAX]; /* the name it gets; the one it has until then */
    int width, height;             /* of the frames given; the coded frame's sides are even */
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream;
    AVFrame *frame;
    AVPacket *packet;
    uint8_t *padded; /* a frame with even sides, when the given one has not */
    int64_t frames;
    bool failed;
};

static lt_status av_failed(const lt_video_writer *video, int error, const char *doing) {
    char reason[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(error, reason, sizeof reason);
    return lt_fail(LT_FAILED, "%s: %s: %s", video->path, doing, reason);
}

static lt_status check_spec(const char *path, const lt_video_writer_spec *s) {
    LT_CHECK(s->width >= 16 && s->height >= 16 && s->width <= 8192 && s->height <= 8192, LT_USAGE,
             "%s: frames of %d x %d; both sides must be 16 to 8192 pixels", path, s->width, s->height);
    LT_CHECK(s->fps > 0 && s->fps <= 240, LT_USAGE,
             "%s: %g frames per second; must be above 0 and at most 240", path, s->fps);
    LT_CHECK(s->crf >= 0 && s->crf <= 51, LT_USAGE, "%s: crf %d; must be 1 to 51, or 0 for 18", path, s->crf);
    return LT_OK;
}

/* One keyframe, and so one fragment, a second. No look-ahead and no B-frames: what was appended is soon in the file. */
static void set_up_codec(lt_video_writer *v, const AVCodec *encoder, const lt_video_writer_spec *spec) {
    AVCodecContext *c = v->codec;
    c->width = (spec->width + 1) & ~1, c->height = (spec->height + 1) & ~1;
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->framerate = av_d2q(spec->fps, 60000);
    c->time_base = av_inv_q(c->framerate);
    c->gop_size = spec->fps < 1 ? 1 : (int)lrint(spec->fps);
    c->max_b_frames = 0;
    c->colorspace = AVCOL_SPC_SMPTE170M, c->color_primaries = AVCOL_PRI_SMPTE170M;
    c->color_trc = AVCOL_TRC_SMPTE170M, c->color_range = AVCOL_RANGE_MPEG;
    c->chroma_sample_location = AVCHROMA_LOC_LEFT;
    c->sample_aspect_ratio = (AVRational){1, 1};
    c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    int crf = spec->crf ? spec->crf : 18;
    if (strcmp(encoder->name, "libx264") == 0) {
        av_opt_set(c->priv_data, "preset", "veryfast", 0);
        av_opt_set(c->priv_data, "tune", "zerolatency", 0);
        av_opt_set_int(c->priv_data, "crf", crf, 0);
    } else {
        c->flags |= AV_CODEC_FLAG_QSCALE;
        c->global_quality = FF_QP2LAMBDA * (1 + crf / 6);
    }
}

static lt_status open_codec(lt_video_writer *v, const lt_video_writer_spec *spec) {
    const AVCodec *encoder = avcodec_find_encoder_by_name("libx264");
    if (!encoder) encoder = avcodec_find_encoder(AV_CODEC_ID_MPEG4);
    LT_CHECK(encoder, LT_UNAVAILABLE, "%s: the FFmpeg libraries here can encode neither H.264 nor MPEG-4",
             v->path);
    v->codec = avcodec_alloc_context3(encoder);
    v->frame = av_frame_alloc(), v->packet = av_packet_alloc();
    LT_CHECK(v->codec && v->frame && v->packet, LT_FAILED, "%s: out of memory", v->path);
    set_up_codec(v, encoder, spec);
    int error = avcodec_open2(v->codec, encoder, NULL);
    if (error < 0) return av_failed(v, error, "cannot start the encoder");
    v->frame->format = v->codec->pix_fmt, v->frame->width = v->codec->width,
    v->frame->height = v->codec->height;
    error = av_frame_get_buffer(v->frame, 0);
    if (error < 0) return av_failed(v, error, "no frame to encode from");
    v->padded = malloc(3 * (size_t)v->codec->width * (size_t)v->codec->height);
    LT_CHECK(v->padded, LT_FAILED, "%s: out of memory", v->path);
    return LT_OK;
}

static lt_status open_file(lt_video_writer *v, const lt_video_writer_spec *spec) {
    int error = avformat_alloc_output_context2(&v->format, NULL, "mp4", v->path);
    if (error < 0) return av_failed(v, error, "no mp4 writer");
    v->stream = avformat_new_stream(v->format, NULL);
    LT_CHECK(v->stream, LT_FAILED, "%s: out of memory", v->path);
    error = avcodec_parameters_from_context(v->stream->codecpar, v->codec);
    if (error < 0) return av_failed(v, error, "cannot describe the stream");
    v->stream->time_base = v->codec->time_base;
    v->stream->avg_frame_rate = v->codec->framerate;
    v->stream->sample_aspect_ratio = v->codec->sample_aspect_ratio;
    for (int i = 0; i < spec->metadata_count; i++)
        av_dict_set(&v->format->metadata, spec->metadata[i][0], spec->metadata[i][1], 0);
    v->format->flags |= AVFMT_FLAG_FLUSH_PACKETS;
    error = avio_open(&v->format->pb, v->part, AVIO_FLAG_WRITE);
    if (error < 0) return av_failed(v, error, "cannot be written");
    AVDictionary *options = NULL;
    /* Without a trailer, an index of the fragments that would be kept in memory until the end. */
    av_dict_set(&options, "movflags",
                "frag_keyframe+empty_moov+default_base_moof+use_metadata_tags+skip_trailer", 0);
    error = avformat_write_header(v->format, &options);
    av_dict_free(&options);
    if (error >= 0) avio_flush(v->format->pb), error = v->format->pb->error;
    return error < 0 ? av_failed(v, error, "cannot write the header") : LT_OK;
}

static void release(lt_video_writer *v) {
    if (v->format && v->format->pb) avio_closep(&v->format->pb);
    avformat_free_context(v->format);
    avcodec_free_context(&v->codec);
    av_frame_free(&v->frame);
    av_packet_free(&v->packet);
    free(v->padded), free(v->path);
    free(v);
}

lt_status lt_video_writer_open(const char *path, const lt_video_writer_spec *spec, lt_video_writer **out) {
    LT_TRY(check_spec(path, spec));
    av_log_set_level(AV_LOG_QUIET); /* every error is returned */
    lt_video_writer *v = calloc(1, sizeof *v);
    LT_CHECK(v, LT_FAILED, "%s: out of memory", path);
    v->path = strdup(path), v->width = spec->width, v->height = spec->height;
    lt_status status = v->path ? open_codec(v, spec) : lt_fail(LT_FAILED, "%s: out of memory", path);
    if (status == LT_OK) status = lt_part_path(path, v->part);
    if (status == LT_OK) status = open_file(v, spec);
    if (status != LT_OK) {
        if (v->format && v->format->pb) remove(v->part);
        release(v);
        return status;
    }
    *out = v;
    return LT_OK;
}

/* Hands one frame (NULL: the end) to the encoder and writes what comes out. */
static lt_status encode(lt_video_writer *v, AVFrame *frame) {
    int error = avcodec_send_frame(v->codec, frame);
    while (error >= 0) {
        error = avcodec_receive_packet(v->codec, v->packet);
        if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return LT_OK;
        if (error < 0) break;
        av_packet_rescale_ts(v->packet, v->codec->time_base, v->stream->time_base);
        v->packet->stream_index = v->stream->index;
        v->packet->duration = av_rescale_q(1, v->codec->time_base, v->stream->time_base);
        error = av_interleaved_write_frame(v->format, v->packet);
        if (error >= 0 && v->format->pb->error < 0) error = v->format->pb->error;
    }
    return av_failed(v, error, "cannot write a frame");
}

/* The frame with even sides: itself, or a copy with the last row and column repeated. */
static const uint8_t *even_frame(lt_video_writer *v, const uint8_t *rgb) {
    int w = v->codec->width, h = v->codec->height;
    if (w == v->width && h == v->height) return rgb;
    for (int y = 0; y < h; y++) {
        const uint8_t *from = rgb + 3 * (size_t)v->width * (size_t)(y < v->height ? y : v->height - 1);
        uint8_t *to = v->padded + 3 * (size_t)w * (size_t)y;
        memcpy(to, from, 3 * (size_t)v->width);
        if (w > v->width) memcpy(to + 3 * (w - 1), from + 3 * (v->width - 1), 3);
    }
    return v->padded;
}

static lt_status append_one(lt_video_writer *v, const uint8_t *rgb) {
    int error = av_frame_make_writable(v->frame); /* the encoder may still hold the last one */
    if (error < 0) return av_failed(v, error, "no frame to encode from");
    lt_colour_to_420(even_frame(v, rgb), v->codec->width, v->codec->height, v->frame->data,
                     v->frame->linesize);
    v->frame->pts = v->frames++;
    return encode(v, v->frame);
}

lt_status lt_video_writer_append(lt_video_writer *v, const uint8_t *rgb, int64_t frames) {
    LT_CHECK(!v->failed, LT_FAILED, "%s: an earlier frame could not be written", v->path);
    for (int64_t i = 0; i < frames; i++) {
        lt_status status = append_one(v, rgb + 3 * (size_t)i * (size_t)v->width * (size_t)v->height);
        v->failed = status != LT_OK;
        if (v->failed) return status;
    }
    return LT_OK;
}

/* `whole`: it gets its name. */
static lt_status end_file(lt_video_writer *v, bool whole) {
    if (!v) return LT_OK;
    lt_status status = LT_OK;
    if (!v->failed) {
        status = encode(v, NULL);
        int error = status == LT_OK ? av_write_trailer(v->format) : 0;
        if (error < 0) status = av_failed(v, error, "cannot end the file");
    }
    int error = avio_closep(&v->format->pb);
    if (error < 0 && status == LT_OK && !v->failed) status = av_failed(v, error, "cannot be closed");
    if (status == LT_OK && !v->failed) status = lt_sync_path(v->part);
    if (status == LT_OK && !v->failed && whole) status = lt_rename(v->part, v->path);
    release(v);
    return status;
}

lt_status lt_video_writer_close(lt_video_writer *video) { return end_file(video, true); }
lt_status lt_video_writer_leave(lt_video_writer *video) { return end_file(video, false); }

const char *lt_video_writer_encoder(const lt_video_writer *v) { return v->codec->codec->name; }

lt_status lt_video_metadata(const char *path, lt_video_pair visit, void *user) {
    av_log_set_level(AV_LOG_QUIET);
    AVFormatContext *format = NULL;
    int error = avformat_open_input(&format, path, NULL, NULL);
    if (error < 0) {
        char reason[AV_ERROR_MAX_STRING_SIZE] = "";
        av_strerror(error, reason, sizeof reason);
        return lt_fail(LT_INPUT, "%s: not a readable video: %s", path, reason);
    }
    const AVDictionaryEntry *pair = NULL;
    while ((pair = av_dict_get(format->metadata, "", pair, AV_DICT_IGNORE_SUFFIX)))
        visit(pair->key, pair->value, user);
    avformat_close_input(&format);
    return LT_OK;
}

#else

static lt_status unavailable(void) {
    return lt_fail(LT_UNAVAILABLE,
                   "this build has no FFmpeg libraries, so it cannot write or read mp4; install "
                   "libavformat-dev libavcodec-dev libavutil-dev libswscale-dev and build again");
}

lt_status lt_video_writer_open(const char *path, const lt_video_writer_spec *spec, lt_video_writer **out) {
    (void)path, (void)spec, (void)out;
    return unavailable();
}

lt_status lt_video_writer_append(lt_video_writer *video, const uint8_t *rgb, int64_t frames) {
    (void)video, (void)rgb, (void)frames;
    return unavailable();
}

lt_status lt_video_writer_close(lt_video_writer *video) { return video ? unavailable() : LT_OK; }
lt_status lt_video_writer_leave(lt_video_writer *video) { return video ? unavailable() : LT_OK; }

const char *lt_video_writer_encoder(const lt_video_writer *video) {
    (void)video;
    return "none";
}

lt_status lt_video_metadata(const char *path, lt_video_pair visit, void *user) {
    (void)path, (void)visit, (void)user;
    return unavailable();
}

#endif
