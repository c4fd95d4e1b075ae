#ifdef LT_WITH_FFMPEG

#    include "data/video_decode.h"

#    include <libavutil/pixdesc.h>
#    include <math.h>

/* Names that moved between FFmpeg 5 and 7. */
#    if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
static bool is_key(const AVFrame *frame) { return frame->flags & AV_FRAME_FLAG_KEY; }
static bool is_interlaced(const AVFrame *frame) { return frame->flags & AV_FRAME_FLAG_INTERLACED; }
#    else
static bool is_key(const AVFrame *frame) { return frame->key_frame; }
static bool is_interlaced(const AVFrame *frame) { return frame->interlaced_frame; }
#    endif
#    if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
static int64_t duration_of(const AVFrame *frame) { return frame->duration; }
#    else
static int64_t duration_of(const AVFrame *frame) { return frame->pkt_duration; }
#    endif

/* Codecs whose specification says limited range where nothing is said; elsewhere grey fills its range, as in images. */
static bool is_limited_grey(enum AVCodecID codec) {
    return codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC || codec == AV_CODEC_ID_AV1 ||
           codec == AV_CODEC_ID_VP9 || codec == AV_CODEC_ID_MPEG2VIDEO;
}

static lt_status open_codec(lt_video_decoder *decoder, int threads) {
    const AVStream *stream = decoder->file.stream;
    const AVCodecParameters *coded = stream->codecpar;
    const char *path = decoder->file.path;
    const AVCodec *codec = avcodec_find_decoder(coded->codec_id);
    LT_CHECK(codec, LT_INPUT, "%s: no decoder for %s in this FFmpeg", path,
             avcodec_get_name(coded->codec_id));
    LT_CHECK(coded->width > 0 && coded->height > 0, LT_INPUT, "%s: the picture is %d x %d", path,
             coded->width, coded->height);
    decoder->codec = avcodec_alloc_context3(codec);
    bool got = (decoder->frame = av_frame_alloc());
    for (int i = 0; i < LT_VIDEO_QUEUE; i++) got = (decoder->queue[i] = av_packet_alloc()) && got;
    LT_CHECK(decoder->codec && got, LT_FAILED, "%s: no memory for a decoder", path);
    int code = avcodec_parameters_to_context(decoder->codec, coded);
    if (code < 0) return lt_video_file_fail(path, "cannot set up the decoder", code);
    decoder->codec->thread_count = threads;
    decoder->codec->pkt_timebase = stream->time_base;
    decoder->limited_grey = is_limited_grey(coded->codec_id);
    code = avcodec_open2(decoder->codec, codec, NULL);
    return code < 0 ? lt_video_file_fail(path, "cannot open the decoder", code) : LT_OK;
}

lt_status lt_video_decoder_open(const char *name, const char *path, int threads, lt_video_decoder *out) {
    LT_TRY(lt_video_file_open(path, &out->file));
    out->file.path = name;
    return open_codec(out, threads);
}

void lt_video_decoder_close(lt_video_decoder *decoder) {
    av_frame_free(&decoder->frame);
    for (int i = 0; i < LT_VIDEO_QUEUE; i++) av_packet_free(&decoder->queue[i]);
    avcodec_free_context(&decoder->codec);
    lt_video_file_close(&decoder->file);
}

/* What follows is built on what is missing, up to a keyframe; unless every picture is one. */
static void lose(lt_video_decoder *decoder, int64_t count) {
    const AVCodecDescriptor *codec = avcodec_descriptor_get(decoder->codec->codec_id);
    decoder->lost += count;
    decoder->gap = true;
    decoder->waits = !(codec && codec->props & AV_CODEC_PROP_INTRA_ONLY);
}

/* Fills the queue. What could not be read is counted when the packet before it has been decoded. */
static lt_status fill_queue(lt_video_decoder *decoder) {
    bool got = true;
    while (got && decoder->queued < LT_VIDEO_QUEUE && !decoder->ended) {
        int64_t *unreadable = &decoder->lost_before[decoder->queued];
        *unreadable = 0;
        LT_TRY(lt_video_file_read(&decoder->file, decoder->queue[decoder->queued], unreadable, &got));
        decoder->queued += got;
        decoder->ended = !got;
    }
    return LT_OK;
}

/* Takes the first packet off the queue. */
static void pop(lt_video_decoder *decoder) {
    AVPacket *first = decoder->queue[0];
    av_packet_unref(first);
    for (int i = 1; i < LT_VIDEO_QUEUE; i++) {
        decoder->queue[i - 1] = decoder->queue[i];
        decoder->lost_before[i - 1] = decoder->lost_before[i];
    }
    decoder->queue[LT_VIDEO_QUEUE - 1] = first;
    decoder->lost_before[LT_VIDEO_QUEUE - 1] = 0;
    decoder->queued--;
}

