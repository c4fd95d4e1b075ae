/* Colours against the definitions in float64, written down here once more: of the conversion itself, and of whole
 * pictures of every kind of pixel format on their way through the scaler. */
#include "core/rng.h"
#include "data/video_colour.h"
#include "tests/harness.h"

static const lt_rng_key dice = {.seed = 11, .purpose = LT_RNG_TEST};
static uint64_t thrown;
static int below(int end) { return (int)lt_rng_below(&dice, thrown++, (uint64_t)end); }

static double clamp(double code) { return code < 0 ? 0 : code > 255 ? 255 : code; }

/* R, G, B of codes of `depth` bits, by BT.601, 709, 2020 or H.273's YCgCo. */
static void exact_rgb(const lt_colour *colour, const int code[3], double rgb[3]) {
    double unit = pow(2, colour->depth - 8), top = pow(2, colour->depth) - 1,
           half = pow(2, colour->depth - 1);
    double full[3], kr = colour->kr, kb = colour->kb;
    bool differences = colour->model == LT_COLOUR_YUV || colour->model == LT_COLOUR_YCGCO;
    for (int i = 0; i < 3; i++) {
        bool chroma = differences && i > 0;
        if (colour->full) full[i] = chroma ? (code[i] - half) / top : code[i] / top;
        else full[i] = chroma ? (code[i] - 128 * unit) / (224 * unit) : (code[i] - 16 * unit) / (219 * unit);
    }
    double y = full[0], u = full[1], v = full[2];
    if (colour->model == LT_COLOUR_YUV) {
        rgb[0] = y + 2 * (1 - kr) * v, rgb[2] = y + 2 * (1 - kb) * u;
        rgb[1] = (y - kr * rgb[0] - kb * rgb[2]) / (1 - kr - kb);
    } else if (colour->model == LT_COLOUR_YCGCO) {
        rgb[0] = y - u + v, rgb[1] = y + u, rgb[2] = y - u - v;
    } else if (colour->model == LT_COLOUR_GBR) {
        rgb[0] = v, rgb[1] = y, rgb[2] = u;
    } else {
        rgb[0] = rgb[1] = rgb[2] = y;
    }
    for (int i = 0; i < 3; i++) rgb[i] = clamp(255 * rgb[i]);
}

static const struct { double kr, kb; } weights[] = {{0.299, 0.114}, {0.2126, 0.0722}, {0.2627, 0.0593}};

/* Every code over its whole range, over-bright ones too: rounded once, so never more than half a code off. */
static void every_model_range_and_depth_is_rounded_once(void) {
    static const int depths[] = {8, 10, 12, 16};
    double worst = 0;
    for (int kind = 0; kind < 4 * 3 * 2 * 4; kind++) {
        lt_colour colour = {.model = kind % 4,
                            .kr = weights[kind / 4 % 3].kr,
                            .kb = weights[kind / 4 % 3].kb,
                            .full = kind / 12 % 2,
                            .depth = depths[kind / 24]};
        lt_colour_matrix matrix = lt_colour_to_rgb(&colour);
        enum { WIDTH = 301 };
        uint16_t planes[3][WIDTH];
        uint8_t rgb[3 * WIDTH];
        const uint16_t *rows[3] = {planes[0], planes[1], planes[2]};
        int codes[WIDTH][3];
        for (int x = 0; x < WIDTH; x++)
            for (int i = 0; i < 3; i++) {
                codes[x][i] = x == 0 ? (1 << colour.depth) - 1 : below(1 << colour.depth);
                planes[i][x] = (uint16_t)(codes[x][i] << (16 - colour.depth));
            }
        lt_colour_row(&matrix, rows, WIDTH, rgb);
        for (int x = 0; x < WIDTH; x++) {
            double want[3];
            exact_rgb(&colour, codes[x], want);
            for (int i = 0; i < 3; i++) worst = fmax(worst, fabs(rgb[3 * x + i] - want[i]));
        }
    }
    printf("  worst difference to float64: %.4f codes\n", worst);
    CHECK(worst <= 0.501);
}

