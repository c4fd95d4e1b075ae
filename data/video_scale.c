#ifdef LT_WITH_FFMPEG

#    include "data/video_scale.h"
#    include "data/video_planes.h"

#    include <libavutil/opt.h>
#    include <libavutil/pixdesc.h>
#    include <libswscale/swscale.h>
#    include <math.h>
#    include <stdlib.h>
#    include <string.h>

enum { ROW_ALIGN = 64 };

struct lt_scaler {
    int width, height; /* before the turn */
    lt_turn turn;
    struct SwsContext *sws;
    int source_width, source_height, source_format, source_site; /* what sws was made for */
    lt_planes planes;
    lt_colour_matrix matrix;
    /* [height][stride], 16-bit samples: libswscale writes whole vectors, past the end of a row */
    uint8_t *scaled[3];
    int stride;
    uint8_t *row; /* RGB, before it is turned */
};

/* Signs of x and y of the picture's right and lower edge after the turn say which of the eight it is. */
lt_turn lt_turn_of(const int32_t matrix[9]) {
    if (!matrix) return (lt_turn){false, false, false};
    double right_x = matrix[0], right_y = matrix[1], low_x = matrix[3], low_y = matrix[4];
    bool swap = fabs(right_y) + fabs(low_x) > fabs(right_x) + fabs(low_y);
    return swap ? (lt_turn){true, low_x < 0, right_y < 0} : (lt_turn){false, right_x < 0, low_y < 0};
}

