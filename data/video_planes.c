#ifdef LT_WITH_FFMPEG

#    include "data/video_planes.h"

#    include <libavutil/pixdesc.h>
#    include <libswscale/swscale.h>
#    include <stdlib.h>
#    include <string.h>

/* The old full-range twins of formats, which libswscale wants named otherwise. */
static int plain_format(int format) {
    switch (format) {
    case AV_PIX_FMT_YUVJ420P: return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P: return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P: return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P: return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ411P: return AV_PIX_FMT_YUV411P;
    default: return format;
    }
}

/* Planar 4:4:4 of as many bits. */
static int planar_of(int depth) {
    switch (depth) {
    case 8: return AV_PIX_FMT_YUV444P;
    case 9: return AV_PIX_FMT_YUV444P9;
    case 10: return AV_PIX_FMT_YUV444P10;
    case 12: return AV_PIX_FMT_YUV444P12;
    case 14: return AV_PIX_FMT_YUV444P14;
    case 16: return AV_PIX_FMT_YUV444P16;
    default: return AV_PIX_FMT_NONE;
    }
}

static void set_weights(lt_colour *colour, enum AVColorSpace space) {
    switch (space) {
    case AVCOL_SPC_BT709: colour->kr = 0.2126, colour->kb = 0.0722; break;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
    case AVCOL_SPC_ICTCP: colour->kr = 0.2627, colour->kb = 0.0593; break;
    case AVCOL_SPC_SMPTE240M: colour->kr = 0.212, colour->kb = 0.087; break;
    case AVCOL_SPC_FCC: colour->kr = 0.30, colour->kb = 0.11; break;
    default: colour->kr = 0.299, colour->kb = 0.114; break;
    }
    if (space == AVCOL_SPC_YCGCO) colour->model = LT_COLOUR_YCGCO;
    if (space == AVCOL_SPC_RGB) colour->model = LT_COLOUR_GBR;
}

static lt_colour colour_of(const AVFrame *frame, const AVPixFmtDescriptor *format, bool limited_grey) {
    bool rgb = format->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL), grey = format->nb_components < 3;
    lt_colour colour = {.model = rgb ? LT_COLOUR_GBR : grey ? LT_COLOUR_GREY : LT_COLOUR_YUV};
    if (!rgb && !grey) set_weights(&colour, frame->colorspace);
    bool untagged = rgb || (grey && !limited_grey) || plain_format(frame->format) != frame->format;
    colour.full =
        frame->color_range == AVCOL_RANGE_UNSPECIFIED ? untagged : frame->color_range == AVCOL_RANGE_JPEG;
    colour.depth = format->comp[0].depth < 8 ? 8 : format->comp[0].depth > 16 ? 16 : format->comp[0].depth;
    return colour;
}

/* Planes that need no unpacking: the format has them, or the picture has but one. */
static bool has_planes(const AVPixFmtDescriptor *format) {
    bool planar = format->flags & AV_PIX_FMT_FLAG_PLANAR || format->nb_components == 1;
    const AVComponentDescriptor *first = &format->comp[0];
    return planar && planar_of(first->depth) != AV_PIX_FMT_NONE && first->shift == 0 &&
           first->step == (first->depth + 7) / 8;
}

/* Samples that can be read one by one. */
static bool has_samples(const AVPixFmtDescriptor *format) {
    for (int i = 0; i < format->nb_components; i++)
        if (format->comp[i].depth != format->comp[0].depth) return false;
    return format->comp[0].depth >= 8 && format->comp[0].depth <= 16;
}

static void unpack_bytes(const AVFrame *frame, const AVComponentDescriptor *from, uint8_t *to) {
    for (int y = 0; y < frame->height; y++) {
        const uint8_t *in = frame->data[from->plane] + (ptrdiff_t)y * frame->linesize[from->plane];
        for (int x = 0; x < frame->width; x++) *to++ = in[x * from->step + from->offset];
    }
}

static void unpack_palette(const AVFrame *frame, int shift, uint8_t *to) {
    for (int y = 0; y < frame->height; y++) {
        const uint8_t *in = frame->data[0] + (ptrdiff_t)y * frame->linesize[0];
        for (int x = 0; x < frame->width; x++) {
            uint32_t argb;
            memcpy(&argb, frame->data[1] + 4 * in[x], sizeof argb);
            *to++ = (uint8_t)(argb >> shift);
        }
    }
}

static void unpack_words(const AVFrame *frame, const AVPixFmtDescriptor *format, int component,
                         uint16_t *to) {
    int up = 16 - format->comp[component].depth;
    for (int y = 0; y < frame->height; y++, to += frame->width) {
        av_read_image_line2(to, (const uint8_t **)(uintptr_t)frame->data, frame->linesize, format, 0, y,
                            component, frame->width, 0, 2);
        for (int x = 0; x < frame->width; x++) to[x] = (uint16_t)(to[x] << up);
    }
}