static void white_grey_and_black_are_what_they_should_be(void) {
    lt_colour colour = {.model = LT_COLOUR_YUV, .kr = 0.299, .kb = 0.114, .depth = 8};
    lt_colour_matrix matrix = lt_colour_to_rgb(&colour);
    const uint16_t y[] = {235 << 8, 126 << 8, 16 << 8, 255 << 8, 0}, c[] = {32768, 32768, 32768, 65280, 0};
    const uint16_t *rows[3] = {y, c, c};
    uint8_t rgb[15];
    lt_colour_row(&matrix, rows, 5, rgb);
    CHECK(rgb[0] == 255 && rgb[1] == 255 && rgb[2] == 255);
    CHECK(rgb[3] == 128 && rgb[4] == 128 && rgb[5] == 128);
    CHECK(rgb[6] == 0 && rgb[7] == 0 && rgb[8] == 0);
    CHECK(rgb[9] == 255 && rgb[11] == 255); /* brighter than bright does not wrap */
    CHECK(rgb[12] == 0 && rgb[14] == 0);
}

/* A flat picture to 4:2:0 and back. Codes of chroma are 1.8 to 2 codes of blue apart, so a colour may come back two
 * codes off, grey one. */
static void flat_colours_survive_the_way_to_420_and_back(void) {
    lt_colour colour = {.model = LT_COLOUR_YUV, .kr = 0.299, .kb = 0.114, .depth = 8};
    lt_colour_matrix matrix = lt_colour_to_rgb(&colour);
    double sum = 0;
    int worst = 0, worst_grey = 0, count = 0;
    for (int i = 0; i < 17 * 17 * 17 + 256; i++) {
        int grey = i - 17 * 17 * 17;
        uint8_t want[3] = {(uint8_t)(i % 17 * 15.9375), (uint8_t)(i / 17 % 17 * 15.9375),
                           (uint8_t)(i / 289 % 17 * 15.9375)};
        uint8_t rgb[12], y[4], u = 0, v = 0, *planes[3] = {y, &u, &v}, got[3];
        if (grey >= 0) memset(want, grey, 3);
        for (int p = 0; p < 4; p++) memcpy(rgb + 3 * p, want, 3);
        lt_colour_to_420(rgb, 2, 2, planes, (const int[]){2, 1, 1});
        const uint16_t up[3] = {(uint16_t)(y[0] << 8), (uint16_t)(u << 8), (uint16_t)(v << 8)};
        const uint16_t *rows[3] = {&up[0], &up[1], &up[2]};
        lt_colour_row(&matrix, rows, 1, got);
        CHECK(y[0] == y[3]);
        for (int c = 0; c < 3; c++, count++) {
            int off = abs(got[c] - want[c]);
            sum += off;
            worst = off > worst ? off : worst;
            if (grey >= 0) worst_grey = off > worst_grey ? off : worst_grey;
        }
    }
    printf("  there and back: %.3f codes off in the mean, %d at most, grey %d\n", sum / count, worst,
           worst_grey);
    CHECK(worst <= 2 && worst_grey <= 1 && sum / count < 0.6);
}

/* Chroma lies on even columns, halfway between two rows. */
static void written_chroma_is_where_h264_has_it(void) {
    enum { W = 8 };
    uint8_t rgb[2 * W * 3], y[2 * W], u[W / 2], v[W / 2], *planes[3] = {y, u, v};
    for (int i = 0; i < 2 * W; i++)
        rgb[3 * i] = (uint8_t)(20 * (i % W)), rgb[3 * i + 1] = 60,
                rgb[3 * i + 2] = (uint8_t)(i < W ? 40 : 80);
    lt_colour_to_420(rgb, W, 2, planes, (const int[]){W, W / 2, W / 2});
    for (int x = 2; x < W; x += 2) { /* the ramp's mean over 1 2 1 is the ramp itself */
        double red = 20 * x, blue = 60, luma = 0.299 * red + 0.587 * 60 + 0.114 * blue;
        CHECK_NEAR(v[x / 2], 128 + 224 / 255.0 * (red - luma) / 1.402, 0.501);
        CHECK_NEAR(u[x / 2], 128 + 224 / 255.0 * (blue - luma) / 1.772, 0.501);
        CHECK_NEAR(y[x], 16 + 219 / 255.0 * (0.299 * red + 0.587 * 60 + 0.114 * 40), 0.501);
    }
}

