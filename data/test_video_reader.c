/* Files of many kinds, made here through the FFmpeg libraries: what their clocks and containers say is what the reader
 * gives. */
#include "core/io.h"
#include "data/sources.h"
#include "data/video_reader.h"
#include "tests/harness.h"

#ifdef LT_WITH_FFMPEG

#    include "data/video_file.h"
#    include "data/video_writer.h"

#    include <libavcodec/avcodec.h>
#    include <libavutil/opt.h>
#    include <sys/stat.h>
#    include <unistd.h>

/* The encoder that makes HEVC files leaks some memory of its own. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libx265"; }

static char folder[TEST_FOLDER];

static const char *in_folder(const char *name) {
    static char paths[4][LT_PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    CHECK_OK(lt_path_join(path, folder, name));
    return path;
}

/* A film to make. Zero: 96 x 64, 25 pictures a second, ffv1, the container of the name. */
typedef struct film {
    const char *codec, *format;
    int width, height, frames, gop, b_frames;
    AVRational rate, tick; /* tick: of the stamps; zero: one over the rate */
    const int64_t *stamps; /* of each picture, in ticks; NULL: one after the other */
    int64_t first, hold;   /* stamp of the first; length of the last picture, in ticks */
    AVRational shape;      /* of pixels, said by the container only */
    enum AVPixelFormat pixels;
    enum AVColorTransferCharacteristic transfer;
    bool interlaced;
} film;

typedef struct maker {
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream;
    AVPacket *packet;
    const film *film;
    int64_t tick; /* of one picture */
} maker;

static bool open_codec(maker *m) {
    const film *f = m->film;
    const AVCodec *codec = avcodec_find_encoder_by_name(f->codec ? f->codec : "ffv1");
    if (!codec) return false;
    AVCodecContext *c = m->codec = avcodec_alloc_context3(codec);
    c->width = f->width ? f->width : 96, c->height = f->height ? f->height : 64;
    c->pix_fmt = f->pixels > 0 ? f->pixels : AV_PIX_FMT_YUV420P;
    c->framerate = f->rate.num ? f->rate : (AVRational){25, 1};
    c->time_base = f->tick.num ? f->tick : av_inv_q(c->framerate);
    c->gop_size = f->gop ? f->gop : 12, c->max_b_frames = f->b_frames;
    c->color_trc = f->transfer ? f->transfer : AVCOL_TRC_UNSPECIFIED;
    c->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    c->bit_rate = 4000000;
    if (f->interlaced) c->flags |= AV_CODEC_FLAG_INTERLACED_DCT;
    if (m->format->oformat->flags & AVFMT_GLOBALHEADER) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_opt_set(c->priv_data, "preset", "veryfast", 0);
    av_opt_set(c->priv_data, "deadline", "realtime", 0);
    av_opt_set(c->priv_data, "cpu-used", "8", 0);
    av_opt_set(c->priv_data, "x265-params", "log-level=none", 0);
    return avcodec_open2(c, codec, NULL) >= 0;
}

static void write_packets(maker *m, const AVFrame *frame) {
    CHECK(avcodec_send_frame(m->codec, frame) >= 0);
    while (avcodec_receive_packet(m->codec, m->packet) >= 0) {
        const film *f = m->film;
        int64_t last = f->stamps ? f->stamps[f->frames - 1] : (f->frames - 1) * m->tick;
        if (m->packet->duration <= 0) m->packet->duration = m->tick;
        if (f->hold && m->packet->pts == f->first + last) m->packet->duration = f->hold;
        av_packet_rescale_ts(m->packet, m->codec->time_base, m->stream->time_base);
        m->packet->stream_index = 0;
        CHECK(av_write_frame(m->format, m->packet) >= 0);
    }
}

