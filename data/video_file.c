#ifdef LT_WITH_FFMPEG

#    include "data/video_file.h"
#    include "core/io.h"
#    include "data/sources.h"

#    include <errno.h>
#    include <math.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <string.h>

/* Containers of moving pictures; not those that name other files, nor text that is drawn as pictures. */
static const char formats[] =
    "mov,mp4,matroska,webm,avi,ogg,mpeg,mpegts,asf,flv,gif,h264,hevc,ivf,mpegvideo,m4v,mjpeg,"
    "jpeg_pipe,yuv4mpegpipe,nut,dv,swf,av1,obu,rm,mxf";

enum { TRIES = 64 }; /* at what cannot be read, one after the other */

const char *lt_video_file_formats(void) { return formats; }

lt_status lt_video_file_fail(const char *path, const char *what, int code) {
    char reason[AV_ERROR_MAX_STRING_SIZE];
    if (code == AVERROR_EXIT) return lt_fail(LT_INTERRUPTED, "%s: interrupted", path);
    av_strerror(code, reason, sizeof reason);
    return lt_fail(code == AVERROR(ENOMEM) ? LT_FAILED : LT_INPUT, "%s: %s: %s", path, what, reason);
}

/* An index entry past the end of the file: what an interrupted copy of a film leaves. */
static lt_status check_index(const lt_video_file *file) {
    int64_t size = avio_size(file->format->pb);
    int count = avformat_index_get_entries_count(file->stream);
    for (int i = 0; i < count && size > 0; i++) {
        const AVIndexEntry *entry = avformat_index_get_entry(file->stream, i);
        LT_CHECK(entry->pos <= size && entry->size <= size - entry->pos, LT_INPUT,
                 "%s: cut short: frame %d of %d lies past the end of the file", file->path, i, count);
    }
    return LT_OK;
}

/* One EBML element's head: its id, and its size (-1: unknown). */
static bool read_element(FILE *file, uint32_t *id, int64_t *size) {
    int first = fgetc(file), length = 1;
    if (first <= 0) return false;
    while (!(first & 0x80 >> (length - 1))) length++;
    if (length > 4) return false;
    *id = (uint32_t)first;
    for (int i = 1; i < length; i++) *id = *id << 8 | (uint32_t)(fgetc(file) & 0xff);
    first = fgetc(file), length = 1;
    if (first <= 0) return false;
    while (!(first & 0x80 >> (length - 1))) length++;
    uint64_t value = (uint64_t)first & (0x7fu >> (length - 1)), most = value == 0x7fu >> (length - 1);
    for (int i = 1; i < length; i++) {
        int next = fgetc(file);
        most &= next == 0xff;
        value = value << 8 | (uint64_t)(next & 0xff);
    }
    *size = most ? -1 : (int64_t)value;
    return !feof(file) && *size < INT64_MAX / 2;
}

/* Matroska says at its beginning how long its one big element is; the length in seconds that it states may be that of a
 * last picture that is held. */
static lt_status check_segment(const lt_video_file *file) {
    enum { HEAD = 0x1a45dfa3, SEGMENT = 0x18538067 };
    FILE *bytes = fopen(file->path, "rb");
    LT_CHECK(bytes, LT_INPUT, "%s: cannot open: %s", file->path, strerror(errno));
    uint32_t id = 0;
    int64_t size = 0;
    bool found = read_element(bytes, &id, &size) && id == HEAD && size >= 0 &&
                 fseeko(bytes, size, SEEK_CUR) == 0 && read_element(bytes, &id, &size) && id == SEGMENT &&
                 size >= 0;
    int64_t end = found ? ftello(bytes) + size : 0;
    fclose(bytes);
    int64_t there = avio_size(file->format->pb);
    LT_CHECK(there >= end, LT_INPUT, "%s: cut short: %lld bytes of %lld", file->path, (long long)there,
             (long long)end);
    return LT_OK;
}

static bool is_matroska(const lt_video_file *file) {
    return strncmp(file->format->iformat->name, "matroska", 8) == 0;
}

static int stop_reading(void *unused) {
    (void)unused;
    return lt_interrupted();
}

static lt_status open_format(lt_video_file *file) {
    AVDictionary *options = NULL;
    av_dict_set(&options, "format_whitelist", formats, 0);
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    char url[4200];
    snprintf(url, sizeof url, "file:%s", file->path);
    file->format = avformat_alloc_context();
    if (file->format) file->format->interrupt_callback.callback = stop_reading;
    int code = avformat_open_input(&file->format, url, NULL, &options);
    av_dict_free(&options);
    if (code < 0) return lt_video_file_fail(file->path, "not a readable video file", code);
    code = avformat_find_stream_info(file->format, NULL);
    return code < 0 ? lt_video_file_fail(file->path, "cannot read the streams", code) : LT_OK;
}