#ifdef LT_WITH_FFMPEG

#    include "data/video_scale.h"

#    include <libavutil/display.h>
#    include <libavutil/imgutils.h>
#    include <libavutil/pixdesc.h>

enum { SIDE = 36 };

static AVFrame *new_frame(int format, int width, int height) {
    AVFrame *frame = av_frame_alloc();
    frame->format = format, frame->width = width, frame->height = height;
    CHECK(av_frame_get_buffer(frame, 0) >= 0);
    for (int i = 0; i < 4 && frame->buf[i]; i++) memset(frame->buf[i]->data, 0, frame->buf[i]->size);
    return frame;
}

/* Writes one component everywhere. */
static void fill(AVFrame *frame, int component, const uint16_t *codes) {
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    bool chroma = (component == 1 || component == 2) && !(format->flags & AV_PIX_FMT_FLAG_RGB) &&
                  format->nb_components > 2;
    int width = chroma ? AV_CEIL_RSHIFT(frame->width, format->log2_chroma_w) : frame->width;
    int height = chroma ? AV_CEIL_RSHIFT(frame->height, format->log2_chroma_h) : frame->height;
    for (int y = 0; y < height; y++)
        av_write_image_line2(codes + (chroma ? 0 : y * frame->width), frame->data, frame->linesize, format, 0,
                             y, component, width, 2);
}

static lt_status scale(AVFrame *frame, int width, int height, lt_turn turn, bool limited_grey, uint8_t *rgb) {
    lt_scaler *scaler;
    lt_status status = lt_scaler_open(width, height, turn, &scaler);
    if (status == LT_OK) status = lt_scaler_run(scaler, frame, limited_grey, "picture", rgb);
    lt_scaler_close(scaler);
    return status;
}

/* Of a format as its descriptor has it: noise in every component but chroma, which is flat (how it is interpolated is
 * another test). */
static double worst_of_format(enum AVPixelFormat pixels, lt_colour colour, enum AVColorSpace space) {
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(pixels);
    bool rgb = format->flags & AV_PIX_FMT_FLAG_RGB, grey = format->nb_components < 3;
    AVFrame *frame = new_frame(pixels, SIDE, SIDE);
    uint16_t codes[4][SIDE * SIDE];
    uint8_t got[3 * SIDE * SIDE];
    int chroma[2] = {below(1 << colour.depth), below(1 << colour.depth)};
    double worst = 0;
    for (int c = 0; c < format->nb_components; c++) {
        bool flat = !rgb && !grey && (c == 1 || c == 2);
        for (int i = 0; i < SIDE * SIDE; i++)
            codes[c][i] = (uint16_t)(flat ? chroma[c - 1] : below(1 << colour.depth));
        fill(frame, c, codes[c]);
    }
    frame->colorspace = space;
    frame->color_range = colour.full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    CHECK_OK(scale(frame, SIDE, SIDE, (lt_turn){false, false, false}, false, got));
    for (int i = 0; i < SIDE * SIDE; i++) {
        double want[3];
        int code[3] = {codes[rgb ? 1 : 0][i],
                       codes[grey  ? 0
                             : rgb ? 2
                                   : 1][i],
                       codes[grey || rgb ? 0 : 2][i]};
        exact_rgb(&colour, code, want);
        for (int c = 0; c < 3; c++) worst = fmax(worst, fabs(got[3 * i + c] - want[c]));
    }
    av_frame_free(&frame);
    return worst;
}

