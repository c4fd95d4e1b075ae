/* The 3D Haar transform of video cells, in both directions: what the codec haar3d computes (model/codec/haar3d.h says
 * why).
 *
 * A cell of 2 frames x 4 x 4 pixels x 3 colours, scaled to [-1, 1] (byte / 127.5 - 1), is rotated by the 3-point DCT
 * over (R, G, B) and by Haar wavelets: one level over the frames, two levels over rows and over columns (Haar, Math.
 * Ann. 69, 1910). All 96 basis vectors have length 1. Latents hold the 24 coefficients of LT_HAAR3D_KEPT, or all 96 in
 * the order [colour][frame][row][column]; the inverse takes coefficients that are left out as zero, saturates values
 * outside 0..255, and makes NaN a 0.
 *
 * cpu and cuda agree within float32 rounding: latents to 1e-6 of their size, bytes but for a few that lie at x.5.
 */
#ifndef LT_KERNELS_HAAR3D_H
#define LT_KERNELS_HAAR3D_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_HAAR3D_T = 2, LT_HAAR3D_H = 4, LT_HAAR3D_W = 4, LT_HAAR3D_CELL = 96, LT_HAAR3D_KEPT = 24 };

typedef struct lt_haar3d_args {
    lt_tensor rgb;     /* u8 [F, H, W, 3], contiguous; 2 divides F, 4 divides H and W */
    lt_tensor latents; /* dtype of sums, [F / 2, H / 4, W / 4, 24 or 96], contiguous */
    bool inverse;      /* false: latents from rgb; true: rgb from latents */
} lt_haar3d_args;
lt_status lt_haar3d(lt_ctx *ctx, const lt_haar3d_args *args);

#ifdef __cplusplus
}
#endif
#endif