lt_status lt_scaler_open(int width, int height, lt_turn turn, lt_scaler **out) {
    lt_scaler *scaler = calloc(1, sizeof *scaler);
    *out = scaler;
    LT_CHECK(scaler, LT_FAILED, "out of memory");
    scaler->width = turn.swap ? height : width;
    scaler->height = turn.swap ? width : height;
    scaler->turn = turn;
    scaler->source_format = -1;
    scaler->stride = (2 * scaler->width + 2 * ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
    scaler->row = malloc(3 * (size_t)scaler->width);
    bool got = scaler->row;
    for (int i = 0; i < 3; i++) {
        scaler->scaled[i] = aligned_alloc(ROW_ALIGN, (size_t)scaler->stride * (size_t)scaler->height);
        got = got && scaler->scaled[i];
    }
    LT_CHECK(got, LT_FAILED, "out of memory");
    return LT_OK;
}

void lt_scaler_close(lt_scaler *scaler) {
    if (!scaler) return;
    sws_freeContext(scaler->sws);
    lt_planes_free(&scaler->planes);
    for (int i = 0; i < 3; i++) free(scaler->scaled[i]);
    free(scaler->row);
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

/* Where chroma samples lie, in 1/256 of a luma pixel; untagged: in the middle of the pixels they cover, libswscale's
 * own choice. */
static void set_site(struct SwsContext *sws, const AVPixFmtDescriptor *format, int site) {
    bool left = site == AVCHROMA_LOC_LEFT || site == AVCHROMA_LOC_TOPLEFT || site == AVCHROMA_LOC_BOTTOMLEFT;
    bool top = site == AVCHROMA_LOC_TOPLEFT || site == AVCHROMA_LOC_TOP;
    bool bottom = site == AVCHROMA_LOC_BOTTOMLEFT || site == AVCHROMA_LOC_BOTTOM;
    if (site == AVCHROMA_LOC_UNSPECIFIED) return;
    if (format->log2_chroma_w == 1) av_opt_set_int(sws, "src_h_chr_pos", left ? 0 : 128, 0);
    if (format->log2_chroma_h == 1) av_opt_set_int(sws, "src_v_chr_pos", top ? 0 : bottom ? 256 : 128, 0);
}

static struct SwsContext *open_sws(const lt_scaler *scaler, const AVFrame *frame) {
    struct SwsContext *sws = sws_alloc_context();
    if (!sws) return NULL;
    /* Averaging where it shrinks, so that fine texture does not flicker. */
    bool shrinks = frame->width > scaler->width && frame->height > scaler->height;
    av_opt_set_int(sws, "srcw", frame->width, 0);
    av_opt_set_int(sws, "srch", frame->height, 0);
    av_opt_set_int(sws, "src_format", scaler->planes.format, 0);
    av_opt_set_int(sws, "dstw", scaler->width, 0);
    av_opt_set_int(sws, "dsth", scaler->height, 0);
    av_opt_set_int(sws, "dst_format", AV_PIX_FMT_YUV444P16, 0);
    av_opt_set_int(sws, "sws_flags", shrinks ? SWS_AREA : SWS_BICUBIC, 0);
    set_site(sws, av_pix_fmt_desc_get(scaler->planes.format), frame->chroma_location);
    /* The same range on both sides: samples are only scaled, and shifted up to 16 bits. */
    const int *any = sws_getCoefficients(SWS_CS_DEFAULT);
    sws_setColorspaceDetails(sws, any, 0, any, 0, 0, 1 << 16, 1 << 16);
    if (sws_init_context(sws, NULL, NULL) >= 0) return sws;
    sws_freeContext(sws);
    return NULL;
}

/* Makes the conversion for pictures like this one; kept until the pictures change. */
static bool prepare_scaler(lt_scaler *scaler, const AVFrame *frame, bool limited_grey) {
    lt_planes *planes = &scaler->planes;
    if (!lt_planes_of(planes, frame, limited_grey)) return false;
    scaler->matrix = lt_colour_to_rgb(&planes->colour);
    if (scaler->sws && scaler->source_width == frame->width && scaler->source_height == frame->height &&
        scaler->source_format == planes->format && scaler->source_site == (int)frame->chroma_location)
        return true;
    sws_freeContext(scaler->sws);
    scaler->sws = open_sws(scaler, frame);
    scaler->source_width = frame->width;
    scaler->source_height = frame->height;
    scaler->source_format = planes->format;
    scaler->source_site = frame->chroma_location;
    return scaler->sws;
}

/* A row of RGB to where the turn puts it. */
static void place_row(const lt_scaler *scaler, int y, uint8_t *out) {
    lt_turn turn = scaler->turn;
    int width = scaler->width, height = scaler->height, out_width = turn.swap ? height : width;
    const uint8_t *in = scaler->row;
    for (int x = 0; x < width; x++, in += 3) {
        int to_x = turn.swap ? y : x, to_y = turn.swap ? x : y;
        if (turn.flip_x) to_x = out_width - 1 - to_x;
        if (turn.flip_y) to_y = (turn.swap ? width : height) - 1 - to_y;
        memcpy(out + 3 * ((size_t)to_y * (size_t)out_width + (size_t)to_x), in, 3);
    }
}

static void colour_rows(const lt_scaler *scaler, uint8_t *out) {
    bool turned = scaler->turn.swap || scaler->turn.flip_x || scaler->turn.flip_y;
    for (int y = 0; y < scaler->height; y++) {
        size_t at = (size_t)y * (size_t)scaler->stride;
        const uint16_t *rows[3];
        for (int i = 0; i < 3; i++) rows[i] = (const uint16_t *)(const void *)(scaler->scaled[i] + at);
        uint8_t *row = turned ? scaler->row : out + 3 * (size_t)y * (size_t)scaler->width;
        lt_colour_row(&scaler->matrix, rows, scaler->width, row);
        if (turned) place_row(scaler, y, out);
    }
}

lt_status lt_scaler_run(lt_scaler *scaler, AVFrame *frame, bool limited_grey, const char *path,
                        uint8_t *rgb) {
    /* What an untagged picture most likely is: the convention of players. */
    if (frame->colorspace == AVCOL_SPC_UNSPECIFIED)
        frame->colorspace = frame->height >= 720 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    LT_CHECK(crop(scaler, frame) && prepare_scaler(scaler, frame, limited_grey), LT_INPUT,
             "%s: cannot convert a picture of %d x %d, format %s", path, frame->width, frame->height,
             av_get_pix_fmt_name(frame->format) ? av_get_pix_fmt_name(frame->format) : "unknown");
    uint8_t *out[4] = {scaler->scaled[0], scaler->scaled[1], scaler->scaled[2]};
    int stride[4] = {scaler->stride, scaler->stride, scaler->stride};
    int rows =
        sws_scale(scaler->sws, scaler->planes.data, scaler->planes.stride, 0, frame->height, out, stride);
    LT_CHECK(rows == scaler->height, LT_FAILED, "%s: scaling failed", path);
    colour_rows(scaler, rgb);
    return LT_OK;
}

#endif