static void pictures_of_every_format_are_exact(void) {
    static const enum AVPixelFormat formats[] = {
        AV_PIX_FMT_YUV420P,     AV_PIX_FMT_YUV422P,     AV_PIX_FMT_YUV444P,      AV_PIX_FMT_YUV440P,
        AV_PIX_FMT_YUV411P,     AV_PIX_FMT_NV12,        AV_PIX_FMT_NV21,         AV_PIX_FMT_NV24,
        AV_PIX_FMT_YUYV422,     AV_PIX_FMT_UYVY422,     AV_PIX_FMT_YUV420P9LE,   AV_PIX_FMT_YUV420P10LE,
        AV_PIX_FMT_YUV420P10BE, AV_PIX_FMT_YUV422P10LE, AV_PIX_FMT_YUV444P10LE,  AV_PIX_FMT_YUV420P12LE,
        AV_PIX_FMT_YUV444P12LE, AV_PIX_FMT_YUV420P16LE, AV_PIX_FMT_YUV444P16LE,  AV_PIX_FMT_P010LE,
        AV_PIX_FMT_P016LE,      AV_PIX_FMT_YUVA420P,    AV_PIX_FMT_YUVA444P10LE, AV_PIX_FMT_YUVJ420P,
        AV_PIX_FMT_YUVJ422P,    AV_PIX_FMT_YUVJ444P,    AV_PIX_FMT_GRAY8,        AV_PIX_FMT_GRAY10LE,
        AV_PIX_FMT_GRAY12LE,    AV_PIX_FMT_GRAY16LE,    AV_PIX_FMT_GRAY16BE,     AV_PIX_FMT_YA8,
        AV_PIX_FMT_GBRP,        AV_PIX_FMT_GBRP10LE,    AV_PIX_FMT_GBRP12LE,     AV_PIX_FMT_GBRP16LE,
        AV_PIX_FMT_GBRAP,       AV_PIX_FMT_RGB24,       AV_PIX_FMT_BGR24,        AV_PIX_FMT_RGBA,
        AV_PIX_FMT_BGRA,        AV_PIX_FMT_ARGB,        AV_PIX_FMT_0RGB,         AV_PIX_FMT_RGB48LE,
        AV_PIX_FMT_RGB48BE,     AV_PIX_FMT_RGBA64LE};
    static const enum AVColorSpace spaces[] = {AVCOL_SPC_SMPTE170M, AVCOL_SPC_BT709, AVCOL_SPC_BT2020_NCL};
    double worst = 0;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
        for (int kind = 0; kind < 6; kind++) {
            const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(formats[f]);
            lt_colour colour = {.model = format->flags & AV_PIX_FMT_FLAG_RGB ? LT_COLOUR_GBR
                                         : format->nb_components < 3         ? LT_COLOUR_GREY
                                                                             : LT_COLOUR_YUV,
                                .kr = weights[kind % 3].kr,
                                .kb = weights[kind % 3].kb,
                                .full = kind / 3,
                                .depth = format->comp[0].depth};
            double off = worst_of_format(formats[f], colour, spaces[kind % 3]);
            if (off > 0.6)
                printf("%s, %s: %.2f codes off\n", format->name, colour.full ? "full" : "limited", off),
                    test_bad++;
            worst = fmax(worst, off);
        }
    printf("  worst difference to float64 over all formats: %.3f codes\n", worst);
}

static void palettes_are_looked_up(void) {
    AVFrame *frame = new_frame(AV_PIX_FMT_PAL8, SIDE, SIDE);
    uint8_t got[3 * SIDE * SIDE];
    for (int i = 0; i < 256; i++)
        ((uint32_t *)(void *)frame->data[1])[i] = 0xff000000u | (uint32_t)(i << 16 | (255 - i) << 8 | 77);
    for (int i = 0; i < SIDE * SIDE; i++)
        frame->data[0][i / SIDE * frame->linesize[0] + i % SIDE] = (uint8_t)i;
    CHECK_OK(scale(frame, SIDE, SIDE, (lt_turn){false, false, false}, false, got));
    for (int i = 0; i < SIDE * SIDE; i++)
        CHECK(got[3 * i] == (uint8_t)i && got[3 * i + 1] == 255 - (uint8_t)i && got[3 * i + 2] == 77);
    av_frame_free(&frame);
}