/* Noise that moves, so that no picture repeats another. */
static void paint(AVFrame *frame, int index, bool interlaced) {
    CHECK(av_frame_make_writable(frame) >= 0);
    for (int p = 0; p < 3 && frame->data[p]; p++)
        for (int y = 0; y < (p ? (frame->height + 1) / 2 : frame->height); y++)
            for (int x = 0; x < frame->linesize[p]; x++)
                frame->data[p][y * frame->linesize[p] + x] =
                    (uint8_t)(p ? 128 : 128 + 60 * sin(0.2 * (x + 2 * index)) * cos(0.13 * y + index * 0.1));
#    if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
    if (interlaced) frame->flags |= AV_FRAME_FLAG_INTERLACED | AV_FRAME_FLAG_TOP_FIELD_FIRST;
#    else
    frame->interlaced_frame = interlaced, frame->top_field_first = interlaced;
#    endif
}

static bool open_maker(maker *m, const char *name) {
    const film *f = m->film;
    avformat_alloc_output_context2(&m->format, NULL, f->format, in_folder(name));
    if (!m->format || !open_codec(m)) return false;
    m->packet = av_packet_alloc();
    m->stream = avformat_new_stream(m->format, NULL);
    avcodec_parameters_from_context(m->stream->codecpar, m->codec);
    m->stream->time_base = m->codec->time_base;
    m->stream->avg_frame_rate = m->codec->framerate;
    m->stream->sample_aspect_ratio = f->shape;
    m->tick = av_rescale_q(1, av_inv_q(m->codec->framerate), m->codec->time_base);
    m->format->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    m->format->avoid_negative_ts = 0;
    return avio_open(&m->format->pb, in_folder(name), AVIO_FLAG_WRITE) >= 0 &&
           avformat_write_header(m->format, NULL) >= 0;
}

/* False, said, when these FFmpeg libraries cannot write such a file. */
static bool make(const char *name, film f) {
    av_log_set_level(AV_LOG_QUIET);
    maker m = {.film = &f};
    bool good = open_maker(&m, name);
    if (good) {
        AVFrame *frame = av_frame_alloc();
        frame->format = m.codec->pix_fmt, frame->width = m.codec->width, frame->height = m.codec->height;
        CHECK(av_frame_get_buffer(frame, 0) >= 0);
        for (int i = 0; i < f.frames; i++) {
            paint(frame, i, f.interlaced);
            frame->pts = f.first + (f.stamps ? f.stamps[i] : i * m.tick);
            write_packets(&m, frame);
        }
        write_packets(&m, NULL);
        CHECK(av_write_trailer(m.format) >= 0);
        av_frame_free(&frame);
    } else {
        printf("  %s: these FFmpeg libraries cannot write it\n", name);
    }
    if (m.format && m.format->pb) avio_closep(&m.format->pb);
    av_packet_free(&m.packet);
    avcodec_free_context(&m.codec);
    avformat_free_context(m.format);
    return good;
}

typedef struct reading {
    lt_status status;
    lt_video_place first, last, at[600];
    lt_video_info info;
    int count, pieces;
    double rate; /* of the last piece */
} reading;

static reading r;

static void read_video(const char *name, double fps) {
    lt_video_request request = {32, 32, fps, 1};
    lt_video *video = NULL;
    uint8_t rgb[32 * 32 * 3];
    bool got = true;
    int in_piece = 0;
    memset(&r, 0, sizeof r);
    r.status = lt_video_open(in_folder(name), &request, &video);
    while (r.status == LT_OK && got && r.count < 600) {
        lt_video_place *at = &r.at[r.count];
        r.status = lt_video_next(video, rgb, at, &got);
        if (r.status != LT_OK || !got) break;
        if (r.count == 0 || at->moment.piece != r.last.moment.piece) r.first = *at, in_piece = 0, r.pieces++;
        r.last = *at;
        r.count++, in_piece++;
    }
    if (r.status == LT_OK)
        r.info = *lt_video_get_info(video), r.rate = lt_video_rate(video, &r.first, &r.last, in_piece);
    lt_video_close(video);
}

static void append(const char *to, const char *from) {
    char *bytes, *more, *all;
    size_t size, length;
    CHECK_OK(lt_read_file(in_folder(to), &bytes, &size));
    CHECK_OK(lt_read_file(in_folder(from), &more, &length));
    all = malloc(size + length);
    memcpy(all, bytes, size), memcpy(all + size, more, length);
    CHECK_OK(lt_write_file(in_folder(to), all, size + length));
    free(bytes), free(more), free(all);
}

