/* haar3d: a fixed orthonormal transform that keeps a quarter of the coefficients; nothing is trained.
 *
 * A cell of 2 frames x 4 x 4 pixels x 3 colours, scaled to [-1, 1] (byte / 127.5 - 1), is rotated by the
 * 3-point DCT over (R, G, B) and by Haar wavelets: one level over the frames, two levels over rows and over
 * columns (Haar, Math. Ann. 69, 1910). All 96 basis vectors have length 1, so the squared error of a cell is
 * the sum of the squared coefficients left out, the kept ones included exactly.
 *
 * Which are kept ("zonal" selection: a fixed table, the same for every video): a coefficient has a level per
 * axis, 0 = mean, 1 = coarse difference, 2 = fine differences, and three colours: grey, red - blue, green -
 * magenta. Kept are
 *
 *     grey             frame level + row level + column level <= 3      20
 *     red - blue       frame level 0, row level + column level <= 1      3
 *     green - magenta  the mean only                                     1      = 24 channels of 96
 *
 * These are the 24 of largest mean square on 29 real clips, calm and dynamic, at 64 x 64 pixels and 16 frames
 * per second; there the reconstruction has 31.5 dB PSNR pooled over clips (worst clip 26.1), at 448 pixels
 * wide 35.2 dB (27.9). Channels are ordered from coarse to fine, channel 0 the mean grey.
 */
#ifndef LT_MODEL_HAAR3D_H
#define LT_MODEL_HAAR3D_H

#include "model/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_HAAR3D_T = 2, LT_HAAR3D_H = 4, LT_HAAR3D_W = 4, LT_HAAR3D_CELL = 96, LT_HAAR3D_KEPT = 24 };

extern const lt_codec lt_haar3d;      /* 24 channels */
extern const lt_codec lt_haar3d_full; /* all 96, as [colour][frame][row][column]: reconstructs every byte */

#ifdef __cplusplus
}
#endif
#endif