static void untagged_pictures_follow_their_conventions(void) {
    uint8_t got[3 * SIDE * SIDE];
    uint16_t codes[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++) codes[i] = 126;
    static const struct {
        enum AVPixelFormat pixels;
        bool limited_grey;
        int want;
    } cases[] = {{AV_PIX_FMT_YUV420P, false, 128},
                 {AV_PIX_FMT_YUVJ420P, false, 126},
                 {AV_PIX_FMT_GRAY8, false, 126},
                 {AV_PIX_FMT_GRAY8, true, 128},
                 {AV_PIX_FMT_RGB24, false, 126}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AVFrame *frame = new_frame(cases[i].pixels, SIDE, SIDE);
        int parts = av_pix_fmt_desc_get(cases[i].pixels)->nb_components;
        for (int c = 0; c < parts; c++) {
            for (int p = 0; p < SIDE * SIDE && cases[i].pixels != AV_PIX_FMT_RGB24; p++)
                codes[p] = c ? 128 : 126;
            fill(frame, c, codes);
        }
        CHECK_OK(scale(frame, SIDE, SIDE, (lt_turn){false, false, false}, cases[i].limited_grey, got));
        CHECK(got[0] == cases[i].want && got[2] == cases[i].want);
        for (int p = 0; p < SIDE * SIDE; p++) codes[p] = 126;
        av_frame_free(&frame);
    }
}

/* A ramp is kept by every symmetric interpolation, if samples are taken to lie where they do. */
static double worst_of_ramp(int site, double shift) {
    AVFrame *frame = new_frame(AV_PIX_FMT_YUV420P, 2 * SIDE, SIDE);
    uint8_t got[3 * 2 * SIDE * SIDE];
    memset(frame->data[0], 126, (size_t)(frame->linesize[0] * SIDE));
    memset(frame->data[1], 128, (size_t)(frame->linesize[1] * SIDE / 2));
    for (int y = 0; y < SIDE / 2; y++)
        for (int x = 0; x < SIDE; x++) frame->data[2][y * frame->linesize[2] + x] = (uint8_t)(70 + 3 * x);
    frame->chroma_location = site;
    CHECK_OK(scale(frame, 2 * SIDE, SIDE, (lt_turn){false, false, false}, false, got));
    double worst = 0;
    for (int x = 8; x < 2 * SIDE - 8; x++) {
        double v = 70 + 3 * (x - shift) / 2 - 128, want = clamp(255 * ((126 - 16) / 219.0 + 1.402 * v / 224));
        worst = fmax(worst, fabs(got[3 * (2 * SIDE * (SIDE / 2) + x)] - want));
    }
    av_frame_free(&frame);
    return worst;
}

static void chroma_is_interpolated_from_where_it_lies(void) {
    CHECK(worst_of_ramp(AVCHROMA_LOC_LEFT, 0) <= 0.6);
    CHECK(worst_of_ramp(AVCHROMA_LOC_CENTER, 0.5) <= 0.6);
    CHECK(worst_of_ramp(AVCHROMA_LOC_UNSPECIFIED, 0.5) <= 0.6);
    CHECK(worst_of_ramp(AVCHROMA_LOC_LEFT, 0.5) > 1); /* the test can tell */
}

