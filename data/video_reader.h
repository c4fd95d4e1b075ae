/* Reads the pictures of a video file: decoded by the FFmpeg libraries, cropped about the centre to the aspect of the
 * output (pixels are as wide as the container says), scaled, converted to RGB exactly, turned or mirrored upright, at
 * no more than a given rate.
 *
 * The rate is lowered by taking the pictures nearest to a grid, by their time stamps (data/video_clock.h); a source
 * that is slower keeps its own rate. Only files of known video formats are opened: no playlists, no network, no pipes.
 *
 * A damaged packet costs the pictures up to the next keyframe, which are counted; a file that is cut short, or of which
 * less than a tenth decodes, is an error.
 *
 * In a build without FFmpeg lt_video_open is LT_UNAVAILABLE.
 */
#ifndef LT_DATA_VIDEO_READER_H
#define LT_DATA_VIDEO_READER_H

#include "data/video_clock.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_video lt_video;

typedef struct lt_video_request {
    int width, height; /* of the frames returned */
    double fps;        /* at most this many per second; 0: all */
    int threads;       /* of the decoder; 0: as many as it likes */
} lt_video_request;

typedef struct lt_video_info {
    int width, height; /* of the upright picture, square pixels */
    double source_fps; /* mean, by its time stamps */
    double fps;        /* of the frames returned: the smaller of that and the rate asked for */
    double seconds;    /* of all its pictures, holes left out */
    int rotation;      /* degrees clockwise that were needed to turn it upright: 0, 90, 180, 270 */
    bool mirrored;     /* and it was mirrored left to right after that */
    char codec[32];
    /* What was met so far. */
    int64_t lost;     /* pictures and packets that are damaged */
    int64_t restarts; /* of the clock: joined recordings */
    int64_t holes;    /* in time, and pictures that are held */
    bool hdr;         /* PQ or HLG, kept as coded: no tone mapping */
    bool interlaced;  /* kept as coded: both fields in one picture */
    bool alpha;       /* left out */
} lt_video_info;

/* LT_UNAVAILABLE, with what to install, where this build has no FFmpeg libraries. */
lt_status lt_video_available(void);

/* LT_INPUT: missing, not a video, no video stream, or cut short where the index or the last packet shows it. */
lt_status lt_video_open(const char *path, const lt_video_request *request, lt_video **out);
void lt_video_close(lt_video *video); /* NULL is fine */
/* Valid until the video is closed. */
const lt_video_info *lt_video_get_info(const lt_video *video);

/* Where a returned frame stands in its source. Frames of different pieces do not follow each other. */
typedef struct lt_video_place {
    lt_moment moment;
    int64_t index; /* counts all frames of the source, taken or not */
} lt_video_place;

/* The next frame into rgb[height][width][3]. *got is false after the last. LT_INPUT when the file turns out to be
 * damaged beyond use, cut short or without a single frame; LT_INTERRUPTED. */
lt_status lt_video_next(lt_video *video, uint8_t *rgb, lt_video_place *place, bool *got);

/* Rate of `frames` returned from first to last, which are of one piece. */
double lt_video_rate(const lt_video *video, const lt_video_place *first, const lt_video_place *last,
                     int64_t frames);

/* How many of the source's frames first .. last repeat their predecessor: the difference is under a quarter of the one
 * before and of the one after. Frames that were left out count too. A still picture has none, a rate that was raised by
 * repetition has many. */
int64_t lt_video_repeats(const lt_video *video, int64_t first, int64_t last);

#ifdef __cplusplus
}
#endif
#endif