/* Which encoder makes a file of an ending, where it is not the usual one. */
static film film_for(const char *ending) {
    static const struct {
        const char *ending, *codec, *format;
        int width, height;
    } rows[] = {{"webm", "libvpx", NULL, 0, 0},
                {"ivf", "libvpx", NULL, 0, 0},
                {"ogv", "libtheora", NULL, 0, 0},
                {"ogg", "libtheora", NULL, 0, 0},
                {"mpg", "mpeg2video", NULL, 0, 0},
                {"mpeg", "mpeg1video", NULL, 0, 0},
                {"vob", "mpeg2video", NULL, 0, 0},
                {"m2v", "mpeg2video", NULL, 0, 0},
                {"wmv", "wmv2", NULL, 0, 0},
                {"asf", "msmpeg4", NULL, 0, 0},
                {"flv", "flv", NULL, 0, 0},
                {"f4v", "flv", "flv", 0, 0},
                {"3gp", "h263", NULL, 176, 144},
                {"3g2", "h263", NULL, 176, 144},
                {"gif", "gif", NULL, 0, 0},
                {"y4m", "wrapped_avframe", NULL, 0, 0},
                {"mjpeg", "mjpeg", "mjpeg", 0, 0},
                {"mjpg", "mjpeg", "mjpeg", 0, 0},
                {"dv", "dvvideo", NULL, 720, 576},
                {"rm", "rv10", NULL, 176, 144},
                {"swf", "flv", NULL, 0, 0},
                {"obu", "libaom-av1", NULL, 0, 0},
                {"h264", "libx264", "h264", 0, 0},
                {"264", "libx264", "h264", 0, 0},
                {"hevc", "libx265", "hevc", 0, 0},
                {"h265", "libx265", "hevc", 0, 0},
                {"265", "libx265", "hevc", 0, 0},
                {"mxf", "mpeg2video", NULL, 0, 0},
                {"avi", "mjpeg", NULL, 0, 0},
                {"mkv", "ffv1", NULL, 0, 0},
                {"nut", "ffv1", NULL, 0, 0},
                {"ts", "mpeg2video", NULL, 0, 0},
                {"mts", "mpeg2video", "mpegts", 0, 0},
                {"m2ts", "mpeg2video", "mpegts", 0, 0}};
    film f = {.codec = "mpeg4", .frames = 12};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].ending, ending) == 0)
            f.codec = rows[i].codec, f.format = rows[i].format, f.width = rows[i].width,
            f.height = rows[i].height;
    if (strcmp(f.codec, "mjpeg") == 0) f.pixels = AV_PIX_FMT_YUVJ420P;
    if (strcmp(f.codec, "gif") == 0) f.pixels = AV_PIX_FMT_GRAY8;
    return f;
}

static void a_file_of_every_ending_is_read(void) {
    int tried = 0;
    for (const char *const *ending = lt_source_endings(); *ending; ending++) {
        char name[32];
        snprintf(name, sizeof name, "a.%s", *ending);
        if (!make(name, film_for(*ending))) continue;
        read_video(name, 0);
        tried++;
        if (r.status != LT_OK || r.count < 11)
            printf("%s: %d frames of 12: %s\n", name, r.count, r.status ? lt_error() : "read"), test_bad++;
    }
    printf("  %d endings tried\n", tried);
    CHECK(tried >= 10);
}

static void every_format_that_is_allowed_has_a_demuxer(void) {
    char names[1024], *rest = names;
    snprintf(names, sizeof names, "%s", lt_video_file_formats());
    for (char *name; (name = strsep(&rest, ","));)
        if (!av_find_input_format(name)) printf("there is no demuxer %s\n", name), test_bad++;
}

