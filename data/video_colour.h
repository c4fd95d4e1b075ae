/* Colours exactly: coded samples to RGB and back, in float from the definitions of BT.601, 709 and 2020, rounded once
 * and clamped once. libswscale scales planes; it does not convert colours here, because its tables are one to two codes
 * off and some of its flags wrap what is brighter than white.
 */
#ifndef LT_DATA_VIDEO_COLOUR_H
#define LT_DATA_VIDEO_COLOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_colour_model {
    LT_COLOUR_YUV,   /* luma and two differences, weights kr and kb */
    LT_COLOUR_YCGCO, /* luma, green against the rest, orange against blue */
    LT_COLOUR_GBR,   /* planes are green, blue, red */
    LT_COLOUR_GREY   /* only the first plane counts */
} lt_colour_model;

typedef struct lt_colour {
    lt_colour_model model;
    double kr, kb; /* weights of red and blue in luma */
    bool full;     /* codes use their whole range; else 16 to 235 (240), times 2^(depth - 8) */
    int depth;     /* bits of the source's samples, 8 to 16 */
} lt_colour;

/* Row j is one of R, G, B in 0..255, from samples of 16 bits (the source's, shifted up): sum of by[j][i] * sample[i] +
 * add[j]. */
typedef struct lt_colour_matrix {
    float by[3][3], add[3];
} lt_colour_matrix;

lt_colour_matrix lt_colour_to_rgb(const lt_colour *colour);
/* One row of `width` pixels into rgb[width][3]. */
void lt_colour_row(const lt_colour_matrix *matrix, const uint16_t *const planes[3], int width, uint8_t *rgb);

/* rgb[height][width][3], both sides even, to limited-range BT.601 4:2:0, chroma halfway between its two rows and on its
 * even column (what H.264 and MPEG-4 assume). */
void lt_colour_to_420(const uint8_t *rgb, int width, int height, uint8_t *const planes[3],
                      const int strides[3]);

#ifdef __cplusplus
}
#endif
#endif
