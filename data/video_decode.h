/* Decoded pictures of a video file, one after the other, the damaged ones left out. Private to data/video*.c. */
#ifndef LT_DATA_VIDEO_DECODE_H
#define LT_DATA_VIDEO_DECODE_H

#include "data/video_file.h"

#include <libavcodec/avcodec.h>

enum { LT_VIDEO_QUEUE = 3 };

typedef struct lt_video_decoder {
    lt_video_file file;
    AVCodecContext *codec;
    AVPacket *queue[LT_VIDEO_QUEUE]; /* the next ones */
    int queued;
    int64_t lost_before[LT_VIDEO_QUEUE]; /* what could not be read before each of them, and after the last */
    bool ended;                          /* the file has no more */
    AVFrame *frame;
    int64_t lost; /* packets and pictures that are damaged, or come before a keyframe after one that is */
    bool limited_grey; /* the codec's own rule for grey without a tag */
    bool drained;      /* the decoder has been told of the end */
    bool waits;        /* for a keyframe */
    bool gap;          /* something is missing before the next picture */
} lt_video_decoder;

/* Of the picture in `frame`. */
typedef struct lt_picture {
    double stamp, duration; /* seconds; NAN and 0: none */
    bool after_loss;        /* pictures before it are missing */
    bool hdr, interlaced, alpha;
} lt_picture;

/* `name` is the path as messages have it; `threads` 0: as many as it likes. Close it also when this fails. */
lt_status lt_video_decoder_open(const char *name, const char *path, int threads, lt_video_decoder *out);
void lt_video_decoder_close(lt_video_decoder *decoder);

/* The next good picture into decoder->frame; *got is false at the end. */
lt_status lt_video_decode(lt_video_decoder *decoder, lt_picture *picture, bool *got);

#endif