/* The second recording's clock is behind, or far ahead, as in DVD cells and joined transport streams. */
static void joined_recordings_lose_nothing(void) {
    static const char *const kinds[] = {"mpg", "ts"};
    for (int k = 0; k < 2; k++) {
        char a[16], b[16], c[16];
        snprintf(a, sizeof a, "one.%s", kinds[k]), snprintf(b, sizeof b, "two.%s", kinds[k]);
        snprintf(c, sizeof c, "three.%s", kinds[k]);
        film f = {.codec = "mpeg2video", .frames = 50, .first = 50};
        bool made = make(a, f);
        f.first = 10, f.frames = 40;
        made = made && make(b, f);
        f.first = 90000, f.frames = 30;
        if (!made || !make(c, f)) continue;
        append(a, b), append(a, c);
        read_video(a, 25);
        CHECK(r.status == LT_OK);
        if (r.count != 120 || r.pieces != 3)
            printf("%s: %d frames in %d pieces\n", a, r.count, r.pieces), test_bad++;
        CHECK(r.info.restarts == 1 && r.info.holes == 1 && r.info.lost == 0);
        for (int i = 1; i < r.count; i++) CHECK(r.at[i].moment.time_s > r.at[i - 1].moment.time_s);
    }
}

/* 90 kHz clocks of 33 bits begin again after 26.5 hours. */
static void the_clock_of_transport_streams_wraps(void) {
    const int64_t end = ((int64_t)1 << 33) / 3600;
    for (int before = 10; before <= 2000; before += 1990) {
        if (!make("wrap.ts", (film){.codec = "mpeg2video", .frames = 60, .first = end - before})) return;
        read_video("wrap.ts", 25);
        CHECK(r.status == LT_OK && r.count == 60 && r.pieces == 1);
        CHECK_NEAR(r.last.moment.time_s, 59 / 25.0, 1e-3);
    }
}

static void uneven_stamps_keep_their_times(void) {
    int64_t stamps[100], at = 0;
    static const char *const names[] = {"v.mkv", "v.mp4", "v.nut"};
    for (int i = 0; i < 100; i++) stamps[i] = at, at += i % 3 == 0 ? 50 : i % 3 == 1 ? 67 : 83;
    for (int k = 0; k < 3; k++) {
        film f = {.frames = 100, .rate = {60, 1}, .tick = {1, 1000}, .stamps = stamps};
        if (k == 1) f.codec = "mpeg4";
        if (!make(names[k], f)) continue;
        read_video(names[k], 30);
        CHECK(r.status == LT_OK && r.count == 100 && r.pieces == 1);
        CHECK_NEAR(r.last.moment.time_s, (double)stamps[99] / 1000, 1e-3);
        CHECK_NEAR(r.rate, 99e3 / (double)stamps[99], 0.01);
        read_video(names[k], 16);
        CHECK(r.count == 100);
        read_video(names[k], 5);
        CHECK(abs(r.count - 34) <= 1 && r.rate == 5);
    }
}

static void a_last_picture_that_is_held_ends_a_whole_file(void) {
    if (make("held.mkv", (film){.frames = 100, .tick = {1, 1000}, .hold = 8000})) {
        read_video("held.mkv", 16);
        CHECK(r.status == LT_OK && r.count >= 63 && r.count <= 65);
    }
    if (make("held.mp4", (film){.codec = "mpeg4", .frames = 100, .hold = 200})) {
        read_video("held.mp4", 25);
        CHECK(r.status == LT_OK && r.count == 100);
    }
    int64_t stamps[60]; /* one that is held in the middle: what follows is a piece of its own */
    for (int i = 0; i < 60; i++) stamps[i] = i * 40 + (i >= 30 ? 5000 : 0);
    if (!make("middle.mkv", (film){.frames = 60, .tick = {1, 1000}, .stamps = stamps})) return;
    read_video("middle.mkv", 25);
    CHECK(r.status == LT_OK && r.count == 60 && r.pieces == 2 && r.info.holes == 1);
}

static void reordered_and_shifted_stamps_are_taken_in_order(void) {
    static const char *const names[] = {"b.mp4", "b.mkv", "b.ts", "b.avi", "b.h264"};
    for (int k = 0; k < 5; k++) {
        film f = {.codec = "libx264", .frames = 48, .b_frames = 3, .first = k < 3 ? 7 : 0};
        if (!make(names[k], f)) continue;
        read_video(names[k], 0);
        if (r.status != LT_OK || r.count != 48 || r.pieces != 1)
            printf("%s: %d frames, %d pieces, %s\n", names[k], r.count, r.pieces, r.status ? lt_error() : ""),
                test_bad++;
        CHECK_NEAR(r.last.moment.time_s, 47 / 25.0, 0.002);
    }
}

