/* haar3d: a fixed orthonormal transform that keeps a quarter of the coefficients; nothing is trained, and there is no
 * state. The op of that name computes it (kernels/haar3d/haar3d.h has the mathematics), on the CPU and on the GPU.
 *
 * A cell of 2 frames x 4 x 4 pixels becomes one position of the latents, so latent frame l stands for video frames 2 l
 * and 2 l + 1. Since all 96 basis vectors have length 1, the squared error of a cell is the sum of the squared
 * coefficients left out.
 *
 * Which are kept ("zonal" selection: a fixed table, the same for every video): a coefficient has a level per axis, 0 =
 * mean, 1 = coarse difference, 2 = fine differences, and three colours: grey, red - blue, green - magenta. Kept are
 *
 *     grey             frame level + row level + column level <= 3      20
 *     red - blue       frame level 0, row level + column level <= 1      3
 *     green - magenta  the mean only                                     1      = 24 channels of 96
 *
 * These are the 24 of largest mean square on 29 real clips, calm and dynamic, at 64 x 64 pixels and 16 frames per
 * second; there the reconstruction has 31.5 dB PSNR pooled over clips (worst clip 26.1), at 448 pixels wide 35.2 dB
 * (27.9). Channels are ordered from coarse to fine, channel 0 the mean grey.
 */
#ifndef LT_MODEL_CODEC_HAAR3D_H
#define LT_MODEL_CODEC_HAAR3D_H

#include "model/codec/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const lt_codec lt_haar3d_codec; /* 24 channels */
extern const lt_codec lt_haar3d_full;  /* all 96, as [colour][frame][row][column]: reconstructs every byte */

#ifdef __cplusplus
}
#endif
#endif