/* Green, blue, red (or grey once), one after the other in `own`. */
static bool unpack(lt_planes *planes, const AVFrame *frame, const AVPixFmtDescriptor *format) {
    bool palette = format->flags & AV_PIX_FMT_FLAG_PAL, bytes = palette || format->comp[0].depth == 8;
    size_t plane = (size_t)frame->width * (size_t)frame->height * (bytes ? 1 : 2);
    int count = planes->colour.model == LT_COLOUR_GREY ? 1 : 3;
    if (planes->own_bytes < 3 * plane) {
        free(planes->own);
        planes->own = malloc(3 * plane);
        planes->own_bytes = planes->own ? 3 * plane : 0;
        if (!planes->own) return false;
    }
    for (int i = 0; i < 3; i++) {
        int component = (i + 1) % 3; /* R, G, B are components 0, 1, 2 */
        uint8_t *to = planes->own + (size_t)(i % count) * plane;
        planes->data[i] = to;
        planes->stride[i] = frame->width * (bytes ? 1 : 2);
        if (i >= count) continue;
        if (count == 1) component = 0;
        if (palette) unpack_palette(frame, 16 - 8 * component, to);
        else if (bytes) unpack_bytes(frame, &format->comp[component], to);
        else unpack_words(frame, format, component, (uint16_t *)(void *)to);
    }
    planes->format = bytes ? AV_PIX_FMT_YUV444P : AV_PIX_FMT_YUV444P16;
    return true;
}

/* Formats of less than a byte, of floats, mosaics: libswscale makes RGB of them first. */
static bool unpack_rare(lt_planes *planes, const AVFrame *frame) {
    planes->unpack =
        sws_getCachedContext(planes->unpack, frame->width, frame->height, frame->format, frame->width,
                             frame->height, AV_PIX_FMT_RGB24, SWS_BICUBIC, NULL, NULL, NULL);
    if (!planes->unpack) return false;
    av_frame_free(&planes->unpacked);
    planes->unpacked = av_frame_alloc();
    if (!planes->unpacked) return false;
    planes->unpacked->format = AV_PIX_FMT_RGB24;
    planes->unpacked->width = frame->width, planes->unpacked->height = frame->height;
    if (av_frame_get_buffer(planes->unpacked, 0) < 0) return false;
    if (sws_scale(planes->unpack, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
                  planes->unpacked->data, planes->unpacked->linesize) != frame->height)
        return false;
    planes->colour = (lt_colour){.model = LT_COLOUR_GBR, .full = true, .depth = 8};
    return unpack(planes, planes->unpacked, av_pix_fmt_desc_get(AV_PIX_FMT_RGB24));
}

bool lt_planes_of(lt_planes *planes, const AVFrame *frame, bool limited_grey) {
    const uint64_t rare = AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_BAYER | AV_PIX_FMT_FLAG_FLOAT;
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    if (!format || format->flags & AV_PIX_FMT_FLAG_HWACCEL) return false;
    planes->colour = colour_of(frame, format, limited_grey);
    bool xyz = frame->format == AV_PIX_FMT_XYZ12LE || frame->format == AV_PIX_FMT_XYZ12BE;
    bool coded = planes->colour.model == LT_COLOUR_YUV || planes->colour.model == LT_COLOUR_YCGCO ||
                 (planes->colour.model == LT_COLOUR_GBR && !(format->flags & AV_PIX_FMT_FLAG_RGB) &&
                  !(format->flags & AV_PIX_FMT_FLAG_PAL));
    if (xyz || (!coded && format->flags & rare)) return unpack_rare(planes, frame);
    if (!coded && format->flags & AV_PIX_FMT_FLAG_PAL) return unpack(planes, frame, format);
    if (!coded && (format->flags & AV_PIX_FMT_FLAG_BE || !has_planes(format)))
        return has_samples(format) ? unpack(planes, frame, format) : unpack_rare(planes, frame);
    planes->format = coded ? plain_format(frame->format) : planar_of(format->comp[0].depth);
    for (int i = 0; i < 4; i++) {
        int from = planes->colour.model == LT_COLOUR_GREY ? 0 : i;
        planes->data[i] = frame->data[from];
        planes->stride[i] = frame->linesize[from];
    }
    return true;
}

void lt_planes_free(lt_planes *planes) {
    free(planes->own);
    sws_freeContext(planes->unpack);
    av_frame_free(&planes->unpacked);
    *planes = (lt_planes){0};
}

#endif
