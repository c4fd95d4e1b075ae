#ifdef LT_WITH_FFMPEG

#    include "data/video_scale.h"

#    include <libavutil/pixdesc.h>
#    include <libswscale/swscale.h>
#    include <math.h>
#    include <stdlib.h>
#    include <string.h>

enum { ROW_ALIGN = 64 };

struct lt_scaler {
    int width, height; /* before the turn */
    int rotation;
    struct SwsContext *sws;
    int source_width, source_height, source_format, source_space, source_range; /* what sws was made for */
    uint8_t *rows; /* [height][stride]: libswscale writes whole vectors, past the end of a row */
    int stride;
};

lt_status lt_scaler_open(int width, int height, int rotation, lt_scaler **out) {
    lt_scaler *scaler = calloc(1, sizeof *scaler);
    *out = scaler;
    LT_CHECK(scaler, LT_FAILED, "out of memory");
    bool quarter = rotation % 180 != 0;
    scaler->width = quarter ? height : width;
    scaler->height = quarter ? width : height;
    scaler->rotation = rotation;
    scaler->source_format = -1;
    scaler->stride = (3 * scaler->width + 2 * ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
    scaler->rows = aligned_alloc(ROW_ALIGN, (size_t)scaler->stride * (size_t)scaler->height);
    LT_CHECK(scaler->rows, LT_FAILED, "out of memory");
    return LT_OK;
}

void lt_scaler_close(lt_scaler *scaler) {
    if (!scaler) return;
    sws_freeContext(scaler->sws);
    free(scaler->rows);
    free(scaler);
}

/* Takes away what the output's aspect has no room for, equally on both sides, in whole chroma samples. */
static bool crop(const lt_scaler *scaler, AVFrame *frame) {
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    if (!format) return false;
    double wide = frame->sample_aspect_ratio.num > 0 && frame->sample_aspect_ratio.den > 0
                      ? av_q2d(frame->sample_aspect_ratio)
                      : 1;
    double aspect = (double)scaler->width / scaler->height / wide; /* in pixels as they are stored */
    int width = frame->width, height = frame->height;
    if (width > aspect * height) width = (int)lround(aspect * height);
    else height = (int)lround(width / aspect);
    size_t step_x = (size_t)1 << format->log2_chroma_w, step_y = (size_t)1 << format->log2_chroma_h;
    if (width < 1 || height < 1) return false;
    size_t left = (size_t)(frame->width - width) / 2 / step_x * step_x;
    size_t top = (size_t)(frame->height - height) / 2 / step_y * step_y;
    frame->crop_left = left;
    frame->crop_right = (size_t)(frame->width - width) - left;
    frame->crop_top = top;
    frame->crop_bottom = (size_t)(frame->height - height) - top;
    return av_frame_apply_cropping(frame, AV_FRAME_CROP_UNALIGNED) >= 0;
}

/* What an untagged picture most likely is: the convention of players. */
static int colour_space(const AVFrame *frame) {
    switch (frame->colorspace) {
    case AVCOL_SPC_BT709: return SWS_CS_ITU709;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL: return SWS_CS_BT2020;
    case AVCOL_SPC_SMPTE240M: return SWS_CS_SMPTE240M;
    case AVCOL_SPC_FCC: return SWS_CS_FCC;
    case AVCOL_SPC_UNSPECIFIED: return frame->height >= 720 ? SWS_CS_ITU709 : SWS_CS_ITU601;
    default: return SWS_CS_ITU601;
    }
}

/* The old full-range twins of formats, which libswscale wants named otherwise. */
static int plain_format(int format, int *range) {
    switch (format) {
    case AV_PIX_FMT_YUVJ420P: *range = 1; return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P: *range = 1; return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P: *range = 1; return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P: *range = 1; return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ411P: *range = 1; return AV_PIX_FMT_YUV411P;
    default: return format;
    }
}

/* Makes the conversion for pictures like this one; kept until the pictures change. */
static bool prepare(lt_scaler *scaler, const AVFrame *frame, int space) {
    int range = frame->color_range == AVCOL_RANGE_JPEG, format = plain_format(frame->format, &range);
    if (scaler->sws && scaler->source_width == frame->width && scaler->source_height == frame->height &&
        scaler->source_format == format && scaler->source_space == space && scaler->source_range == range)
        return true;
    sws_freeContext(scaler->sws);
    /* Averaging where it shrinks, so that fine texture does not flicker. */
    bool shrinks = frame->width > scaler->width && frame->height > scaler->height;
    scaler->sws = sws_getContext(frame->width, frame->height, format, scaler->width, scaler->height,
                                 AV_PIX_FMT_RGB24, shrinks ? SWS_AREA : SWS_BICUBIC, NULL, NULL, NULL);
    if (!scaler->sws) return false;
    sws_setColorspaceDetails(scaler->sws, sws_getCoefficients(space), range,
                             sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    scaler->source_width = frame->width;
    scaler->source_height = frame->height;
    scaler->source_format = format;
    scaler->source_space = space;
    scaler->source_range = range;
    return true;
}

/* Rows of the scaler -> out, turned clockwise. */
static void turn(const lt_scaler *scaler, uint8_t *out) {
    int width = scaler->width, height = scaler->height, rotation = scaler->rotation;
    int out_width = rotation % 180 ? height : width;
    for (int y = 0; y < height; y++) {
        const uint8_t *in = scaler->rows + (size_t)y * (size_t)scaler->stride;
        for (int x = 0; x < width; x++, in += 3) {
            int to_x = rotation == 90 ? height - 1 - y : rotation == 180 ? width - 1 - x : y;
            int to_y = rotation == 90 ? x : rotation == 180 ? height - 1 - y : width - 1 - x;
            uint8_t *to = out + 3 * ((size_t)to_y * (size_t)out_width + (size_t)to_x);
            to[0] = in[0], to[1] = in[1], to[2] = in[2];
        }
    }
}

static void pack(const lt_scaler *scaler, uint8_t *out) {
    size_t bytes = 3 * (size_t)scaler->width;
    for (int y = 0; y < scaler->height; y++)
        memcpy(out + (size_t)y * bytes, scaler->rows + (size_t)y * (size_t)scaler->stride, bytes);
}

lt_status lt_scaler_run(lt_scaler *scaler, AVFrame *frame, const char *path, uint8_t *rgb) {
    int space = colour_space(frame);
    LT_CHECK(crop(scaler, frame) && prepare(scaler, frame, space), LT_INPUT,
             "%s: cannot convert a picture of %d x %d, format %d", path, frame->width, frame->height,
             frame->format);
    uint8_t *out[4] = {scaler->rows};
    int stride[4] = {scaler->stride};
    int rows = sws_scale(scaler->sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
                         out, stride);
    LT_CHECK(rows == scaler->height, LT_FAILED, "%s: scaling failed", path);
    if (scaler->rotation) turn(scaler, rgb);
    else pack(scaler, rgb);
    return LT_OK;
}

#endif