/* Where transport streams are joined their counters jump, for which one of the last packets before it is called
 * damaged. */
static bool is_joint(const lt_video_decoder *decoder) {
    for (int i = 1; i < decoder->queued; i++) {
        const AVPacket *here = decoder->queue[i - 1], *next = decoder->queue[i];
        if (here->dts == AV_NOPTS_VALUE || next->dts == AV_NOPTS_VALUE) continue;
        double step = (double)(next->dts - here->dts) * av_q2d(decoder->file.stream->time_base);
        if (step < 0 || step > 1) return true;
    }
    return false;
}

/* Gives the decoder its next packet, or the end. */
static lt_status feed(lt_video_decoder *decoder) {
    LT_TRY(fill_queue(decoder));
    if (decoder->lost_before[0]) lose(decoder, decoder->lost_before[0]);
    decoder->lost_before[0] = 0;
    if (decoder->queued == 0) {
        decoder->drained = true;
        avcodec_send_packet(decoder->codec, NULL);
        return LT_OK;
    }
    AVPacket *packet = decoder->queue[0];
    if (packet->flags & AV_PKT_FLAG_CORRUPT && is_joint(decoder)) packet->flags &= ~AV_PKT_FLAG_CORRUPT;
    bool corrupt = packet->flags & AV_PKT_FLAG_CORRUPT;
    int code = corrupt ? 0 : avcodec_send_packet(decoder->codec, packet);
    pop(decoder);
    if (code == AVERROR(ENOMEM)) return lt_video_file_fail(decoder->file.path, "cannot decode", code);
    if (corrupt || code < 0) lose(decoder, 1);
    return LT_OK;
}

/* Alpha that is not opaque everywhere, looked for at 16 x 16 places: formats such as GIF's have it even where nothing
 * shows through. */
static bool is_transparent(const AVFrame *frame, const AVPixFmtDescriptor *format) {
    enum { SIDE = 16 };
    if (!format || !(format->flags & AV_PIX_FMT_FLAG_ALPHA) || format->flags & AV_PIX_FMT_FLAG_PAL)
        return false;
    const AVComponentDescriptor *alpha = &format->comp[format->nb_components - 1];
    if (alpha->depth != 8) return true;
    for (int i = 0; i < SIDE * SIDE; i++) {
        ptrdiff_t x = frame->width * (i % SIDE) / SIDE, y = frame->height * (i / SIDE) / SIDE;
        if (frame->data[alpha->plane][y * frame->linesize[alpha->plane] + x * alpha->step + alpha->offset] <
            255)
            return true;
    }
    return false;
}

static lt_picture describe_picture(const lt_video_decoder *decoder) {
    const AVFrame *frame = decoder->frame;
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    double base = av_q2d(decoder->file.stream->time_base);
    int64_t stamp = frame->best_effort_timestamp, duration = duration_of(frame);
    return (lt_picture){.stamp = stamp == AV_NOPTS_VALUE ? NAN : (double)stamp * base,
                        .duration = duration > 0 ? (double)duration * base : 0,
                        .after_loss = decoder->gap,
                        .hdr = frame->color_trc == AVCOL_TRC_SMPTE2084 ||
                               frame->color_trc == AVCOL_TRC_ARIB_STD_B67,
                        .interlaced = is_interlaced(frame),
                        .alpha = is_transparent(frame, format)};
}

lt_status lt_video_decode(lt_video_decoder *decoder, lt_picture *picture, bool *got) {
    for (;;) {
        int code = avcodec_receive_frame(decoder->codec, decoder->frame);
        *got = false;
        if (code == AVERROR_EOF || (code == AVERROR(EAGAIN) && decoder->drained)) return LT_OK;
        if (code == AVERROR(ENOMEM)) return lt_video_file_fail(decoder->file.path, "cannot decode", code);
        if (code == AVERROR(EAGAIN)) {
            LT_TRY(feed(decoder));
            continue;
        }
        AVFrame *frame = decoder->frame;
        if (code < 0 || frame->decode_error_flags || frame->flags & AV_FRAME_FLAG_CORRUPT) {
            lose(decoder, 1);
        } else if (decoder->waits && !is_key(frame)) {
            decoder->lost++;
        } else {
            *picture = describe_picture(decoder);
            frame->sample_aspect_ratio =
                av_guess_sample_aspect_ratio(decoder->file.format, decoder->file.stream, frame);
            decoder->waits = decoder->gap = false;
            *got = true;
            return LT_OK;
        }
    }
}

#endif
