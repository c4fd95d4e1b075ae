#include "core/output.h"
#include "data/video_writer.h"
#include "tests/harness.h"

#ifdef LT_WITH_FFMPEG

#    include <libavcodec/avcodec.h>
#    include <libavformat/avformat.h>
#    include <libswscale/swscale.h>

#    include <signal.h>
#    include <sys/resource.h>
#    include <sys/wait.h>
#    include <unistd.h>

static char folder[TEST_FOLDER], path[LT_PATH_MAX + 32];

static void fresh(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    lt_remove_tree(path);
}

/* A bright bar that moves one pixel per frame over a gradient. */
static void paint(int w, int h, int frame, uint8_t *rgb) {
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            uint8_t *p = rgb + 3 * (y * w + x);
            bool bar = x >= frame % w && x < frame % w + 8;
            p[0] = bar ? 230 : (uint8_t)(40 + x), p[1] = bar ? 60 : (uint8_t)(90 + y), p[2] = 120;
        }
}

typedef struct reading {
    AVFormatContext *format;
    AVCodecContext *codec;
    int frames, width, height;
    double worst; /* largest mean |difference| per frame to the painted frames, cropped to w x h */
    double seconds;
} reading;

static void compare(reading *r, const AVFrame *frame, int w, int h) {
    r->width = frame->width, r->height = frame->height;
    uint8_t *got = malloc(3 * (size_t)(frame->width * frame->height)), *wanted = malloc(3 * (size_t)(w * h));
    struct SwsContext *scaler =
        sws_getContext(frame->width, frame->height, frame->format, frame->width, frame->height,
                       AV_PIX_FMT_RGB24, SWS_BICUBIC | SWS_ACCURATE_RND, NULL, NULL, NULL);
    uint8_t *planes[4] = {got};
    int strides[4] = {3 * frame->width};
    sws_scale(scaler, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, planes,
              strides);
    sws_freeContext(scaler);
    paint(w, h, r->frames++, wanted);
    double sum = 0;
    for (int y = 0; y < h; y++)
        for (int i = 0; i < 3 * w; i++) sum += abs(got[strides[0] * y + i] - wanted[3 * w * y + i]);
    r->worst = fmax(r->worst, sum / (3.0 * w * h));
    free(got), free(wanted);
}

static void decode(reading *r, const AVPacket *packet, AVFrame *frame, int w, int h) {
    CHECK(avcodec_send_packet(r->codec, packet) >= 0);
    while (avcodec_receive_frame(r->codec, frame) >= 0) compare(r, frame, w, h);
}

/* Decodes the whole file and compares with what was painted. */
static reading read_back(int w, int h) {
    reading r = {0};
    if (avformat_open_input(&r.format, path, NULL, NULL) < 0) return r;
    CHECK(avformat_find_stream_info(r.format, NULL) >= 0 && r.format->nb_streams == 1);
    const AVCodecParameters *parameters = r.format->streams[0]->codecpar;
    r.codec = avcodec_alloc_context3(avcodec_find_decoder(parameters->codec_id));
    avcodec_parameters_to_context(r.codec, parameters);
    CHECK(avcodec_open2(r.codec, NULL, NULL) >= 0);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    while (av_read_frame(r.format, packet) >= 0) {
        decode(&r, packet, frame, w, h);
        r.seconds = (double)(packet->pts + packet->duration) * av_q2d(r.format->streams[0]->time_base);
        av_packet_unref(packet);
    }
    decode(&r, NULL, frame, w, h);
    av_packet_free(&packet), av_frame_free(&frame);
    avcodec_free_context(&r.codec);
    avformat_close_input(&r.format);
    return r;
}

static lt_status write_frames(lt_video_writer *video, int w, int h, int first, int count) {
    uint8_t *rgb = malloc(3 * (size_t)(w * h * count));
    for (int f = 0; f < count; f++) paint(w, h, first + f, rgb + 3 * w * h * f);
    lt_status status = lt_video_writer_append(video, rgb, count);
    free(rgb);
    return status;
}

