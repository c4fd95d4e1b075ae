/* A decoded picture as three planes that libswscale can scale without knowing colours. RGB, palettes and grey are named
 * 4:4:4 planar, because libswscale would scale RGB by way of YUV. Private to data/video*.c.
 */
#ifndef LT_DATA_VIDEO_PLANES_H
#define LT_DATA_VIDEO_PLANES_H

#include "core/status.h"
#include "data/video_colour.h"

#include <libavutil/frame.h>

struct SwsContext;

typedef struct lt_planes {
    const uint8_t *data[4]; /* of the frame, or of `own` */
    int stride[4];
    int format; /* for libswscale; its colours mean nothing */
    lt_colour colour;
    uint8_t *own; /* unpacked samples, kept from picture to picture */
    size_t own_bytes;
    struct SwsContext *unpack; /* of formats that are rare */
    AVFrame *unpacked;
} lt_planes;

/* False when this FFmpeg cannot read the format, or for want of memory. */
bool lt_planes_of(lt_planes *planes, const AVFrame *frame, bool limited_grey);
void lt_planes_free(lt_planes *planes);

#endif