static void halving_takes_means_and_keeps_columns_of_colour(void) {
    AVFrame *frame = new_frame(AV_PIX_FMT_YUV420P, 2 * SIDE, 2 * SIDE);
    uint8_t got[3 * SIDE * SIDE];
    double worst = 0;
    for (int y = 0; y < 2 * SIDE; y++)
        for (int x = 0; x < 2 * SIDE; x++)
            frame->data[0][y * frame->linesize[0] + x] = (uint8_t)(40 + below(180));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            frame->data[1][y * frame->linesize[1] + x] = x % 2 ? 240 : 90;
            frame->data[2][y * frame->linesize[2] + x] = x % 2 ? 110 : 240;
        }
    lt_colour colour = {.model = LT_COLOUR_YUV, .kr = 0.299, .kb = 0.114, .depth = 16};
    CHECK_OK(scale(frame, SIDE, SIDE, (lt_turn){false, false, false}, false, got));
    for (int i = 0; i < SIDE * SIDE; i++) {
        const uint8_t *at = frame->data[0] + 2 * (i / SIDE) * frame->linesize[0] + 2 * (i % SIDE);
        int mean = (at[0] + at[1] + at[frame->linesize[0]] + at[frame->linesize[0] + 1]) * 64;
        double want[3];
        exact_rgb(&colour, (int[]){mean, (i % 2 ? 240 : 90) << 8, (i % 2 ? 110 : 240) << 8}, want);
        for (int c = 0; c < 3; c++) worst = fmax(worst, fabs(got[3 * i + c] - want[c]));
    }
    printf("  halved: worst difference to float64 %.3f codes\n", worst);
    CHECK(worst <= 0.6);
    av_frame_free(&frame);
}

/* Four corners of different grey, turned by every matrix that keeps axes: matrix row (a b) says where the x axis goes,
 * (c d) the y. */
static void all_eight_orientations_are_undone(void) {
    for (int kind = 0; kind < 8; kind++) {
        int swap = kind / 4, sx = kind & 1 ? -1 : 1, sy = kind & 2 ? -1 : 1;
        int32_t a = swap ? 0 : sx, b = swap ? sx : 0, c = swap ? sy : 0, d = swap ? 0 : sy;
        const int32_t matrix[9] = {a * 65536, b * 65536, 0, c * 65536, d * 65536, 0, 0, 0, 1 << 30};
        AVFrame *frame = new_frame(AV_PIX_FMT_GRAY8, 16, 8);
        for (int y = 0; y < 8; y++)
            for (int x = 0; x < 16; x++)
                frame->data[0][y * frame->linesize[0] + x] = (uint8_t)(10 * x + 12 * y);
        int width = swap ? 8 : 16, height = swap ? 16 : 8;
        uint8_t got[3 * 16 * 8];
        CHECK_OK(scale(frame, width, height, lt_turn_of(matrix), false, got));
        for (int y = 0; y < 8; y++)
            for (int x = 0; x < 16; x++) {
                int to_x = a * x + c * y + (a + c < 0 ? width - 1 : 0),
                    to_y = b * x + d * y + (b + d < 0 ? height - 1 : 0);
                CHECK(got[3 * (to_y * width + to_x)] == 10 * x + 12 * y);
            }
        av_frame_free(&frame);
    }
    CHECK(!lt_turn_of(NULL).swap && !lt_turn_of(NULL).flip_x && !lt_turn_of(NULL).flip_y);
    int32_t matrix[9]; /* FFmpeg's own 90 degrees clockwise, for which its angle is -90 */
    av_display_rotation_set(matrix, 90);
    lt_turn turn = lt_turn_of(matrix);
    CHECK(turn.swap && turn.flip_x && !turn.flip_y);
}

#endif

int main(int argc, char **argv) {
    RUN(every_model_range_and_depth_is_rounded_once);
    RUN(white_grey_and_black_are_what_they_should_be);
    RUN(flat_colours_survive_the_way_to_420_and_back);
    RUN(written_chroma_is_where_h264_has_it);
#ifdef LT_WITH_FFMPEG
    RUN(pictures_of_every_format_are_exact);
    RUN(palettes_are_looked_up);
    RUN(untagged_pictures_follow_their_conventions);
    RUN(chroma_is_interpolated_from_where_it_lies);
    RUN(halving_takes_means_and_keeps_columns_of_colour);
    RUN(all_eight_orientations_are_undone);
#endif
    return test_end();
}