static void time_lapse_and_slow_gifs_are_one_piece(void) {
    if (make("slow.mkv", (film){.frames = 20, .rate = {1, 1}})) {
        read_video("slow.mkv", 16);
        CHECK(r.status == LT_OK && r.count == 20 && r.pieces == 1 && r.rate == 1);
    }
    if (!make(
            "slow.gif",
            (film){
                .codec = "gif", .frames = 20, .rate = {2, 1}, .tick = {1, 100}, .pixels = AV_PIX_FMT_GRAY8}))
        return;
    read_video("slow.gif", 16);
    CHECK(r.status == LT_OK && r.count == 20 && r.pieces == 1 && !r.info.alpha);
    CHECK_NEAR(r.rate, 2, 1e-9);
}

static void one_picture_is_a_video_too(void) {
    if (!make("one.mkv", (film){.frames = 1})) return;
    read_video("one.mkv", 16);
    CHECK(r.status == LT_OK && r.count == 1 && r.rate > 0);
}

/* A copy whose bytes around `share` of the file are noise. */
static void spoil(const char *name, const char *copy, double share, int length) {
    char *bytes;
    size_t size;
    CHECK_OK(lt_read_file(in_folder(name), &bytes, &size));
    size_t at = (size_t)(share * (double)size);
    for (int i = 0; i < length; i++) bytes[at + (size_t)i] = (char)(i * 37 + 11);
    CHECK_OK(lt_write_file(in_folder(copy), bytes, size));
    free(bytes);
}

static void a_damaged_packet_costs_its_frames(void) {
    /* PNG pictures have checksums and stand alone. */
    if (make("whole.avi", (film){.codec = "png", .frames = 60, .pixels = AV_PIX_FMT_GRAY8})) {
        spoil("whole.avi", "spoilt.avi", 0.5, 200);
        read_video("spoilt.avi", 25);
        if (r.status != LT_OK) printf("%s\n", lt_error());
        CHECK(r.status == LT_OK && r.count >= 57 && r.count < 60 && r.pieces == 2);
        CHECK(r.info.lost >= 1 && r.info.lost <= 2);
    }
    if (make("whole.mp4", (film){.codec = "libx264", .frames = 120, .gop = 20})) {
        spoil("whole.mp4", "spoilt.mp4", 0.52, 300);
        read_video("spoilt.mp4", 25);
        if (r.status != LT_OK) printf("%s\n", lt_error());
        CHECK(r.status == LT_OK && r.count >= 75 && r.count < 120 && r.info.lost > 0 && r.pieces >= 2);
    }
}

static void damage_everywhere_and_truncation_are_errors(void) {
    static const char *const names[] = {"cut.mkv", "cut.avi", "cut.mp4"};
    for (int k = 0; k < 3; k++) {
        film f = {.frames = 100, .codec = k == 2 ? "mpeg4" : "ffv1"};
        struct stat info;
        if (!make(names[k], f)) continue;
        CHECK(stat(in_folder(names[k]), &info) == 0 &&
              truncate(in_folder(names[k]), info.st_size * 6 / 10) == 0);
        read_video(names[k], 25);
        CHECK(r.status == LT_INPUT);
    }
    if (!make("bad.avi", (film){.codec = "png", .frames = 40, .pixels = AV_PIX_FMT_GRAY8})) return;
    for (int i = 0; i < 96; i++) spoil("bad.avi", "bad.avi", 0.03 + i / 100.0, 100);
    read_video("bad.avi", 25);
    CHECK(r.status == LT_INPUT && strstr(lt_error(), "bad.avi"));
}

static void pixels_are_as_wide_as_the_container_says(void) {
    if (!make("wide.mkv", (film){.frames = 4, .width = 72, .height = 64, .shape = {4, 3}})) return;
    read_video("wide.mkv", 0);
    CHECK(r.status == LT_OK && r.info.width == 96 && r.info.height == 64);
}