static void what_is_written_is_read_back(void) {
    fresh("a.mp4");
    lt_video_writer_spec spec = {.width = 64, .height = 48, .fps = 16};
    lt_video_writer *video = NULL;
    CHECK_OK(lt_video_writer_open(path, &spec, &video));
    for (int block = 0; block < 5; block++) CHECK_OK(write_frames(video, 64, 48, 8 * block, 8));
    printf("encoder %s\n", lt_video_writer_encoder(video));
    CHECK_OK(lt_video_writer_close(video));
    reading r = read_back(64, 48);
    CHECK(r.frames == 40 && r.width == 64 && r.height == 48);
    CHECK_NEAR(r.seconds, 2.5, 1e-3);
    printf("mean difference of the worst frame: %.2f of 255\n", r.worst);
    CHECK(r.worst < 8);
}

static void odd_sides_and_fractional_rates_work(void) {
    fresh("odd.mp4");
    lt_video_writer_spec spec = {.width = 65, .height = 47, .fps = 30000 / 1001.0};
    lt_video_writer *video = NULL;
    CHECK_OK(lt_video_writer_open(path, &spec, &video));
    CHECK_OK(write_frames(video, 65, 47, 0, 30));
    CHECK_OK(lt_video_writer_close(video));
    reading r = read_back(65, 47);
    CHECK(r.frames == 30 && r.width == 66 && r.height == 48);
    CHECK_NEAR(r.seconds, 30 * 1001 / 30000.0, 2e-3);
    CHECK(r.worst < 8);
}

