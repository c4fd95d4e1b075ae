/* A video file as its container has it: the stream of pictures, and what the packets say before anything is decoded.
 * Private to data/video*.c.
 */
#ifndef LT_DATA_VIDEO_FILE_H
#define LT_DATA_VIDEO_FILE_H

#include "data/video_clock.h"

#include <libavformat/avformat.h>

typedef struct lt_video_file {
    const char *path;
    AVFormatContext *format;
    AVStream *stream;
} lt_video_file;

/* LT_INPUT: missing, a pipe or a device, none of the formats in question, without pictures, or cut short where the
 * index shows it. */
lt_status lt_video_file_open(const char *path, lt_video_file *out);
void lt_video_file_close(lt_video_file *file);
lt_status lt_video_file_fail(const char *path, const char *what, int code);

/* The next packet of the pictures. *got is false at the end; what cannot be read before it is passed over and counted
 * in *damaged. */
lt_status lt_video_file_read(lt_video_file *file, AVPacket *packet, int64_t *damaged, bool *got);

/* Reads all packets of a file of its own. LT_INPUT: the last one is incomplete. */
lt_status lt_video_file_pace(const char *path, lt_pace *out);

/* Seconds that the file states for its pictures; 0 when it states none. */
double lt_video_file_length(const lt_video_file *file);

/* The formats that are opened, by FFmpeg's names, separated by commas. */
const char *lt_video_file_formats(void);

#endif