static void hdr_and_fields_are_noted(void) {
    if (make("hdr.mkv",
             (film){.frames = 4, .pixels = AV_PIX_FMT_YUV420P10LE, .transfer = AVCOL_TRC_SMPTE2084})) {
        read_video("hdr.mkv", 0);
        CHECK(r.status == LT_OK && r.info.hdr && !r.info.interlaced);
    }
    if (make("hlg.mkv",
             (film){.frames = 4, .pixels = AV_PIX_FMT_YUV420P10LE, .transfer = AVCOL_TRC_ARIB_STD_B67})) {
        read_video("hlg.mkv", 0);
        CHECK(r.status == LT_OK && r.info.hdr);
    }
    if (!make("fields.mpg", (film){.codec = "mpeg2video", .frames = 14, .interlaced = true})) return;
    read_video("fields.mpg", 0);
    CHECK(r.status == LT_OK && r.info.interlaced && !r.info.hdr);
}

static void pipes_and_folders_are_not_waited_for(void) {
    lt_video *video;
    lt_video_request request = {32, 32, 16, 1};
    CHECK(mkfifo(in_folder("pipe.mp4"), 0600) == 0);
    CHECK_FAILS(lt_video_open(in_folder("pipe.mp4"), &request, &video), LT_INPUT, "found a pipe");
    CHECK_FAILS(lt_video_open(folder, &request, &video), LT_INPUT, "found a folder");
    CHECK_FAILS(lt_video_open("/dev/null", &request, &video), LT_INPUT, "found a device");
}

/* Greys of every step through our own encoder and back: at most one code off. */
static void what_the_writer_writes_is_read_back_as_bright(void) {
    lt_video_writer_spec spec = {.width = 64, .height = 64, .fps = 16, .crf = 1};
    lt_video_writer *writer;
    static uint8_t rgb[64 * 64 * 3];
    int worst = 0;
    CHECK_OK(lt_video_writer_open(in_folder("grey.mp4"), &spec, &writer));
    for (int i = 0; i < 52; i++) {
        memset(rgb, 5 * i, sizeof rgb);
        CHECK_OK(lt_video_writer_append(writer, rgb, 1));
    }
    CHECK_OK(lt_video_writer_close(writer));
    lt_video *video;
    lt_video_request request = {64, 64, 0, 1};
    CHECK_OK(lt_video_open(in_folder("grey.mp4"), &request, &video));
    bool got = true;
    for (int i = 0; got && i < 53; i++) {
        lt_video_place place;
        CHECK_OK(lt_video_next(video, rgb, &place, &got));
        for (int p = 0; got && p < 64 * 64 * 3; p += 61)
            worst = abs(rgb[p] - 5 * i) > worst ? abs(rgb[p] - 5 * i) : worst;
    }
    lt_video_close(video);
    printf("  greys written and read: %d codes off at most\n", worst);
    CHECK(worst <= 1);
}

int main(int argc, char **argv) {
    test_make_folder("lt_reader", folder);
    RUN(a_file_of_every_ending_is_read);
    RUN(every_format_that_is_allowed_has_a_demuxer);
    RUN(joined_recordings_lose_nothing);
    RUN(the_clock_of_transport_streams_wraps);
    RUN(uneven_stamps_keep_their_times);
    RUN(a_last_picture_that_is_held_ends_a_whole_file);
    RUN(reordered_and_shifted_stamps_are_taken_in_order);
    RUN(time_lapse_and_slow_gifs_are_one_piece);
    RUN(one_picture_is_a_video_too);
    RUN(a_damaged_packet_costs_its_frames);
    RUN(damage_everywhere_and_truncation_are_errors);
    RUN(pixels_are_as_wide_as_the_container_says);
    RUN(hdr_and_fields_are_noted);
    RUN(pipes_and_folders_are_not_waited_for);
    RUN(what_the_writer_writes_is_read_back_as_bright);
    lt_remove_tree(folder);
    return test_end();
}

#else

static void without_ffmpeg_it_says_how_to_get_it(void) {
    lt_video *video;
    lt_video_request request = {32, 32, 16, 1};
    CHECK_FAILS(lt_video_open("a.mp4", &request, &video), LT_UNAVAILABLE, "libavformat-dev");
}

int main(int argc, char **argv) {
    RUN(without_ffmpeg_it_says_how_to_get_it);
    return test_end();
}

#endif