/* A child writes 80 frames and dies without closing. */
static void a_killed_writer_leaves_a_file_that_plays(void) {
    char part[LT_PATH_MAX];
    fresh("killed.mp4");
    pid_t child = fork();
    if (child == 0) {
        lt_video_writer_spec spec = {.width = 64, .height = 64, .fps = 16};
        lt_video_writer *video = NULL;
        if (lt_video_writer_open(path, &spec, &video) == LT_OK && write_frames(video, 64, 64, 0, 80) == LT_OK)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(!lt_path_exists(path));
    CHECK_OK(lt_part_path(path, part));
    snprintf(path, sizeof path, "%s", part);
    reading r = read_back(64, 64);
    printf("killed after 80 frames: %d play\n", r.frames);
    CHECK(r.frames >= 80 - 17 && r.worst < 8); /* at most the last second is lost */
}

typedef struct pairs {
    const char *const (*wanted)[2];
    int count, found;
} pairs;

static void look(const char *key, const char *value, void *user) {
    pairs *p = user;
    for (int i = 0; i < p->count; i++)
        p->found += strcmp(key, p->wanted[i][0]) == 0 && strcmp(value, p->wanted[i][1]) == 0;
}

static void metadata_is_in_the_file_from_the_start(void) {
    static const char *const wanted[][2] = {
        {"comment", "longtake generate --policy sink:n=1"},
        {"longtake_policy", "sink:n=1,consolidate=ema"},
        {"longtake_arguments", "{\"seed\": 7, \"prompt\": \"a red disc \xc3\xa9\"}"}};
    char part[LT_PATH_MAX];
    fresh("meta.mp4");
    lt_video_writer_spec spec = {
        .width = 64, .height = 64, .fps = 16, .metadata = wanted, .metadata_count = 3};
    lt_video_writer *video = NULL;
    CHECK_OK(lt_video_writer_open(path, &spec, &video));
    pairs before = {wanted, 3, 0}, after = {wanted, 3, 0};
    CHECK_OK(write_frames(video, 64, 64, 0, 40));
    CHECK_OK(lt_part_path(path, part));
    CHECK_OK(lt_video_metadata(part, look, &before));
    CHECK_OK(lt_video_writer_close(video));
    CHECK_OK(lt_video_metadata(path, look, &after));
    CHECK(before.found == 3 && after.found == 3);
}

static void failures_say_why(void) {
    lt_video_writer *video = NULL;
    lt_video_writer_spec spec = {.width = 64, .height = 64, .fps = 16};
    CHECK_FAILS(lt_video_writer_open("/nowhere/at/all.mp4", &spec, &video), LT_FAILED, "No such file");
    spec.width = 4;
    CHECK_FAILS(lt_video_writer_open(path, &spec, &video), LT_USAGE, "4 x 64");
    spec.width = 64, spec.fps = 0;
    CHECK_FAILS(lt_video_writer_open(path, &spec, &video), LT_USAGE, "frames per second");
    CHECK_FAILS(lt_video_metadata("/nowhere/at/all.mp4", look, NULL), LT_INPUT, "all.mp4");
    CHECK_OK(lt_video_writer_close(NULL));
}

/* Whatever was there under the name stays until the new video is complete. */
static void an_old_video_stays_until_the_new_one_is_complete(void) {
    lt_video_writer_spec spec = {.width = 64, .height = 64, .fps = 16};
    char part[LT_PATH_MAX], *text = NULL;
    size_t size = 0;
    fresh("old.mp4");
    CHECK_OK(lt_part_path(path, part));
    CHECK_OK(lt_write_file(path, "old", 3));
    for (int whole = 0; whole < 2; whole++) {
        lt_video_writer *video = NULL;
        CHECK_OK(lt_video_writer_open(path, &spec, &video));
        CHECK_OK(write_frames(video, 64, 64, 0, 8));
        CHECK_OK(whole ? lt_video_writer_close(video) : lt_video_writer_leave(video));
        CHECK_OK(lt_read_file(path, &text, &size));
        CHECK((size == 3) == !whole && lt_path_exists(part) == !whole);
        free(text);
    }
}

/* A file size limit stands for a full disk. */
static void a_full_disk_is_reported(void) {
    fresh("full.mp4");
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small = {20000, 20000};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    lt_video_writer_spec spec = {.width = 256, .height = 256, .fps = 16, .crf = 1};
    lt_video_writer *video = NULL;
    setrlimit(RLIMIT_FSIZE, &small);
    lt_status status = lt_video_writer_open(path, &spec, &video);
    for (int i = 0; i < 20 && status == LT_OK; i++) status = write_frames(video, 256, 256, 8 * i, 8);
    lt_status closed = lt_video_writer_close(video);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(status == LT_FAILED || closed == LT_FAILED);
    CHECK(strstr(lt_error(), "full.mp4") != NULL && !lt_path_exists(path));
}

int main(int argc, char **argv) {
    test_make_folder("lt_video", folder);
    RUN(what_is_written_is_read_back);
    RUN(odd_sides_and_fractional_rates_work);
    RUN(a_killed_writer_leaves_a_file_that_plays);
    RUN(metadata_is_in_the_file_from_the_start);
    RUN(an_old_video_stays_until_the_new_one_is_complete);
    RUN(failures_say_why);
    RUN(a_full_disk_is_reported);
    lt_remove_tree(folder);
    return test_end();
}

#else

static void without_ffmpeg_it_says_how_to_get_it(void) {
    lt_video_writer_spec spec = {.width = 64, .height = 64, .fps = 16};
    lt_video_writer *video = NULL;
    CHECK_FAILS(lt_video_writer_open("a.mp4", &spec, &video), LT_UNAVAILABLE, "libavformat-dev");
    CHECK_FAILS(lt_video_metadata("a.mp4", NULL, NULL), LT_UNAVAILABLE, "libavformat-dev");
    CHECK(!lt_path_exists("a.mp4"));
}

int main(int argc, char **argv) {
    RUN(without_ffmpeg_it_says_how_to_get_it);
    return test_end();
}

#endif