static lt_status find_pictures(lt_video_file *file) {
    int best = av_find_best_stream(file->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    bool cover = best >= 0 && file->format->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC;
    LT_CHECK(best >= 0 && !cover, LT_INPUT, "%s: has no video stream", file->path);
    file->stream = file->format->streams[best];
    for (unsigned i = 0; i < file->format->nb_streams; i++)
        if ((int)i != best) file->format->streams[i]->discard = AVDISCARD_ALL;
    if (is_matroska(file)) LT_TRY(check_segment(file));
    return check_index(file);
}

lt_status lt_video_file_open(const char *path, lt_video_file *out) {
    av_log_set_level(AV_LOG_QUIET); /* every error is returned */
    *out = (lt_video_file){.path = path};
    LT_TRY(lt_source_check(path));
    lt_status status = open_format(out);
    if (status == LT_OK) status = find_pictures(out);
    if (status != LT_OK) lt_video_file_close(out);
    return status;
}

void lt_video_file_close(lt_video_file *file) { avformat_close_input(&file->format); }

lt_status lt_video_file_read(lt_video_file *file, AVPacket *packet, int64_t *damaged, bool *got) {
    *got = false;
    for (int tries = 0; tries < TRIES;) {
        int code = av_read_frame(file->format, packet);
        if (code == AVERROR_EOF) return LT_OK;
        if (code == AVERROR_EXIT || code == AVERROR(ENOMEM))
            return lt_video_file_fail(file->path, "cannot read", code);
        *got = code >= 0 && packet->stream_index == file->stream->index;
        if (*got) return LT_OK;
        if (code >= 0) av_packet_unref(packet);
        tries = code < 0 ? tries + 1 : 0;
        *damaged += code < 0;
        if (code < 0 && tries == TRIES) return lt_video_file_fail(file->path, "damaged or cut short", code);
    }
    return LT_OK;
}

double lt_video_file_length(const lt_video_file *file) {
    /* From the last time stamps or the size, it is a guess. */
    bool stated =
        file->format->duration_estimation_method == AVFMT_DURATION_FROM_STREAM && !is_matroska(file);
    return stated && file->stream->duration > 0
               ? (double)file->stream->duration * av_q2d(file->stream->time_base)
               : 0;
}

typedef struct stamps {
    double *items;
    int64_t count, capacity;
    bool last_corrupt;
} stamps;

static lt_status add_stamp(stamps *all, const AVPacket *packet, AVRational base, const char *path) {
    if (all->count == all->capacity) {
        int64_t capacity = all->capacity ? 2 * all->capacity : 1024;
        double *items = realloc(all->items, (size_t)capacity * sizeof *items);
        LT_CHECK(items, LT_FAILED, "%s: out of memory for %lld time stamps", path, (long long)capacity);
        all->items = items;
        all->capacity = capacity;
    }
    /* In the order of the file it is decoding times that go forward. */
    int64_t stamp = packet->dts != AV_NOPTS_VALUE ? packet->dts : packet->pts;
    all->items[all->count++] = stamp == AV_NOPTS_VALUE ? NAN : (double)stamp * av_q2d(base);
    all->last_corrupt = packet->flags & AV_PKT_FLAG_CORRUPT;
    return LT_OK;
}

static lt_status read_stamps(lt_video_file *file, stamps *all) {
    AVPacket *packet = av_packet_alloc();
    LT_CHECK(packet, LT_FAILED, "%s: out of memory", file->path);
    int64_t damaged = 0;
    bool got = true;
    lt_status status = LT_OK;
    while (status == LT_OK && got) {
        status = lt_video_file_read(file, packet, &damaged, &got);
        bool shown = got && !(packet->flags & AV_PKT_FLAG_DISCARD);
        if (status == LT_OK && shown) status = add_stamp(all, packet, file->stream->time_base, file->path);
        if (got) av_packet_unref(packet);
    }
    av_packet_free(&packet);
    LT_TRY(status);
    LT_CHECK(!all->last_corrupt, LT_INPUT, "%s: damaged or cut short after %lld frames", file->path,
             (long long)all->count - 1);
    return LT_OK;
}

lt_status lt_video_file_pace(const char *path, lt_pace *out) {
    lt_video_file file;
    stamps all = {0};
    LT_TRY(lt_video_file_open(path, &file));
    AVRational rate = av_guess_frame_rate(file.format, file.stream, NULL);
    double nominal = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
    lt_status status = read_stamps(&file, &all);
    if (status == LT_OK) status = lt_pace_of(all.items, all.count, nominal > 10000 ? 0 : nominal, out);
    free(all.items);
    lt_video_file_close(&file);
    return status;
}

#endif
