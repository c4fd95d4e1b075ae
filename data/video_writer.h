/* Writes RGB frames as they come into a fragmented mp4: a header first, then about one fragment a second, each flushed
 * to the system, in a file beside the one that is named (lt_part_path: out.part.mp4). What was written before a kill
 * plays there.
 *
 *     lt_video_writer_spec spec = {.width = 64, .height = 64, .fps = 16};
 *     LT_TRY(lt_video_writer_open("out.mp4", &spec, &video));
 *     LT_TRY(lt_video_writer_append(video, rgb, 8));      as often as needed
 *     LT_TRY(lt_video_writer_close(video));
 *
 * H.264 where the FFmpeg libraries have an encoder for it, else MPEG-4 part 2; yuv420p, BT.601 colours of limited
 * range, square pixels, all tagged so, converted exactly (data/video_colour.h). An odd side gets one more row or column
 * that repeats the edge. All functions answer LT_UNAVAILABLE in a build without FFmpeg.
 */
#ifndef LT_DATA_VIDEO_WRITER_H
#define LT_DATA_VIDEO_WRITER_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_video_writer lt_video_writer;

typedef struct lt_video_writer_spec {
    int width, height;                /* 16 to 8192 */
    double fps;                       /* above 0, at most 240 */
    int crf;                          /* H.264 quality, 1 (best) to 51; 0: 18 */
    const char *const (*metadata)[2]; /* key, value pairs kept in the file; any keys, UTF-8 */
    int metadata_count;
} lt_video_writer_spec;

/* Creates the file aside and writes its header; one of that name is replaced, and what has the name `path` stays until
 * lt_video_writer_close. LT_USAGE for a bad spec, LT_FAILED when the file cannot be written; then no file is left. */
lt_status lt_video_writer_open(const char *path, const lt_video_writer_spec *spec, lt_video_writer **out);

/* Appends rgb[frames][height][width][3]. After a failure only lt_video_writer_close may follow. */
lt_status lt_video_writer_append(lt_video_writer *video, const uint8_t *rgb, int64_t frames);

/* Writes what is pending, ends the file, flushes it to disk, gives it its name and frees `video`. Where this or an
 * earlier call failed, the file stays aside. NULL is fine. */
lt_status lt_video_writer_close(lt_video_writer *video);
/* The same for a video that is not complete: the file stays aside. */
lt_status lt_video_writer_leave(lt_video_writer *video);

/* Name of the encoder in use, such as "libx264". */
const char *lt_video_writer_encoder(const lt_video_writer *video);

/* How lt_video_metadata hands out a file's pairs. */
typedef void (*lt_video_pair)(const char *key, const char *value, void *user);
/* Calls `visit` for each metadata pair of a video file. LT_INPUT when it cannot be read. */
lt_status lt_video_metadata(const char *path, lt_video_pair visit, void *user);

#ifdef __cplusplus
}
#endif
#endif
