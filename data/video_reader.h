/* Reads the pictures of a video file: decoded by the FFmpeg libraries, turned upright, cropped about the centre to the
 * aspect of the output, scaled, RGB, at no more than a given rate.
 *
 * The rate is lowered by leaving frames out, by their timestamps; a source that is slower keeps its own rate. Only
 * frames that are returned are converted. Only files of known video formats are opened: no playlists, no network.
 *
 * In a build without FFmpeg lt_video_open is LT_UNAVAILABLE.
 */
#ifndef LT_DATA_VIDEO_READER_H
#define LT_DATA_VIDEO_READER_H

#include "core/status.h"

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
    double source_fps; /* as the file states it, or the rate asked for when it states none */
    double fps;        /* of the frames returned: the smaller of both */
    double seconds;    /* that the file states for its pictures; 0: none */
    int rotation;      /* degrees clockwise that were needed to turn it upright: 0, 90, 180, 270 */
    char codec[32];
} lt_video_info;

/* LT_INPUT: missing, not a video, no video stream, or cut short where the index shows it. */
lt_status lt_video_open(const char *path, const lt_video_request *request, lt_video **out);
void lt_video_close(lt_video *video); /* NULL is fine */
/* Valid until the video is closed. */
const lt_video_info *lt_video_get_info(const lt_video *video);

/* Where a returned frame stands in its source. */
typedef struct lt_video_place {
    double time_s; /* since the first frame */
    int64_t index; /* counts all frames of the source, left out or not */
} lt_video_place;

/* The next frame into rgb[height][width][3]. *got is false after the last. LT_INPUT when the file turns out to be
 * damaged, cut short or without a single frame. */
lt_status lt_video_next(lt_video *video, uint8_t *rgb, lt_video_place *place, bool *got);

/* How many of the source's frames first .. last repeat their predecessor: the difference is under a quarter of the
 * one before and of the one after. Frames that were left out count too. A still picture has none, a rate that was raised by repetition has many. */
int64_t lt_video_repeats(const lt_video *video, int64_t first, int64_t last);

#ifdef __cplusplus
}
#endif
#endif
